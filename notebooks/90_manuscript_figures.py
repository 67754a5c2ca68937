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
# # What goes into a manuscript?
#
# Every figure, number and table that the notebooks of this report publish, collected. `leptonfit figures` copies the
# same files into `figures/`: PDF and PNG beside the JSON they were drawn from, `numbers.tex` with a macro a number,
# tables as CSV and LaTeX.
#
# **Needs** the results of `00_start_here`, `01_multi_start`, `02_profile_scan`, `03_c_mu_calibration`,
# `04_identifiability`, `05_closures`, `06_verdict`, `08_reported`, `11_limits`, `12_recoil_spectra`, `18_flavour` and
# `20_your_fit`. **Makes** nothing new: it shows (`results/90_manuscript_figures.json` lists what there is).

# %% tags=["parameters"]
budget = "quick"  # effort of the notebooks read [quick | full]

# %%
import matplotlib.pyplot as plt

from leptonfit import check
from leptonfit.workbook import figures, manuscript, parameters, run, store, tables

needs = (
    "00_start_here",
    "01_multi_start",
    "02_profile_scan",
    "03_c_mu_calibration",
    "04_identifiability",
    "05_closures",
    "06_verdict",
    "08_reported",
    "11_limits",
    "12_recoil_spectra",
    "18_flavour",
    "20_your_fit",
)
settings = parameters.read_settings("90_manuscript_figures", globals())
figures.use_style()

# %%
run.bring_upstream(settings)  # nothing to do within a report

# %%
found = manuscript.read_figures()
numbers = manuscript.read_numbers()
listed = sorted(manuscript.find_published("tex"))

# %% [markdown]
# ## Figures

# %% tags=["key-figure"]
pictures = {name: path for name, (_, path) in manuscript.find_published("png").items()}
figures.plot_contact_sheet(plt.figure(figsize=(11, 9)), pictures)
plt.show()

# %%
tables.show(tables.tabulate_figures(found))

# %% [markdown]
# ## Numbers
#
# With the notebook each comes from, and its mark: claimed, computed (numerical), proven, simulated and recorded numbers
# are told apart.

# %%
tables.show(numbers)

# %% [markdown]
# ## Checks
#
# Every figure was published whole, no macro is defined twice, and none is empty.

# %%
for suffix in ("png", "json"):
    check(found.keys() <= manuscript.find_published(suffix).keys(), "a figure is not there whole")
check(numbers["macro"].is_unique, "a macro is defined twice")
check((numbers["value"] != "").all(), "a macro is empty")

# %% [markdown]
# ## Verdict

# %%
sentence = f"{len(found)} figures, {len(numbers)} numbers and {len(listed)} tables are published."

# %%
# NBVAL_CHECK_OUTPUT
print(sentence)

# %%
results = {"numbers": numbers.values.tolist(), "figures": list(found), "tables": listed}
how = {"verdict_code": "published", "mark": "recorded"}
_ = store.save(settings, results=results, verdict=sentence, tables={"numbers": numbers}, **how)
