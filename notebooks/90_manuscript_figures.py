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
# Every figure, number and table that a manuscript takes from this report, as the report has them now.
# `leptonfit figures` writes the same into `figures/`: PDF and PNG beside the JSON they were drawn from, `numbers.tex`
# with a macro a number, tables as CSV and LaTeX.
#
# **Needs** the results of `00_start_here`, `01_multi_start`, `02_profile_scan`, `03_c_mu_calibration`,
# `04_identifiability`, `05_closures`, `06_verdict` and `08_reported`. **Makes** nothing new: it shows
# (`results/90_manuscript_figures.json` lists the numbers).

# %% tags=["parameters"]
budget = "quick"  # effort of the notebooks read [quick | full]

# %%
import matplotlib.pyplot as plt

from leptonfit.workbook import figures, manuscript, numbers, parameters, run, store, tables

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
)
settings = parameters.read_settings("90_manuscript_figures", globals())
figures.use_style()

# %%
run.bring_upstream(settings)  # nothing to do within a report

# %%
documents = manuscript.read_documents()

# %% [markdown]
# ## Figures
#
# Re-enacted scans are the recorded ones.

# %% tags=["key-figure"]
manuscript.draw("three_ways", plt.figure(dpi=75), documents)
plt.show()

# %%
for name in manuscript.FIGURES:
    if name != "three_ways":
        manuscript.draw(name, plt.figure(dpi=75), documents)
        plt.show()

# %% [markdown]
# ## Numbers
#
# With the notebook each comes from, and its mark: claimed, computed (numerical), proven, simulated and recorded numbers
# are told apart.

# %%
rows = numbers.gather_numbers(documents)
tables.show(tables.tabulate_numbers(rows))

# %% [markdown]
# ## Checks
#
# No macro is defined twice, and none is empty.

# %%
names = [name for name, *_ in rows]
assert len(set(names)) == len(names), "a macro is defined twice"
assert all(value for _, value, *_ in rows), "a macro is empty"

# %% [markdown]
# ## Verdict

# %%
sentence = f"{len(manuscript.FIGURES)} figures, {len(rows)} numbers and {len(manuscript.TABLES)} tables are drawn."

# %%
# NBVAL_CHECK_OUTPUT
print(sentence)

# %%
csv = {"numbers": tables.tabulate_numbers(rows)}
results = {"numbers": rows, "figures": list(manuscript.FIGURES), "tables": list(manuscript.TABLES)}
_ = store.save(settings, results=results, verdict=sentence, verdict_code="drawn", mark="recorded", tables=csv)
