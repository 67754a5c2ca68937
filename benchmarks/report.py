"""Report: its time beside the aims, that of each notebook, and where that of the longest one goes.

`python benchmarks/report.py` runs the whole report anew and writes the numbers of `docs/performance.md`.
"""

import cProfile
import json
import pstats
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import bench
import numpy as np
import tables

from leptonfit import Effort, count_cores
from leptonfit.claims.december_2025 import load_claims
from leptonfit.datafiles import ROOT
from leptonfit.vortex import VortexModel, compare_choice, load_choices, load_measurements

WRITER = "benchmarks/report.py"
EACH, N_LINES = 9, 12
"""Step through the closures profiled, and lines of the profile."""
N_REPEATS = 5
"""Times that a short command is run, of which the median counts."""
AIMS = {
    "whole report, on the clock": 100.0,
    "whole report, processor time of all cores": 181.0,
    "line that names the page": 12.0,
    "first verdict on the page, `02_profile_scan`": 12.0,
    "run with nothing to do": 3.0,
    "`leptonfit list`": 0.4,
    "import of the figures": 0.7,
}
"""Largest times in seconds that were aimed at, on two cores of the machine of November 2026."""


def run_report():
    """Run the whole report anew; the times in `AIMS` of its lines and of its end, in seconds."""
    times, used, begun = {}, _count_cpu(), time.monotonic()
    command = [str(Path(sys.executable).with_name("leptonfit")), "run"]
    with subprocess.Popen([*command, "--fresh"], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("page:"):
                times["line that names the page"] = time.monotonic() - begun
            if line.startswith("02_profile_scan: finished"):
                times["first verdict on the page, `02_profile_scan`"] = time.monotonic() - begun
    if process.returncode:
        raise SystemExit(f"the report failed with exit code {process.returncode}")
    times["whole report, on the clock"] = time.monotonic() - begun
    times["whole report, processor time of all cores"] = _count_cpu() - used
    times["run with nothing to do"] = time_command(command)
    times["`leptonfit list`"] = time_command([*command[:-1], "list"])
    times["import of the figures"] = time_command([sys.executable, "-c", "import leptonfit.workbook.figures.leptons"])
    return times


def _count_cpu():
    """Processor time in seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def time_command(command):
    """Median time of a command on the clock, in seconds."""
    times = []
    for _ in range(N_REPEATS):
        begun = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        times.append(time.monotonic() - begun)
    return statistics.median(times)


def read_seconds():
    """Seconds of each notebook of the report in `reports/latest`, the longest first."""
    record = json.loads((ROOT / "reports" / "latest" / ".seconds.json").read_text())
    return dict(sorted(((name, one["seconds"]) for name, one in record.items()), key=lambda pair: -pair[1]))


def profile_closures():
    """Profile of the comparison of some closures, which is most of `05_closures`, and their number."""
    model = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-6, sigma_g_model=2e-8, r_max=10.0)
    choices = load_choices()[::EACH]
    grid = np.geomspace(0.05, 50, 13).clip(0.05, 50)
    reference = load_claims()["golden_loop"]["beta"]
    profiler = cProfile.Profile(time.process_time)
    with profiler:
        for choice in choices:
            compare_choice(choice, model, grid, reference=reference, effort=Effort(8, 20251223))
    return profiler, len(choices)


def render(times, seconds, profiler, n_closures):
    """Text between the two markers of the page.

    Parameters
    ----------
    times : dict of float
        Measured time for each of `AIMS`.
    seconds : dict of float
        By notebook, the longest first.
    profiler : cProfile.Profile
    n_closures : int
        Number of closures profiled.
    """
    found = pstats.Stats(profiler).stats
    total = sum(own for _, _, own, _, _ in found.values())
    longest = sorted(found.items(), key=lambda item: -item[1][2])[:N_LINES]
    lines = [
        f"*Computed* on {count_cores()} cores of an {bench.read_processor()}:",
        "",
        "| | measured | aim | |",
        "|---|---|---|---|",
        *(render_aim(what, times[what], aim) for what, aim in AIMS.items()),
        "",
        f"{sum(seconds.values()):.0f} s of {len(seconds)} notebooks, as many at a time as there are cores, each with",
        "the start of its kernel:",
        "",
        "| notebook | time |",
        "|---|---|",
        *(f"| `{name}` | {value:.0f} s |" for name, value in seconds.items()),
        "",
        f"Where the {total:.0f} s of one core for {n_closures} closures of `05_closures` go, with the profiler's:",
        "",
        "| function | calls | in it alone |",
        "|---|---|---|",
    ]
    for (path, _, function), (_, calls, own, _, _) in longest:
        where = "NumPy" if path == "~" else ".".join(Path(path).with_suffix("").parts[-2:])
        lines.append(f"| `{function}` of {where} | {calls} | {own / total:.0%} |")
    return "\n".join(lines)


def render_aim(what, seconds, aim):
    """Row of the table of aims: what was measured, its time, the aim, and whether it is met."""
    digits = 0 if aim >= 10 else 1
    return f"| {what} | {seconds:.{digits}f} s | {aim:.{digits}f} s | {'met' if seconds <= aim else 'missed'} |"


def main():
    page = ROOT / "docs" / "performance.md"
    text = render(run_report(), read_seconds(), *profile_closures())
    page.write_text(tables.replace(page.read_text(), text, WRITER))
    print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
