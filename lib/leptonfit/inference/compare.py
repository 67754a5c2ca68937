"""Model comparison: information criteria, goodness of fit by bootstrap, posteriors and evidence.

The evidence comes from nested sampling (J. Skilling, Bayesian Anal. 1, 833 (2006)) with dynesty (J. S. Speagle, Mon.
Not. R. Astron. Soc. 493, 3132 (2020)); the posteriors come from emcee (D. Foreman-Mackey et al., Publ. Astron. Soc.
Pac. 125, 306 (2013)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import qmc

from leptonfit.inference.result import Result

_N_OFFSET = 32
_STEPS_PER_PARAMETER = 20
"""Steps of each random walk of the nested sampling, per parameter."""
_FEWEST_STEPS = 6
"""Fewest steps of the ensemble: four remain after the burn-in, in halves of two, the fewest that have a variance."""
_MIXES = (0.3, 0.6, 1.0)
"""Sizes of the ensemble's steps: each new position has this share of fresh noise in its amplitude."""


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
    found, *distances = _measure_distance(np.vstack([residuals, toys]))
    return float((1 + np.count_nonzero(distances >= found)) / (1 + len(toys)))


def _measure_distance(residuals: np.ndarray) -> np.ndarray:
    """Kolmogorov–Smirnov distances (m,) of samples (m, n) from a unit Gaussian."""
    n = residuals.shape[1]
    share = ndtr(np.sort(residuals, axis=1))
    steps = np.arange(n + 1) / n
    return np.maximum(steps[1:] - share, share - steps[:-1]).max(axis=1)


