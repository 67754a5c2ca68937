"""Mixing, states of each source, and forms of the effective moment, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from leptonfit.datafiles import InputError
from leptonfit.neutrino import flavour as fl
from leptonfit.neutrino.experiments import load_experiment
from leptonfit.neutrino.spectra import load_sources

MIXING = fl.load_mixing()
RNG = np.random.default_rng(7)
LAMBDA = RNG.normal(size=3) + 1j * RNG.normal(size=3)
LEVI_CIVITA = np.zeros((3, 3, 3))
for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    LEVI_CIVITA[i, j, k], LEVI_CIVITA[j, i, k] = 1, -1


def sines(mixing):
    found = [np.sqrt(one) for one in (mixing.sin2_12, mixing.sin2_13)]
    return (*found, *(np.sqrt(1 - one**2) for one in found))


def test_the_mixing_matrix_is_unitary_and_has_the_angles_put_in():
    u = MIXING.matrix
    np.testing.assert_allclose(u @ u.conj().T, np.eye(3), atol=1e-15)
    assert abs(u[0, 2]) ** 2 == pytest.approx(MIXING.sin2_13)
    assert abs(u[0, 1]) ** 2 / (1 - abs(u[0, 2]) ** 2) == pytest.approx(MIXING.sin2_12)
    assert abs(u[1, 2]) ** 2 / (1 - abs(u[0, 2]) ** 2) == pytest.approx(MIXING.sin2_23)
    jarlskog = (u[0, 0] * u[1, 1] * u[0, 1].conj() * u[1, 0].conj()).imag
    s12, s13, c12, c13 = sines(MIXING)
    s23, c23 = np.sqrt(MIXING.sin2_23), np.sqrt(1 - MIXING.sin2_23)
    assert jarlskog == pytest.approx(s12 * c12 * s23 * c23 * s13 * c13**2 * np.sin(MIXING.delta_cp))


@pytest.mark.parametrize("energy", [0.3, 0.861, 3.0, 10.0])
def test_shares_of_mass_states_are_those_of_the_hamiltonian_in_matter(energy):
    """Second implementation: the eigenvectors of the three-flavour Hamiltonian, with Δm²₃₁ = 2.513e-3 eV²."""
    potential = MIXING.potential["B8"]
    vacuum = np.diag([0, MIXING.delta_m2_21, 2.513e-3]) / (2e6 * energy)
    hamiltonian = MIXING.matrix @ vacuum @ MIXING.matrix.conj().T
    hamiltonian[0, 0] += potential
    vectors = np.linalg.eigh(hamiltonian)[1]
    found = fl.share_mass_states(MIXING, energy, potential)
    np.testing.assert_allclose(found, np.abs(vectors[0]) ** 2, atol=3e-3)
    assert found.sum() == pytest.approx(1)


def test_solar_electron_neutrinos_survive_in_vacuum_and_in_dense_matter_as_they_should():
    """P_ee is c₁₃⁴ (1 − ½ sin² 2θ₁₂) + s₁₃⁴ without matter, and c₁₃⁴ sin² θ₁₂ + s₁₃⁴ in dense matter."""
    _, s13, _, c13 = sines(MIXING)
    for potential, known in (
        (0.0, c13**4 * (1 - 2 * MIXING.sin2_12 * (1 - MIXING.sin2_12)) + s13**4),
        (1.0, c13**4 * MIXING.sin2_12 + s13**4),
    ):
        state = np.diag(fl.share_mass_states(MIXING, 10.0, potential))
        assert fl.flavour_shares(MIXING, state)[0] == pytest.approx(known, rel=1e-6)
        assert fl.flavour_shares(MIXING, state).sum() == pytest.approx(1)


def test_survival_of_each_branch_is_about_that_of_the_flux_table():
    """The table's 0.33 for ⁸B is that above 5 MeV; over the whole spectrum it is higher."""
    for flux in load_sources(load_experiment("borexino_phase2")):
        survival = fl.flavour_shares(MIXING, np.diag(fl.mean_shares(MIXING, flux)))[0]
        assert survival == pytest.approx(flux.flavours["nu_e"], abs=0.06 if flux.name in ("B8", "hep") else 0.03)
    high = fl.share_mass_states(MIXING, np.linspace(6, 14, 50), MIXING.potential["B8"]).mean(axis=1)
    assert fl.flavour_shares(MIXING, np.diag(high))[0] == pytest.approx(0.33, abs=0.01)


