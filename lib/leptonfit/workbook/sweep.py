"""Runs of notebooks at several values of one parameter, and a table and figure that compare them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from leptonfit.datafiles import ROOT, InputError
from leptonfit.inference.parallel import count_cores, describe_cluster, map_ordered, share_cores
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.workbook import figures, page, records, run, store, tables
from leptonfit.workbook.parameters import find_declarations, find_notebook, upstream

_LONGEST = 200
"""Bytes in a value of a swept parameter, which names a folder."""


def check_sweep(
    names: Sequence[str], assignments: Sequence[str], *, jobs: int | None = None, root: Path = ROOT, **options: Any
) -> tuple[str, dict[str, run.Request]]:
    """Check a sweep before anything is written: one parameter has several values, and each value can be run.

    Parameters
    ----------
    names : sequence of str
        Notebooks, at least one.
    assignments : sequence of str
        `name=value`, one of them `name=value,value,…`.
    jobs : int, optional
        Number of values run at the same time; the number of cores if not given, which is also the most.
    **options
        As for `run.check_request`.

    Returns
    -------
    str, dict
        Name of the swept parameter, and one request for each of its values, by the value as it was written.

    Raises
    ------
    InputError
        For the first input that is not allowed.
    """
    names = [find_notebook(name, root) for name in names]
    several = [text for text in assignments if "," in text]
    declared = {text: find_declarations(text.partition("=")[0].strip(), names, root) for text in several}
    lists = [text for text in several if any(one.is_list for one in declared[text].values())]
    several = [text for text in several if text not in lists] or lists
    if not names:
        raise InputError("sweep: must be given at least one notebook")
    if len(several) != 1:
        raise InputError(f"sweep: must be given one parameter with several values, -p name=1,2,3, not {len(several)}")
    name, _, written = several[0].partition("=")
    values = [value.strip() for value in written.split(",")]
    others = [text for text in assignments if text is not several[0]]
    requests: dict[str, run.Request] = {}
    for value in values:
        if "/" in value or value in (".", "..") or len(value.encode(errors="replace")) > _LONGEST:
            raise InputError(
                f"{name} = {value[:80]}: must have no '/' and at most {_LONGEST} letters, as the name of its folder"
            )
        request = run.check_request(
            names, [*others, f"{name}={value}"], jobs=jobs, root=root, place=f"{store.SWEEP}/{value}", **options
        )
        if any(request.overrides == other.overrides for other in requests.values()):
            raise InputError(f"-p {several[0]}: a value is given twice")
        requests[value] = replace(request, jobs=1)
    return name.strip(), requests


def execute_sweep(
    parameter: str,
    requests: dict[str, run.Request],
    *,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Run every value, `jobs` at a time or on a cluster, and write the comparison; return a line for each error.

    Raises
    ------
    InputError
        If another sweep is using the tag.
    """
    jobs = min(count_cores(), count_cores() if jobs is None else jobs)  # more processes only share the cores
    first = next(iter(requests.values()))
    folder = first.root / "reports" / first.tag / store.SWEEP
    folder.mkdir(parents=True, exist_ok=True)
    with run.only_run(folder, first.tag), share_cores(folder / ".cores", count_cores()):
        where = f"on {describe_cluster()}" if describe_cluster() else f"{jobs} at a time"
        say(f"{parameter}: running {len(requests)} values, {where}")
        errors = []
        outcomes = map_ordered(_execute_one, list(requests.values()), jobs=jobs)
        for value, (said, wrong) in zip(requests, outcomes, strict=True):
            for line in said:
                say(f"{parameter} = {value}: {line}")
            errors += [f"{parameter} = {value}: {line}" for line in wrong]
        _write_comparison(folder, parameter, compare(parameter, requests))
        store.delete_unfinished(folder)
    page.write_index(folder.parent, first.root)
    say(f"comparison: {(folder / 'index.html').relative_to(first.root).as_posix()}")
    return errors


def _write_comparison(folder: Path, parameter: str, table: pd.DataFrame) -> None:
    store.write_whole(folder / "comparison.csv", table.to_csv(index=False))
    with plt.style.context(figures.STYLE):
        figure = plt.figure(figsize=(6.8, 1.4 + 0.5 * len(table)))
        figures.plot_comparison(figure.subplots(1, 2, sharey=True), table, parameter)
        figure.savefig(folder / "comparison.png", metadata={"Software": None})
        plt.close(figure)
    page.write_comparison(folder)


def _execute_one(request: run.Request) -> tuple[list[str], list[str]]:
    said: list[str] = []
    try:
        with share_cores(request.folder / ".cores", 1):  # on a worker of a cluster, which has one core
            return said, run.execute(request, said.append)
    except InputError as error:  # another run uses the folder of this value; the other values continue
        return said, [str(error)]


def compare(parameter: str, requests: dict[str, run.Request]) -> pd.DataFrame:
    """Return one row for each value: verdicts, 95 % set of β and interval of C_μ, if the notebooks provide them.

    The ends of the set are nan if it is empty, and infinite where it is open. If it has several intervals, the
    outermost ends are given, and `set_95` lists all. The interval of C_μ spans the feasible values over the whole scan.
    """
    rows = []
    for value, request in requests.items():
        row: dict[str, Any] = {parameter: value}
        for notebook in request.notebooks:
            if records.list_unfinished(request.folder, {notebook, *upstream(notebook, request.root)}):
                row[notebook] = "did not finish"
                continue
            document = store.load(notebook, request.folder)
            row[notebook] = document["verdict_code"]
            profile, feasible = (document["results"].get(name) for name in ("profile", "feasible"))
            if isinstance(profile, ProfileResult) and profile.parameter == "beta":
                ends = profile.identified_set["0.95"].intervals
                low, high = (ends[0, 0], ends[-1, 1]) if len(ends) else (np.nan, np.nan)
                row |= {"set_95": tables.describe_set(profile.identified_set["0.95"]), "beta_low": low}
                row |= {"beta_high": high, "scan_low": profile.grid[0], "scan_high": profile.grid[-1]}
                row["largest_chi2_min"] = profile.chi2_min.max()
            if isinstance(feasible, CMuResult):
                known = feasible.joint[feasible.is_feasible]
                low, high = (known[:, 0].min(), known[:, 1].max()) if len(known) else (np.nan, np.nan)
                row |= {"c_mu_low": low, "c_mu_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
