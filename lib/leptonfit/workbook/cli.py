"""Commands of `leptonfit`, the command line of the workbook; each command imports the modules that it needs."""

from __future__ import annotations

import atexit
import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from leptonfit.datafiles import ROOT, SUMS, DamagedError, InputError, check_working_folder, describe_fault
from leptonfit.workbook import parameters, progress
from leptonfit.workbook.declarations import read_notebook
from leptonfit.workbook.execution import ONE_THREAD


@click.group(help="Run the workbook's notebooks into reproducible reports.")
def cli() -> None:
    """Group the commands of `leptonfit`."""


def _require_workbook() -> None:
    if not (ROOT / "notebooks").is_dir():  # a missing list of checksums is named by what reads it
        command = click.get_current_context().info_name
        raise InputError(f"{command} needs a workbook, and there is none from {ROOT} upwards; leptonfit new makes one")


def _require_checkout(path: str) -> None:
    if not (ROOT / path).exists():
        command = click.get_current_context().info_name
        raise InputError(f"{command} needs {path}, which only a checkout of leptonfit has")


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `run` and `sweep` share to a command."""
    shared = (
        click.argument("names", nargs=-1),
        click.option(
            "-p", "assignments", metavar="NAME=VALUE", multiple=True, help="Set a parameter (leptonfit list)."
        ),
        click.option("--tag", default="latest", show_default=True, help="Folder under reports/."),
        click.option("--jobs", type=int, help="Notebooks, or values of a sweep, run at a time; by default the cores."),
        click.option("--budget", metavar="quick|full", help="Effort; never changes a grid."),
        click.option("--fresh", is_flag=True, help="Run even what is up to date."),
        click.option("--data", type=click.Path(path_type=Path), help=f"Another data folder, with its own {SUMS}."),
        click.option("--scheduler", metavar="ADDRESS|local", help="Dask cluster that does the heavy tasks."),
    )
    for option in reversed(shared):
        command = option(command)
    return command


@contextlib.contextmanager
def _on_cluster(scheduler: str | None) -> Iterator[None]:
    """Use the cluster of a scheduler, if there is one; refuse a cluster that cannot be used."""
    if scheduler is None:
        yield
        return
    from leptonfit.inference.parallel import ClusterError, use_cluster

    try:
        with use_cluster(scheduler, warn=lambda line: progress.say(f"leptonfit: {line}", err=True)):
            yield
    except ClusterError as error:
        raise InputError(str(error)) from None


@cli.command("run")
@_run_options
def run_command(
    names: tuple[str, ...],
    assignments: tuple[str, ...],
    tag: str,
    jobs: int | None,
    budget: str | None,
    fresh: bool,
    data: Path | None,
    scheduler: str | None,
) -> None:
    """Execute notebooks (all, or those NAMED) into reports/TAG and write its index.html."""
    from leptonfit.workbook import page, run

    _require_workbook()
    request = run.check_request(names, assignments, tag=tag, jobs=jobs, budget=budget, fresh=fresh, data=data)
    with _on_cluster(scheduler):
        errors = run.execute(request, progress.say)
    progress.say(page.write_pdf(request.folder))
    _fail_on(errors)


@cli.command("sweep")
@_run_options
def sweep_command(
    names: tuple[str, ...],
    assignments: tuple[str, ...],
    tag: str,
    jobs: int | None,
    budget: str | None,
    fresh: bool,
    data: Path | None,
    scheduler: str | None,
) -> None:
    """Run NAMES at each value of one parameter (-p name=1,2,3), into reports/TAG/sweep/VALUE, and compare them."""
    from leptonfit.workbook import page, sweep

    _require_workbook()
    if scheduler is not None and jobs is not None:
        raise InputError(f"--jobs {jobs}: cannot be used with --scheduler, whose workers run the values of a sweep")
    parameter, requests = sweep.check_sweep(
        names, assignments, tag=tag, jobs=jobs, budget=budget, fresh=fresh, data=data
    )
    with _on_cluster(scheduler):
        errors = sweep.execute_sweep(parameter, requests, jobs=jobs, say=progress.say)
    progress.say(page.write_pdf(ROOT / "reports" / tag))
    _fail_on(errors)


@cli.command("list")
def list_command() -> None:
    """List the notebooks with parameters, defaults, allowed values and the notebooks they need."""
    _require_workbook()
    for line in describe_notebooks():
        progress.say(line)


def describe_notebooks(root: Path = ROOT) -> Iterator[str]:
    """Yield each notebook's name, then one line for each parameter, or the reason why it cannot be run."""
    names = parameters.notebook_names(root)
    faults = parameters.find_faults(names, root)
    for name in names:
        yield name
        if name in faults:
            yield f"  cannot be run: {faults[name]}"
            continue
        notebook = read_notebook(name, root)
        if not notebook.parameters:
            yield "  has no parameters: no cell is tagged parameters, or it is empty"
        for one in notebook.parameters.values():
            budgets = ", ".join(f"{value} at {budget}" for budget, value in one.budgets.items())
            unit = f" [{one.unit}]" if one.unit else ""
            meaning = f"{one.meaning}; " if one.meaning else ""
            yield f"  {one.name} = {budgets or one.default}{unit}: {meaning}{one.allowed}"
        yield from (f"  must satisfy {constraint}" for constraint in notebook.constraints)
        if notebook.needs:
            yield f"  needs {', '.join(notebook.needs)}"


