"""Report: seconds of each notebook in the last complete run, and where those of its longest one go.

`python benchmarks/report.py` writes the numbers of `docs/performance.md`, after `leptonfit run --fresh`.
"""

import cProfile
import json
import pstats
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


def render(seconds, profiler, n_closures):
    """Text between the two markers of the page.

    Parameters
    ----------
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
        f"*Computed* on {count_cores()} cores of an {bench.read_processor()}: {sum(seconds.values()):.0f} s of",
        f"{len(seconds)} notebooks, as many at a time as there are cores, each with the start of its kernel.",
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


def main():
    page = ROOT / "docs" / "performance.md"
    text = render(read_seconds(), *profile_closures())
    page.write_text(tables.replace(page.read_text(), text, WRITER))
    print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
