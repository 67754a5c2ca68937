"""Fits in fundamental moments: against limits on one effective moment, and published limits."""

from dataclasses import replace

import numpy as np
import pytest

from leptonfit.neutrino import flavour as fl
from leptonfit.neutrino import flavour_fit as ff
from leptonfit.neutrino.likelihood import load_likelihood, to_moment

MIXING = fl.load_mixing()
SETS = ("borexino_phase2", "lz_ws2022", "xenonnt", "superk_1to4", "coherent_csi", "coherent_lar", "gemma")


@pytest.fixture(scope="module")
def states():
    return {slug: ff.load_states(slug, MIXING) for slug in SETS}


@pytest.mark.parametrize("slug", SETS)
def test_signals_of_the_states_add_up_to_that_of_one_moment(states, slug):
    whole, parts = load_likelihood(slug).model, states[slug].signals.models
    np.testing.assert_allclose(sum(one.signal for one in parts), whole.signal, rtol=1e-9, atol=1e-12)
    shifts = sum(one.signal_shifts for one in parts)
    np.testing.assert_allclose(shifts, whole.signal_shifts, rtol=1e-6, atol=1e-9 * np.abs(whole.signal).max())
    np.testing.assert_array_equal(parts[0].base, whole.base)
    assert np.trace(states[slug].mean_state) == pytest.approx(1)


@pytest.mark.parametrize("slug", ["xenonnt", "borexino_phase2", "coherent_csi"])
def test_fits_of_one_template_and_of_several_signals_agree(states, slug):
    """At equal strengths the signals of the states are one template; Borexino bounds pulls."""
    signals = states[slug].signals
    first, *_ = several = signals.models
    whole = replace(
        first, signal=sum(one.signal for one in several), signal_shifts=sum(one.signal_shifts for one in several)
    )
    theta = np.array([0.0, 0.3, 1.0]) * 10 * float(whole.theta_sigma())
    template = whole.fit(signals.data, theta=theta)
    residuals, slopes = signals.expand(np.repeat(theta[:, None], len(several), axis=1))
    assert template.converged.all()
    np.testing.assert_allclose(np.sum(residuals**2, axis=-1), template.value, rtol=1e-8)
    np.testing.assert_allclose(residuals[:, first.n_bins :], template.pulls[:, ~first.is_free], rtol=1e-8, atol=1e-8)
    slope = 2 * np.vecdot(residuals, slopes.sum(axis=-1))
    np.testing.assert_allclose(slope, template.slope, rtol=1e-8, atol=1e-8 * np.abs(template.slope).max())


def test_shares_in_each_spectrum_are_those_of_its_energies(states):
    """XENONnT sees pp and ⁷Be, Super-Kamiokande ⁸B above 4 MeV."""
    low = fl.share_mass_states(MIXING, 0.3, MIXING.potential["pp"])
    np.testing.assert_allclose(states["xenonnt"].shares, low, atol=0.02)
    high = fl.share_mass_states(MIXING, 8.0, MIXING.potential["B8"])
    np.testing.assert_allclose(states["superk_1to4"].shares, high, atol=0.03)


def test_prompt_muon_neutrinos_come_first(states):
    """The muon lives 2.2 µs: below 1 µs the share of ν_e is smaller than later."""
    early = states["coherent_csi"].experiment.columns["time_low"] < 1
    counts = {
        name: model.signal[: len(early)]
        for name, model in zip(("mu", "e"), states["coherent_csi"].signals.models, strict=True)
    }
    shares = [counts["e"][part].sum() / sum(one[part].sum() for one in counts.values()) for part in (early, ~early)]
    assert shares[0] < 0.75 * shares[1]
    assert shares[1] < 0.5


@pytest.fixture(scope="module")
def xenon(states):
    return ff.fit_moments([states["xenonnt"]], "majorana", MIXING)


def test_limits_follow_from_that_on_the_effective_moment(xenon, states):
    """μ_eff < 7.31e-12 μ_B by Δχ² = 2.71; each moment alone has this over the root of its weight."""
    np.testing.assert_allclose(xenon.alone, 7.31e-12 / np.sqrt(xenon.weights), rtol=3e-3)
    np.testing.assert_allclose(xenon.weights, 1 - states["xenonnt"].shares)
    np.testing.assert_allclose(xenon.profiled, xenon.alone, rtol=2e-3)
    found = ff.bound_alone(states["xenonnt"], "majorana", MIXING)
    again = [float(to_moment(found[name].delta_chi2[1])) for name in xenon.names]
    np.testing.assert_allclose(again, xenon.alone, rtol=2e-3)
    assert {verdict.code for verdict in xenon.verdicts.values()} == {"bound_limited"}
    assert xenon.n_combinations == 1
    assert xenon.p_value == pytest.approx(0.75, abs=0.15)
    assert ff.MomentFitResult.from_dict(xenon.to_dict()).profiled == pytest.approx(xenon.profiled)


