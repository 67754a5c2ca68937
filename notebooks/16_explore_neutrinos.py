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
# # What does one data set say, and from which threshold on?
#
# Choose a data set, put a moment in, cut bins away, change the construction. The lines below the picture repeat it as a
# run.
#
# **Needs** the data sets (`data/neutrino/`). **Makes** an explorer, live in JupyterLab, a picture elsewhere
# (`results/16_explore_neutrinos.json`).

# %% tags=["parameters"]
datasets = "xenonnt"  # data sets; the first is shown [lz_ws2022 | lz_ws2024 | pandax4t_run1 | xenonnt | xenon1t_sr1 |
# superk_1to4 | borexino_phase2 | coherent_csi | coherent_lar | xenonnt_140kev | superk_1 | superk_2 | superk_3 |
# superk_4 | …]
mu_nu = 1e-11  # μ_B, effective moment drawn beside the data [0, 1e-6]
confidence_levels = 0.9  # confidence of the limits; the first is shown [0.55, 0.999, …]
limit_method = "cls"  # construction of the limit [cls | fc | q_tilde | pinned]

# %%
from leptonfit import check
from leptonfit.workbook import parameters, store
from leptonfit.workbook.explore import NeutrinoExplorer

settings = parameters.read_settings("16_explore_neutrinos", globals())

# %% [markdown]
# ## Spectrum, Δχ² and limits
#
# The diamond is the moment put in; vertical lines are the limits, the chosen one heavier.

# %% tags=["key-figure"]
explorer = NeutrinoExplorer(
    dataset=settings.datasets[0], mu_nu=settings.mu_nu,
    confidence=settings.confidence_levels[0], limit_method=settings.limit_method,
)
explorer

# %%
# NBVAL_CHECK_OUTPUT
print(explorer.code)
print(explorer.sentence)

# %% [markdown]
# ## Checks
#
# Fewer bins measure no better.

# %%
whole, threshold = explorer.limits, explorer.controls["threshold"]
explorer.put(threshold=3)
check(explorer.limits.sigma >= whole.sigma * (1 - 1e-9), "fewer bins measure better")
explorer.put(threshold=1)

# %%
results = {"limits": explorer.limits, "commands": explorer.commands()}
_ = store.save(settings, results=results, verdict=explorer.sentence, verdict_code="explored")
