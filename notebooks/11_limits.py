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
# # What limits on neutrino magnetic moments were published, and how much do they differ?
#
# A report, NU838, asks why upper limits on the magnetic moment of neutrinos disagree. What each experiment limits is
# the effective moment of the mixture of states its source sends: reactors, the sun, pions at rest and accelerators send
# different mixtures, and their limits are limits on different quantities.
#
# **Needs** the published limits (`data/neutrino/published_limits.csv`), each with its source; where a number is quoted
# from general knowledge and was not checked, it says so. **Makes** their spread by flavour class
# (`results/11_limits.json`).

# %% tags=["parameters"]
sigma_log10_mu = 0.079  # dex, scatter of a limit between repetitions of its experiment [1e-3, 1]
estimator = "REML"  # estimator of the variance between experiments [REML | PM | DL | FE]
include_disputed = False  # count limits whose theory was refuted

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check
from leptonfit.neutrino import FLAVOUR_CLASSES, combine_published, describe_published, load_published
from leptonfit.workbook import figures, parameters, publish, store, tables

settings = parameters.read_settings("11_limits", globals())
how = {"estimator": settings.estimator, "include_disputed": settings.include_disputed}
figures.use_style()

# %% [markdown]
# ## What goes in
#
# **‡** marks a limit that is quoted from memory: nothing at hand confirms its number.

# %%
limits = load_published()
order = list(FLAVOUR_CLASSES)
ordered = sorted(limits.itertuples(), key=lambda one: (order.index(one.flavour_class), one.year))


def write_limit(limit, mark):
    return f"{limit:g}" + " ‡" * (mark == "textbook")


listed = tables.from_records(ordered, {
    "effective moment of": lambda one: FLAVOUR_CLASSES[one.flavour_class],
    "limit of": "name",
    "set by": "kind",
    "year": "year",
    "limit (1e-11 μ_B)": (lambda one: (one.limit, one.mark), write_limit, "", ("", "mark")),
    "confidence": ("confidence", tables.percent("g")),
    "disputed": "disputed",
    "how the number was checked": "checked",
    "source": "source",
    "note": "note",
})
tables.show(listed)

# %% [markdown]
# ## How much they differ
#
# Of each experiment the latest limit of its collaboration at 90 % counts: earlier ones and reanalyses share its data,
# and one at 95 % is another quantity. A limit scatters by chance even if nothing changes but the counts: by
# `sigma_log10_mu`, that of a 90 % CLs limit without signal. What is left between experiments, τ, is estimated one
# flavour class at a time. Of two limits of one year the later in the file counts. Limits combined are no limit: the
# middle of a class excludes nothing. The solar class pools boron-8 neutrinos (Super-Kamiokande) with those of lower
# energy, whose mixture of states is another: where a single fundamental moment dominates, their effective moments
# differ (`18_flavour` has the weights). The stopped-pion class has limits on one flavour alone beside those on the
# mixture; the notes say which. Limits set by other constructions than CLs scatter otherwise; intervals are Gaussian,
# and wide for so few experiments.

# %%
found = combine_published(limits, sigma_log10=settings.sigma_log10_mu, **how)
spread = tables.from_records(found.classes, {
    "effective moment of": lambda name, meta: FLAVOUR_CLASSES[name],
    "experiments": "n",
    "estimator": "estimator",
    "middle (1e-11 μ_B)": (lambda name, meta: 10**meta.mean, "{:.3g}"),
    "its 95 % interval": (lambda name, meta: 10**meta.interval, "{:.3g} to {:.3g}"),
    "spread τ (dex)": ("spread", "{:.3f}", "not estimated"),
    "its 95 % interval (dex)": (lambda name, meta: np.sqrt(meta.tau2_interval), "{:.3f} to {:.3f}", "not estimated"),
    "Q": ("q", "{:.1f}"),
    "p if there were no spread": ("p_value", "{:.2g}"),
    "I²": ("i2", tables.percent(".0f")),
    "a further experiment, 95 % (1e-11 μ_B)": (lambda name, meta: 10**meta.prediction, "{:.2g} to {:.2g}", "none"),
})
tables.show(spread)

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 8.4))
figures.plot_published(ax, limits, found)
publish.figure(settings, "published_limits", fig, limits=limits.to_dict("list"), published=found)

# %% [markdown]
# ## Does the answer depend on how it is estimated?

# %%
others = {name: combine_published(limits, sigma_log10=settings.sigma_log10_mu, estimator=name,
                                  include_disputed=settings.include_disputed) for name in ("REML", "PM", "DL")}
columns = {"effective moment of": FLAVOUR_CLASSES.get} | {
    f"τ (dex), {estimator}": (lambda name, one=one: one.classes[name].spread, "{:.3f}")
    for estimator, one in others.items()
}
tables.show(tables.from_records(found.classes.keys(), columns))

# %% [markdown]
# ## Checks

# %%
check(all(meta.n == len(set(found.used[name])) for name, meta in found.classes.items()), "a limit counts twice")
used = [name for names in found.used.values() for name in names]
check(len(set(used)) == len(used), "a limit is used for two flavour classes")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_published(found, limits)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(sentence)

# %%
for name, meta in found.classes.items():
    publish.numbers(settings, form=".2f", **{f"spread{name.title().replace('_', '')}Dex": meta.spread})

# %%
csv = {"published": listed, "meta": spread}
results = {"published": found, "estimators": others, "limits": limits.to_dict("list")}
columns = ["effective moment of", "limit of", "set by", "limit (1e-11 μ_B)", "confidence", "source"]
publish.table(settings, "published_limits", csv["published"], columns)
publish.table(settings, "published_spread", csv["meta"])
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