def test_limits_of_borexino_are_near_the_published_ones(states):
    """arXiv:1510.01684, from earlier data of Borexino: |Λ_i| < 5.6, 4.0, 3.1e-11 μ_B at 90 %."""
    found = ff.bound_alone(states["borexino_phase2"], "majorana", MIXING)
    limits = [float(to_moment(one.observed["cls"][0])) for one in found.values()]
    np.testing.assert_allclose(limits, [5.6e-11, 4.0e-11, 3.1e-11], rtol=0.12)


@pytest.fixture(scope="module")
def coherent(states):
    return ff.fit_moments([states["coherent_csi"]], "flavour", MIXING)


def test_times_of_coherent_tell_two_flavours(coherent):
    """arXiv:2211.11905, with argon: μ_e < 3.6e-9 and μ_μ < 2.4e-9 μ_B; it has no ν_τ."""
    assert coherent.names == ("μ_e", "μ_μ")
    np.testing.assert_allclose(coherent.profiled, [3.6e-9, 2.4e-9], rtol=0.15)
    assert coherent.n_combinations == 2
    assert coherent.correlations[0, 1] == pytest.approx(-0.5, abs=0.15)


def test_what_is_said_of_limits(xenon, coherent):
    code, sentence = ff.describe_moments({"XENONnT": xenon, "COHERENT": coherent})
    assert code == "moments_bounded"
    assert f"XENONnT: |Λ_1| < {1e11 * xenon.profiled[0]:.3g}e-11" in sentence
    assert "the counts alone determine 1 of 3 combinations of their squares" in sentence
    assert "the counts alone determine each of their squares" in sentence
    assert "so that no phase of a moment is determined" in sentence
    verdict = replace(xenon.verdicts["|Λ_1|"], code="open_above")
    opened = replace(xenon, verdicts=xenon.verdicts | {"|Λ_1|": verdict})
    assert ff.describe_moments({"XENONnT": opened})[0] == "moments_open"
    assert ff.describe_moments({}, ["XENONnT"]) == ("no_data", "No data set was fitted. Not fitted: XENONnT.")
    assert sentence.endswith("so that no phase of a moment is determined.")
    assert ff.describe_moments({"XENONnT": xenon}, ["XENON1T SR1"])[1].endswith(" Not fitted: XENON1T SR1.")


def test_a_larger_moment_in_the_data_is_found(states):
    """Asimov data with one |Λ_2| in them: its lowest χ² is 0 there, and alone it lies within its limit."""
    one = states["xenonnt"]
    signals = one.signals
    truth = one.weigh("majorana", MIXING)[:, 1] * 5.0
    data = signals.models[0].base + sum(size * model.signal for size, model in zip(truth, signals.models, strict=True))
    found = ff.fit_moments(
        [ff.StateSet(one.experiment, ff.SignalSet(data, signals.models), one.states)], "majorana", MIXING
    )
    assert found.chi2 == pytest.approx(0, abs=1e-6)
    assert found.alone[1] > 1e-11 * np.sqrt(5)
    assert (found.profiled >= found.alone * (1 - 1e-6)).all()


def test_an_unknown_basis_is_refused(states):
    with pytest.raises(ValueError, match="basis = 'mass': must be one of majorana, dirac, flavour"):
        ff.fit_moments([states["xenonnt"]], "mass", MIXING)


def test_errors_of_the_mixing_move_a_limit_as_the_weight_of_its_moment():
    """A limit is as the inverse root of the weight of the moment, in the mean over the signal."""
    found = ff.propagate_mixing("lz_ws2024", "majorana", MIXING)

    def weigh(mixing):
        one = ff.load_states("lz_ws2024", mixing)
        return np.log(one.shares @ one.weigh("majorana", mixing)) / 2

    steps = [weigh(above) - weigh(below) for below, above in map(MIXING.vary, ("sin2_12", "sin2_13", "delta_m2_21"))]
    assert list(found.values()) == pytest.approx(np.linalg.norm(steps, axis=0) / 2, rel=0.05)


def test_a_signal_below_the_tolerance_of_the_fit_moves_the_pulls_all_the_same(states):
    """A fit that starts where its gradient is as good as zero takes a step; else its residuals would stand still."""
    signals = states["coherent_csi"].signals
    step = 1e-3 * np.eye(2)[:1]  # (1e-11 μ_B)², where the limit is above 1e4
    residuals, slopes = signals.expand(0 * step)
    moved, _ = signals.expand(step)
    is_pull = slice(signals.models[0].n_bins, None)
    np.testing.assert_allclose((moved - residuals)[0, is_pull] / 1e-3, slopes[0, is_pull, 0], rtol=1e-3, atol=1e-12)
    assert np.abs(slopes[0, is_pull, 0]).max() > 1e-8


def test_the_cls_limit_of_a_fit_is_that_of_its_data_sets(states):
    one = ff.fit_moments([states["xenonnt"]], "majorana", MIXING)
    alone = ff.bound_alone(states["xenonnt"], "majorana", MIXING)
    assert one.cls == pytest.approx([float(to_moment(found.observed["cls"][0])) for found in alone.values()])
    both = ff.fit_moments([states["xenonnt"], states["coherent_csi"]], "flavour", MIXING)
    assert both.cls[0] == pytest.approx(ff.fit_moments([states["xenonnt"]], "flavour", MIXING).cls[0], rel=1e-3)
