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
# # Do limits disagree, or do thresholds and sensitivities differ?
#
# The report scans limits over detection thresholds and finds a common bend, a common scale and a coherence of all
# experiments. Thresholds of a real spectrum lie on its bin edges, limits of one curve share their events, and limits of
# different experiments differ because their sensitivities do. What is left beyond that?
#
# **Needs** the data sets (`data/neutrino/`) and the report's claims (`data/report_838.toml`). **Makes** the limit of
# every attainable condition, observed and expected, its covariance, spreads, coherence and calibrations
# (`results/13_threshold_scan.json`).

# %% tags=["parameters"]
datasets = "all"  # data sets [gemma | texono | conus | borexino | superk | coherent | xenonnt | response | …]
n_thresholds = 30  # count, largest number of thresholds of each data set [4, 1000]
confidence_levels = "0.90, 0.95"  # confidence of the upper limits [0.55, 0.999, …]
limit_method = "cls"  # construction of the limits [cls | fc | pinned]
n_toys = None  # count, toy experiments of each data set {quick: 2000, full: 100000} [100, 10000000]
seed = 838  # seed of the toys [0, 9223372036854775807]
budget = "quick"  # effort [quick | full]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit.inference.parallel import count_cores
from leptonfit.neutrino.experiments import load_response
from leptonfit.claims.nu838.report_838 import load_report
from leptonfit.neutrino.response import calibrate_quenching, calibrate_scale
from leptonfit.neutrino.threshold_scan import (
    ScanSettings, choose_compared, compare_spreads, describe_scan, measure_coherence, scan_all, select_counts,
)
from leptonfit.workbook import figures, parameters, store, tables

constraints = ("datasets != ('response',)",)
settings = parameters.read_settings("13_threshold_scan", globals())
how = ScanSettings(settings.confidence_levels, settings.limit_method, settings.n_thresholds, settings.n_toys)
claims = load_report()
figures.use_style()

# %% [markdown]
# ## Every attainable condition
#
# A threshold leaves out the bins below it, with at least two left; one sets no limit where the nuisances can imitate
# the signal that remains. The shape of each curve is that of its expected (Asimov) limits, by a Gaussian process: the
# slope at the lowest threshold, taken from above, where the curve bends most, and its length scale. Where a curve bends
# most at an end of its range it has no bend of its own.

# %%
scans = scan_all(settings.datasets, how, seed=settings.seed, jobs=count_cores())
tables.show(tables.tabulate_thresholds(scans))

# %% tags=["key-figure"]
fig, axes = plt.subplots(2, 4, figsize=(10, 5))
figures.plot_thresholds(axes.ravel(), scans)
plt.show()

# %% [markdown]
# ## Spread between experiments
#
# Random effects (REML) at each data set's lowest threshold: of the limits, of the expected limits alone, and of their
# ratio. Only the last can speak of a disagreement. Simulated sets were tuned to published limits: their spread was put
# in, and measured sets alone are evidence.

# %%
chosen = select_counts(scans)
spreads = {name: compare_spreads(several) for name, several in chosen.items()}
tables.show(tables.tabulate_spreads(spreads, claims))

# %% [markdown]
# ## Coherence
#
# Fewer bins say less, so that raw curves tend to rise with the threshold, and their correlation says nothing.
# Deviations from the expected curve do, beside those of unrelated experiments with the covariance of their own toys.

# %%
coherence = {name: measure_coherence(several, seed=settings.seed) for name, several in chosen.items()}
*_, widest = coherence.values()
if widest:
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9))
    figures.plot_coherence(axes, widest, claims["result"]["C_coh"])
    plt.show()

# %% [markdown]
# ## Energy scale and quenching
#
# From the calibration points, with errors in both variables. The points are simulated: they can do no more than give
# back what they were drawn with.

# %%
points = load_response()
calibration = {"Lindhard k": calibrate_quenching(points), "energy scale": calibrate_scale(points)}
tables.show(tables.tabulate_calibration(points, calibration))

# %% [markdown]
# ## Claimed and computed

# %%
claimed = tables.tabulate_threshold_claims(scans, spreads, coherence, claims)
tables.show(claimed)

# %% [markdown]
# ## Checks
#
# Toys agree with the correlation that nested data have, σ_small/σ_large; and expected limits only rise.

# %%
for one in scans:
    nested = np.minimum.outer(one.sigma, one.sigma) / np.maximum.outer(one.sigma, one.sigma)
    apart = ~np.eye(len(nested), dtype=bool)
    off = abs(one.toy_correlation - nested)[apart].mean()
    assert off < 0.1, f"{one.title}: toys are not correlated as nested data are"
    assert (np.diff(one.sigma) > -1e-9 * one.sigma[:-1]).all(), f"{one.title}: fewer bins measure better"

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_scan(scans, spreads, coherence, claims)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(sentence)

# %%
results = {"scans": scans, "spreads": spreads, "coherence": coherence, "calibration": calibration}
csv = {
    "conditions": tables.tabulate_conditions(scans),
    "thresholds": tables.tabulate_thresholds(scans),
    "spreads": tables.tabulate_spreads(spreads, claims),
    "calibration": tables.tabulate_calibration(points, calibration),
    "claimed_computed": claimed,
}
mark = "numerical" if choose_compared(scans, spreads)[1] == "measured" else "simulated"
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv, mark=mark)
