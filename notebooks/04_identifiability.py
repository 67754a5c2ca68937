# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Why is β open: counting, directions, and proof
#
# Five measured numbers against eleven parameters leave directions along which nothing changes. This notebook counts and
# names them, repeats the report's own checks of degeneracy, gives the identified set of every parameter, shows what one
# constraint more would do, and proves where exact solutions exist.
#
# **Needs** the measurements and the report's claims (`data/`). **Makes** spectrum, directions, degeneracy checks,
# identified sets, variants and certificates (`results/04_identifiability.json`).

# %% tags=["parameters"]
sigma_m_model = 1e-6  # relative, model error of each mass [1e-12, 1e3]
sigma_g_model = 2e-8  # absolute, model error of each g-factor [1e-14, 1e3]
beta_min = 0.8  # dimensionless, start of the scan, and lower bound of β here [0, 1e9]
beta_max = 3.5  # dimensionless, end of the scan, and upper bound of β here [0, 1e9]
n_beta = 28  # count, points of the scan [2, 1001]
n_starts = None  # count, fresh starts at each point {quick: 16, full: 64} [1, 10000]
seed = 20251223  # seed of the starts [0, 9223372036854775807]
closure = "stream"  # frame and density profile of the vortex [stream | stream_quartic | stream_gaussian |
# stream_linear | lab | lab_quartic | lab_gaussian | lab_linear | reported]
bounds = "report"  # bounds of the vortex [report | wide]
r_max = 10.0  # dimensionless, outer radius of the flow integral [1, 1e3]
measurements = "report_2025"  # set of measured values [report_2025 | codata_2022]
budget = "quick"  # effort; never changes the grid [quick | full]

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from leptonfit import (
    LEVELS, Effort, assess_profile, check, describe_bounds, jacobian_spectrum, null_directions, scan_profile,
)
from leptonfit.claims.december_2025 import compare_variants, load_claims, profile_every_parameter, run_degeneracy_checks
from leptonfit.vortex import (
    BOUNDS, CERTIFIABLE, VortexModel, certify_scan, describe_certificate, edge_at_corners, find_edges,
    load_measurements, load_predictions, mark_verdict, sigma_shift, solution_manifold, solve_golden_loop,
)
from leptonfit.workbook import figures, parameters, publish, store, tables

constraints = (
    "beta_min < beta_max",
    "n_beta * 1e-9 * beta_max < beta_max - beta_min",
    "n_beta * n_starts <= 200000",
    "r_max == 10 or closure != 'reported'",
    "r_max >= 10 or bounds == 'report' or closure in ('lab', 'lab_quartic', 'lab_gaussian', 'lab_linear')",
)
settings = parameters.read_settings("04_identifiability", globals())
effort = Effort(settings.n_starts, settings.seed)
figures.use_style()

# %% [markdown]
# ## What goes in

# %%
claims = load_claims()
reference = claims["golden_loop"]["beta"]
grid = np.linspace(settings.beta_min, settings.beta_max, settings.n_beta)

# %%
model = VortexModel(
    load_measurements(settings.measurements),
    sigma_m_model=settings.sigma_m_model,
    sigma_g_model=settings.sigma_g_model,
    closure=settings.closure,
    r_max=settings.r_max,
    bounds=BOUNDS[settings.bounds],
)
problem = model.problem
boxed = {**model.bounds, "beta": (settings.beta_min, settings.beta_max)}
within = replace(model, bounds=boxed).problem

# %% [markdown]
# ## The profile over the whole scan

# %%
profile = scan_profile(problem, "beta", grid, references=(reference,), effort=effort)
verdict = assess_profile(problem, profile, reference=reference)

# %% [markdown]
# ## Counting
#
# At the solution found for the reference β: the rank of the Jacobian over the parameters off their bounds, and what is
# left when it is taken away.

# %%
at_reference = profile.reference_x[0]
spectrum = jacobian_spectrum(problem, at_reference)
directions = null_directions(problem, at_reference)

