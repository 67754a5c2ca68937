"""Model comparison: information criteria, goodness of fit by bootstrap, posteriors and evidence.

The evidence comes from nested sampling (J. Skilling, Bayesian Anal. 1, 833 (2006)) with dynesty (J. S. Speagle, Mon.
Not. R. Astron. Soc. 493, 3132 (2020)); the posteriors come from emcee (D. Foreman-Mackey et al., Publ. Astron. Soc.
Pac. 125, 306 (2013)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import kstest, qmc

from leptonfit.inference.result import Result

_N_OFFSET = 32


def aic(minus_two_log_likelihood: float, n_parameters: int) -> float:
    """Akaike's information criterion −2 ln L + 2k (H. Akaike, IEEE Trans. Autom. Control 19, 716 (1974))."""
    return minus_two_log_likelihood + 2 * n_parameters


def bic(minus_two_log_likelihood: float, n_parameters: int, n_data: float) -> float:
    """Bayesian information criterion −2 ln L + k ln n (G. Schwarz, Ann. Stat. 6, 461 (1978))."""
    return minus_two_log_likelihood + n_parameters * math.log(n_data)


def bootstrap_ks(residuals: np.ndarray, toys: np.ndarray) -> float:
    """p-value of the Kolmogorov–Smirnov distance between standardised residuals (n,) and a unit Gaussian.

    The distance is calibrated with residuals of toys (n_toys, n) that were fitted like the data. The tabulated
    distribution would be too lenient, because the parameters were fitted to the same data.
    """
    found = kstest(residuals, "norm").statistic
    distances = np.array([kstest(toy, "norm").statistic for toy in toys])
    return float((1 + np.count_nonzero(distances >= found)) / (1 + len(toys)))


@dataclass(frozen=True)
class EvidenceResult(Result):
    """Evidence of a model from nested sampling, with draws of its posterior.

    Attributes
    ----------
    log_evidence, error : float
        ln ∫ L dπ, and the sampler's estimate of its error.
    n_live, n_calls : int
    samples : ndarray (n, n_par)
        Equally weighted draws of the posterior.
    """

    log_evidence: float
    error: float
    n_live: int
    n_calls: int
    samples: np.ndarray


def run_nested(
    log_likelihood: Callable[[np.ndarray], np.ndarray],
    transform: Callable[[np.ndarray], np.ndarray],
    n_par: int,
    *,
    n_live: int,
    seed: int | np.random.SeedSequence,
) -> EvidenceResult:
    """Compute the evidence and draw from the posterior by nested sampling.

    The highest ln L of a few draws from the prior is subtracted from ln L while sampling and added to ln Z at the end,
    since the sampler's error estimate loses all digits where ln L is around −1e9.

    Parameters
    ----------
    log_likelihood : callable
        (n_par,) → float, with any constant offset; −inf outside the model's domain.
    transform : callable
        Maps the unit cube (n_par,) to parameters and so defines the prior.
    n_par, n_live : int
    seed : int or SeedSequence
    """
    from dynesty import NestedSampler

    rng = np.random.default_rng(seed)
    draws = qmc.Halton(n_par, scramble=False).random(_N_OFFSET + 1)[1:]  # the first point is the corner of the cube
    values = np.array([float(log_likelihood(transform(draw))) for draw in draws])
    offset = float(np.max(values, where=np.isfinite(values), initial=-np.inf))
    offset = offset if math.isfinite(offset) else 0.0
    sampler = NestedSampler(
        lambda x: float(log_likelihood(x)) - offset,
        transform,
        n_par,
        nlive=n_live,
        sample="rwalk" if n_par > 4 else "unif",
        rstate=rng,
    )
    sampler.run_nested(print_progress=False, dlogz=0.1)
    found = sampler.results
    return EvidenceResult(
        float(found.logz[-1]) + offset,
        float(found.logzerr[-1]),
        n_live,
        int(np.sum(found.ncall)),
        found.samples_equal(rng),
    )


@dataclass(frozen=True)
class PosteriorResult(Result):
    """Draws from a posterior by an ensemble of walkers (MCMC).

    Attributes
    ----------
    samples : ndarray (n, n_par)
        Draws after the burn-in, thinned.
    r_hat : ndarray (n_par,)
        Split R̂ over the walkers' chains (A. Gelman and D. B. Rubin, Stat. Sci. 7, 457 (1992)).
    effective_size : ndarray (n_par,)
        Number of independent draws, from the integrated autocorrelation time.
    acceptance : float
        Mean fraction of accepted moves.
    """

    samples: np.ndarray
    r_hat: np.ndarray
    effective_size: np.ndarray
    acceptance: float

    @property
    def has_converged(self) -> bool:
        """True if R̂ ≤ 1.1 and there are at least 100 independent draws for every parameter."""
        return bool((self.r_hat <= 1.1).all() and (self.effective_size >= 100).all())


def run_ensemble(
    log_posterior: Callable[[np.ndarray], np.ndarray], start: np.ndarray, *, n_steps: int, seed: int, thin: int = 10
) -> PosteriorResult:
    """Sample a posterior with emcee; the first third of the steps is dropped as burn-in.

    Parameters
    ----------
    log_posterior : callable
        Vectorised function (n, n_par) → (n,); −inf outside the prior.
    start : ndarray (n_walkers, n_par)
        Initial positions inside the prior.
    n_steps, seed, thin : int
    """
    import emcee

    n_walkers, n_par = start.shape
    moves = [(emcee.moves.DEMove(), 0.9), (emcee.moves.DEMove(gamma0=1.0), 0.1)]  # the second jumps between modes
    sampler = emcee.EnsembleSampler(n_walkers, n_par, log_posterior, vectorize=True, moves=moves)
    state = emcee.State(start, random_state=np.random.RandomState(seed).get_state())  # emcee needs a RandomState
    sampler.run_mcmc(state, n_steps, progress=False)
    chain = sampler.get_chain(discard=n_steps // 3)  # (n_kept, n_walkers, n_par)
    times = np.array(
        [float(emcee.autocorr.integrated_time(chain[:, :, j], tol=0, quiet=True)[0]) for j in range(n_par)]
    )
    return PosteriorResult(
        samples=chain[::thin].reshape(-1, n_par),
        r_hat=split_r_hat(chain),
        effective_size=chain.shape[0] * n_walkers / np.maximum(times, 1.0),
        acceptance=float(np.mean(sampler.acceptance_fraction)),
    )


def split_r_hat(chain: np.ndarray) -> np.ndarray:
    """Split R̂ (n_par,) of chains (n_steps, n_chains, n_par), each of which is cut in two halves."""
    half = len(chain) // 2
    parts = np.concatenate([chain[:half], chain[half : 2 * half]], axis=1)
    within = parts.var(axis=0, ddof=1).mean(axis=0)
    between = parts.mean(axis=0).var(axis=0, ddof=1)
    return np.sqrt((half - 1) / half + between / within)
