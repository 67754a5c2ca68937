"""Evidence against closed forms."""

import numpy as np
import pytest

from leptonfit.inference.compare import run_nested


@pytest.mark.parametrize("offset", [0.0, -976412116.0, 1e9])
def test_an_offset_of_the_likelihood_moves_the_evidence_and_not_its_error(offset):
    """A Gaussian of width 1e-3 in the unit square: ln Z = ln 2π − 6 ln 10."""
    found = run_nested(lambda x: -0.5 * np.sum(((x - 0.3) / 1e-3) ** 2) + offset, lambda u: u, 2, n_live=100, seed=1)
    assert found.error == pytest.approx(0.386, abs=0.01)
    assert abs(found.log_evidence - offset - np.log(2e-6 * np.pi)) < 3 * found.error


def test_a_likelihood_that_is_zero_nearly_everywhere_is_sampled():
    """A wedge in a fiftieth of the prior: ∫ e⁵ x dx up to 0.02."""
    found = run_nested(lambda x: 5.0 + np.log(x[0]) if x[0] < 0.02 else -np.inf, lambda u: u, 1, n_live=200, seed=1)
    assert abs(found.log_evidence - 5 - np.log(0.02**2 / 2)) < 4 * found.error