# %%
# NBVAL_CHECK_OUTPUT
n_bound = problem.n_par - len(spectrum.names)
counted = f"{problem.n_res} constraints, {problem.n_par} parameters, {n_bound} on a bound, rank {spectrum.rank}"
print(f"{counted}: directions that change no residual: {len(spectrum.null_space)}")

# %%
print(f"condition number of the rest: {spectrum.condition:.3g}")
symbols = {parameter.name: parameter.symbol for parameter in problem.parameters}
moves = zip(directions.free, directions.response, strict=True)
tables.show(tables.from_records(moves, {"move by 1 %": lambda name, row: symbols[name]} | {
    symbols[name]: (lambda free, row, k=k: row[k], "{:+.3g}") for k, name in enumerate(directions.dependent)
}))

# %%
fig, ax = plt.subplots(figsize=(6.8, 3))
figures.plot_spectrum(ax, spectrum)
plt.show()

# %% [markdown]
# ## The report's degeneracy checks
#
# Each holds something and fits the rest. Where everything is held, χ² rises away from the β at which it was frozen: the
# minimum echoes the choice. Where a mass may be met by moving any one parameter, χ² says nothing of β.

# %%
checks = run_degeneracy_checks(model, claims, effort=effort)


def write_check(n_zero, of, beta, low, high, followed):
    said = [f"zero at {n_zero:.0f} of {of:.0f} points"] if of else []
    said += [f"lowest at β = {beta:g}"] if n_zero < of else []
    said += [f"{followed} from {low:.6g} to {high:.6g}"] if followed else []
    return ", ".join(said)


claimed = tables.from_records(checks, {
    "check": "name",
    "fitted to": lambda one: ", ".join(one.constraints) or "nothing",
    "held": "held",
    "free": "free",
    "claimed": "claimed",
    "computed": (
        lambda one: (
            *((one.n_zero, len(one.beta), one.beta[one.chi2_min.argmin()]) if one.constraints else (0, 0, np.nan)),
            *((np.nanmin(one.values), np.nanmax(one.values)) if one.followed else (np.nan, np.nan)), one.followed,
        ),
        write_check, None, ("zero at", "of", "lowest at β", "low", "high", "of quantity"),
    ),
})
tables.show(claimed)

# %%
fig, ax = plt.subplots(figsize=(6.8, 3.6))
figures.plot_degeneracy(ax, checks)
publish.figure(settings, "degeneracy", fig, checks=checks)

# %% [markdown]
# ## Each lepton's own solutions
#
# At the reference β, every R and A whose U lies within its bounds meets the mass exactly. White lines: the C_μ that the
# g-factor then needs.

# %%
manifolds = {
    tex: solution_manifold(model, reference, lepton=lepton, n_radius=46, n_amplitude=37)
    for lepton, tex in (("e", "e"), ("mu", r"\mu"), ("tau", r"\tau"))
}

# %%
fig, axes = plt.subplots(1, 3, figsize=(6.8, 2.3))
figures.plot_manifolds(axes, manifolds)
publish.figure(settings, "manifolds", fig, **manifolds)

# %% [markdown]
# ## The identified set of every parameter
#
# With β anywhere in the scan and all others free: within the bounds given, and with those search bounds released that
# make an end.

# %%
profiles = profile_every_parameter(within, n_points=41, effort=effort)
tables.show(tables.tabulate_parameter_sets(within, profiles))

# %% [markdown]
# ## One constraint more, one parameter less
#
# The τ's g-factor is not measured; its predicted value shows what it would do, and is marked as simulated.

# %%
variants = compare_variants(model, grid, claims, g_tau=load_predictions()["g_tau"]["value"], effort=effort)

