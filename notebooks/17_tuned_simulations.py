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
# # What can a simulation tuned to a limit not tell?
#
# GEMMA, TEXONO and CONUS have published limits and no spectrum. Borexino once had none here either. A spectrum can be
# simulated in place of a measured one: exposure, threshold and resolution are known, and a background scaled until the
# expected limit is the published one. It looks like data. What does it know?
#
# **Needs** the simulated data sets in `data/neutrino/`, which `leptonfit simulate` draws again. **Makes** their limits
# before and after the tuning (`results/17_tuned_simulations.json`). The counts enter nothing
# else in this workbook; `15_scorecard` compares the energies of the spectra.

# %% tags=["parameters"]
simulations = "all"  # simulated data sets [gemma | texono | conus | borexino | …]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check
from leptonfit.neutrino import describe_tuning, draw_counts, load_experiment, measure_tuning
from leptonfit.workbook import figures, parameters, store, tables

settings = parameters.read_settings("17_tuned_simulations", globals())
figures.use_style()

# %% [markdown]
# ## One number is tuned until another fits
#
# The models are simpler than the experiments: one background with a slope, one norm, one resolution. With the stated
# background they expect another limit than the published one. The factor on the background takes up the difference,
# whatever made it.

# %%
found = [measure_tuning(slug) for slug in settings.simulations]
tuned = tables.from_records(found, {
    "data set": "title",
    "background, stated": ("background_rate", "{:g} /(kg d keV)"),
    "expected limit, as stated (1e-11 μ_B)": ("as_stated", "{:.3g}"),
    "published (1e-11 μ_B)": ("published, published_name", "{:g} ({})", "", ("", "by")),
    "factor on the background": ("factor", "{:g}"),
    "expected limit, tuned (1e-11 μ_B)": ("tuned", "{:.3g}"),
})
tables.show(tuned)

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 3.8))
figures.plot_tuning(ax, found)
plt.show()

# %% [markdown]
# ## A wrong model does as well
#
# Half of the exposure is a gross error. Tuned again, it expects the same limit: only the factor has moved.

# %%
wrong = tables.from_records(found, {
    "data set": "title",
    "factor": ("factor", "{:g}"),
    "expected limit (1e-11 μ_B)": ("tuned", "{:.3g}"),
    "factor, half of the exposure": ("half_factor", "{:g}"),
    "expected limit, half of the exposure (1e-11 μ_B)": ("half_tuned", "{:.3g}"),
})
tables.show(wrong)

# %% [markdown]
# ## Checks
#
# The counts in the data folder are those that the models draw.

# %%
for slug in settings.simulations:
    experiment = load_experiment(slug)
    for name, counts in draw_counts(experiment).items():
        check(np.array_equal(experiment.columns[name], counts), f"{slug}: {name} is not what the model draws")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_tuning(found)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(sentence)

# %%
csv = {"tuned": tuned, "wrong": wrong}
_ = store.save(settings, results={"tuning": found}, verdict=sentence, verdict_code=code, tables=csv, mark="simulated")
