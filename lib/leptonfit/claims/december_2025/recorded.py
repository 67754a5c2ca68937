"""Converged fits of the report's analyses, and recorded re-enactments with the library versions used."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from leptonfit.claims.claim import Claim, Verdict
from leptonfit.claims.december_2025.degeneracy import DegeneracyResult, run_degeneracy_checks
from leptonfit.claims.december_2025.reenactment import SETTINGS, ReenactedReportResult, build_reported
from leptonfit.datafiles import InputError, read_json
from leptonfit.inference.multistart import CHI2_FLOOR, Effort, MultistartResult, run_multistart
from leptonfit.inference.profile import ProfileResult, SetOptions, scan_profile
from leptonfit.inference.result import Result
from leptonfit.vortex.c_mu import CMuResult, feasible_c_mu
from leptonfit.vortex.measurements import Measurements
from leptonfit.vortex.model import REPORT_BOUNDS
from leptonfit.vortex.reported_functional import N_RADII

RECORDED = "reenacted_2025.json"


@dataclass(frozen=True)
class ConvergedReportResult(Result):
    """Converged minima of the report's analyses, with the report's functional, measurements, σ and grids.

    Attributes
    ----------
    tight, loose : ProfileResult
    multi_start : MultistartResult
        Multi-start with β within the report's bounds.
    c_mu : CMuResult
        Feasible C_μ at the first β of the tight scan and at the reference β.
    checks : tuple of DegeneracyResult
        Degeneracy checks with the electron's R and U fixed at the report's values.
    seconds : dict of str to float
        Time of "tight", "loose" and "multi-start"; the time of a check is in its result.
    """

    tight: ProfileResult
    loose: ProfileResult
    multi_start: MultistartResult
    c_mu: CMuResult
    checks: tuple[DegeneracyResult, ...]
    seconds: dict[str, float]

    def list_seconds(self) -> dict[str, float]:
        """Return the time in seconds of every scan, multi-start and check."""
        return self.seconds | {check.name: check.seconds for check in self.checks}


def converge_report(measurements: Measurements, claims: Mapping[str, Any], *, effort: Effort) -> ConvergedReportResult:
    """Compute the converged minima of all analyses of the report.

    Parameters
    ----------
    measurements : Measurements
    claims : mapping
        From `load_claims`.
    effort : Effort
        Fresh starts at each point of a scan; the multi-start has as many starts as the report's.
    """
    tight, multi = build_reported(measurements, claims["tight"]), claims["multi_start"]
    boxed = replace(build_reported(measurements, multi), bounds={**REPORT_BOUNDS, "beta": tuple(multi["beta_box"])})
    times, profiles = [time.perf_counter()], {}
    for name in ("tight", "loose"):
        claim = claims[name]
        low, high = claim["beta_range"]
        grid = np.linspace(low, high, claim["n_beta"])
        problem = build_reported(measurements, claim).problem
        profiles[name] = scan_profile(problem, "beta", grid, effort=effort, sets=SetOptions(release=False))
        times.append(time.perf_counter())
    free = run_multistart(boxed.problem, effort=replace(effort, n_starts=multi["n_starts"]))
    times.append(time.perf_counter())
    at = np.array([claims["tight"]["beta_range"][0], claims["golden_loop"]["beta"]])
    return ConvergedReportResult(
        **profiles,
        multi_start=free,
        c_mu=feasible_c_mu(tight, at),
        checks=run_degeneracy_checks(tight, claims, effort=effort, velocity=claims["c_mu"]["electron_point"][1]),
        seconds=dict(zip((*profiles, "multi-start"), np.diff(times).tolist(), strict=True)),
    )


@dataclass(frozen=True)
class RecordedRunResult(Result):
    """One recorded run of the report's analyses with the report's optimiser (a re-enactment).

    Attributes
    ----------
    recorded : str
        Date, UTC.
    machine : str
        Description of the machine.
    kernel : str
        Kernel that the linear-algebra library chose for the processor: its names under NumPy and SciPy.
    versions : dict of str to str
    setup : str
        Digest of the report's set-up, from `digest_setup`.
    report : ReenactedReportResult
    seconds : dict of str to float
        Time of each converged analysis on the same machine.
    """

    recorded: str
    machine: str
    kernel: str
    versions: dict[str, str]
    setup: str
    report: ReenactedReportResult
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        """SciPy version and kernel of the run, which decide where the optimiser stalls."""
        return f"SciPy {self.versions['scipy']}, {self.kernel}"


def digest_setup(claims: Mapping[str, Any]) -> str:
    """Digest (hex) of the report's set-up: starts, σ, scans and optimiser, without its results."""
    names = ("multi_start", "tight", "loose", "degeneracy", "mass_only", "single_lepton")
    found = {
        *("beta_spread", "beta_best", "beta_min", "offset", "variation", "local_minima", "constraints", "n_converged"),
        *("mass_residual", "residual", "a_sqrt_beta", "claim", "title", "source"),
    }

    def strip(table: Any) -> Any:
        if isinstance(table, list):
            return [strip(item) for item in table]
        if not isinstance(table, dict):
            return table
        return {k: strip(v) for k, v in table.items() if k not in found and not k.startswith("chi2")}

    stated = {name: strip(claims[name]) for name in names} | {"point": claims["c_mu"]["electron_point"]}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def load_recorded(claims: Mapping[str, Any], *, data: Path | None = None) -> tuple[RecordedRunResult, ...]:
    """Load the recorded runs whose set-up equals that in `claims`; figures show the first run.

    Runs with another set-up are left out, so the result can be empty.

    Raises
    ------
    InputError
        If the file is not valid.
    """
    runs = [RecordedRunResult.from_dict(run) for run in read_json(RECORDED, data=data)]
    for i, run in enumerate(runs):
        if run.name in {other.name for other in runs[:i]}:
            raise InputError(f"data file {RECORDED}: run {run.name}: must be there once")
        report = run.report
        for scan in (*report.tight, *report.loose, report.multi_start, *report.checks):
            sizes = {key: value.size for key, value in vars(scan).items() if isinstance(value, np.ndarray)}
            if len(set(sizes.values())) > 1:
                raise InputError(f"data file {RECORDED}: numbers of {run.name}: {sizes}: must be the same")
    return tuple(run for run in runs if run.setup == digest_setup(claims))