# %%
tried = tables.from_records(variants, {
    "fit": "name",
    "constraints": "n_constraints",
    "parameters": "n_parameters",
    "rank": "rank",
    "lowest χ²": ("best_chi2", tables.format_chi2),
    "95 % set of β within the bounds": ("identified_set.intervals", tables.write_set, None),
    "held by": lambda one: tables.describe_holders(one.identified_set),
    "verdict": "verdict_code",
    "in tension": ("in_tension", None, "not testable"),
    "mark": "mark",
})
tables.show(tried)

# %%
fig, ax = plt.subplots(figsize=(6.8, 3.6))
figures.plot_variants(ax, variants, *grid[[0, -1]], reference)
publish.figure(settings, "variants", fig, variants=variants, scan=grid[[0, -1]])

# %% [markdown]
# ## What is proven
#
# Interval arithmetic covers the scan with certificates, for the bounds given. Where exact solutions begin or end within
# it, that edge is enclosed; it belongs to the bounds that the verdict names, and not to the data. Beyond an edge,
# χ²_min grows as the square of the distance, so that the ends of the 68 and 95 % sets lie a σ-dependent step outside.

# %%
certified = certify_scan(model, *grid[[0, -1]]) if settings.closure in CERTIFIABLE else None
mark = mark_verdict(verdict.code, certified)
proven = describe_certificate(certified) if certified else f"Nothing is proven for the closure {settings.closure}."

# %%
# NBVAL_CHECK_OUTPUT
print(f"{mark}: {proven}")

# %% tags=["key-figure"]
fig, ax = plt.subplots()
figures.plot_profile(ax, problem, profile, certified=certified)
plt.show()

# %%
roots = find_edges(model, *grid[[0, -1]])
shifts = [sigma_shift(model, root) for root in roots]
corner = edge_at_corners(model)
enclosures = certified.enclosures() if certified else np.empty((0, 2))


def find_end(root, level):
    ends = profile.identified_set[level].intervals
    ends = ends[np.isfinite(ends)]
    return ends[abs(ends - root).argmin()] - root if len(ends) else np.nan


columns = {
    "quantity": lambda k, root, shift: f"edge {k + 1}",
    "closed form": (
        lambda k, root, shift: corner if abs(corner - root) < 1e-9 * root else np.nan, "{:.11f}", "not at corners",
    ),
    "root": (1, "{:.11f}"),
    "proven between": (
        lambda k, root, shift: next((ends for ends in enclosures if ends[0] <= root <= ends[1]), None),
        "{:.10f} and {:.10f}", "not proven",
    ),
}
for level, delta in LEVELS.items():
    columns |= {
        f"profile's end at {level}, from the root": (
            lambda k, root, shift, level=level: find_end(root, level), "{:+.4e}", "open",
        ),
        f"to first order at {level}": (lambda k, root, shift, delta=delta: np.sqrt(delta) * shift, "±{:.4e}"),
    }
edges = tables.from_records(zip(range(len(roots)), roots, shifts, strict=True), columns, across=True)
tables.show(edges) if len(roots) else print("Exact solutions neither begin nor end in this scan.")

# %% [markdown]
# ## Checks
#
# No computed value contradicts a proof, and every check that frees something is trusted.

# %%
for piece in certified.pieces if certified else ():
    inside = (grid >= piece.beta_low) & (grid <= piece.beta_high)
    check(not (profile.chi2_min[inside] < piece.chi2_bound).any(), "a computed χ² lies below its proven bound")
    check(piece.status != "zero" or (profile.chi2_min[inside] < 1e-6).all(), "an exact solution was not found")
check(all(one.trusted.all() for one in checks if "frozen" not in one.name), "a check is not trusted")

# %% [markdown]
# ## Where the reference comes from
#
# The Golden Loop gives β from the fine-structure constant. What would it take to make it give the report's minima?

