"""Evidence and posteriors against closed forms."""

import numpy as np
import pytest
from scipy.stats import kstest

from leptonfit.inference.compare import bootstrap_ks, run_ensemble, run_nested, split_r_hat


@pytest.mark.parametrize("offset", [0.0, -976412116.0, 1e9])
def test_an_offset_of_the_likelihood_moves_the_evidence_and_not_its_error(offset):
    """A Gaussian of width 1e-3 in the unit square: ln Z = ln 2π − 6 ln 10."""
    found = run_nested(
        lambda x: -0.5 * np.sum(((x - 0.3) / 1e-3) ** 2, axis=1) + offset, lambda u: u, 2, n_live=100, seed=1
    )
    assert found.error == pytest.approx(0.386, abs=0.02)
    assert abs(found.log_evidence - offset - np.log(2e-6 * np.pi)) < 3 * found.error


def test_a_likelihood_that_is_zero_nearly_everywhere_is_sampled():
    """A wedge in a fiftieth of the prior: ∫ e⁵ x dx up to 0.02."""

    def wedge(x):
        return np.where(x[:, 0] < 0.02, 5.0 + np.log(x[:, 0]), -np.inf)

    found = run_nested(wedge, lambda u: u, 1, n_live=200, seed=1)
    assert abs(found.log_evidence - 5 - np.log(0.02**2 / 2)) < 4 * found.error


def test_what_a_likelihood_leaves_free_is_drawn_as_wide_as_its_prior():
    """Twelve parameters in the unit cube: four measured, seven free, and the last tied to the first at an edge of the
    cube, so that Z is the probability 3/8 that two unit Gaussians, correlated by √½, are both positive. Short walks
    lose the spread of the free parameters and raise ln Z."""
    sigma, centre = 0.03, np.array([0.0, 0.5, 0.5, 0.5, 0.0])

    def log_likelihood(x):
        measured = x[:, [0, 1, 2, 3, -1]] - centre
        measured[:, -1] -= x[:, 0]
        return -0.5 * np.sum((measured / sigma) ** 2, axis=1) - 5 * np.log(np.sqrt(2 * np.pi) * sigma)

    found = [run_nested(log_likelihood, lambda u: u, 12, n_live=50, seed=seed) for seed in range(6)]
    mean = np.mean([one.log_evidence for one in found])
    assert abs(mean - np.log(0.375)) < 2 * found[0].error / np.sqrt(len(found))
    centres = np.mean([one.samples.mean(axis=0) for one in found], axis=0)
    np.testing.assert_allclose(centres[1:4], 0.5, atol=0.25 * sigma)
    width = np.mean([one.samples.std(axis=0) for one in found], axis=0)
    np.testing.assert_allclose(width[4:11] * np.sqrt(12), 1, atol=0.04)
    np.testing.assert_allclose(width[1:4] / sigma, 1, atol=0.08)


def test_ensemble_needs_no_good_start():
    """Draws of half the width and one tenth off still lead to the exponential in the one direction and the Gaussian in
    the other."""
    rng = np.random.default_rng(3)
    draws = np.stack([rng.uniform(0.5, 1.0, 200), rng.normal(0.1, 0.5, 200)], axis=1)
    found = run_ensemble(
        lambda x: np.where(x[:, 0] > 0, -np.abs(x[:, 0]), -np.inf) - 0.5 * x[:, 1] ** 2,
        draws,
        n_walkers=20,
        n_steps=4000,
        seed=1,
    )
    assert found.has_converged
    np.testing.assert_allclose(found.samples.mean(axis=0), [1, 0], atol=0.07)
    np.testing.assert_allclose(found.samples.std(axis=0), 1, rtol=0.1)


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        ([[1e-11, 0.1], [2e-11, 0.1], [4e-11, 0.1]], r"differ in 1 of 2 directions, .* \(constant columns: 1\)"),
        ([[0, 0], [1, 1], [2, 2]], r"differ in 1 of 2 directions, .* \(constant columns: none\)"),
    ],
)
def test_draws_that_do_not_span_the_parameters_are_refused(draws, said):
    with pytest.raises(ValueError, match=f"^draws: {said}$"):
        run_ensemble(lambda x: -np.sum(x**2, axis=1), np.array(draws), n_walkers=8, n_steps=20, seed=1)


def test_too_few_steps_are_refused_and_walkers_that_never_moved_have_not_converged():
    draws = np.random.default_rng(1).normal(size=(50, 2))

    def run(n_steps):
        return run_ensemble(lambda x: -np.sum(x**2, axis=1), draws, n_walkers=8, n_steps=n_steps, seed=1)

    with pytest.raises(ValueError, match=r"^n_steps = 5: must be at least 6$"):
        run(5)
    found = run(6)
    assert np.isfinite(found.r_hat).all()
    assert found.effective_size.tolist() == [0, 0], "a walker never moved"
    assert not found.has_converged


def test_an_ensemble_says_when_it_has_not_converged():
    rng = np.random.default_rng(0)
    short = run_ensemble(
        lambda x: -0.5 * np.sum(x**2, axis=-1), rng.normal(size=(200, 2)), n_walkers=8, n_steps=20, seed=1
    )
    assert not short.has_converged
    apart = np.concatenate([rng.normal(0, 1, (100, 4, 1)), rng.normal(8, 1, (100, 4, 1))], axis=1)
    assert split_r_hat(apart)[0] > 2


def test_bootstrap_counts_toys_at_least_as_far_from_a_gaussian():
    rng = np.random.default_rng(5)
    residuals, toys = rng.standard_normal(30), rng.standard_normal((200, 30))
    far = [kstest(toy, "norm").statistic >= kstest(residuals, "norm").statistic for toy in toys]
    assert bootstrap_ks(residuals, toys) == (1 + sum(far)) / 201
