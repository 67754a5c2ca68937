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
# # Which of the report's claims stands?
#
# The report asks which claim is warranted: compatible, a value with an error, evidence, or an honest null. Each is
# given a rule, and the rule is applied to the numbers of the other notebooks: for the closure named below, and for
# every other that this report has a profile of, all else the same (`leptonfit sweep 02_profile_scan -p closure=…`).
#
# **Needs** the results of `01_multi_start`, `02_profile_scan`, `03_c_mu_calibration` and `05_closures` at the same
# $\sigma$, closure, bounds and measurements, and the report's claims (`data/`). **Makes** a verdict on each claim,
# closure by closure, answers to the report's critical questions, and to its options for what to do next
# (`results/06_verdict.json`).

# %% tags=["parameters"]
sigma_m_model = 1e-6  # relative, model error of each mass, as in the notebooks read [1e-12, 1e3]
sigma_g_model = 2e-8  # absolute, model error of each g-factor, as in the notebooks read [1e-14, 1e3]
closure = "stream"  # frame and density profile as in the notebooks read [stream | stream_quartic | stream_gaussian |
# stream_linear | lab | lab_quartic | lab_gaussian | lab_linear | reported]
bounds = "report"  # bounds of the vortex as in the notebooks read [report | wide]
r_max = 10.0  # dimensionless, outer radius of the flow integral, as in the notebooks read [1, 1e3]
measurements = "report_2025"  # set of measured values as in the notebooks read [report_2025 | codata_2022]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check
from leptonfit.claims.december_2025 import (
    answer_options, answer_questions, describe_claims, find_standing, judge_claims, load_claims,
)
from leptonfit.workbook import figures, parameters, publish, run, store, tables

needs = ("01_multi_start", "02_profile_scan", "03_c_mu_calibration", "05_closures")
constraints = (
    "r_max == 10 or closure != 'reported'",
    "r_max >= 10 or bounds == 'report' or closure in ('lab', 'lab_quartic', 'lab_gaussian', 'lab_linear')",
)
settings = parameters.read_settings("06_verdict", globals())
figures.use_style()

# %% [markdown]
# ## What the other notebooks found

# %%
run.bring_upstream(settings)  # nothing to do within a report

# %%
multi_start = store.load("01_multi_start", like=settings)
profile = store.load("02_profile_scan", like=settings)
calibration = store.load("03_c_mu_calibration", like=settings)
closures = store.load("05_closures", like=settings)
profiles = store.find_variants("02_profile_scan", "closure")
claims = load_claims()

# %%
for document in (multi_start, profile, calibration, closures):
    print(f"{document['verdict_code']}: {document['verdict']}")

# %% [markdown]
# ## Checks
#
# The notebooks must not contradict one another: χ²_min is zero exactly where some C_μ is feasible.

# %%
scan, feasible = profile["results"]["profile"], calibration["results"]["feasible"]
same_grid = np.array_equal(scan.grid, feasible.beta)
check(not same_grid or ((scan.chi2_min < 1e-6) == feasible.is_feasible).all(), "02 and 03 contradict one another")

# %% [markdown]
# ## The claims

# %%
judged = {closure: judge_claims(claims, document) for closure, document in profiles.items()}
own = judged[settings.closure]

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 2.3 + 0.4 * len(profiles)))
figures.plot_claims(ax, profiles, claims, own)
plt.show()

# %%
shown = tables.tabulate_claims(own)
tables.show(shown)

# %% [markdown]
# The same claims under every closure run so far.

# %%
columns = {
    "closure": 0,
    "verdict": lambda name, document: document["verdict_code"],
    "95 % set within the bounds": (
        lambda name, document: document["results"]["profile"].identified_set["0.95"].intervals, tables.write_set, None,
    ),
    "largest χ²_min": (lambda name, document: document["results"]["profile"].chi2_min.max(), tables.format_chi2),
}
columns |= {claim.name: lambda name, document, k=k: judged[name][k].verdict for k, claim in enumerate(own)}
by_closure = tables.from_records(profiles, columns)
tables.show(by_closure)

# %%
# NBVAL_CHECK_OUTPUT
print(shown[["stated", "verdict"]].to_string(index=False, header=False))

# %% [markdown]
# ## The report's critical questions

# %%
# NBVAL_CHECK_OUTPUT
answers = answer_questions(claims, profile)
for question, answer in answers.items():
    print(f"{question}: {answer}")

# %% [markdown]
# ## Under every closure
#
# The same rules, applied to each closure of `05_closures` over the scan made there.

# %%
compared = closures["results"]["compared"]
standing = find_standing(claims, compared)
stands = tables.from_records(standing, {
    "claim": 0,
    "stands under": (lambda claim, names: (len(names), len(compared)), "{} of {}"),
    "which": lambda claim, names: "; ".join(names) or "none",
})
tables.show(stands)

# %%
for claim, names in standing.items():
    print(f"{claim}: {len(names)} of {len(compared)}")

# %% [markdown]
# ## What to do next
#
# The report's options, each by a rule, from the same closures.

# %%
options = answer_options(claims, own, compared)
answered = tables.tabulate_claims(options)
tables.show(answered)

# %%
# NBVAL_CHECK_OUTPUT
print(answered[["stated", "verdict"]].to_string(index=False, header=False))

# %% [markdown]
# ## Verdict

# %%
sentence = f"{describe_claims(judged)} Under {settings.closure}: {profile['verdict']}"

# %%
results = {"claims": own, "answers": answers, "closures": judged, "options": options, "standing": standing}
csv = {"claims": shown, "closures": by_closure, "standing": stands, "options": answered}
for name in ("claims", "options"):
    publish.table(settings, name, csv[name], ["stated", "test", "computed", "verdict"])
how = {"verdict_code": profile["verdict_code"], "mark": profile["mark"]}
_ = store.save(settings, results=results, verdict=sentence, tables=csv, **how)