@cli.command("check")
@click.option("--data", type=click.Path(path_type=Path), help="Another data folder.")
@click.option("--write", is_flag=True, help=f"Write the folder's {SUMS} first.")
def check_command(data: Path | None, write: bool) -> None:
    """Check that notebook pairs agree, and that data files match their checksums and are valid."""
    from leptonfit.workbook import pairs, store
    from leptonfit.workbook.data_check import find_data_faults

    _require_workbook()
    folder = data or ROOT / "data"
    if not folder.is_dir():
        raise InputError(f"--data {folder}: must be a folder")
    if write:
        store.write_checksums(folder)
    _fail_on(find_data_faults(folder), code=2)
    _fail_on(pairs.compare_pairs())
    progress.say(f"{len(parameters.notebook_names())} pairs agree; data files are valid, and what {SUMS} says")


@cli.command("simulate")
@click.option("--data", type=click.Path(path_type=Path), help="Another data folder.")
def simulate_command(data: Path | None) -> None:
    """Draw the simulated neutrino data again, and write them and the checksums into the data folder."""
    from leptonfit.neutrino.simulation import simulate_all
    from leptonfit.workbook import store

    _require_checkout("data/neutrino/response.csv")
    folder = data or ROOT / "data"
    for name, text in simulate_all(data=folder).items():
        is_same = (folder / name).read_text(encoding="utf-8") == text
        store.write_whole(folder / name, text)
        progress.say(f"{name}: {'as it was' if is_same else 'changed'}")
    store.write_checksums(folder)


@cli.command("notebooks")
@click.argument("names", nargs=-1)
def notebooks_command(names: tuple[str, ...]) -> None:
    """Execute the .py of notebooks (all, or those NAMED) at their defaults and write the paired .ipynb, normalised."""
    from leptonfit.workbook import pairs

    _require_workbook()
    _fail_on(pairs.write_pairs(progress.say, names))


@cli.command("figures")
@click.option("--record", is_flag=True, help="First re-enact the report here and freeze it in data/, with versions.")
def figures_command(record: bool) -> None:
    """Write the manuscript's figures (PDF, PNG and their JSON), numbers.tex and tables into figures/."""
    from leptonfit.workbook import manuscript, recording

    _require_workbook()
    if record:
        _require_checkout("data/reported_2025.toml")
        recording.record_reenactment(progress.say)
    _fail_on(manuscript.write_all(progress.say))