def describe_findings(
    runs: Sequence[RecordedRunResult], converged: ProfileResult, audit: Sequence[Claim], *, claimed: float
) -> tuple[str, str]:
    """Verdict code and sentence for the re-enactment and the audit.

    Parameters
    ----------
    runs : sequence of RecordedRunResult
    converged : ProfileResult
        The converged tight scan.
    audit : sequence of Claim
        From `audit_report`.
    claimed : float
        β at which the report finds the minimum of that scan.

    Returns
    -------
    str, str
        Code and sentence. The code is "not_reproduced" if the re-enacted minima differ from each other or from the
        claimed minimum by more than one step of the grid, else "reproduced".
    """
    stated = [run.report.tight[0].beta_min for run in runs]
    harmless = [setting.name for setting in SETTINGS if setting.n_radii == N_RADII and not setting.analytic]
    moved = [scan.beta_min for scan in runs[0].report.tight if scan.name in harmless]
    step = float(np.diff(converged.grid).max())
    n_zero = int(np.count_nonzero(converged.chi2_min < CHI2_FLOOR))
    count = Counter(claim.verdict for claim in audit)
    said = (
        f"{len(runs)} recorded runs of the tight scan, which differ only in library versions or in the processor's "
        f"kernel, put the minimum at {len(set(stated))} different β, from {min(stated):.2f} to {max(stated):.2f}. "
        f"{len(moved) - 1} further settings, which do not change the model, move it from {min(moved):.2f} to "
        f"{max(moved):.2f}. The report claims {claimed:g}. Converged, χ²_min is zero (< 1e-6) at {n_zero} of "
        f"{len(converged.grid)} points. Of {len(audit)} "
        f"claims audited, {count[Verdict.CONTRADICTED]} are contradicted and {count[Verdict.NO_MEANING]} have no "
        "meaning."
    )
    spread = max(abs(value - other) for value in (*moved, *stated, claimed) for other in (*moved, *stated))
    return "not_reproduced" if spread > 1.5 * step else "reproduced", said
