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
# # Which of the report's claims stand?
#
# Report NU838 scores its model above the mainstream, states results, and says what would falsify it. Its sums are done
# again from its own scores, its results stand beside computed ones, and its two falsification rules are executed.
#
# **Needs** the report's claims (`data/report_838.toml`), `13_threshold_scan` and `14_joint_fit`. **Makes** the
# scorecard recomputed, the audit, and a verdict by rule on each claim (`results/15_scorecard.json`).

# %% tags=["parameters"]
datasets = "all"  # data sets [lz_ws2022 | lz_ws2024 | pandax4t_run1 | xenonnt | xenon1t_sr1 | superk_1to4 |
# borexino_phase2 | coherent_csi | coherent_lar | response | …]
seed = 838  # seed of the toys behind what is read [0, 9223372036854775807]

# %%
import matplotlib.pyplot as plt

from leptonfit import check
from leptonfit.claims.nu838 import (
    add_points, audit_report, describe_scorecard, judge_results, load_report, rank_differences, score_models,
)
from leptonfit.neutrino import SIMULATED, SPECTRA, choose_joint, load_experiment, load_published
from leptonfit.workbook import figures, parameters, store, tables

needs = ("13_threshold_scan", "14_joint_fit")
constraints = ("datasets != ('response',)",)
settings = parameters.read_settings("15_scorecard", globals())
report = load_report()
figures.use_style()

# %% [markdown]
# ## What goes in

# %%
scanned = store.load("13_threshold_scan", like=settings)["results"]
joint_fit = store.load("14_joint_fit", like=settings)["results"]
compared = {one.selection: one for one in joint_fit["comparisons"]}
selection = next(iter(compared))  # all data sets

# %%
whole, agreeing = choose_joint(joint_fit["joined"])
spread, coherence = scanned["spreads"].get("all"), scanned["coherence"]

# %% [markdown]
# ## The scorecard
#
# Points are weight times score over ten. Where a dimension has a computed counterpart it stands beside: goodness of fit
# from χ²/dof, predictiveness from data sets left out, economy from the number of parameters, explanatory power from the
# evidence, robustness from the share of parameters that data measure, consistency from one moment for all data sets.

# %%
scores = score_models(compared[selection], whole)
points = add_points(report)
ranks = rank_differences(points[:, 0] - points[:, 1])
rows = [
    (one["name"], one["weight"], one["scores"], pair, (rank, one["rank"]))
    for one, pair, rank in zip(report["scorecard"]["dimension"], points, ranks, strict=True)
]
total = ("total", 100, report["scorecard"]["totals"], points.sum(axis=0), None)
both = ("EFT", "baseline")
scorecard = tables.from_records([*rows, total], {
    "dimension": 0,
    "weight": 1,
    "claimed scores": (
        2, lambda name, *pair: ("{:.1f} : {:.1f}" if name == "total" else "{:g} : {:g}").format(*pair),
        "", both, ("dimension",),
    ),
    "points, recomputed": (3, "{:.1f} : {:.1f}", "", both),
    "rank of difference": (4, "{:.0f} (claimed {:.0f})", "", ("", "claimed")),
    "computed scores": (lambda name, *row: scores.get(name), "{:.1f} : {:.1f}", "none", both),
})
tables.show(scorecard)

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 4.4))
figures.plot_scorecard(ax, report, scores)
plt.show()

# %% [markdown]
# ## The audit
#
# Most rows follow from the report's own numbers; thresholds, conditions and the global limit are held against the data
# files here.

# %%
experiments = {slug: load_experiment(slug) for slug in (*SPECTRA, *SIMULATED)}  # of the latter, only energies are used
published = load_published().set_index("name")["limit"].to_dict()
audit = audit_report(report, experiments, published)
audited = tables.tabulate_claims(audit)
tables.show(audited)

# %% [markdown]
# ## Its results
#
# A number differs where it is more than two errors of both away (two units of AIC; the other side of 0.05 for
# p-values). Else it agrees, unless it cannot be told: its error is above half the claim, there is no number, or a
# posterior that holds the claim holds zero too, within two standard deviations. What the data leave where the prior
# had it is not measured; what is of other data, metrics of the fit among it, is not comparable. The joint limit is
# that of the solar class without the data set that disagrees, the goodness of fit that of the whole class. Spread and
# coherence take all classes together, as the report does, although their moments are different quantities.

# %%
claims = judge_results(report, compared[selection], (whole, agreeing), spread, coherence)
judged = tables.tabulate_claims(claims)
tables.show(judged)

# %% [markdown]
# ## Its falsification rules
#
# Executed as they are written, with the report's own thresholds. A percentage of AIC depends on its arbitrary constant.

# %%
falsification = tables.tabulate_falsification(joint_fit["falsified"])
tables.show(falsification)

# %% [markdown]
# ## Its recommendations
#
# Correlations in the posterior that its suggestions turn on. A calibration that fixed a pull would take the square of
# the correlation off the other's variance.

# %%
tables.show(tables.tabulate_relations(joint_fit["related"]))

# %% [markdown]
# ## Checks

# %%
check(len(audit) > 20, "audit rows are missing")
names = [one.name for one in claims]
check(len(set(names)) == len(names) > 20, "results are missing or judged twice")

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_scorecard(audit, claims, scores, selection)

# %%
print(sentence)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(len(claims), "results judged, on", selection)
print(sum(one.verdict == "contradicted" for one in audit), "of", len(audit), "audited numbers are contradicted")

# %%
results = {"audit": audit, "claims": claims, "scores": scores, "selection": selection}
csv = {"claims": judged, "audit": audited, "scorecard": scorecard, "falsification": falsification}
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
