"""Fits of a charge and a charge radius of neutrinos."""

import numpy as np
import pytest

from leptonfit.neutrino import charges
from leptonfit.neutrino import scattering as sc
from leptonfit.neutrino.experiments import load_experiment
from leptonfit.neutrino.flavour_fit import load_signals


def signals_of(slug, kind, groups):
    several = [charges._make_signal(kind, group, order, 1e-13) for group in groups for order in (1, 2)]
    return [model.signal for model in load_signals(load_experiment(slug), several).models]


@pytest.mark.parametrize(
    ("slug", "kind"), [("lz_ws2024", "charge"), ("superk_1", "radius"), ("coherent_csi", "radius")]
)
def test_signals_of_the_flavours_add_up(slug, kind):
    first, second, *rest = signals_of(slug, kind, ["e", "mu", "e, mu"])
    np.testing.assert_allclose(first + rest[0], rest[2], rtol=1e-9)
    np.testing.assert_allclose(second + rest[1], rest[3], rtol=1e-9)
    assert (second >= 0).all()


def test_strengths_are_powers_with_their_slopes():
    x = np.array([[0.5, -2.0], [1.0, 3.0]])
    strengths, slopes = charges._raise_to_powers(x)
    np.testing.assert_array_equal(strengths[0], [0.5, 0.25, -2.0, 4.0])
    np.testing.assert_array_equal(slopes[1], [[1, 0], [2, 0], [0, 1], [0, 6]])


def test_the_charge_from_xenon_is_known_to_a_few_parts_in_1e13():
    """|q| < 1.5e-13 e from LZ in arXiv:2207.05036, where the equivalent-photon approximation gives more recoils."""
    found = charges.fit_charges(load_experiment("xenonnt"), "charge", ["e, mu"], unit=1e-13, reach=30)
    (low, high), *_ = found.intervals
    assert found.verdicts["e, mu"].code == "identified"
    assert low < 0 < high
    assert 1.5e-13 < max(-low, high) < 6e-13
    assert found.chi2_zero >= found.chi2_best


def test_coherent_allows_a_second_radius_with_the_opposite_weak_charge():
    """Where 2Z times the shift is −2 times the weak charge, coherent scattering is as without a radius."""
    found = charges.fit_charges(load_experiment("coherent_csi"), "radius", ["e, mu"], unit=1e-32, reach=120)
    assert found.verdicts["e, mu"].code == "disjoint"
    sets = found.verdicts["e, mu"].intervals
    middles = [1e-32 * (low + high) / 2 for low, high in sets]
    n, z = 129.9 - 54, 54  # the mean of Cs and I
    distance = (n - (1 - 4 * sc.SIN2_THETA_W) * z) / z / sc.shift_by_radius(np.array(1.0))
    assert middles[1] - middles[0] == pytest.approx(distance, rel=0.05)
    assert -8e-32 < sets[1][0] * 1e-32 < 0 < sets[1][1] * 1e-32 < 8e-32


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind = 'anapole': must be one of charge, radius"):
        charges.fit_charges(load_experiment("xenonnt"), "anapole", ["e"], unit=1.0, reach=1.0)
