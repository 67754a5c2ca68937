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
# # What would identify β?
#
# The report's closure leaves β open. A closure is a choice along each of these axes: frame, density, moment map, moment
# functional, amplitude, a shared radius, a gradient term, bounds. Which choices fit the measured values, and which of
# those determine β?
#
# **Needs** the measurements, the combinations to compare (`data/closures.toml`) and the report's claims. **Makes** the
# identified set of β for every closure, coverage by toy experiments of one that determines it, and the model error that
# the residuals ask for (`results/05_closures.json`).

# %% tags=["parameters"]
sigma_m_model = 1e-6  # relative, model error of each mass [1e-12, 1e3]
sigma_g_model = 2e-8  # absolute, model error of each g-factor [1e-14, 1e3]
beta_from = 0.05  # dimensionless, start of the scan [1e-6, 1e9]
beta_to = 50.0  # dimensionless, end of the scan [1e-6, 1e9]
n_beta = 13  # count, points of the scan, evenly spaced in ln β [2, 1001]
n_starts = 8  # count, fresh starts at each point of a scan [1, 10000]
n_toys = None  # count, toy experiments {quick: 2000, full: 100000} [1, 1000000]
seed = 20251223  # seed of the starts and of the toys [0, 9223372036854775807]
r_max = 10.0  # dimensionless, outer radius of the flow integral [1, 1e3]
measurements = "report_2025"  # set of measured values [report_2025 | codata_2022]
budget = "quick"  # effort; never changes the grid [quick | full]

# %%
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from leptonfit import NOMINAL, Effort, check, count_cores
from leptonfit.claims.december_2025 import load_claims
from leptonfit.vortex import (
    AXES, CURRENTS, REPORT_BOUNDS, Choice, ComplexStepClosure, VortexModel, build_choice, compare_choice,
    compare_choices, describe_boxes, describe_comparison, estimate_sigma_model, limit_radius, load_choices,
    load_measurements, moment_factor, select_shown,
)
from leptonfit.workbook import figures, parameters, publish, store, tables, toys

constraints = (
    "beta_from < beta_to",
    "n_beta * 1e-9 * beta_to < beta_to - beta_from",
    "n_beta * n_starts <= 200000",
)
settings = parameters.read_settings("05_closures", globals())
effort = Effort(settings.n_starts, settings.seed)
ends = settings.beta_from, settings.beta_to
figures.use_style()

# %% [markdown]
# ## What goes in

# %%
reference = load_claims()["golden_loop"]["beta"]
choices = load_choices()
grid = np.geomspace(*ends, settings.n_beta).clip(*ends)
model = VortexModel(
    load_measurements(settings.measurements),
    sigma_m_model=settings.sigma_m_model,
    sigma_g_model=settings.sigma_g_model,
    r_max=settings.r_max,
)
how = {"reference": reference, "effort": effort}

# %%
# NBVAL_CHECK_OUTPUT
for axis, allowed in AXES.items():
    print(f"{axis}: {', '.join(allowed)}")
print(f"{len(choices)} combinations")

# %% [markdown]
# ## What the moment stands for
#
# The axisymmetric Hill flow has no velocity about its axis: its own magnetic moment is exactly zero.
# $M = k\,Q\,R\,U$ is a proxy for a charge carried round by a rotation that the flow does not contain. Its $k$ depends
# on where the charge sits and how it turns; for the parabolic density:

# %%
# NBVAL_CHECK_OUTPUT
for current in CURRENTS:
    print(f"{current}: k = {moment_factor(current):.12f}")

# %% [markdown]
# With a free $C_\mu$ another $k$ only rescales it, within its bounds. In units of the lepton's own magneton a spin of
# one half leaves nothing free, $g = 4\,m\,k\,R\,U$, and then $k$ matters.

# %% [markdown]
# ## Bring your own
#
# A closure is two functions: the flow energy $E_\mathrm{circ}/U^2$ and what does not flow, of radius, amplitude and β,
# for arrays of any shape. Slopes are taken by complex step, exact to rounding, so that only operations on complex
# arrays may be used. The moment is its factor $k$. Here: a core emptied evenly, δρ = −A up to R, where it jumps.

# %%
def flow(radius, amplitude, r_max):
    inside = radius**3 * (2 / 21 - 3 / 7 * amplitude)
    return np.pi * (2 / 3 * r_max**3 + inside - radius**6 / (3 * r_max**3))


def static(radius, amplitude, beta):
    return -beta * 4 / 3 * np.pi * amplitude**2 * radius**3


# %%
own = {
    "mine: evenly emptied": {
        "closure": lambda r_max: ComplexStepClosure(partial(flow, r_max=r_max), static),
        "moment_factor": 0.2,
    },
}  # add yours: it is profiled, drawn and counted with all the others

# %% [markdown]
# ## Every closure on the same footing
#
# Each is profiled over the same range of β, from fresh starts at every point. Its set is then held against starts that
# know nothing of it, at β of its own: inside, and beyond either end. Where these disagree nothing can be told.
#
# A closure determines β only where the data close its set on both sides, and no box of another parameter does. A
# closure that does not fit (p < 0.0027) is *rejected*: it determines nothing, and no set is quoted.

# %%
mine = [compare_choice(Choice(), replace(model, **one), grid, name=name, **how) for name, one in own.items()]
compared = [*compare_choices(choices, model, grid, jobs=count_cores(), **how), *mine]

# %%
shown = select_shown(compared)

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 1.2 + 0.19 * len(shown)))
figures.plot_forest(ax, shown, *ends, reference)
publish.figure(settings, "closures", fig, shown=shown, scan=ends)

