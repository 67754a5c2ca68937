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

from leptonfit import count_cores
from leptonfit.claims.nu838 import load_report
from leptonfit.neutrino import (
    ALL, FLAVOUR_CLASSES, ScanSettings, calibrate_quenching, calibrate_scale, choose_compared, compare_spreads,
    describe_scan, load_response, measure_coherence, scan_all, select_counts,
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
thresholds = tables.from_records(scans, {
    "data set": "title",
    "counts": lambda one: "observed" if one.observed else "simulated",
    "attainable": "attainable",
    "set a limit": lambda one: len(one.threshold),
    "range": (lambda one: (*one.threshold[[0, -1]], one.unit), "{:g} to {:g} {}", "", ("low", "high", "unit")),
    "worth (independent limits)": ("n_independent", "{:.1f}"),
    "k_thr (1e-11 μ_B/keV)": (
        lambda one: one.k_thr if one.curve else None,
        "{:.3g} ± {:.1g}", "too few thresholds to tell"),
    "x_bend (keV)": (
        lambda one: (one.curve.bend, one.curve.bend_on_edge) if one.curve else None,
        lambda bend, on_edge: f"none (bends most at the end, {bend:.3g})" if on_edge else f"{bend:.3g}",
        "", ("", "is at the end"),
    ),
    "τ_c (keV)": (lambda one: one.curve.length_scale if one.curve else np.nan, "{:.3g}"),
})
tables.show(thresholds)

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


def to_dex(meta):
    return np.sqrt(meta.tau2) / np.log(10)


mixed = "all classes, which are not one quantity"
several = [(counts, name, one) for counts, classes in spreads.items() for name, one in classes.items()]
spread = tables.from_records(several, {
    "counts": 0,
    "effective moment of": lambda counts, name, one: FLAVOUR_CLASSES.get(name, mixed),
    "data sets": lambda counts, name, one: ", ".join(one.titles),
    "Δlog10 μ, limits": (lambda counts, name, one: to_dex(one.limits), "{:.2f}"),
    "Δlog10 μ, sensitivities alone": (lambda counts, name, one: to_dex(one.sensitivities), "{:.2f}"),
    "Δlog10 μ, limits over sensitivities": (
        lambda counts, name, one: (to_dex(one.excess), one.excess.p_value),
        "{:.2f} (p = {:.2g})", "", ("", "p"),
    ),
    "Δμ_cross (1e-11 μ_B)": ("cross", "{:.3g}"),
    "Δμ_cross, sensitivities alone": ("cross_expected", "{:.3g}"),
    "claimed Δlog10 μ": (
        lambda counts, name, one: claims["result"]["delta_log10_mu"] if counts == name == ALL else None,
        "{:g} ± {:g}"),
})
tables.show(spread)

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
drawn = {"Lindhard k": points.values["lindhard_k"], "energy scale": points.values["scale"]}
calibrated = tables.from_records(calibration, {
    "quantity": 0,
    "points": (lambda name, fit: (fit.n_points, points.mark), "{} {}", "", ("", "mark")),
    "fitted": (lambda name, fit: (fit.values[0], fit.errors[0]), "{:.5g} ± {:.2g}"),
    "drawn with": (lambda name, fit: drawn[name], "{:g}"),
    "χ²": ("chi2", "{:.1f}"),
    "degrees of freedom": lambda name, fit: fit.n_points - 1,
})
tables.show(calibrated)

# %% [markdown]
# ## Claimed and computed

# %%
stated, curves = claims["result"], {one.title: one.curve for one in scans if one.curve}
scales = [curve.length_scale for curve in curves.values()]
bends = [f"{title} {curve.bend:.3g}" for title, curve in curves.items() if not curve.bend_on_edge]
spreads_said = [f"{counts}, {name}: {to_dex(one.limits):.2f}" for counts, name, one in several]
coherences = [
    f"{counts}: {one.coherence:.2f} (p = {one.p_value:.2g} if unrelated)" for counts, one in coherence.items() if one
]
counted = f"{sum(one.attainable for one in scans)} attainable, {sum(len(one.threshold) for one in scans)} set a limit"
computed = {
    "n_conditions": (claims["report"]["n_conditions"], None, counted),
    "x_bend (keVee)": (*stated["x_bend"], "; ".join(bends) or "no bend in any range"),
    "tau_c (keVee)": (
        *stated["tau_c"], f"{min(scales):.2g} to {max(scales):.3g}, by data set" if scales else "no curve",
    ),
    "Delta_log10_mu": (*stated["delta_log10_mu"], "; ".join(spreads_said) or "one data set"),
    "C_coh": (*stated["C_coh"], "; ".join(coherences) or "no two curves"),
}
claimed = tables.from_records(computed, {
    "claim": 0,
    "claimed": (
        lambda name, found: found[:2], lambda x, error: f"{x:g}" if np.isnan(error) else f"{x:g} ± {error:g}",
        "", ("", "error"),
    ),
    "computed": lambda name, found: found[2],
})
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
columns = {
    "data set": "title",
    "counts": lambda i, one: "observed" if one.observed else "simulated",
    "threshold": lambda i, one: one.threshold[i],
    "unit": "unit",
    "approximation": lambda i, one: "holds" if one.is_valid[i] else "does not hold",
}
for k in range(len(settings.confidence_levels)):
    columns |= {
        f"limit, level {k + 1}": (lambda i, one, k=k: one.limit[i, k], "{:.5g}"),
        f"expected, level {k + 1}": (lambda i, one, k=k: one.expected[i, k], "{:.5g}"),
    }
for k, name in enumerate(("−2 σ", "−1 σ", "median", "+1 σ", "+2 σ")):
    columns[f"band {name}"] = (lambda i, one, k=k: one.band[i, k], "{:.5g}")
conditions = tables.from_records([(i, one) for one in scans for i in range(len(one.threshold))], columns)
csv = {
    "conditions": conditions,
    "thresholds": thresholds,
    "spreads": spread,
    "calibration": calibrated,
    "claimed_computed": claimed,
}
mark = "numerical" if choose_compared(scans, spreads)[1] == "measured" else "simulated"
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv, mark=mark)
