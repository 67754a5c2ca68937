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
# different experiments differ because their sensitivities do. What is left beyond that? And do the spectra agree on a
# moment at all?
#
# **Needs** the data sets (`data/neutrino/`) and the report's claims (`data/report_838.toml`). **Makes** the limit of
# every attainable condition, observed and expected, its covariance, spreads, coherence and calibrations
# (`results/13_threshold_scan.json`).

# %% tags=["parameters"]
datasets = "all"  # data sets [lz_ws2022 | lz_ws2024 | pandax4t_run1 | xenonnt | xenon1t_sr1 | superk_1to4 |
# borexino_phase2 | coherent_csi | coherent_lar | response | …]
solar_model = "B16-GS98"  # fluxes of the sun, where not measured [B16-GS98 | B16-AGSS09met]
solar_fluxes = "measured"  # what is known of them where they are fitted [measured | loose | model]
atomic_response = "stepping"  # rate of bound electrons of xenon [stepping | rrpa]
more_nuisances = "none"  # optional nuisances, where a data set has them [none | slope | efficiency | argon_37 | …]
n_thresholds = 12  # count, largest number of thresholds of each data set [4, 1000]
confidence_levels = "0.90, 0.95"  # confidence of the upper limits [0.55, 0.999, …]
limit_method = "cls"  # construction of the limits [cls | fc | pinned]
n_toys = None  # count, toy experiments of each data set {quick: 1000, full: 100000} [100, 1000000]
seed = 838  # seed of the toys [0, 9223372036854775807]
budget = "quick"  # effort [quick | full]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check, count_cores
from leptonfit.claims.nu838 import load_report
from leptonfit.neutrino import (
    ALL, FLAVOUR_CLASSES, Choices, ScanSettings, calibrate_quenching, calibrate_scale, compare_sets, compare_spreads,
    describe_scan, group_by_class, load_experiment, load_likelihood, load_response, measure_coherence, scan_all,
)
from leptonfit.workbook import figures, parameters, store, tables

constraints = ("datasets != ('response',)",)
settings = parameters.read_settings("13_threshold_scan", globals())
choices = Choices(
    settings.solar_model, settings.solar_fluxes, settings.atomic_response, settings.more_nuisances,
)
how = ScanSettings(settings.confidence_levels, settings.limit_method, settings.n_thresholds, settings.n_toys, choices)
claims = load_report()
figures.use_style()

# %% [markdown]
# ## The report's data sets, and what exists
#
# The report counts 30 conditions in each of its eight data sets. No reactor experiment has published a spectrum as
# numbers: its limit stays a published limit and enters no fit. The detector response sets no limit. Energies are in the
# unit of the data: keV, keVee (of an electron that gives the same light), MeV (total energy of the electron), PE
# (photoelectrons), N_h (hits).

# %%
most = claims["report"]["n_conditions"] // claims["report"]["n_experiments"]
measured = {one["name"]: [load_experiment(slug) for slug in one["slugs"]] for one in claims["dataset"]}
mapped = tables.from_records(measured, {
    "the report's data set": 0,
    "measured spectra here": lambda name, sets: ", ".join(one.title for one in sets) or "none public",
    "thresholds": lambda name, sets: ", ".join(
        f"{one.n_thresholds} ({one.edges[0]:g} to {one.edges[-1]:g} {one.unit})" for one in sets
    ) or "none",
    "attainable": (lambda name, sets: sum(one.n_thresholds for one in sets), "{:d}"),
    "with at most 30 each": (lambda name, sets: sum(min(most, one.n_thresholds) for one in sets), "{:d}"),
    "claimed": lambda name, sets: most,
})
tables.show(mapped)

# %% [markdown]
# ## Every attainable condition
#
# Of each data set at most `n_thresholds`, spread evenly: a curve of 30 is worth hardly more independent limits than a
# curve of 12. A threshold leaves out the bins below it, with at least two left; it sets no limit where the nuisances
# can imitate the signal that remains, or no signal remains. The shape of each curve is that of its expected (Asimov)
# limits, by a Gaussian process: the slope at the lowest threshold, taken from above, where the curve bends most, and
# its length scale. Where a curve bends most at an end of its range it has no bend of its own.

