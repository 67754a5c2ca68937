"""Tables of the charged leptons: C_μ, and the edges of the exact solutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.certificate import CertifiedScanResult
from leptonfit.workbook.formats import from_records


def tabulate_edges(
    certified: CertifiedScanResult | None,
    roots: np.ndarray,
    shifts: Sequence[float],
    corner: float,
    profile: ProfileResult,
) -> pd.DataFrame:
    """Edges of the exact solutions, shown as columns: closed form, enclosure, ends of the profile, σ-shift."""
    if not len(roots):
        return pd.DataFrame({"edges": ["exact solutions neither begin nor end in this scan"]})
    enclosures = certified.enclosures() if certified else np.empty((0, 2))

    def enclosure(k: int, root: float, shift: float) -> np.ndarray:
        around = enclosures[(enclosures[:, 0] <= root) & (root <= enclosures[:, 1])]
        return around[0] if len(around) else np.full(2, np.nan)

    def nearest(level: str, root: float) -> float:
        ends = profile.identified_set[level].intervals.ravel()
        ends = ends[np.isfinite(ends)]
        return float(ends[np.abs(ends - root).argmin()] - root) if len(ends) else np.nan

    columns: dict[str, Any] = {
        "quantity": lambda k, root, shift: f"edge {k}",
        "closed form": (
            lambda k, root, shift: corner if abs(corner - root) < 1e-9 * root else np.nan,
            "{:.11f}",
            "not at corners",
        ),
        "root": (1, "{:.11f}"),
        "proven between": (enclosure, "{:.10f} and {:.10f}", "not proven"),
    }
    for level, delta in LEVELS.items():
        columns[f"profile's end at {level}, from the root"] = (
            lambda k, root, shift, level=level: nearest(level, root),
            "{:+.4e}",
            "open",
        )
        columns[f"to first order at {level}"] = (lambda k, root, shift, delta=delta: np.sqrt(delta) * shift, "±{:.4e}")
    numbered = [(k, root, shift) for k, (root, shift) in enumerate(zip(roots, shifts, strict=True), start=1)]
    return from_records(numbered, columns, across=True)


def tabulate_c_mu(result: CMuResult, fitted: np.ndarray) -> pd.DataFrame:
    """Feasible intervals of C_μ and its fitted value, one row for each β, for a CSV file."""
    columns = {"beta": result.beta}
    for name in ("electron", "muon", "joint"):
        columns |= {f"{name}_low": getattr(result, name)[:, 0], f"{name}_high": getattr(result, name)[:, 1]}
    return pd.DataFrame({**columns, "fitted": fitted})