def test_without_mixing_each_flavour_is_one_mass_state():
    plain = replace(MIXING, sin2_12=0.0, sin2_13=0.0, sin2_23=0.0)
    for i, name in enumerate(fl.FLAVOURS):
        form = fl.majorana_form(fl.flavour_state(plain, name))
        np.testing.assert_allclose(form, np.eye(3) - np.diag(np.eye(3)[i]), atol=1e-15)
        np.testing.assert_allclose(fl.to_flavour_basis(plain, form), form, atol=1e-15)


def test_a_state_of_one_flavour_holds_no_other():
    states = np.stack([fl.flavour_state(MIXING, name) for name in fl.FLAVOURS])
    np.testing.assert_allclose(fl.flavour_shares(MIXING, states), np.eye(3), atol=1e-15)


def test_forms_are_sums_over_the_states_after_the_scattering():
    """μ_eff² = Σ_j |Σ_k μ_jk a_k|² for a pure state with amplitudes a, for Majorana and for Dirac moments."""
    state = fl.flavour_state(MIXING, "mu")
    amplitudes = MIXING.matrix[1].conj()
    transition = np.einsum("jki,i->jk", LEVI_CIVITA, LAMBDA)
    direct = np.sum(np.abs(transition @ amplitudes) ** 2)
    assert fl.apply_form(fl.majorana_form(state), LAMBDA) == pytest.approx(direct)
    moments = RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))
    direct = np.sum(np.abs(moments @ amplitudes) ** 2)
    assert fl.apply_form(fl.dirac_form(state), moments.ravel()) == pytest.approx(direct)
    assert fl.apply_form(fl.dirac_form(state), transition.ravel()) == pytest.approx(
        fl.apply_form(fl.majorana_form(state), LAMBDA)
    )


def test_solar_form_is_that_of_the_literature():
    """arXiv:1510.01684: |Λ|² − c₁₃²|Λ₂|² + (c₁₃² − 1)|Λ₃|² + c₁₃² P_e1 (|Λ₂|² − |Λ₁|²)."""
    shares = fl.share_mass_states(MIXING, 0.861, MIXING.potential["Be7_861"])
    squares, cos2 = np.abs(LAMBDA) ** 2, 1 - MIXING.sin2_13
    known = squares.sum() - cos2 * squares[1] + (cos2 - 1) * squares[2] + shares[0] * (squares[1] - squares[0])
    assert fl.apply_form(fl.majorana_form(np.diag(shares)), LAMBDA) == pytest.approx(known)


def test_reactor_form_is_that_of_the_literature():
    """arXiv:1510.01684: |Λ_μ|² + |Λ_τ|², and in mass states with the cosines of the phases."""
    form = fl.majorana_form(fl.flavour_state(MIXING, "e"))
    np.testing.assert_allclose(fl.to_flavour_basis(MIXING, form), np.diag([0, 1, 1]), atol=1e-15)
    s12, s13, c12, c13 = sines(MIXING)
    weights = np.array([c12 * c13, s12 * c13, s13])
    phases = np.angle(LAMBDA) + np.array([0, 0, -MIXING.delta_cp])
    known = np.sum(np.abs(LAMBDA) ** 2)
    for i in range(3):
        for j in range(3):
            known -= weights[i] * weights[j] * abs(LAMBDA[i] * LAMBDA[j]) * np.cos(phases[i] - phases[j])
    assert fl.apply_form(form, LAMBDA) == pytest.approx(known)


def test_accelerator_form_is_that_of_the_literature_where_amplitudes_add():
    """arXiv:1510.01684 adds ν_e to ν_μ coherently: |Λ|² + |Λ_e|² + 2|Λ_τ|² − 2|Λ_e||Λ_μ| cos(ζ_e − ζ_μ).

    Neutrinos from different decays do not interfere; the sum of their own forms is the same without the cosine.
    """
    squares = np.abs(LAMBDA) ** 2
    incoherent = squares.sum() + squares[0] + 2 * squares[2]
    e, mu = np.eye(3)[:2]
    left, right = np.outer(e + mu, e + mu), np.outer(mu, mu)
    cosine = 2 * (LAMBDA[0] * LAMBDA[1].conj()).real
    assert fl.apply_form(fl.majorana_form(left + right), LAMBDA) == pytest.approx(incoherent - cosine)
    states = [fl.flavour_state(MIXING, name) for name in ("e", "mu", "mu")]
    several = sum(fl.to_flavour_basis(MIXING, fl.majorana_form(one)) for one in states)
    assert fl.apply_form(several, LAMBDA) == pytest.approx(incoherent)


