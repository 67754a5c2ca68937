"""Whole bench: every comparison and the growth of cost, written to `results.json`, README's tables and a figure."""

import json
import os
import platform
import time
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cross_lepton
import growth
import limits
import matplotlib.pyplot as plt
import numpy as np
import own_fit
import public_sets
import random_effects
import tables

from leptonfit.datafiles import ROOT
from leptonfit.workbook.figures import STYLE

RESULTS = Path(__file__).parent / "results.json"
PACKAGES = ("numpy", "scipy", "iminuit", "lmfit", "pyhf", "pypesto", "statsmodels")


def main():
    began, load = time.time(), os.getloadavg()[0]
    results = {
        "date": date.today().isoformat(),
        "command": "leptonfit bench",
        "machine": {
            "processor": read_processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load": round(load, 2),
        },
        "versions": {"Python": platform.python_version()} | dict(filter(None, map(find_version, PACKAGES))),
    }
    for name, modules in (
        ("comparisons", (cross_lepton, limits, random_effects)),
        ("public_sets", (public_sets,)),
        ("own_fits", (own_fit,)),
        ("growth", (growth,)),
    ):
        print(f"{name}:", flush=True)
        results[name] = [asdict(row) for module in modules for row in module.run_all()]
    results["step"] = growth.compare_steps()
    results["seconds"] = round(time.time() - began, 1)
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    readme = ROOT / "README.md"
    readme.write_text(tables.replace(readme.read_text(), tables.render(results)))
    draw(results).savefig(ROOT / "figures" / "bench.png", dpi=150, metadata={"Software": None})
    print(f"{results['seconds']:.0f} s: benchmarks/results.json, figures/bench.png, README.md")


def read_processor():
    """Name of the processor, where the system gives one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def find_version(package):
    """Package and its version; None, and a line, where it is not installed."""
    try:
        return package, version(package)
    except PackageNotFoundError:
        print(f"{package} is not installed, its rows are left out: .venv/bin/python -m pip install -e '.[bench]'")
        return None


def draw(results):
    """Figure of the times of other tools over leptonfit's, and of the cost of one unit over the size of the work."""
    with plt.style.context([str(STYLE)]):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=(3, 2))
        draw_ratios(left, results)
        draw_growth(right, results["growth"])
    return figure


def draw_ratios(ax, results):
    ratios = [(row["task"].split(": points")[0], row["tool"], row["ratio"]) for row in results["comparisons"]]
    own = {one["fit"]: one["seconds"] for one in results["own_fits"] if one["tool"] == "leptonfit"}
    ratios += [(f"own fit: {one['fit']}", one["tool"], one["seconds"] / own[one["fit"]]) for one in results["own_fits"]]
    ours = results["public_sets"][0]["seconds"]
    ratios += [("public sets, one problem", row["tool"], row["seconds"] / ours) for row in results["public_sets"]]
    ratios = [
        (task, tool.partition(", extrapolated")[0], ratio) for task, tool, ratio in ratios if "no bounds" not in tool
    ]
    tasks = list(dict.fromkeys(task for task, _, _ in ratios))
    tools = list(dict.fromkeys(tool for _, tool, _ in ratios if tool != "leptonfit"))
    for tool, marker in zip(tools, "os^vD<>*PXp", strict=False):
        points = [(ratio, tasks.index(task)) for task, name, ratio in ratios if name == tool]
        ax.plot(*zip(*points, strict=True), marker, label=tool, alpha=0.85)
    ax.axvline(1, color="0.4")
    ax.set(xscale="log", xlabel="time of the tool / time of leptonfit", yticks=range(len(tasks)), yticklabels=tasks)
    ax.set_xlim(right=1e6)  # room for the names
    ax.invert_yaxis()
    ax.legend(fontsize=7, loc="lower right")


def draw_growth(ax, costs):
    for kind, marker in zip(dict.fromkeys(cost["kind"] for cost in costs), "os^vD<", strict=True):
        rows = [cost for cost in costs if cost["kind"] == kind]
        sizes = np.array([cost["size"] for cost in rows])
        ax.plot(sizes, [1e6 * cost["seconds"] / cost["size"] for cost in rows], f"{marker}-", label=kind)
    ax.set(xscale="log", yscale="log", xlabel="size of the work", ylabel="processor time of one / μs")
    ax.legend(fontsize=7)


if __name__ == "__main__":
    main()
