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
# given a rule, and the rule is applied to the numbers of the other notebooks.
#
# **Needs** the results of `01_multi_start`, `02_profile_scan` and `03_c_mu_calibration` at the same $\sigma$, closure
# and measurements, and the report's claims (`data/`). **Makes** a verdict on each claim and answers to the report's
# three critical questions (`results/06_verdict.json`).

# %% tags=["parameters"]
sigma_m_model = 1e-6  # relative, model error of each mass, as in the notebooks read
sigma_g_model = 2e-8  # absolute, model error of each g-factor, as in the notebooks read
closure = "stream"  # frame and density profile, as in the notebooks read
r_max = 10.0  # dimensionless, outer radius of the flow integral, as in the notebooks read
measurements = "report_2025"  # set of measured values, as in the notebooks read

# %%
import matplotlib.pyplot as plt

from leptonfit.vortex.claims import answer_questions, judge_claims
from leptonfit.vortex.reported import load_claims
from leptonfit.workbook import figures, parameters, store, tables

settings = parameters.read_settings("06_verdict", globals())
figures.use_style()

# %% [markdown]
# ## What the other notebooks found

# %%
multi_start = store.load("01_multi_start", like=settings)
profile = store.load("02_profile_scan", like=settings)
calibration = store.load("03_c_mu_calibration", like=settings)
claims = load_claims()

# %%
# NBVAL_CHECK_OUTPUT
for document in (multi_start, profile, calibration):
    print(f"{document['verdict_code']}: {document['verdict']}")

# %% [markdown]
# ## Checks
#
# The notebooks must not contradict one another: χ²_min is zero exactly where some C_μ is feasible.

# %%
same_grid = profile["results"]["beta"] == calibration["results"]["beta"]
is_zero = [chi2 < 1e-6 for chi2 in profile["results"]["chi2_min"]]
assert not same_grid or is_zero == calibration["results"]["is_feasible"], "02 and 03 contradict one another"

# %% [markdown]
# ## The claims

# %%
judged = judge_claims(claims, profile)

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 2.6))
figures.plot_claims(ax, profile, claims, judged)
plt.show()

# %%
tables.show(tables.tabulate_claims(judged))

# %%
# NBVAL_CHECK_OUTPUT
print(tables.tabulate_claims(judged)[["claim", "verdict"]].to_string(index=False, header=False))

# %% [markdown]
# ## The report's three critical questions

# %%
# NBVAL_CHECK_OUTPUT
answers = answer_questions(claims, profile)
for question, answer in answers.items():
    print(f"{question}: {answer}")

# %% [markdown]
# ## Verdict

# %%
standing = ", ".join(claim.name for claim in judged if claim.stands) or "none"
sentence = f"Claims that stand under the closure {settings.closure}: {standing}. {profile['verdict']}"

# %%
results = {"claims": judged, "answers": answers, "closure": settings.closure}
csv = {"claims": tables.tabulate_claims(judged)}
_ = store.save(settings, results=results, verdict=sentence, verdict_code=profile["verdict_code"], tables=csv)