@dataclass(frozen=True)
class EvidenceResult(Result):
    """Evidence of a model from nested sampling, or from an integral, with draws of its posterior.

    Attributes
    ----------
    log_evidence, error : float
        ln ∫ L dπ, and its error: the sampler's estimate, or the change of an integral from half as many nodes.
    n_live, n_calls : int
        Live points of nested sampling, 0 for an integral, and calls of the likelihood.
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

    Every new live point is the end of a random walk from another live point. Walks have 20 steps per parameter, where
    dynesty's default is 20 + n_par in all: after short walks the new point stays near the old point, so that in the
    course of the run the live points lose their spread in directions that the likelihood leaves free. Posteriors are
    then too narrow and the evidence too large.

    The highest ln L of a few draws from the prior is subtracted from ln L while sampling and added to ln Z at the end,
    since the sampler's error estimate loses all digits where ln L is around −1e9.

    Parameters
    ----------
    log_likelihood : callable
        Vectorised function (n, n_par) → (n,), with any constant offset; −inf outside the model's domain.
    transform : callable
        Maps points of the unit cube (n, n_par) to parameters and so defines the prior.
    n_par, n_live : int
    seed : int or SeedSequence
    """
    from dynesty import NestedSampler

    rng = np.random.default_rng(seed)
    draws = qmc.Halton(n_par, scramble=False).random(_N_OFFSET + 1)[1:]  # the first point is the corner of the cube
    values = log_likelihood(transform(draws))
    offset = float(np.max(values, where=np.isfinite(values), initial=-np.inf))
    offset = offset if math.isfinite(offset) else 0.0
    sampler = NestedSampler(
        lambda x: float(log_likelihood(x[None])[0]) - offset,
        lambda cube: transform(cube[None])[0],
        n_par,
        nlive=n_live,
        sample="rwalk",
        walks=_STEPS_PER_PARAMETER * n_par,
        pool=_WalkPool(lambda x: log_likelihood(x) - offset, transform),
        queue_size=max(1, n_live // 2),
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
class _WalkPool:
    """Pool for dynesty whose random walks advance together, with one call of the likelihood for a step of all walks."""

    log_likelihood: Callable[[np.ndarray], np.ndarray]
    transform: Callable[[np.ndarray], np.ndarray]

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> list[Any]:
        from dynesty.internal_samplers import RWalkSampler

        return self._walk(list(tasks)) if function is RWalkSampler.sample else [function(task) for task in tasks]

    def _walk(self, tasks: list[Any]) -> list[Any]:
        from dynesty.internal_samplers import SamplerReturn

        rng, n_steps = np.random.default_rng(tasks[0].rseed), tasks[0].kwargs["walks"]
        cube = np.array([task.u for task in tasks])
        axes = np.array([task.scale * task.axes for task in tasks])
        x = self.transform(cube)
        value = self.log_likelihood(x)
        n_accepted = np.zeros(len(tasks), dtype=int)
        n_par = cube.shape[1]
        for _ in range(n_steps):
            step = rng.standard_normal(cube.shape)
            step *= (rng.random(len(cube)) ** (1 / n_par) / np.linalg.norm(step, axis=1))[:, None]
            moved = cube + np.einsum("tij,tj->ti", axes, step)
            inside = np.flatnonzero(((moved > 0) & (moved < 1)).all(axis=1))
            if not inside.size:
                continue
            there = self.transform(moved[inside])
            found = self.log_likelihood(there)
            higher = found > tasks[0].loglstar
            accepted = inside[higher]
            cube[accepted], x[accepted], value[accepted] = moved[accepted], there[higher], found[higher]
            n_accepted[accepted] += 1
        return [
            SamplerReturn(
                u=cube[i],
                v=x[i],
                logl=float(value[i]),
                ncalls=n_steps,
                evaluation_history=[],
                tuning_info={"accept": n, "reject": n_steps - n, "scale": task.scale},
                proposal_stats={"n_accept": n, "n_reject": n_steps - n},
            )
            for i, (task, n) in enumerate(zip(tasks, n_accepted.tolist(), strict=True))
        ]


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
        Number of independent draws, from the integrated autocorrelation time; 0 if a walker never moved.
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
    log_posterior: Callable[[np.ndarray], np.ndarray],
    draws: np.ndarray,
    *,
    n_walkers: int,
    n_steps: int,
    seed: int,
    thin: int = 10,
) -> PosteriorResult:
    """Sample a posterior with emcee; the first third of the steps is dropped as burn-in.

    Walkers start at random draws. Seven moves in ten are autoregressive proposals of several sizes about a Gaussian
    (S. L. Cotter et al., Stat. Sci. 28, 424 (2013)), corrected for the ratio of that Gaussian to the posterior. The
    Gaussian has the mean and covariance of `draws` during the burn-in, then those of the burn-in. The other moves go
    along the difference of two walkers, which needs no Gaussian.

    Parameters
    ----------
    log_posterior : callable
        Vectorised function (n, n_par) → (n,); −inf outside the prior.
    draws : ndarray (n, n_par)
        Approximate draws of the posterior.
    n_walkers, n_steps, seed, thin : int

    Raises
    ------
    ValueError
        If there are fewer than six steps, or the draws do not differ in every direction of the parameters.
    """
    import emcee

    if n_steps < _FEWEST_STEPS:
        raise ValueError(f"n_steps = {n_steps}: must be at least {_FEWEST_STEPS}")
    _check_spread(draws)

    rng, n_par = np.random.default_rng(seed), draws.shape[1]
    start = draws[rng.choice(len(draws), n_walkers)]
    start = start + 0.01 * draws.std(axis=0) * rng.standard_normal(start.shape)  # draws that were taken twice part
    state = emcee.State(start, random_state=np.random.RandomState(seed).get_state())  # emcee needs a RandomState
    for n in (n_steps // 3, n_steps - n_steps // 3):
        about, along = emcee.moves.MHMove(_propose_about(draws)), emcee.moves.DEMove()
        moves = [(about, 0.7), (along, 0.2), (emcee.moves.DEMove(gamma0=1.0), 0.1)]  # the third jumps between modes
        sampler = emcee.EnsembleSampler(n_walkers, n_par, log_posterior, vectorize=True, moves=moves)
        state = sampler.run_mcmc(state, n, progress=False)
        chain = sampler.get_chain()  # (n, n_walkers, n_par)
        draws = chain[:: min(thin, n)].reshape(-1, n_par)
    moved = (np.ptp(chain, axis=0) > 0).all(axis=0)  # in each parameter every walker
    times = np.array(
        [
            float(emcee.autocorr.integrated_time(chain[:, :, j], tol=0, quiet=True)[0]) if moved[j] else math.inf
            for j in range(n_par)
        ]
    )
    return PosteriorResult(
        samples=draws,
        r_hat=split_r_hat(chain),
        effective_size=chain.shape[0] * n_walkers / np.maximum(times, 1.0),
        acceptance=float(np.mean(sampler.acceptance_fraction)),
    )


def _check_spread(draws: np.ndarray) -> None:
    """Refuse draws (n, n_par) that lie in a space of fewer than n_par dimensions."""
    width = np.ptp(draws, axis=0)
    rank = np.linalg.matrix_rank((draws - draws.mean(axis=0)) / np.where(width > 0, width, np.inf))
    if rank < draws.shape[1]:
        constant = ", ".join(map(str, np.flatnonzero(width == 0))) or "none"
        raise ValueError(
            f"draws: differ in {rank} of {draws.shape[1]} directions, must differ in all (constant columns: {constant})"
        )


def _propose_about(draws: np.ndarray) -> Callable[[np.ndarray, np.random.RandomState], tuple[np.ndarray, np.ndarray]]:
    """Proposal of emcee: steps that leave the Gaussian of the draws unchanged, and the log ratio that corrects them."""
    centre, root = draws.mean(axis=0), np.linalg.cholesky(np.atleast_2d(np.cov(draws.T)))

    def propose(x: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        white = np.linalg.solve(root, (x - centre).T).T
        mix = rng.choice(_MIXES, size=(len(x), 1))
        moved = np.sqrt(1 - mix**2) * white + mix * rng.standard_normal(white.shape)
        return centre + moved @ root.T, 0.5 * np.sum(moved**2 - white**2, axis=1)

    return propose


def split_r_hat(chain: np.ndarray) -> np.ndarray:
    """Split R̂ (n_par,) of chains (n_steps, n_chains, n_par), each of which is cut in two halves."""
    half = len(chain) // 2
    parts = np.concatenate([chain[:half], chain[half : 2 * half]], axis=1)
    within = parts.var(axis=0, ddof=1).mean(axis=0)
    between = parts.mean(axis=0).var(axis=0, ddof=1)
    with np.errstate(divide="ignore"):  # infinite where no chain moved
        return np.sqrt((half - 1) / half + between / within)
