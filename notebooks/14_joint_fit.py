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
# # Do the limits need the report's extra terms?
#
# The report fits ten further parameters to limits at thresholds and reports a model that wins. Here the same
# parameters, with equations rebuilt from their names and the priors it states, meet a baseline of experiments' own
# errors on the same conditions, with the covariance that shared events give: on measured counts alone. And one common
# moment is put to all data sets of a class: can they agree on it?
#
# **Needs** the scan of `13_threshold_scan`, the data sets and the report's claims (`data/`). **Makes** joint limits and
# their goodness of fit, both models' fits, evidence, posteriors and predictions (`results/14_joint_fit.json`).

# %% tags=["parameters"]
datasets = "all"  # data sets [lz_ws2022 | lz_ws2024 | pandax4t_run1 | xenonnt | xenon1t_sr1 | superk_1to4 |
# borexino_phase2 | coherent_csi | coherent_lar | response | …]
sampler = "emcee"  # whose draws the posterior of the EFT is [emcee | dynesty]
priors = "report"  # ranges of the ten parameters: the report's or twice as wide [report | wide]
n_live = None  # count, live points of the nested sampling {quick: 100, full: 1000} [50, 100000]
seed = 838  # seed of toys and starts and samplers [0, 9223372036854775807]
budget = "quick"  # effort [quick | full]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check, count_cores
from leptonfit.claims.nu838 import (
    BASELINE, PRIOR_DOMINATED, choose_ranges, compare_models, describe_comparison, falsify, gather_conditions,
    load_covariates, load_report, relate_thresholds, vary,
)
from leptonfit.neutrino import FLAVOUR_CLASSES, choose_joint, join_classes, load_likelihood, to_moment
from leptonfit.workbook import declarations, figures, parameters, store, tables

needs = ("13_threshold_scan",)
constraints = ("datasets != ('response',)",)
settings = parameters.read_settings("14_joint_fit", globals())
report = load_report()
figures.use_style()

# %% [markdown]
# ## What goes in

# %%
stored = store.load("13_threshold_scan", like=settings)
scanned = stored["results"]
scans = scanned["scans"]
likelihoods = {one.slug: load_likelihood(one.slug, choices=scanned["choices"]) for one in scans}

# %% [markdown]
# ## One moment for each class
#
# Within a flavour class one effective moment is common to all data sets; fluxes that data sets share are one nuisance
# for all. Runs of one detector (LZ's two, XENON1T and XENONnT) keep separate backgrounds and efficiencies, as no common
# error of them is public. Across classes the moments are not one quantity, and stopped pions would weigh nothing beside
# the sun: their error of $\theta$ is larger by four orders of magnitude. Where data sets of a class disagree
# (`13_threshold_scan`), no limit of all of them is quoted, but the limit without the data set that disagrees.

# %%
levels = declarations.read_notebook("13_threshold_scan").parameters["confidence_levels"]
confidence = levels.items(stored["parameters"]["confidence_levels"])
joined = join_classes(list(likelihoods.values()), confidence=confidence, n_toys=300, seed=settings.seed)
whole, agreeing = choose_joint(joined)


def write_limits(*values):
    *limits, holds = values
    said = "; ".join(f"{100 * level:g} %: {limit:.3g}" for level, limit in zip(confidence, limits, strict=True))
    return said if holds else f"{said} †"  # the approximation is out of its range


def name_class(key):
    name, _, left_out = key.partition(" without ")
    return FLAVOUR_CLASSES[name] + (f", without {left_out}" if left_out else "")


