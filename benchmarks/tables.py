"""README's tables of the bench, written from its stored results: no number in them is typed."""

import itertools
from datetime import date

WRITER = "make bench"
FASTER = {
    "own fits": "a verdict takes a profile with many starts at each point, and the search behind bounds",
    "public sets": "its steps are made for batches of starts, so that a single start pays NumPy's overhead alone",
    "random effects": "it also computes the interval of τ² and the prediction",
}
"""Why another tool is faster than leptonfit, by the kind of task."""
GROWS = {"parameters": "the array of derivatives is dense, with residuals × parameters elements"}
"""Why the cost of one unit rises with the size, by the kind of work."""
FLAT = 1.3
"""Rise of the cost of one unit, over the last tenfold of the size, that counts as flat."""


def render(results):
    """Text between the two markers of README.

    Parameters
    ----------
    results : dict
        Content of `results.json`.
    """
    machine, versions = results["machine"], results["versions"]
    day = date.fromisoformat(results["date"])
    tools = ", ".join(f"{name} {version}" for name, version in versions.items())
    minutes = results["seconds"] / 60
    cores, processor, load = (machine[key] for key in ("cores", "processor", "load"))
    lines = [
        f"*Computed* on {day.day} {day:%B %Y} by `make bench` in {minutes:.1f} minutes on one of {cores} cores of",
        f"an {processor} (load {load:.1f} before it began), as processor time, with the tools in turns:",
        f"{tools}.",
        "",
        *render_comparisons(results["comparisons"]),
        "",
        *render_public_sets(results["public_sets"]),
        "",
        *render_own_fits(results["own_fits"]),
        "",
        *render_faster(results),
        "",
        *render_growth(results["growth"]),
        "",
        render_step(results["step"]),
    ]
    return "\n".join(lines)


def render_comparisons(rows):
    lines = ["| task | leptonfit | other tools: time, times leptonfit's, and what they reached |", "|---|---|---|"]
    for task, group in itertools.groupby(rows, key=lambda row: row["task"]):
        ours, *peers = group
        said = "; ".join(
            f"{row['tool']} {say_seconds(row['seconds'])} ({say_ratio(row['ratio'])}), {row['reached']}"
            for row in peers
        )
        own = ", ".join(filter(None, [say_seconds(ours["seconds"]), ours["reached"]]))
        lines.append(f"| {task} | {own} | {said} |")
    return lines


