"""Proofs of where in β an exact solution exists and where none does, by the interval arithmetic of `enclosures`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.result import Result
from leptonfit.vortex.c_mu import find_edges, sigma_shift
from leptonfit.vortex.enclosures import FitEnclosure
from leptonfit.vortex.model import VortexModel

_BESIDE, _DEPTH, _GAP = 4e-9, 8, 1e-3
"""Relative half width of the enclosure of an edge; largest number of halvings of a piece; relative width above which
an undecided interval is more than an edge."""


@dataclass(frozen=True)
class CertificateResult(Result):
    """Proven statement on χ²_min that holds at every β of an interval.

    Attributes
    ----------
    beta_low, beta_high : float
        Ends of the interval; equal for a single β.
    status : str
        "zero" or "positive" where that is proven of χ²_min, else "undecided".
    chi2_bound : float
        χ²_min is at least this; 0 unless positive.
    reason : str
        Leptons whose data rule out a solution; empty unless positive.
    c_mu : ndarray (2,)
        Range of C_μ in which every value has an exact solution; nan unless zero.
    """

    beta_low: float
    beta_high: float
    status: str
    chi2_bound: float
    reason: str
    c_mu: np.ndarray


def certify(model: VortexModel, beta_low: float, beta_high: float) -> CertificateResult:
    """Prove for every β of an interval that χ²_min is zero, or that it is at least some positive number.

    Parameters
    ----------
    model : VortexModel
        With the universal moment map and no gradient term.
    beta_low, beta_high : float
        Ends of the interval; equal for a single β.

    Raises
    ------
    ValueError
        If the closure is not one of `CERTIFIABLE`, or the proof does not hold for the given β, bounds or moment map.
    """
    fit = FitEnclosure(model, (beta_low, beta_high))
    none = np.full(2, np.nan)
    c_mu = fit.shared_c_mu()
    if c_mu is not None:
        return CertificateResult(beta_low, beta_high, "zero", 0.0, "", c_mu)
    together = _largest(fit.excluded_together) ** 2
    alone = [_largest(partial(fit.excluded_alone, index)) ** 2 for index in range(3)]
    reasons = [f"{symbol} alone" for symbol, bound in zip(("e", "μ", "τ"), alone, strict=True) if bound]
    if together >= sum(alone):
        reasons = ["e and μ together"]
    bound = max(together, sum(alone)) * (1 - 1e-14)
    if not bound:
        return CertificateResult(beta_low, beta_high, "undecided", 0.0, "", none)
    return CertificateResult(beta_low, beta_high, "positive", bound, " and ".join(reasons), none)


def _largest(excluded: Callable[[float], bool]) -> float:
    """Largest t, to 1 %, for which `excluded` is known to be true; 0 if no such t was found."""
    low, high = 0.0, 1e-12
    if not excluded(high):
        return 0.0
    while high < 1e12 and excluded(high):
        low, high = high, high * 100
    while high > low * 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excluded(middle) else (low, middle)
    return low


@dataclass(frozen=True)
class CertifiedScanResult(Result):
    """Proven statements on χ²_min over a range of β.

    Attributes
    ----------
    low, high : float
        Ends of the range.
    pieces : tuple of CertificateResult
        Certificates whose intervals cover the range, ascending.
    edges : tuple of CertificateResult
        Pairs of certificates, just below and just above each β at which exact solutions begin or end; the two differ
        by 8e-9 of β.
    """

    low: float
    high: float
    pieces: tuple[CertificateResult, ...]
    edges: tuple[CertificateResult, ...]

    def intervals(self, status: str, *, level: float = 0.0) -> np.ndarray:
        """Intervals (n, 2) of β with one status; for "positive", only those with χ²_min of at least `level`."""
        found: list[list[float]] = []
        for piece in self.pieces:
            if piece.status == status and piece.chi2_bound >= level:
                if found and found[-1][1] == piece.beta_low:
                    found[-1][1] = piece.beta_high
                else:
                    found.append([piece.beta_low, piece.beta_high])
        return np.array(found, dtype=float).reshape(-1, 2)

    def undecided(self) -> np.ndarray:
        """Intervals (n, 2) of β in which nothing is proven, without the narrow intervals around an edge."""
        found = self.intervals("undecided")
        return found[np.diff(found, axis=1)[:, 0] > _GAP * found[:, 1]]

    def enclosures(self) -> np.ndarray:
        """Enclosures (n, 2) of the edges of the set of exact solutions; only edges that are proven on both sides."""
        pairs = zip(self.edges[::2], self.edges[1::2], strict=True)
        proven = [(one, other) for one, other in pairs if {one.status, other.status} == {"zero", "positive"}]
        return np.array([[one.beta_high, other.beta_low] for one, other in proven]).reshape(-1, 2)


def certify_scan(model: VortexModel, low: float, high: float) -> CertifiedScanResult:
    """Cover a range of β with certificates, and enclose the values where exact solutions begin or end.

    Parameters
    ----------
    model : VortexModel
        As for `certify`.
    low, high : float
        Range of β.

    Raises
    ------
    ValueError
        As for `certify`.
    """
    roots = find_edges(model, low, high)
    edges, cuts = [], {low, high}
    for root in roots:
        beside = [root * (1 - _BESIDE), root * (1 + _BESIDE)]
        if low < beside[0] and beside[1] < high:
            edges += [certify(model, end, end) for end in beside]
            excluded = 6 * sigma_shift(model, root)  # beyond, χ² is far above any level
            cuts |= {*beside, *(cut for cut in (root - excluded, root + excluded) if low < cut < high)}
    pieces = []
    todo = [(*pair, 0) for pair in reversed(list(itertools.pairwise(sorted(cuts))))]
    while todo:
        start, end, depth = todo.pop()
        piece = certify(model, start, end)
        if piece.status == "undecided" and depth < _DEPTH and end - start > 1e-6 * end:
            middle = math.sqrt(start * end) if start else end / 2**_DEPTH
            todo += [(middle, end, depth + 1), (start, middle, depth + 1)]
        else:
            pieces.append(piece)
    return CertifiedScanResult(low=low, high=high, pieces=tuple(pieces), edges=tuple(edges))


def describe_certificate(certified: CertifiedScanResult) -> str:
    """Sentence that states the proven intervals of β."""
    zero, excluded = certified.intervals("zero"), certified.intervals("positive", level=LEVELS["0.95"])
    said = [f"an exact solution exists at every β in {_name(zero)}"] if len(zero) else []
    if len(excluded):
        bounds = [p.chi2_bound for p in certified.pieces if p.status == "positive" and p.chi2_bound >= LEVELS["0.95"]]
        said.append(f"χ²_min ≥ {float(f'{min(bounds) * 0.995:.2e}'):g} at every β in {_name(excluded)}")
    open_still = certified.undecided()
    if len(open_still):
        said.append(f"undecided is {_name(open_still)}")
    ends = certified.enclosures()
    if len(ends):
        said.append(f"exact solutions begin or end in {_name(ends)}")
    return f"Proven by interval arithmetic, within the bounds given: {'; '.join(said) or 'nothing in this scan'}."


def mark_verdict(code: str, certified: CertifiedScanResult | None) -> str:
    """Status of the verdict code of a profile: "proven" by certificates over its scan, or "numerical".

    Exact solutions at an end of the scan prove that this side is open; χ²_min ≥ 3.84 there proves that it is closed.
    """
    if certified is None or len(certified.undecided()):
        return "numerical"
    zero, excluded = certified.intervals("zero"), certified.intervals("positive", level=LEVELS["0.95"])
    ends = [
        "open" if (zero == end).any() else "closed" if (excluded == end).any() else "unknown"
        for end in (certified.low, certified.high)
    ]
    decisive = [
        "zero" if p.status == "zero" else "excluded" if p.chi2_bound >= LEVELS["0.95"] else "" for p in certified.pieces
    ]
    runs = [status for status, _ in itertools.groupby(decisive)]
    if any(not run and before == after for before, run, after in zip(runs, runs[1:], runs[2:], strict=False)):
        return "numerical"  # an unproven gap with the same status on both sides is no edge, however narrow
    pieces = [status for status in runs if status]
    n_sets = sum(status == "zero" and before != "zero" for before, status in itertools.pairwise(["", *pieces]))
    proven = {
        ("open", "open"): "not_identified",
        ("open", "closed"): "open_below",
        ("closed", "open"): "open_above",
        ("closed", "closed"): "identified" if n_sets == 1 else "disjoint" if n_sets > 1 else "",
    }
    return "proven" if proven.get((ends[0], ends[1])) == code else "numerical"


def _name(intervals: np.ndarray) -> str:
    return " and ".join(f"[{low:.11g}, {high:.11g}]" for low, high in intervals)
