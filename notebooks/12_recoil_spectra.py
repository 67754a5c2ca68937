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
# # From flux to recoil to limit: what does each data set say?
#
# A magnetic moment adds recoils like $1/T$, in proportion to $\theta = \mu^2$. Each data set goes the same way: flux,
# recoil spectrum, detector, likelihood, and an upper limit by several constructions. How far do these differ on the
# same counts?
#
# **Needs** the data sets, fluxes and atoms in `data/neutrino/`. **Makes** spectra, $\Delta\chi^2(\theta)$ and limits of
# each data set (`results/12_recoil_spectra.json`).
#
# Every limit is on an *effective* moment: that of the mixture of neutrino states which its source sends to the
# detector. Solar and stopped-pion limits are limits on different quantities. Every count was published, as a number or
# in a figure (*digitised* in the data files). **No reactor spectrum is public**: of GEMMA, TEXONO and CONUS only the
# published limits exist (`11_limits`), and `17_tuned_simulations` shows what spectra simulated in their place cannot
# tell.

# %% tags=["parameters"]
datasets = "all"  # data sets [lz_ws2022 | lz_ws2024 | pandax4t_run1 | xenonnt | xenon1t_sr1 | superk_1to4 |
# borexino_phase2 | coherent_csi | coherent_lar | response | …]
solar_model = "B16-GS98"  # fluxes of the sun, where not measured [B16-GS98 | B16-AGSS09met]
solar_fluxes = "measured"  # what is known of them where they are fitted [measured | loose | model]
atomic_response = "stepping"  # rate of bound electrons of xenon [stepping | rrpa]
more_nuisances = "none"  # optional nuisances, where a data set has them [none | slope | efficiency | argon_37 | …]
mu_nu = 2e-11  # μ_B, effective moment drawn beside the data [0, 1e-6]
confidence_levels = "0.90, 0.95"  # confidence of the upper limits [0.55, 0.999, …]
limit_method = "cls"  # construction of the limit that the verdict quotes [cls | fc | q_tilde | pinned]
n_toys = None  # count, toy experiments at each truth {quick: 1000, full: 100000} [1, 1000000]
seed = 838  # seed of the toys [0, 9223372036854775807]
budget = "quick"  # effort [quick | full]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import CONSTRUCTIONS, check, count_cores
from leptonfit.neutrino import (
    FLAVOUR_CLASSES, MU_UNIT, RESPONSE, SPECTRA, Choices, analyse_all, compare_published, compare_spectrum,
    describe_limits, list_fluxes, load_likelihood, load_response, quench_lindhard, to_moment, vary_choices,
)
from leptonfit.workbook import figures, parameters, publish, store, tables

settings = parameters.read_settings("12_recoil_spectra", globals())
slugs = [slug for slug in SPECTRA if slug in settings.datasets]
choices = Choices(
    settings.solar_model, settings.solar_fluxes, settings.atomic_response, settings.more_nuisances,
)
figures.use_style()

# %% [markdown]
# ## Flux

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3))
figures.plot_fluxes(axes, list_fluxes())
plt.show()

# %% [markdown]
# ## Recoils
#
# Over the whole exposure (for Super-Kamiokande one kg d), before the detector. Electrons bound more deeply than the
# recoil energy do not count: the steps in germanium and xenon.

# %%
likelihoods = {slug: load_likelihood(slug, choices=choices) for slug in slugs}
spectra = [one.spectrum for one in likelihoods.values()]
titles = [one.experiment.title for one in likelihoods.values()]

# %%
n_rows = max(1, -(-len(slugs) // 4))
fig, axes = plt.subplots(n_rows, 4, figsize=(10, 2.3 * n_rows), squeeze=False)
figures.plot_recoils(axes.ravel(), spectra, titles, settings.mu_nu)
plt.show()

# %% [markdown]
# ## Detector response
#
# Calibration points with errors in both variables, simulated: they set no limit.

# %%
points = load_response()
recoil = np.geomspace(0.4, 12, 200)
curve = recoil, quench_lindhard(recoil, 32, points.values["lindhard_k"])

# %%
if RESPONSE in settings.datasets:
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.8))
    figures.plot_response(axes, points, curve)
    plt.show()

# %% [markdown]
# ## Counts, and what a moment would add

# %%
tables.show(tables.from_records(likelihoods.values(), {
    "data set": "experiment.title",
    "effective moment of": lambda one: FLAVOUR_CLASSES[one.experiment.flavour_class],
    "bins": "experiment.n_bins",
    "range": (
        lambda one: (*one.experiment.edges[[0, -1]], one.experiment.unit),
        "{:g} to {:g} {}", "", ("low", "high", "unit"),
    ),
    "counted": (lambda one: one.data[: one.experiment.n_bins].sum(), "{:.6g}"),
    "weak scattering": (lambda one: one.spectrum.weak.sum(), "{:.4g}"),
    f"magnetic, {settings.mu_nu:g} μ_B": (
        lambda one: one.spectrum.magnetic.sum() * (settings.mu_nu / MU_UNIT) ** 2, "{:.3g}",
    ),
    "nuisances": lambda one: len(one.model.nuisances),
}))