def test_basis_changes_are_rotations_and_keep_the_trace():
    form = fl.majorana_form(np.diag(fl.share_mass_states(MIXING, 5.0, 6e-12)))
    rotated = fl.to_flavour_basis(MIXING, form)
    assert np.trace(rotated) == pytest.approx(np.trace(form)) == pytest.approx(2)
    np.testing.assert_allclose(np.linalg.eigvalsh(rotated), np.linalg.eigvalsh(form), atol=1e-14)
    u = MIXING.matrix
    in_flavours = np.einsum("jki,i->jk", LEVI_CIVITA, LAMBDA)
    in_masses = u.T @ in_flavours @ u
    vector = np.array([in_masses[1, 2], in_masses[2, 0], in_masses[0, 1]])
    assert fl.apply_form(form, vector) == pytest.approx(fl.apply_form(rotated, LAMBDA))


def test_components_are_bounded_as_the_form_says():
    """The extreme of |m_i| on m† A m = μ² is μ √(A⁻¹)_ii; a pure state leaves a direction, and so every component."""
    diagonal = fl.majorana_form(np.diag([0.6, 0.38, 0.02]))
    alone, profiled = fl.bound_components(diagonal, 3.0)
    np.testing.assert_allclose(alone, 3 / np.sqrt([0.4, 0.62, 0.98]))
    np.testing.assert_allclose(profiled, alone)
    mixed = fl.majorana_form(0.5 * fl.flavour_state(MIXING, "e") + 0.5 * fl.flavour_state(MIXING, "mu"))
    alone, profiled = fl.bound_components(mixed, 1.0)
    drawn = RNG.normal(size=(200_000, 3)) + 1j * RNG.normal(size=(200_000, 3))
    drawn /= np.sqrt(fl.apply_form(mixed, drawn))[:, None]
    assert (np.abs(drawn) <= profiled * (1 + 1e-12)).all()
    np.testing.assert_allclose(np.abs(drawn).max(axis=0), profiled, rtol=0.02)
    assert (alone < profiled).all()
    pure = fl.majorana_form(fl.flavour_state(MIXING, "e"))
    assert np.isinf(fl.bound_components(pure, 1.0)[1]).all()
    in_flavours = fl.bound_components(fl.to_flavour_basis(MIXING, pure), 1.0)[1]
    np.testing.assert_allclose(in_flavours, [np.inf, 1, 1])


def test_parts_of_a_flux_add_up_to_it():
    for flux in load_sources(load_experiment("borexino_phase2")):
        half = flux.weigh(lambda energy: 0.25 * np.ones(np.shape(energy)))
        assert half.total == pytest.approx(0.25 * flux.total)
        low = np.array([0.05, 0.3, 2.0])
        np.testing.assert_allclose(half.moments(low), 0.25 * flux.moments(low))
        assert fl.mean_shares(MIXING, flux).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value = 0.308", "value = 1.3", "sin2_theta_12 = 1.3: must be a number from 0 to 1"),
        ("errors = [0.011, 0.012]", "errors = [0.011]", "sin2_theta_12.errors = [0.011]: must be 2 numbers"),
        ('unit = "eV2"', 'unit = "eV"', "delta_m2_21.unit = eV: must be eV2"),
        ("pp = 4.68e-12, ", "", "potential: branch pp must be in it and in solar.branch of flux.toml"),
        ("[delta_cp]", "[delta]", "delta_cp is missing"),
    ],
)
def test_a_wrong_entry_of_the_mixing_is_refused(edited, old, new, said):
    with pytest.raises(InputError) as refused:
        fl.load_mixing(data=edited("mixing.toml", old, new))
    assert said in str(refused.value)