# %% [markdown]
# The figure shows closures one change away from the report's, and those that determine β. All of them:

# %%
comparison = tables.tabulate_comparison(compared)
tables.show(comparison)

# %%
fig, ax = plt.subplots(figsize=(6.8, 1.2 + 0.19 * len(compared)))
figures.plot_forest(ax, compared, *ends, reference)
plt.show()

# %% [markdown]
# ## One change at a time
#
# What each single change leaves of the scan, within the bounds given. A set that ends by *scan_end* is open there:
# directions in the space of parameters are left along which every measured value stays met. An end by *box* is made by
# search bounds of other parameters, named beside it.

# %%
changes = tables.tabulate_changes(compared, *ends)
tables.show(changes)

# %% [markdown]
# ## Whose scale is it?
#
# In the rest frame of the vortex the flow's energy is that of the box it is integrated over. A closure that determines
# β may owe it to the box: the same closure with the outer radius a tenth smaller and larger.

# %%
tested = next((one for one in compared if one.determines), compared[0])
boxes = {}
for outer in (0.9 * settings.r_max, settings.r_max, 1.1 * settings.r_max):
    boxed = replace(model, r_max=outer, bounds=limit_radius(REPORT_BOUNDS, outer))
    boxes[outer] = compare_choice(tested.choice, boxed, grid, name=f"r_max = {outer:g}", **how)
compared_boxes = tables.tabulate_comparison(boxes.values())
tables.show(compared_boxes)

# %% [markdown]
# ## Coverage
#
# Do the intervals hold the truth as often as they say? Toy experiments scatter the measured values, and the relation
# between the radii, about the best fit of the first closure that determines β (or of the report's, if none does), and
# refit.

# %%
covered = toys.cover_choice(tested.choice, tested.best_x, model, n_toys=settings.n_toys, seed=settings.seed)
coverage = tables.from_records(NOMINAL.items(), {
    "level": 0,
    "nominal": (1, "{:.4f}"),
    "toys": lambda level, nominal: len(covered.delta_chi2),
    "not converged": lambda level, nominal: covered.n_failed,
    "covered": (lambda level, nominal: covered.n_covered(level) / max(covered.n_toys, 1), "{:.4f}"),
    "95 % interval": (lambda level, nominal: covered.interval(level), "{:.4f} to {:.4f}"),
    "within its error": lambda level, nominal: covered.covers(level),
})
tables.show(coverage)

# %%
print(f"Tested: {tested.name}.", "" if tested.determines else "None determines β: where the fit is exact, Δχ² is 0.")

# %%
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9))
figures.plot_coverage(axes, covered)
publish.figure(settings, "coverage", fig, toys=covered)

# %% [markdown]
# ## The model error, from the data
#
# A common factor on both model errors, by maximum likelihood with the term $\sum \ln \sigma^2$ kept.

# %%
asked = [Choice(), Choice(radius="mean"), Choice(frame="lab"), Choice(frame="lab", moment="spin_half")]
errors = {
    choice.name: estimate_sigma_model(partial(build_choice, choice), model, beta_range=ends, effort=effort)
    for choice in asked
}
model_error = tables.from_records(errors, {
    "closure": 0,
    "model error": (
        lambda name, one: (one.factor, one.low, one.high, one.describe()),
        lambda factor, low, high, said: said, None, ("factor", "factor low", "factor high", "in words"),
    ),
})
tables.show(model_error)

# %% [markdown]
# ## Checks

# %%
check(all(one.is_confirmed for one in compared if one.verdict_code != "unreliable"), "a set is not confirmed")
check(covered.n_failed == 0, "some toys did not converge")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_comparison(compared, *ends, reference=reference)
sentence = f"{sentence} {describe_boxes(boxes)}".strip()

# %%
print(sentence)

# %%
results = {"compared": compared, "tested": tested.name, "boxes": boxes, "coverage": covered, "sigma": errors}

# %%
determined = [one for one in compared if one.determines]
fit = sum(one.fits for one in compared)
publish.numbers(settings, closures=len(compared), closuresFit=fit, closuresDetermined=len(determined))
publish.numbers(settings, mark="simulated", toys=len(covered.delta_chi2))
for level, name in (("0.68", "SixtyEight"), ("0.95", "NinetyFive")):
    for one in determined[:1]:
        low, high = one.identified_set[level].intervals[0]
        within = f"{settings.notebook} within the {one.choice.bounds} bounds"
        found = {f"determined{name}Low": low, f"determined{name}High": high}
        publish.numbers(settings, source=within, form=".4f", **found)
    low, high = covered.interval(level)
    found = {f"coverage{name}": covered.n_covered(level) / len(covered.delta_chi2)}
    found |= {f"coverage{name}Low": low, f"coverage{name}High": high}
    publish.numbers(settings, mark="simulated", form=".4f", **found)
for current, name in zip(CURRENTS, ("Rigid", "Swirl", "DeficitRigid", "DeficitSwirl"), strict=True):
    publish.numbers(settings, form=".6f", **{f"moment{name}": moment_factor(current)})

# %%
csv = {
    "boxes": compared_boxes,
    "comparison": comparison,
    "changes": changes,
    "coverage": coverage,
    "sigma": model_error,
}
columns = ["closure", "95 % set of β", "lowest χ²", "verdict", "contains the reference"]
publish.table(settings, "closures", csv["comparison"], columns)
publish.table(settings, "coverage", csv["coverage"])
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
