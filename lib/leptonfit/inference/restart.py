"""Minimisation by plain steps, by steps with curvature, and from fresh starts where a Jacobian column has vanished.

If the Jacobian column of a parameter vanishes (the rate of an exponential that has decayed before the first datum, the
width of a peak of zero height), no step can move this parameter, so that the point need not be a minimum. The
minimisation then begins again from points where the column is not zero, and the lowest χ² is kept. If a point is not
stationary, the minimisation is repeated from the original start with short steps, and with curvature first.
"""

from __future__ import annotations

import numpy as np

from leptonfit.inference.chunks import find_chi2, split_points
from leptonfit.inference.levenberg_marquardt import INITIAL_DAMPING, levenberg_marquardt
from leptonfit.inference.norms import norms
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.stationarity import (
    KKT_TOLERANCE,
    ROUNDING,
    Optimality,
    check_optimality,
    column_lengths,
    is_vanished,
)

_N_SAMPLES = 32
_DECADES = 6
_N_RESTARTS = 2
_FIRST_ROUND = 200
_SHORT_STEPS = 1.0


def minimise(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[np.ndarray, np.ndarray, Optimality, np.ndarray]:
    """Minimise from each row of x; returns end points (n, n_par), steps tried (n,), and their judgement.

    The last returned array (n,) is True for end points reached from a fresh start. Fresh starts are the same for every
    row.
    """
    origin = x.copy()
    x, n_iter, end, finished = _descend(problem, x, free, max_iter)
    doubtful = end.flat.any(axis=-1) | ~(end.kkt <= KKT_TOLERANCE)
    lost = np.flatnonzero(finished & doubtful & np.isfinite(end.chi2))
    restarted = np.zeros(len(x), dtype=bool)
    if len(lost):
        before = x[lost]
        x[lost], more = _restart(problem, x[lost], origin[lost], end.flat[lost], free, max_iter)
        n_iter[lost] += more
        restarted[lost] = (x[lost] != before).any(axis=-1)
        end.update(lost, check_optimality(problem, x[lost], free))
    return x, n_iter, end, restarted


def unseen_parameters(problem: LeastSquaresProblem) -> np.ndarray:
    """True for parameters (n_par,) whose Jacobian column vanishes at the start and at 32 points of the box."""
    with np.errstate(all="ignore"):
        alive = alive_columns(problem, sample_points(problem), np.arange(problem.n_par))
    return ~np.any(alive, axis=0)


def seen_columns(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """True for free parameters (n, n_free) with a nonzero Jacobian column somewhere in the box, fixed ones as in x."""
    return np.any(alive_columns(problem, _hold(sample_points(problem), x, free), free), axis=1)


def sample_points(problem: LeastSquaresProblem) -> np.ndarray:
    """Sample points (33, n_par): the start and 32 points of the box, which are the same in every call.

    Half of them are uniform in the box, half are uniform in the logarithm of the distance from the lower bound. Where
    the box is infinite, half are uniform within ten times the distance of the start from zero, half are uniform in the
    logarithm of that distance.
    """
    rng = np.random.default_rng(0)
    lower, upper, start = problem.lower, problem.upper, problem.start
    reach = np.where(start == 0, 1.0, start)
    low = np.where(np.isfinite(lower), lower, np.fmin(start, upper) - 10 * np.abs(reach))
    high = np.where(np.isfinite(upper), upper, np.fmax(start, lower) + 10 * np.abs(reach))
    shares = rng.permuted(np.tile((np.arange(_N_SAMPLES) + 0.5) / _N_SAMPLES, (problem.n_par, 1)), axis=1).T
    even = low + shares * (high - low)
    near_bound, near_zero = low + 10 ** (-_DECADES * shares) * (high - low), reach * 10 ** (1 - 4 * shares)
    wide = np.where(np.isfinite(upper - lower), near_bound, near_zero)
    return np.vstack([start, np.clip(np.where(np.arange(_N_SAMPLES)[:, None] % 2, even, wide), lower, upper)])


def alive_columns(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """True for columns (..., n_free) of the Jacobian at x (..., n_par) that are finite and have not vanished."""
    points = x.reshape(-1, problem.n_par)
    alive = np.empty((len(points), len(free)), dtype=bool)
    for part in split_points(problem, len(points)):
        here = points[part]
        lengths, size = column_lengths(problem.jacobian(here)[..., free]), norms(problem.residuals(here))
        vanished = is_vanished(problem, here, free, lengths, size)
        alive[part] = np.isfinite(lengths) & np.isfinite(size)[..., None] & ~vanished
    return alive.reshape(*x.shape[:-1], len(free))


def _hold(points: np.ndarray, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Points (n, m, n_par): free parameters from `points` (m, n_par), the others from x (n, n_par)."""
    held = np.repeat(x[:, None, :], len(points), axis=1)
    held[..., free] = points[:, free]
    return held


def _descend(
    problem: LeastSquaresProblem,
    x: np.ndarray,
    free: np.ndarray,
    max_iter: int,
    *,
    initial_damping: float = INITIAL_DAMPING,
    first_turn: int = 0,
) -> tuple[np.ndarray, np.ndarray, Optimality, np.ndarray]:
    """Alternate plain steps and steps with curvature until a point is stationary or neither lowers χ².

    The number of steps in a turn does not depend on `max_iter`, so that a larger `max_iter` only continues the same
    path. Returns the end points, the steps tried, the judgement of the points, and True for minimisations that ended
    before `max_iter`.
    """
    n_iter, finished = np.zeros(len(x), dtype=int), np.zeros(len(x), dtype=bool)
    rows, stuck = np.arange(len(x)), np.zeros(len(x), dtype=int)
    end, turn = None, first_turn
    while end is None or (max_iter > 0 and len(rows)):
        length = min(_FIRST_ROUND * 2 ** ((turn - first_turn) // 2), max_iter)
        x[rows], used, ended = levenberg_marquardt(
            problem, x[rows], free, length, initial_damping=initial_damping, use_curvature=turn % 2 == 1
        )
        n_iter[rows] += used
        turn, max_iter = turn + 1, max_iter - length
        now = check_optimality(problem, x[rows], free)
        if end is None:
            end = now
        else:
            end.update(rows, now)
        stuck = np.where(ended, stuck + 1, 0)
        settled = ended & (~(now.kkt > KKT_TOLERANCE) | (stuck >= 2))
        finished[rows[settled]] = True
        rows, stuck = rows[~settled], stuck[~settled]
    return x, n_iter, end, finished


def _restart(
    problem: LeastSquaresProblem, x: np.ndarray, origin: np.ndarray, flat: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[np.ndarray, np.ndarray]:
    """End points (n, n_par): x, or lower ones reached where columns `flat` (n, n_free) are nonzero; steps tried (n,).

    The fresh starts are the original start of the minimisation, the start of the problem, and the best of the sample
    points of each kind. Each is used with all free parameters moved there, and with only the vanished ones moved.
    """
    points = np.concatenate([origin[:, None, :], _hold(sample_points(problem), x, free)], axis=1)
    kept = points.copy()
    kept[..., free] = np.where(flat[:, None, :], points[..., free], x[:, None, free])
    candidates = np.concatenate([points, kept], axis=1)
    alive = np.sum(alive_columns(problem, candidates, free) & flat[:, None, :], axis=-1)
    allowed = alive > 0
    allowed[:, 0] |= ~flat.any(axis=-1)  # not stationary with every column nonzero: try only the original start
    chi2 = find_chi2(problem, candidates)
    chi2 = np.where(allowed & np.isfinite(chi2), chi2, np.inf)
    halves = np.arange(candidates.shape[1]).reshape(2, -1)
    groups = [half[first::2] for half in halves for first in (2, 3)]  # samples near a bound or zero; uniform samples
    best = [group[np.lexsort((chi2[:, group], -alive[:, group]), axis=-1)[:, :_N_RESTARTS]] for group in groups]
    chosen = np.concatenate([np.tile([0, 1], (len(x), 1)), *best], axis=1)
    i, k = np.nonzero(np.isfinite(np.take_along_axis(chi2, chosen, axis=1)))
    starts, which = np.unique(candidates[i, chosen[i, k]], axis=0, return_inverse=True)  # rows share most starts
    found = [
        _descend(problem, starts[part], free, max_iter, initial_damping=_SHORT_STEPS, first_turn=1)
        for part in split_points(problem, len(starts))
    ]
    ends, used = (np.concatenate([each[k] for each in found]) for k in (0, 1))
    end_chi2, end_flat = (np.concatenate([getattr(each[2], name) for each in found]) for name in ("chi2", "flat"))
    n_iter = np.bincount(i, used[which], len(x)).astype(int)
    standing = check_optimality(problem, x, free)
    chi2, plateau = standing.chi2, np.all(standing.flat, axis=-1)
    for pair in np.argsort(end_chi2[which], kind="stable"):
        j, at = i[pair], which[pair]
        is_plateau = end_flat[at].all()
        same = plateau[j] and not is_plateau and end_chi2[at] <= chi2[j] * (1 + ROUNDING)
        if end_chi2[at] < chi2[j] or same:
            x[j], chi2[j], plateau[j] = ends[at], end_chi2[at], is_plateau
    return x, n_iter
