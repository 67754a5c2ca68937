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
# # How far may each parameter of a fit move?
#
# Move a slider: model, residuals and $\chi^2$ follow, and the diamond shows where the point lies above the profile of
# one parameter. The example is the decay $y = a\,e^{-bt} + c$ of `20_your_fit`, over a short or a long time; the data
# are simulated. A fit of your own needs one line: `FitExplorer(problem)`.
#
# **Needs** `data/examples/decay_short.csv` and `decay_long.csv`. **Makes** an explorer, live in JupyterLab, a picture
# elsewhere (`results/21_explore_your_fit.json`).

# %% tags=["parameters"]
dataset = "short"  # data shown first [short | long]
profiled = "b"  # parameter whose profile is shown first [a | b | c]
level = 0.95  # confidence level of the set [0.5, 0.999]
n_starts = None  # count, fresh starts at each point of a profile {quick: 8, full: 32} [1, 1000]
seed = 20251223  # seed of the fresh starts [0, 9223372036854775807]
budget = "quick"  # effort [quick | full]

# %%
import numpy as np

import leptonfit
from leptonfit.datafiles import read_csv
from leptonfit.workbook import parameters, store
from leptonfit.workbook.explore import FitExplorer

settings = parameters.read_settings("21_explore_your_fit", globals())

# %% [markdown]
# ## Two data sets, one model


# %%
def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


bounds = {"a": (0, 20), "b": (0, 5), "c": (-3, 3)}
problems = {}
for name in ("short", "long"):
    data = read_csv(f"examples/decay_{name}.csv")
    problems[name] = leptonfit.problem_from_model(decay, data["t"], data["y"], data["sigma"], bounds)

# %% [markdown]
# ## Data, residuals and profile
#
# "fit the other parameters" keeps the parameter of the profile and moves the diamond onto the curve. Over a short time
# $a$, $b$ and $c$ can then move far, together; over a long time they cannot. The lines below the picture give the point
# in Python.

# %% tags=["key-figure"]
explorer = FitExplorer(
    problems, dataset=settings.dataset, profiled=settings.profiled, level=settings.level,
    effort=leptonfit.Effort(settings.n_starts, settings.seed),
)
explorer

# %%
# NBVAL_CHECK_OUTPUT
print(explorer.code)
print(explorer.sentence)

# %% [markdown]
# ## Checks
#
# At the ends of the profile the point lies on the curve once the other parameters are fitted, and never below it.

# %%
profile = explorer.profile
for value, chi2 in zip(profile.grid[[0, -1]], profile.chi2_min[[0, -1]], strict=True):
    explorer.put(**{settings.profiled: float(value)})
    moved = explorer.chi2
    explorer.refit()
    leptonfit.check(moved >= explorer.chi2 > chi2 - 1e-6 * (1 + chi2), "the point lies below the profile")
explorer.fit()

# %%
results = {"profile": profile, "commands": explorer.commands()}
_ = store.save(settings, results=results, verdict=explorer.sentence, verdict_code="explored", mark="simulated")