# %%
loop = solve_golden_loop(
    older_constants=(claims["golden_loop"]["older_c1"], claims["golden_loop"]["older_c2"]),
    wanted=(claims["tight"]["beta_min"], claims["loose"]["beta_min"]),
)
stated = claims["golden_loop"]
relations = [
    ("1/α = 2π² e^β/β + 1, larger root", stated["beta"], (loop.beta, loop.sigma_beta), "{:.10f} ± {:.0e}"),
    ("the same, smaller root", None, (loop.beta_small,), "{:.6f}"),
    ("without the + 1", None, (loop.beta_without_one,), "{:.6f}"),
    ("older form, π² e^β c₂/c₁ = 1/α", stated["older_beta"], (loop.beta_older,), "{:.6f}"),
    ("c₁ = (1 − α)/2", stated["older_c1"], (loop.c1,), "{:.10f}"),
    ("dβ/d(1/α), larger root", None, (loop.by_alpha_inverse,), "{:.6f}"),
    ("dβ/d ln c₁, larger root", None, (loop.by_ln_c1,), "{:.4f}"),
    ("dβ/d ln c₁ and dβ/d ln c₂, older form", None, tuple(loop.older_by_ln_c), "{:+.4f} and {:+.4f}"),
]
for beta, c1 in zip(loop.wanted, loop.c1_needed, strict=True):
    change = 100 * (c1 / loop.c1 - 1)
    relations.append((f"c₁ that β = {beta:g} would need", None, (c1, change), "{:.6f}, {:+.1f} %"))
forms = {name: form for name, *_, form in relations}
golden_loop = tables.from_records(relations, {
    "quantity": 0,
    "claimed": (
        1, lambda name, value: f"{value:.10g}" + " (older form)" * name.startswith("c₁ ="), "", (), ("quantity",),
    ),
    "computed": (2, lambda name, *values: forms[name].format(*values), "", ("", "second"), ("quantity",)),
})
tables.show(golden_loop)

# %%
fig, ax = plt.subplots(figsize=(6.8, 3.4))
figures.plot_golden_loop(ax, loop, claims)
publish.figure(settings, "golden_loop", fig, loop=loop)

# %% [markdown]
# ## Verdict

# %%
counted = f"{counted}; directions that change no residual: {len(spectrum.null_space)}"
sentence = f"{counted}. {verdict.sentence} {proven}"

# %%
# NBVAL_CHECK_OUTPUT
print(verdict.code)

# %%
results = {
    "spectrum": spectrum,
    "directions": directions,
    "degeneracy": checks,
    "parameter_sets": {name: found.identified_set for name, found in profiles.items()},
    "variants": variants,
    "assessment": verdict,
    "certificate": certified,
    "edges": {"root": roots, "shift_per_sigma": shifts, "at_corners": edge_at_corners(model)},
    "golden_loop": loop,
    "profile": profile,
}

# %%
within = f"{settings.notebook} within the {settings.bounds} bounds"
for low, high in certified.enclosures()[:1] if certified else ():
    publish.numbers(settings, source=within, mark="proven", form=".10f", edgeLow=low, edgeHigh=high)
for root in roots[:1]:
    publish.numbers(settings, source=within, form=".11f", edgeRoot=root)
for level, name in (("0.68", "SixtyEight"), ("0.95", "NinetyFive")):
    found = profile.identified_set[level]
    if found.below:
        held_by = describe_bounds(found.below[0].held_by) or "nothing"
        publish.numbers(settings, source=within, form=".7f", **{f"set{name}Low": found.intervals[0, 0]})
        publish.numbers(settings, source=within, **{f"set{name}HeldBy": held_by})

# %%
publish.numbers(settings, rank=spectrum.rank)
publish.numbers(settings, form=".10f", loopBeta=loop.beta)
tight, loose = loop.c1_needed
publish.numbers(settings, form=".5f", loopBetaOlder=loop.beta_older, loopNeededTight=tight, loopNeededLoose=loose)

# %%
csv = {"claimed_computed": claimed, "variants": tried, "golden_loop": golden_loop}
publish.table(settings, "degeneracy", claimed)
_ = store.save(settings, results=results, verdict=sentence, verdict_code=verdict.code, mark=mark, tables=csv)