def _fit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `fit` and `new` share to a command."""
    shared = (
        click.option(
            "--bounds", required=True, metavar="a=LOW:HIGH,b=...", help="Search bounds, or fixed values (c=1)."
        ),
        click.option("--y", "y", metavar="COLUMN", help="Column of y; by default y, else the second."),
        click.option(
            "--sigma", metavar="NUMBER|COLUMN", help="Error of y; by default the column sigma; unknown if none."
        ),
        click.option("--counts", is_flag=True, help="y are counts: the likelihood is Poisson's."),
    )
    for option in reversed(shared):
        command = option(command)
    return command


@cli.command("fit")
@click.argument("data", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("model", metavar="FILE.py:FUNCTION")
@_fit_options
@click.option("--level", default=0.95, show_default=True, help="Confidence level.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the page; by default NAME of the data.")
def fit_command(data: Path, model: str, bounds: str, level: float, out: Path | None, **columns: Any) -> None:
    """Fit a FUNCTION to a CSV file, and decide for each parameter whether the DATA determine it."""
    from leptonfit.workbook import own_fit
    from leptonfit.workbook.answer import assess

    if not 0 < level < 1:
        raise InputError(f"--level {level:g}: must be between 0 and 1, such as 0.95")
    problem = own_fit.problem_from_files(data, model, bounds, **columns)
    try:
        answer = assess(problem, level=level)
    except ValueError as error:  # no start has a finite χ², or the model fails inside its bounds
        raise InputError(str(error)) from None
    progress.say(answer)
    progress.say(f"page: {answer.save(out or Path('reports') / data.stem)}")


@cli.command("new")
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="CSV file.")
@click.option("--model", required=True, metavar="FILE.py:FUNCTION")
@_fit_options
def new_command(name: str, data: Path, model: str, bounds: str, **columns: Any) -> None:
    """Write a notebook NAME that fits a FUNCTION to a CSV file, in a workbook; where there is none, make one here."""
    from leptonfit.workbook import own_fit, own_notebook

    own_notebook.write_notebook(name, own_fit.read_source(data, model, bounds, **columns), progress.say)


@cli.command("bench")
def bench_command() -> None:
    """Time fits, profiles, limits and toys beside other tools, and write README's tables of them."""
    _require_checkout("benchmarks")
    script = ROOT / "benchmarks" / "bench.py"
    subprocess.run([sys.executable, str(script)], env={**os.environ, **ONE_THREAD}, check=True)


def _fail_on(errors: list[str], code: int = 1) -> None:
    """Print the errors and exit with the code if there are any."""
    for line in errors:
        progress.say(f"leptonfit: {line}", err=True)
    if errors:
        raise click.exceptions.Exit(code)


def main() -> None:
    """Entry point; what goes wrong is one line on stderr.

    The exit code is 2 for refused input, before anything is written; 1 if a notebook fails, or a file cannot be read or
    written; 130 after an interrupt.
    """
    # Python cleans up the semaphores of processes that were killed, and need not warn of them
    warned = os.environ.get("PYTHONWARNINGS", "").split(",")
    os.environ["PYTHONWARNINGS"] = ",".join(dict.fromkeys([*filter(None, warned), "ignore:resource_tracker"]))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is open is cleaned up as after an interrupt
    for each in (signal.SIGINT, signal.SIGTERM):  # while Python ends, neither changes the exit code of the command
        atexit.register(signal.signal, each, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may have no Greek letters
    code, message = _run_command()
    if message:
        progress.say(f"leptonfit: {' '.join(message.split())}", err=True)
    if message and code != 2:
        _leave_at_once(code)
    sys.exit(code)


def _leave_at_once(code: int) -> None:
    """End without waiting for notebooks that run: their kernels end with this process, and no file is half written."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(code)


def _run_command() -> tuple[int, str]:
    """Run the command that was given, and return its exit code and message."""
    try:
        check_working_folder()
        code = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        return 2, f"{error.format_message()} (leptonfit --help, leptonfit COMMAND --help)"
    except InputError as error:
        return 2, str(error)
    except (OSError, DamagedError) as error:
        return 1, describe_fault(error)
    except (click.Abort, KeyboardInterrupt):
        return 130, "interrupted"
    return code or 0, ""