disagreeing = {key.partition(" without ")[0] for key in joined if " without " in key}
stated = (report["result"]["mu_lim_90"][0], report["result"]["PG_PTE"])
joint = tables.from_records(joined, {
    "effective moment of": lambda key, one: name_class(key),
    "data sets": lambda key, one: ", ".join(one.titles),
    "CLs limit (μ_B)": (
        lambda key, one: None if key in disagreeing
        else (*to_moment(one.limits.observed["cls"]), one.limits.is_valid["cls"]),
        write_limits, "not quoted: data sets disagree",
        (*(f"{100 * level:g} %" for level in confidence), "approximation holds"),
    ),
    "θ̂ (1e-22 μ_B²)": ("limits.theta_hat, limits.sigma", "{:.3g} ± {:.2g}"),
    "χ²_PG / dof": ("chi2_pg, dof", "{:.2f} / {}", "", ("(χ²)", "(dof)")),
    "PG_PTE, χ² law": ("p_value", "{:.2g}", "too few counts"),
    "PG_PTE, toys": ("toy_p_value", "{:.2g}"),
    "claimed": (
        lambda key, one: stated if one is agreeing else None,
        "90 %: {:g}; PG_PTE {:g}", "", ("90 % (μ_B)", "PG_PTE"),
    ),
})
tables.show(joint)

# %% [markdown]
# ## Two models of the same conditions
#
# Baseline: an offset, pulls of energy scale, quenching, background and fluxes, and a random effect of each data set.
# EFT: the report's ten parameters and two lengths on top. What is fitted is the logarithm of the limit that the
# construction sets for a Gaussian θ̂, as in the toys behind the covariance, not the exact limit. Toys behind the
# covariance scatter nuisances too, so that pulls are counted twice: generously for both models alike. AIC and BIC are
# taken at the fit with the pulls' own terms, and count every pull as a parameter; χ²/dof takes off only what the data
# determine. One common moment would already please the EFT, so the baseline with its mu0 alone has an evidence of its
# own. Covariates of the extra terms are this workbook's choices.

# %%
away = {one.title: abs(one.log_ratio - np.log(one.limit[:, 0] / one.expected[:, 0])).max() for one in scans}
worst = max(away, key=away.get)
print(f"Largest difference of ln μ from the exact limits: {away[worst]:.2f}, {worst}")

# %%
chosen = {"all data sets": scans}
if agreeing is not whole:
    left_out = set(whole.titles) - set(agreeing.titles)
    chosen[f"all but {', '.join(left_out)}"] = [one for one in scans if one.title not in left_out]
n_toys = stored["parameters"]["n_toys"]
conditions = {
    name: gather_conditions(several, likelihoods, load_covariates(), n_toys=n_toys) for name, several in chosen.items()
}
ranges = choose_ranges(report, settings.priors)

# %%
# NBVAL_CHECK_OUTPUT
for name, one in conditions.items():
    print(f"{name}: {one.n} conditions of {len(one.slugs)} data sets, worth {one.n_independent:.0f} independent limits")

# %%
how = {"sampler": settings.sampler, "seed": settings.seed, "jobs": count_cores()}
fewer = max(50, settings.n_live // 2)  # live points where a data set is left out, and where covariates are varied
found = []
for name, one in conditions.items():
    found += compare_models({name: one}, ranges, n_live=fewer if found else settings.n_live, **how)
models = tables.tabulate_models(found, report)
tables.show(models)

# %% tags=["key-figure"]
fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), width_ratios=[1, 1.6])
figures.plot_models(axes, found, report)
plt.show()

# %% [markdown]
# ## What was measured, and what was assumed
#
# A posterior as wide as its prior has measured nothing. Five of the terms are constants of a data set, and compete with
# its random effect. Contours hold 68 % and 95 %.
#
# What intervals of mu0 are worth is measured by toys of counts with a moment put in, in
# `tests/claims/nu838/test_discrepancy.py`. With nothing else free they cover at their stated rate, so that the Gaussian
# covariance of toys without a moment does no harm. With the parameters of either model they cover more often: pulls
# counted twice, offsets and random effects that those counts do not have make them wider than they need be.