def render_public_sets(rows):
    first = rows[0]
    lines = [
        f"| solver | minima of {first['n_problems']} (Moré, Garbow, Hillstrom) from 1, 10, 100 × start | false claims "
        f"| of {first['n_certified']} (NIST) | of {first['n_weighted']} (NIST, σ = √y) "
        "| one problem: median, longest |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        reached, false = (", ".join(map(str, row[key])) for key in ("reached", "false"))
        times = f"{say_seconds(row['seconds'])}, {say_seconds(row['slowest'])}"
        lines.append(f"| {row['tool']} | {reached} | {false} | {row['certified']} | {row['weighted']} | {times} |")
    return lines


def render_own_fits(answers):
    answers = [one for one in answers if "no bounds" not in one["tool"]]
    tools = {one["tool"]: one["n_statements"] for one in answers}
    lines = [
        "| fit | right answer | " + " | ".join(f"{tool}, {n} statements" for tool, n in tools.items()) + " |",
        "|---" * (2 + len(tools)) + "|",
    ]
    for _, group in itertools.groupby(answers, key=lambda one: one["fit"]):
        cells = list(group)
        first = cells[0]
        said = [f"{say_answer(one)}, {say_seconds(one['seconds'])}" for one in cells]
        lines.append(f"| {first['fit']}: `{first['name']}` | {first['truth']} | " + " | ".join(said) + " |")
    return lines


def say_answer(answer):
    between = " and ".join(f"[{say_end(low)}, {say_end(high)}]" for low, high in answer["intervals"])
    remarks = "maxiter reached" if "maxiter" in answer["said"] else answer["said"]
    if answer["tool"] == "leptonfit":
        code, *combinations = answer["said"].split("; ")
        remarks = ", ".join([f"`{code}`", *combinations])
    return ", ".join(filter(None, [between or "no interval", remarks]))


def say_end(value):
    return f"{float(value):.4g}".replace("inf", "∞").replace("-", "−")


def render_faster(results):
    """One sentence for each kind of task at which another tool is faster."""
    found = {}
    for _, group in itertools.groupby(results["own_fits"], key=lambda one: one["fit"]):
        ours, *peers = group
        for one in peers:
            note_faster(found, "own fits", one["tool"], one["seconds"] / ours["seconds"])
    ours, *peers = results["public_sets"]
    for row in peers:
        note_faster(found, "public sets", row["tool"], row["seconds"] / ours["seconds"])
    for row in results["comparisons"]:
        note_faster(found, row["task"].split(",")[0], row["tool"], row["ratio"])
    lines = []
    for kind, tools in found.items():
        times = ", ".join(f"{tool} up to {say_ratio(1 / ratio)}" for tool, ratio in tools.items())
        reason = FASTER.get(kind, "of a cause that is not known yet")
        lines.append(f"Faster than leptonfit at {kind}: {times}; leptonfit takes longer because {reason}.")
    free = {one["fit"]: one for one in results["own_fits"] if one["tool"] == "iminuit, no bounds"}["decay, short"]
    lines.append(
        f"In the own fits iminuit and lmfit started at the true parameters. Without bounds iminuit gives "
        f"{say_answer(free)} for the short decay, which does not exclude b = 0 either; leptonfit's −∞ means that the "
        f"set is open at the lowest value searched, b = 0."
    )
    return lines


def note_faster(found, kind, tool, ratio):
    if ratio < 1 and "no bounds" not in tool:
        tools = found.setdefault(kind, {})
        tools[tool] = min(ratio, tools.get(tool, ratio))


def render_growth(costs):
    lines = ["| what grows | sizes | time of one | memory of one | at the largest sizes |", "|---|---|---|---|---|"]
    for kind, group in itertools.groupby(costs, key=lambda cost: cost["kind"]):
        rows = list(group)
        units = [cost["seconds"] / cost["size"] for cost in rows]
        memory = [1e6 * cost["megabytes"] / cost["size"] for cost in rows]
        sizes = ", ".join(f"{cost['size']:,}" for cost in rows)
        risen = units[-1] / units[-2]
        said = "flat" if risen <= FLAT else f"{risen:.1f}×: {GROWS.get(kind, 'the cause is not known yet')}"
        seconds, bytes_each = ", ".join(map(say_seconds, units)), ", ".join(map(say_bytes, memory))
        lines.append(f"| {kind} | {sizes} | {seconds} | {bytes_each} | {said} |")
    return lines


def render_step(step):
    dense, blocks = (say_seconds(step["seconds"][name]) for name in ("dense", "by blocks"))
    n_par, n_res = step["parameters"], step["residuals"]
    return (
        f"The problem has three parameters for each species, and one that all share. With {n_par} parameters and "
        f"{n_res} residuals the linear algebra of one step of four starts takes {blocks} by blocks, and "
        f"{dense} dense."
    )


def say_seconds(seconds):
    return say(seconds, {"s": 1, "ms": 1e-3, "μs": 1e-6})


def say_bytes(n_bytes):
    return say(n_bytes, {"MB": 1e6, "kB": 1e3, "B": 1})


def say_ratio(ratio):
    return f"{float(f'{ratio:.2g}'):g}×"


def say(value, units):
    """Value in the largest unit of which it is at least one, to two digits."""
    unit = next((unit for unit, size in units.items() if value >= size), list(units)[-1])
    value /= units[unit]
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.2g} {unit}"


def replace(page, text, writer=WRITER):
    """Page with the text between the two markers of a writer replaced.

    Raises
    ------
    ValueError
        If a marker is missing.
    """
    begin, end = f"<!-- written by {writer} -->", f"<!-- end of what {writer} writes -->"
    before, found, rest = page.partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"the page must hold the lines {begin!r} and {end!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"