# %% [markdown]
# ## Limits
#
# - **CLs** does not exclude what the data cannot see.
# - **Feldman–Cousins** takes $\hat\theta$ as Gaussian with $\theta \geq 0$; by **toys** it asks nothing of the kind.
# - **q̃ alone** uses the same statistic as CLs without its denominator: after a downward fluctuation it excludes what
#   the data cannot see.
# - **pinned** takes $\Delta\chi^2$ from $\theta = 0$ to the one-sided quantile. Where $\hat\theta > 0$, that is above
#   the minimum, and the limit too wide.
#
# **†** marks a limit whose approximation does not hold for the data set. CLs, q̃ alone and pinned $\Delta\chi^2$ need
# an estimate no more skew than that of one bin with 8 or 20 counts. The Gaussian form needs a profile that is a
# parabola to 3 % at the limit. Feldman–Cousins by toys needs neither; its error is that of the number of toys.
#
# Asymptotic formulas take the spread of $\hat\theta$ from Asimov data at nominal nuisances; pyhf takes fitted ones, and
# its limits differ. Where weak scattering is fitted beside the background (Borexino, Super-Kamiokande, COHERENT),
# errors of flux, quenching and efficiency scale weak and magnetic recoils alike, since both come from the same
# neutrinos in the same detector; if they scaled the weak recoils alone, COHERENT's limits would be several percent
# lower.
#
# **‡** marks a published limit that is quoted from memory (`11_limits`). The published limit is that of the row named.
# The expectation is linear in $\theta$ and in the nuisances, so that at each $\theta$ the fit of the nuisances has one
# minimum only.

# %%
found = analyse_all(
    slugs, confidence=settings.confidence_levels, n_toys=settings.n_toys, seed=settings.seed, choices=choices,
    jobs=count_cores(),
)
limits = tables.tabulate_data_limits(found)
tables.show(limits)

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 1.6 + 0.62 * len(found)))
figures.plot_limits(ax, found)
publish.figure(settings, "moment_limits", fig, found=found)

# %% [markdown]
# ## Beside the published limits
#
# Limits by the construction of the verdict, at the confidence of the published limit (the first above where there is
# none). The reasons are those of the data and models here; they stand in the data file of each set.

# %%
def write_published(limit, by, mark):
    return f"{limit:g}{' ‡' * (mark == 'textbook')} ({by})"


beside = tables.from_records(compare_published(found, settings.limit_method), {
    "data set": "title",
    "here (1e-11 μ_B)": ("limit", "{:.3g}"),
    "published (1e-11 μ_B)": ("published, by, mark", write_published, "none", ("", "by", "mark")),
    "here over published": ("ratio", "{:.2f}", "–"),
    "all constructions over published": ("lowest, highest", "{:.2f} to {:.2f}", "–"),
    "why": "reason",
})
tables.show(beside)

# %% [markdown]
# ## Data against expectation
#
# Grey: weak scattering alone. Blue: with a moment at the data set's own limit, as the verdict quotes it. Red, dashed:
# with `mu_nu`. Where weak scattering is not part of the background, the fitted background is taken off.

# %%
at_limit = [one.moment_limit(settings.limit_method) / MU_UNIT for one in found]
theta = [(mu**2, (settings.mu_nu / MU_UNIT) ** 2) for mu in at_limit]
compared = [compare_spectrum(one, more) for one, more in zip(likelihoods.values(), theta, strict=True)]
names = [f"+ {mu * MU_UNIT:.2g} μ_B" if np.isfinite(mu) else "no limit" for mu in at_limit]
labels = [("weak", name, f"+ {settings.mu_nu:.2g} μ_B") for name in names]