# %%
columns = {
    "parameter": 1,
    "prior": lambda j, name: (
        "[{:g}, {:g}]".format(*report["parameter"][name]["prior"]) if name in report["parameter"]
        else "baseline" if name in BASELINE else "0.1 to 4000"
    ),
    "claimed": (lambda j, name: report["parameter"].get(name, {}).get("claimed"), "{:g} ± {:g}"),
}
for one in found:
    columns |= {
        one.selection: (lambda j, name, eft=one.eft: (eft.mean[j], eft.sd[j]), "{:.3g} ± {:.2g}"),
        f"{one.selection}: posterior/prior": (
            lambda j, name, eft=one.eft: eft.width[j],
            lambda width: f"{width:.2f}" + " prior" * (width > PRIOR_DOMINATED),
        ),
    }
widths = tables.from_records(enumerate(found[0].eft.fit.names), columns)
tables.show(widths)

# %%
fig = plt.figure(figsize=(8, 8), layout="none")
figures.plot_corner(fig, {one.selection: one.eft for one in found})
plt.show()

# %% [markdown]
# ## Covariates and priors varied
#
# EFT less baseline, on all data sets. With a covariate changed, lnK follows from the posterior's draws, weighted anew
# (in brackets: what they are then worth); where they are worth too little, and for wider priors, the model has a run of
# its own.

# %%
varied = vary(conditions, ranges, found[:1], n_live=fewer, seed=settings.seed, jobs=count_cores())


def write_factor(value, error, n_effective):
    return f"{value:+.1f} ± {error:.1f}" + ("" if np.isnan(n_effective) else f" ({n_effective:.0f} draws)")


columns = {"varied": lambda changes: changes[0].name}
for k, selection in enumerate(varied):
    columns |= {
        f"{selection}: −2 ln L; AIC": (
            lambda changes, k=k: (changes[k].delta_chi2, changes[k].delta_aic),
            "{:+.1f}; {:+.1f}", "", ("(−2 ln L)", "(AIC)"),
        ),
        f"{selection}: lnK": (
            lambda changes, k=k: (changes[k].log_bayes_factor, changes[k].error, changes[k].n_effective),
            write_factor, "", ("", "error", "draws"),
        ),
    }
variations = tables.from_records([list(changes) for changes in zip(*varied.values(), strict=True)], columns)
tables.show(variations)

# %% [markdown]
# ## The report's falsification line, executed
#
# Its five parameters at zero, the rest refitted.

# %%
covariances = {one.slug: one.toy_covariance for one in scans}
falsified = {
    one.selection: falsify(conditions[one.selection], ranges, one, covariances, report, seed=settings.seed)
    for one in found
}
falsification = tables.tabulate_falsification(falsified)
tables.show(falsification)

# %% [markdown]
# ## Correlations the report asks for
#
# A calibration that fixed a pull would take the square of its correlation off the other's variance.

# %%
related = {one.selection: relate_thresholds(conditions[one.selection], ranges, one) for one in found}
relations = tables.tabulate_relations(related)
tables.show(relations)

# %% [markdown]
# ## Checks

# %%
check(all(one.eft.fit.penalised <= one.baseline.fit.penalised + 0.1 for one in found), "the larger model fits worse")
doubtful = [f"{one.selection} {name}" for one in found for name, model in (("EFT", one.eft), ("baseline", one.baseline))
            if not model.posterior.has_converged]
print("Ensembles that have not converged, where nested sampling's draws are used:", ", ".join(doubtful) or "none")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_comparison(found, report)

# %%
# NBVAL_CHECK_OUTPUT
print(code, "on", found[0].selection)

# %%
print(sentence)

# %%
results = {"joined": joined, "comparisons": [one.without_samples() for one in found], "varied": varied,
           "falsified": falsified, "related": related}
csv = {
    "joint": joint,
    "claimed_computed": models,
    "widths": widths,
    "variations": variations,
    "falsification": falsification,
    "relations": relations,
}
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
