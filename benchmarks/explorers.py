"""Explorers: processor time from a moved control to its pictures, and where it goes; for `docs/performance.md`."""

import asyncio
import cProfile
import pstats
import time
from pathlib import Path

import bench
import numpy as np
import tables

import leptonfit
from leptonfit.datafiles import ROOT
from leptonfit.workbook.explore import FitExplorer, NeutrinoExplorer, ProfileExplorer, VortexExplorer

WRITER = "benchmarks/explorers.py"
AIM = 100
"""Longest time in ms from a moved control to its first picture that was aimed at."""
N_EVENTS, N_PROFILED, N_LINES = 6, 10, 12
"""Number of events of each control, number of events profiled, and number of lines of the profile."""


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


def make_decay(end):
    """Problem with twelve simulated measurements of a decay up to a time."""
    t = np.linspace(0, end, 12)
    y = decay(t, 5, 0.8, 0.2) + np.random.default_rng(1).normal(0, 0.1, 12)
    return leptonfit.problem_from_model(decay, t, y, 0.1, {"a": (0, 20), "b": (0, 5), "c": (-3, 3)})


def list_moves():
    """Explorers, each with two values for every control: its usual one, and one beside it."""
    yield (
        "profile",
        ProfileExplorer(),
        {
            "sigma_m_model": (1e-6, 10**-5.9),
            "sigma_g_model": (2e-8, 10**-7.6),
            "scan": ((2.85, 3.25), (2.8, 3.25)),
            "r_max": (10.0, 10**1.05),
            "closure": ("stream", "lab_linear"),
            "bounds": ("report", "wide"),
            "beta": (3.05, 3.06),
        },
    )
    yield "vortex", VortexExplorer(), {"R": (0.9, 0.89), "beta": (3.0, 3.05), "lepton": ("e", "mu")}
    yield (
        "neutrinos",
        NeutrinoExplorer(),
        {
            "dataset": ("xenonnt", "superk_1to4"),
            "mu_nu": (1.0, 1.05),
            "threshold": (1, 2),
            "confidence": (0.9, 0.905),
            "limit_method": ("cls", "fc"),
        },
    )
    fits = {"short": make_decay(0.5), "long": make_decay(6)}
    yield "a fit", FitExplorer(fits, dataset="long", profiled="b"), {"data set": ("long", "short"), "a": (5.0, 6.0)}


async def move(explorer, name, value):
    """Move one control; processor time in ms to the first picture and to the last, and the number of pictures."""
    shown, times = asyncio.Event(), []

    def see(_):
        times.append(time.process_time())
        shown.set()

    status = explorer.children[2]  # counts the pictures, so that it changes where a picture does not
    status.observe(see, "value")
    begun = time.process_time()
    explorer.controls[name].value = value
    await shown.wait()
    while explorer.is_drawing:
        await asyncio.sleep(0.05)
    status.unobserve(see, "value")
    return 1e3 * (times[0] - begun), 1e3 * (times[-1] - begun), len(times)


async def measure_all():
    """Rows of explorer, control, and median times to the first and the last picture; profile of events of one control.

    The profile holds the work of the thread that draws.
    """
    rows, profiler = [], cProfile.Profile(time.process_time)
    for title, explorer, moves in list_moves():
        for name, values in moves.items():
            for value in values[::-1]:  # first events load and cache
                await move(explorer, name, value)
            events = [await move(explorer, name, values[(i + 1) % 2]) for i in range(N_EVENTS)]
            first, last, _ = np.median(events, axis=0)
            rows.append((title, name, first, last))
            print(f"{title}, {name}: {first:.0f} ms, {last:.0f} ms", flush=True)
            if (title, name) == ("profile", "scan"):
                for i in range(N_PROFILED):
                    profiler.enable()
                    await move(explorer, name, values[(i + 1) % 2])
                    profiler.disable()
    return rows, profiler


def render(rows, profiler):
    """Text between the two markers of the page."""
    machine, n_met = bench.read_processor(), sum(first < AIM for *_, first, _ in rows)
    lines = [
        f"*Computed* by `{WRITER}` on one core of an {machine}, as processor time; median of {N_EVENTS} events.",
        "",
        "| explorer | control | first picture | last picture, with the verdict |",
        "|---|---|---|---|",
        *(f"| {title} | `{name}` | {first:.0f} ms | {last:.0f} ms |" for title, name, first, last in rows),
        "",
        f"{n_met} of {len(rows)} controls show their first picture within the {AIM} ms that were aimed at.",
        "",
        *render_profile(profiler),
    ]
    return "\n".join(lines)


def render_profile(profiler):
    """Table of the functions that take longest, without those of the event loop, which waits."""
    found = pstats.Stats(profiler).stats
    waiting = ("asyncio", "selectors", __file__)
    named = {key: value for key, value in found.items() if key[0] != "~" and not any(one in key[0] for one in waiting)}
    longest = sorted(named.items(), key=lambda item: -item[1][3])[:N_LINES]
    lines = [
        f"Where the time of one event of `scan` goes in the thread that draws: mean of {N_PROFILED} events, from the",
        "control to the verdict, with the time that the profiler itself takes:",
        "",
        "| function | calls | in it alone | with all that it calls |",
        "|---|---|---|---|",
    ]
    for (path, _, function), (_, calls, own, cumulative, _) in longest:
        times = (f"{1e3 * seconds / N_PROFILED:.1f} ms" for seconds in (own, cumulative))
        where = ".".join(Path(path).with_suffix("").parts[-2:])
        lines.append(f"| `{function}` of `{where}` | {calls / N_PROFILED:.0f} | {' | '.join(times)} |")
    return lines


def main():
    page = ROOT / "docs" / "performance.md"
    text = render(*asyncio.run(measure_all()))
    page.write_text(tables.replace(page.read_text(), text, WRITER))
    print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