# %%
fig = plt.figure(figsize=(6.8, 2.2 * max(1, -(-len(found) // 2))))
figures.plot_all_compared(fig, compared, labels)
publish.figure(settings, "recoil_spectra", fig, compared=compared, limits=[mu * MU_UNIT for mu in at_limit])

# %% [markdown]
# ## Best fits
#
# $\hat\theta$ may be negative as far as every expectation stays at or above zero: only so is it a test of consistency.
# The p-value of the fit is that of the χ² law where every bin expects at least five counts, else that of toys.

# %%
fits = tables.tabulate_fits(found)
tables.show(fits)

# %%
fig, ax = plt.subplots()
figures.plot_delta_chi2(ax, found)
plt.show()

# %% [markdown]
# ## Nuisances
#
# The three of each data set that shift its best fit most: the pull, the impact on $\hat\theta$, and the limit
# ($\Delta\chi^2 = 2.71$) if the nuisance were known exactly, at its nominal value.

# %%
strongest = [(one, one.nuisances, k) for one in found for k in range(min(3, len(one.nuisances.names)))]
nuisances = tables.from_records(strongest, {
    "data set": lambda one, nuisances, k: one.title,
    "nuisance": lambda one, nuisances, k: nuisances.names[k],
    "constrained beforehand": lambda one, nuisances, k: not nuisances.is_free[k],
    "pull": (lambda one, nuisances, k: (nuisances.pulls[k], nuisances.errors[k]), "{:+.2f} ± {:.2f}"),
    "impact on θ̂ (its σ)": (lambda one, nuisances, k: nuisances.impacts[k] / one.limits.sigma, "{:+.2f}"),
    "limit without it (1e-11 μ_B)": (lambda one, nuisances, k: np.sqrt(nuisances.limits_without[k]), "{:.3g}"),
    "limit with it (1e-11 μ_B)": (lambda one, nuisances, k: np.sqrt(nuisances.limit), "{:.3g}"),
})
tables.show(nuisances)

# %%
fig, axes = plt.subplots(1, 2, figsize=(6.8, 0.9 + 0.52 * len(found)))
figures.plot_nuisances(axes, found)
plt.show()

# %% [markdown]
# ## Choices that data do not make
#
# The CLs limit with one choice of the model changed, where this moves it. The *slope* is a free tilt of the background
# beside its norm. *Argon-37* has a line at 2.8 keV, below the signal. The ratio of the relativistic random-phase
# approximation (*rrpa*) to the stepping approximation is known for weak scattering, and used for magnetic scattering
# here. Borexino's solar fluxes are those that it measured, known to 3 %; *loose* has pp to 10 % and $^7$Be free,
# *model* those of the solar model with its errors. Super-Kamiokande's flux is a measured one, too.

# %%
confidence = min(settings.confidence_levels)
changed = vary_choices(slugs, choices, confidence=confidence, jobs=count_cores())
varied = tables.from_records(changed, {
    "data set": "title",
    "change": "change",
    f"CLs limit at {100 * confidence:g} % as chosen (1e-11 μ_B)": ("before", "{:.3g}"),
    "with the change": ("after", "{:.3g}"),
    "ratio": (lambda one: one.after / one.before, "{:.4f}"),
})
tables.show(varied)

# %% [markdown]
# ## Coverage
#
# How often each construction's interval holds the truth, in toys at no moment and at the data set's own CLs limit, with
# the nuisances that fit best there. *Under* and *over*: outside the binomial error.

# %%


def cover(toys, level, key):
    if toys.theta == 0 and not CONSTRUCTIONS[key].has_low_end:
        return 1.0, np.nan, np.nan  # an upper limit always holds zero
    return toys.n_covered[key][level] / toys.n_toys, *toys.interval(key, level)


def write_coverage(confidence, share, low, high):
    said = "under" if high < confidence else "over" if low > confidence else "as said"
    return "100 %, by definition" if np.isnan(low) else f"{100 * share:.1f} % ({said})"


columns = {
    "data set": 0,
    "true μ (μ_B)": (lambda title, level, toys: np.sqrt(toys.theta) * MU_UNIT, "{:.3g}"),
    "confidence": (lambda title, level, toys: toys.confidence[level], tables.percent("g")),
    "toys": "n_toys",
} | {
    construction.title: (
        lambda title, level, toys, key=key: cover(toys, level, key),
        write_coverage, "", ("", "low", "high"), ("confidence",),
    )
    for key, construction in CONSTRUCTIONS.items()
}
tried = [(one.title, level, toys) for one in found for toys in one.coverage for level in range(len(toys.confidence))]
limit_coverage = tables.from_records(tried, columns)
tables.show(limit_coverage)

# %% [markdown]
# ## Checks

# %%
check(all(np.isfinite(one.delta_chi2).all() and one.delta_chi2.min() > -1e-6 for one in found), "a lower minimum")
check(all((one.limits.observed["cls"] >= one.limits.observed["q_tilde"]).all() for one in found), "CLs below q̃")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_limits(found, settings.limit_method)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(sentence)

# %%
for one in found:
    slug = publish.spell(one.slug)
    for method in CONSTRUCTIONS:
        limit = {f"limit{slug}{method.title().replace('_', '')}": one.moment_limit(method) / MU_UNIT}
        publish.numbers(settings, form=".3g", **limit)
    expected = to_moment(one.limits.expected["cls"][0][2]) / MU_UNIT
    publish.numbers(settings, form=".3g", **{f"expected{slug}Cls": expected})

# %%
results = {
    "choices": choices, "limits": {one.slug: one.summarise() for one in found}, "analysed": found, "compared": compared,
}
csv = {"limits": limits, "beside_published": beside, "fits": fits, "limit_coverage": limit_coverage,
       "nuisances": nuisances, "choices": varied}
constructions = [*(one.title for one in CONSTRUCTIONS.values()), "expected CLs, 68 % of repetitions", "published"]
publish.table(settings, "moment_limits", csv["limits"], ["data set", "confidence", *constructions])
publish.table(settings, "moment_fits", csv["fits"])
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