# %%
scans = scan_all(settings.datasets, how, seed=settings.seed, jobs=count_cores())
thresholds = tables.from_records(scans, {
    "data set": "title",
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
fig, axes = plt.subplots(3, 4, figsize=(10, 7.4))
figures.plot_thresholds(axes.ravel(), scans)
plt.show()

# %% [markdown]
# ## Do the data sets agree on a moment?
#
# Parameter goodness of fit: how much −2 ln L rises if all data sets of a class have one $\theta$ instead of their own,
# with $\theta$ free on both sides of zero, and the same for each pair. Each data set keeps its own nuisances. The limit
# of a class is quoted in `14_joint_fit` if its data sets agree, else that without the data set that disagrees. Some
# sets have a detector (LZ) or a collaboration (XENON1T and XENONnT) in common, but no events.

# %%
likelihoods = [load_likelihood(one.slug, choices=choices) for one in scans]
agreement = {name: compare_sets(several) for name, several in group_by_class(likelihoods).items()}
together = tables.from_records(agreement, {
    "effective moment of": lambda name, one: FLAVOUR_CLASSES[name],
    "data sets": lambda name, one: ", ".join(one.titles),
    "χ²_PG / dof": (lambda name, one: (one.chi2_pg, len(one.titles) - 1), "{:.2f} / {}", "", ("(χ²)", "(dof)")),
    "p": (lambda name, one: one.p_value, "{:.2g}"),
    "worst pair": lambda name, one: " and ".join(one.titles[i] for i in one.worst),
    "χ² (1 dof)": (lambda name, one: one.chi2_pairs[one.worst], "{:.2f}"),
    "p of the pair": (lambda name, one: one.p_pairs[one.worst], "{:.2g}"),
    "p of the worst of all pairs": (
        lambda name, one: (one.p_worst, one.n_pairs), "{:.2g} ({} pairs)", "", ("", "pairs"),
    ),
    "without the second of it: p": (lambda name, one: one.p_without[one.worst[1]], "{:.2g}"),
})
tables.show(together)

# %%
listed = [(one, i, j) for one in agreement.values() for i in range(len(one.titles)) for j in range(i)]
pairs = tables.from_records(sorted(listed, key=lambda row: -row[0].chi2_pairs[row[1:]]), {
    "pair": lambda one, i, j: f"{one.titles[j]}, {one.titles[i]}",
    "χ² (1 dof)": (lambda one, i, j: one.chi2_pairs[i, j], "{:.2f}"),
    "p": (lambda one, i, j: one.p_pairs[i, j], "{:.2g}"),
})
tables.show(pairs.head(8))

# %% [markdown]
# ## Spread between experiments
#
# Random effects (REML) at each data set's lowest threshold: of the limits, of the expected limits alone, and of their
# ratio. Only the last can speak of a disagreement.

# %%
spreads = compare_spreads(scans)


def to_dex(meta):
    return np.sqrt(meta.tau2) / np.log(10)


mixed = "all classes, which are not one quantity"
spread = tables.from_records(spreads, {
    "effective moment of": lambda name, one: FLAVOUR_CLASSES.get(name, mixed),
    "data sets": lambda name, one: ", ".join(one.titles),
    "Δlog10 μ, limits": (lambda name, one: to_dex(one.limits), "{:.2f}"),
    "Δlog10 μ, sensitivities alone": (lambda name, one: to_dex(one.sensitivities), "{:.2f}"),
    "Δlog10 μ, limits over sensitivities": (
        lambda name, one: (to_dex(one.excess), one.excess.p_value),
        "{:.2f} (p = {:.2g})", "", ("", "p"),
    ),
    "Δμ_cross (1e-11 μ_B)": ("cross", "{:.3g}"),
    "Δμ_cross, sensitivities alone": ("cross_expected", "{:.3g}"),
    "claimed Δlog10 μ": (
        lambda name, one: claims["result"]["delta_log10_mu"] if name == ALL else None, "{:g} ± {:g}"),
})
tables.show(spread)

# %% [markdown]
# ## Coherence
#
# Fewer bins say less, so that raw curves tend to rise with the threshold, and their correlation says nothing.
# Deviations from the expected curve do, beside those of unrelated experiments with the covariance of their own toys.

# %%
coherence = measure_coherence(scans, seed=settings.seed)
if coherence:
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9))
    figures.plot_coherence(axes, coherence, claims["result"]["C_coh"])
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
spreads_said = [f"{name}: {to_dex(one.limits):.2f}" for name, one in spreads.items()]
coherent = coherence and f"{coherence.coherence:.2f} (p = {coherence.p_value:.2g} if unrelated)"
counted = f"{sum(one.attainable for one in scans)} attainable, {sum(len(one.threshold) for one in scans)} set a limit"
computed = {
    "n_conditions": (claims["report"]["n_conditions"], None, counted),
    "x_bend (keVee)": (*stated["x_bend"], "; ".join(bends) or "no bend in any range"),
    "tau_c (keVee)": (
        *stated["tau_c"], f"{min(scales):.2g} to {max(scales):.3g}, by data set" if scales else "no curve",
    ),
    "Delta_log10_mu": (*stated["delta_log10_mu"], "; ".join(spreads_said) or "one data set"),
    "C_coh": (*stated["C_coh"], coherent or "no two curves"),
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
    check(off < 0.1, f"{one.title}: toys are not correlated as nested data are")
    check((np.diff(one.sigma) > -1e-9 * one.sigma[:-1]).all(), f"{one.title}: fewer bins measure better")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_scan(scans, spreads, coherence, agreement, claims)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(sentence)

# %%
results = {"choices": choices, "scans": scans, "agreement": agreement, "spreads": spreads, "coherence": coherence,
           "calibration": calibration}
columns = {
    "data set": "title",
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
    "data_sets": mapped,
    "agreement": together,
    "pairs": pairs,
    "thresholds": thresholds,
    "spreads": spread,
    "calibration": calibrated,
    "claimed_computed": claimed,
}
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
