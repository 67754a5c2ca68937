"""Minima of χ² along one parameter, from fresh starts and by continuation between values, with the origin of each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace

import numpy as np

from leptonfit.inference.logarithms import solve
from leptonfit.inference.multistart import RELATIVE_AGREEMENT, agrees, draw_starts, zero_chi2
from leptonfit.inference.problem import USUAL, LeastSquaresProblem
from leptonfit.inference.solve import SolveResult
from leptonfit.inference.stationarity import KKT_TOLERANCE, OFFSET_TOLERANCE, relative_offset

_ROUNDS = 3
"""Largest number of times that fresh starts are drawn at a point that is not trusted."""
_ROUNDING = 1e-12
_DECADES = 3
_LONGER = 5
"""Further steps of a minimisation that goes on, as a multiple of those before."""
_OUTWARD, _OUTWARD_POINTS = (2.0, 4.0, 10.0), 8
"""Growth factors of the outward steps, and the number of nodes added outward before χ² is tested again."""
_SHRINK, _LEVELLED, _NOISE = 0.7, 1e-3, 1e-3
"""Criteria for a profile that levels out: ratio of successive rises, last rise over the level, noise.

Each rise is at most the first number times the rise before, and the last rise at most the second number times the
level. Rises below the third number times the χ² of an exact fit are noise.
"""
_BEYOND, _FAR = 8, 1e9
"""Number of minima followed outside the nodes on each side, and their largest distance in spans of the nodes."""
WARM = -1
"""Common origin of solutions that the caller supplied."""
RESTARTED = -2
"""Common origin of solutions from restarts; they share one origin because they begin from the same points."""
_see: ContextVar[Callable[[ProfilePath], None]] = ContextVar("_see")


@contextlib.contextmanager
def watched(see: Callable[[ProfilePath], None]) -> Iterator[None]:
    """Call `see` with a profile of this context whenever minimisations at some of its nodes have ended.

    The profiles include those with released bounds, whose problem is another one.
    """
    token = _see.set(see)
    try:
        yield
    finally:
        _see.reset(token)


class ProfilePath:
    """Lowest χ² known at each value θ of the profiled parameter, its solution, and the starts that reached it."""

    def __init__(self, problem: LeastSquaresProblem, name: str, theta: np.ndarray) -> None:
        self.problem, self.name, self.column, self.theta = problem, name, problem.index(name), theta
        self.x = np.full((len(theta), problem.n_par), np.nan)
        self.chi2 = np.full(len(theta), np.inf)
        self.kkt = np.full(len(theta), np.inf)
        self.origin = np.full(len(theta), WARM)
        self.found = np.empty((3, 0))  # node, origin and χ² of every converged end point
        self.best_chi2, self.best_x, self.best_converged = np.inf, np.full(problem.n_par, np.nan), False
        self.n_solved = self.n_origins = 0
        self.told: set[tuple[int, int, int]] = set()  # node, neighbour and start of each tried continuation
        self.solved: dict[tuple[tuple[str, ...], tuple[int, ...], bytes], SolveResult] = {}  # by fixed and starts
        self.zero = zero_chi2(problem)

    def new_origins(self, n: int) -> np.ndarray:
        """Labels (n,) for starts that are independent of all earlier starts."""
        self.n_origins += n
        return np.arange(self.n_origins - n, self.n_origins)

    def minimise(self, starts: np.ndarray, *, held: bool) -> SolveResult:
        """Minimise from `starts` (m, n_par) with the parameter fixed or free; keep the lowest χ² of all calls."""
        fixed = (self.name,) if held else ()
        fit = self._solve(starts, fixed)
        close = np.flatnonzero(fit.converged.ravel() & (fit.chi2.ravel() > self.zero))
        if len(close):
            points, converged = fit.x.reshape(-1, self.problem.n_par)[close], fit.converged.ravel().copy()
            offset = relative_offset(self.problem, points, self.problem.free_indices(fixed))
            converged[close] = offset <= OFFSET_TOLERANCE
            fit = replace(fit, converged=converged.reshape(fit.converged.shape))
        for done in (fit.converged, ~fit.converged & np.isfinite(fit.chi2)):
            if not done.any() or self.best_chi2 <= self.zero:
                continue
            chi2, x = fit.chi2[done], fit.x[done]
            lowest, is_converged = float(chi2.min()), bool(fit.converged[done][0])
            # a point that did not converge must be materially lower: then the minimum known so far is not the lowest
            if lowest < self.best_chi2 - (0.0 if is_converged else significant_drop(lowest)):
                self.best_chi2, self.best_x, self.best_converged = lowest, x[chi2.argmin()], is_converged
        return fit

    def _solve(self, starts: np.ndarray, fixed: tuple[str, ...]) -> SolveResult:
        """Minimise; after `search.n_steps` go on only where χ² is below every converged one at the same value θ."""
        if self.problem.search == USUAL:
            return self._solve_once(starts, fixed)
        self.n_solved += starts[..., 0].size
        n_steps, more_steps = self.problem.search.n_steps, _LONGER * self.problem.search.n_steps
        fit = solve(self.problem, starts, fixed=fixed, max_iter=n_steps)
        unfinished = ~fit.converged & (fit.n_iter >= n_steps)
        if not unfinished.any():
            return fit
        theta = starts[..., self.column] if fixed else np.zeros(starts.shape[:-1])
        values, group = np.unique(theta, return_inverse=True)
        group, lowest = group.reshape(theta.shape), np.full(len(values), np.inf)
        np.minimum.at(lowest, group[fit.converged], fit.chi2[fit.converged])
        at = unfinished & (fit.chi2 < lowest[group])
        if at.any():
            more = solve(self.problem, fit.x[at], fixed=fixed, max_iter=more_steps)
            for name in ("x", "chi2", "kkt", "converged", "n_iter", "flat", "restarted"):
                getattr(fit, name)[at] = getattr(more, name)
        return fit

    def _solve_once(self, starts: np.ndarray, fixed: tuple[str, ...]) -> SolveResult:
        """Minimise, or return the earlier result for the same starts: many sweeps repeat one that changed nothing."""
        key = fixed, starts.shape, starts.tobytes()
        if key not in self.solved:
            self.solved[key] = solve(self.problem, starts, fixed=fixed)
            self.n_solved += starts[..., 0].size
        return self.solved[key]

    def depth(self, x: np.ndarray) -> np.ndarray:
        """Distance (m,) of x (m, n_par) to the nearest finite bound, as a fraction of the width between the bounds."""
        low, high = self.problem.lower, self.problem.upper
        with np.errstate(invalid="ignore"):
            gaps = np.minimum(x - low, high - x) / (high - low)
        return np.min(gaps, axis=-1, initial=np.inf, where=np.isfinite(high - low))

    def improve(
        self, nodes: np.ndarray, starts: np.ndarray, origins: np.ndarray, *, win_ties: bool = False
    ) -> np.ndarray:
        """Minimise at `nodes` (m,) from `starts` (m, n_par); return which nodes (n,) became materially lower.

        Of two solutions that differ only by rounding (or both have χ² = 0 to rounding) the earlier one is kept, unless
        `win_ties`.
        """
        starts = starts.copy()
        starts[:, self.column] = self.theta[nodes]
        fit = self.minimise(starts, held=True)
        done = fit.converged
        origins = np.where(fit.restarted, RESTARTED, origins)
        self.found = np.hstack([self.found, np.stack([nodes[done], origins[done], fit.chi2[done]])])
        # a point that did not converge is preferred only if it is lower by more than the agreement tolerance
        rank = np.where(done, fit.chi2, fit.chi2 * (1 + RELATIVE_AGREEMENT))
        rank = np.where(rank <= self.zero, 0.0, rank)
        known = np.where(self.chi2 <= self.zero, 0.0, self.chi2)[nodes]
        usable = np.flatnonzero((rank <= known * (1 + _ROUNDING)) if win_ties else (rank < known * (1 - _ROUNDING)))
        order = np.lexsort((-self.depth(fit.x[usable]), rank[usable]))  # among zeros, farthest from the bounds first
        chosen = usable[order[::-1]]  # the preferred solution is written last
        before, target = self.chi2.copy(), nodes[chosen]
        self.x[target], self.chi2[target] = fit.x[chosen], fit.chi2[chosen]
        self.kkt[target], self.origin[target] = fit.kkt[chosen], origins[chosen]
        if see := _see.get(None):
            see(self)
        with np.errstate(invalid="ignore"):
            return (before > self.zero) & (before - self.chi2 > significant_drop(self.chi2))

    def sweep(self, changed: np.ndarray) -> None:
        """Start the neighbours from the solutions of `changed` nodes (n,), and repeat until no χ² decreases."""
        last = len(self.theta) - 1
        for _ in range(len(self.theta)):  # enough to carry a minimum from one end to the other
            is_finite = np.isfinite(self.chi2)
            source = np.flatnonzero(is_finite if self.problem.search.trusts_neighbours else changed & is_finite)
            source, target = np.tile(source, 2), np.concatenate([source - 1, source + 1])
            useful = (target >= 0) & (target <= last)
            useful[useful] = self.chi2[target[useful]] > self.zero
            source, target = source[useful], target[useful]
            origins = self.origin[source]
            if self.problem.search.trusts_neighbours:
                origins, is_new = self._news(source, target)
                useful = changed[source] | is_new
                source, target, origins = source[useful], target[useful], origins[useful]
            if not len(source):
                return
            changed = self.improve(target, self.x[source], origins)
            self.told = {pair for pair in self.told if not changed[pair[0]]}

    def _news(self, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For pairs of nodes (m,): a start that reached the first one, if possible none that reached the second.

        The second array is True where the second node is not trusted and can learn of a start in this way for the first
        time.
        """
        node, origin, chi2 = self.found
        reached = agrees(chi2, self.chi2[node.astype(int)], zero=self.zero)
        known: list[set[int]] = [set() for _ in self.theta]
        for at, label in zip(node[reached].astype(int), origin[reached].astype(int), strict=True):
            known[at].add(int(label))
        origins, trusted = self.origin[source], self.trusted()
        is_new = np.zeros(len(source), dtype=bool)
        for i, (here, there) in enumerate(zip(source, target, strict=True)):
            fresh = {label for label in known[here] - known[there] if (here, there, label) not in self.told}
            if fresh:
                origins[i], is_new[i] = max(fresh), not trusted[there]
                self.told.add((here, there, max(fresh)))
        return origins, is_new

    def fit_all(self, n_starts: int, rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Minimise at every node: by continuation both ways, then from fresh starts where a node is not trusted."""
        is_cold, everywhere = not len(self.found[0]), np.ones(len(self.theta), dtype=bool)
        if not is_cold:
            self.sweep(everywhere)
        for _ in range(_ROUNDS if n_starts else 1):
            todo = np.flatnonzero(~self.trusted())
            if not len(todo):
                return
            if n_starts:
                nodes = np.repeat(todo, n_starts)
                more = {} if self.problem.search.n_draws == 1 else {"held": (self.column, self.theta[nodes])}
                starts = draw_starts(self.problem, len(nodes), rng, ranges, **more)
                self.improve(nodes, starts, self.new_origins(len(starts)))
            if is_cold:
                zeros = np.flatnonzero(self.chi2 <= self.zero)
                anchor = zeros[np.argmax(self.depth(self.x[zeros]))] if len(zeros) else np.argmin(self.chi2)
                line = np.repeat(self.x[[anchor]], len(self.theta), axis=0)
                if np.isfinite(self.chi2[anchor]):
                    origins = np.full(len(self.theta), self.origin[anchor])
                    self.improve(np.arange(len(self.theta)), line, origins, win_ties=True)
                is_cold = False
            self.sweep(everywhere)

    def fit_free(
        self, n_starts: int, rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]], rise: float
    ) -> np.ndarray:
        """Minimise with the parameter free, from fresh starts and from the local minima of the profile.

        Returns the end points (m, n_par) whose χ² is at most `rise` above the lowest known.
        """
        chi2 = np.concatenate([[np.inf], self.chi2, [np.inf]])
        is_minimum = (self.chi2 > self.zero) & np.isfinite(self.chi2) & (self.chi2 <= np.minimum(chi2[:-2], chi2[2:]))
        starts = self.x[is_minimum]
        if n_starts:
            starts = np.concatenate([self._draw_free(n_starts, rng, ranges), starts])
        fit = self.minimise(starts, held=False)
        return fit.x[fit.chi2 <= self.best_chi2 + rise]

    def _draw_free(
        self, n_starts: int, rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]]
    ) -> np.ndarray:
        """Starts (n, n_par) with the parameter free.

        On a model that is quick to evaluate each draw is a start, not only the best of several, and half of them are
        moved towards zero by up to three decades: a minimum between two nodes is found here alone, and may be narrow in
        a wide box.
        """
        search = self.problem.search
        if search == USUAL or search.is_slow:
            return draw_starts(self.problem, n_starts, rng, ranges)
        starts = draw_starts(replace(self.problem, search=USUAL), search.n_draws * n_starts, rng, ranges)
        nearest = np.clip(0.0, self.problem.lower, self.problem.upper)
        shares = 10 ** -rng.uniform(0, _DECADES, starts[::2].shape)
        starts[::2] = np.clip(nearest + shares * (starts[::2] - nearest), self.problem.lower, self.problem.upper)
        return starts

    def points_between(self, x: np.ndarray) -> np.ndarray:
        """Points (k, n_par) to add near minima x (m, n_par) of the free fit that lie below the nodes beside them.

        These are each such minimum and a point halfway to either neighbour, so that a barrier between two minima is
        seen and a set does not extend across it.
        """
        x = x[np.argsort(x[:, self.column])]
        theta = x[:, self.column]
        x = x[(theta > self.theta[0]) & (theta < self.theta[-1])]
        theta, chi2 = x[:, self.column], np.sum(self.problem.residuals(x) ** 2, axis=-1)
        cell = np.searchsorted(self.theta, theta)
        beside = np.minimum(self.chi2[cell - 1], self.chi2[cell])
        margin = np.where(np.isfinite(beside), significant_drop(np.where(np.isfinite(beside), beside, 0.0)), 0.0)
        new = chi2 < beside - margin
        new[1:] &= np.diff(theta) > 1e-6 * (self.theta[cell] - self.theta[cell - 1])[1:]
        x, theta = x[new], theta[new]
        neighbours = np.union1d(self.theta, theta)
        at = np.searchsorted(neighbours, theta)
        below, above = x.copy(), x.copy()
        below[:, self.column] = (neighbours[at - 1] + theta) / 2
        above[:, self.column] = (neighbours[at + 1] + theta) / 2
        return np.concatenate([below, x, above])

    def points_beyond(self, x: np.ndarray) -> np.ndarray:
        """Lowest minima x (m, n_par) of the free fit outside the nodes, at most eight on each side.

        Each comes with a copy halfway to its neighbour, so that a barrier between the two is seen and a set does not
        extend across it.
        """
        chosen: list[np.ndarray] = []
        span = self.theta[-1] - self.theta[0]
        for side, edge in ((-1, self.theta[0]), (1, self.theta[-1])):
            away = side * (x[:, self.column] - edge)
            outside = x[(away > 0) & (away < _FAR * span)]
            away, chi2 = side * (outside[:, self.column] - edge), np.sum(self.problem.residuals(outside) ** 2, axis=-1)
            order = np.lexsort((away, np.log(np.maximum(chi2, self.zero or np.finfo(float).tiny)).round(6)))
            new = [
                outside[i]
                for k, i in enumerate(order)
                if not np.isclose(away[i], away[order[:k]], rtol=1e-6, atol=0).any()
            ]
            chosen += new[:_BEYOND]
        points = np.array(sorted(chosen, key=lambda row: row[self.column])).reshape(-1, self.problem.n_par)
        theta = np.union1d(points[:, self.column], self.theta)
        halfway = points.copy()
        at = np.searchsorted(theta, points[:, self.column])
        inward = np.where(points[:, self.column] > self.theta[-1], at - 1, at + 1)
        halfway[:, self.column] = (theta[inward] + points[:, self.column]) / 2
        return np.concatenate([points, halfway])

    def insert(self, theta: np.ndarray) -> ProfilePath:
        """Copy of the profile with new nodes at the values `theta`, where no solution is known yet."""
        return self._copy(np.union1d(self.theta, theta))

    def _copy(self, theta: np.ndarray) -> ProfilePath:
        """Copy with nodes at the values `theta`, which keeps the solutions at values that already had a node."""
        copy = ProfilePath(self.problem, self.name, theta)
        _, here, there = np.intersect1d(self.theta, theta, assume_unique=True, return_indices=True)
        for field in ("x", "chi2", "kkt", "origin"):
            getattr(copy, field)[there] = getattr(self, field)[here]
        place = np.full(len(self.theta), -1)
        place[here] = there
        node = place[self.found[0].astype(int)]
        copy.found = np.vstack([node, self.found[1:]])[:, node >= 0]
        copy.best_chi2, copy.best_x, copy.best_converged = self.best_chi2, self.best_x, self.best_converged
        copy.n_solved, copy.n_origins = self.n_solved, self.n_origins
        copy.solved = self.solved
        return copy

    def with_points(self, x: np.ndarray, copies: int) -> ProfilePath:
        """Copy with nodes at the points x (m, n_par). A minimum and its copies count as one independent start."""
        grown = self.insert(x[:, self.column])
        origins = np.tile(grown.new_origins(len(x) // copies), copies)
        grown.improve(np.searchsorted(grown.theta, x[:, self.column]), x, origins)
        return grown

    def extend(
        self,
        rise: float,
        step: float,
        n_starts: int,
        rng: np.random.Generator,
        ranges: Mapping[str, tuple[float, float]],
        sides: tuple[int, ...] = (-1, 1),
    ) -> ProfilePath:
        """Copy with nodes added outward until χ² is `rise` above the lowest known, a bound is met, or χ² levels out.

        The search also ends where the added nodes are not trusted, because the number of starts no longer suffices.
        """
        path, bounds = self, (self.problem.lower[self.column], self.problem.upper[self.column])
        for side in sides:
            edge = 0 if side < 0 else -1
            origin = float(path.best_x[self.column])  # distances from the best fit grow by the factor `growth`
            reach = max(side * (self.theta[edge] - origin), step)
            for growth in _OUTWARD:
                theta, chi2 = path.theta[edge], path.chi2[edge]
                if not chi2 <= path.best_chi2 + rise or theta == bounds[max(side, 0)]:
                    break
                away = reach * growth ** np.arange(1, _OUTWARD_POINTS + 1)
                path = path.insert(np.clip(origin + side * away, *bounds))
                path.fit_all(n_starts, rng, ranges)
                reach = away[-1]
                lost = ~path.trusted() & (side * path.theta > side * theta)
                if lost.any():
                    first = path.theta[lost][-1 if side < 0 else 0]
                    path = path._copy(path.theta[side * path.theta < side * first])
                    break
                last = path.chi2[:3][::-1] if side < 0 else path.chi2[-3:]
                is_exact = (last <= self.zero).all()  # an exact fit may end anywhere
                if not is_exact and _has_levelled(last, path.best_chi2 + rise, _NOISE * self.zero):
                    break
        return path

    def reproduced(self) -> np.ndarray:
        """Number of independent origins (n,) that reached the lowest χ² of each node."""
        node, origin, chi2 = self.found
        reached = agrees(chi2, self.chi2[node.astype(int)], zero=self.zero)
        distinct = np.unique(np.stack([node[reached], origin[reached]]), axis=1)[0]
        return np.bincount(distinct.astype(int), minlength=len(self.theta))

    def trusted(self) -> np.ndarray:
        """True for trusted nodes (n,): an exact fit, or a stationary point reached from two independent origins."""
        return (self.chi2 <= self.zero) | ((self.kkt <= KKT_TOLERANCE) & (self.reproduced() >= 2))


def chi2_noise(problem: LeastSquaresProblem, chi2: np.ndarray | float) -> np.ndarray | float:
    """Error 2 ‖r‖ η of χ² that an error η of the residuals causes; zero for a problem that is exact to rounding."""
    return 2 * np.sqrt(chi2) * problem.accuracy.noise


def significant_drop(chi2: np.ndarray | float) -> np.ndarray | float:
    """Smallest decrease of χ² that matters: 1e-6, or 1e-6 χ² where χ² is below 1, and always above rounding error."""
    return 1e-6 * np.minimum(chi2, 1.0) + 1e-13 * chi2


def _has_levelled(chi2: np.ndarray, level: float, noise: float) -> bool:
    """True if a profile stays below a level further out: the last rises of χ² (3,), at growing distances, shrink.

    The largest possible further rise is then the sum of a geometric series.
    """
    first, second = np.abs(np.diff(chi2))
    shrinks = second <= max(_SHRINK * first, _ROUNDING * chi2[-1], noise)
    left = second * _SHRINK / (1 - _SHRINK)
    return bool(shrinks and second <= _LEVELLED * level and chi2[-1] + left < level)
