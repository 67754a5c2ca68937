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
# # What can C_μ be, and is there a factor of three to explain?
#
# $C_\mu$ turns a vortex's moment into a g-factor, $g = C_\mu k R U$. The report calibrates it on the electron alone,
# finds another value in its joint fit, and sees a discrepancy. A calibration means something only if the electron alone
# fixes $C_\mu$.
#
# **Needs** the measurements, the report's claims (`data/`) and the profile of `02_profile_scan` at this $\sigma$, made
# here again. **Makes** the feasible interval of $C_\mu$ at every $\beta$, the electron's own solutions, and a map of
# $\chi^2_{\min}(\beta, C_\mu)$ (`results/03_c_mu_calibration.json`).
#
# At given $\beta$, the velocity $U = \sqrt{(m + \beta S)/I}$ meets a mass exactly for *every* $R$ and $A$. So $q = R U$
# runs over a range, and $C_\mu = g/(k q)$ over another: no fit is needed to know which values are possible.

# %% tags=["parameters"]
sigma_m_model = 1e-6  # relative, model error of each mass [1e-12, 1e3]
sigma_g_model = 2e-8  # absolute, model error of each g-factor [1e-14, 1e3]
beta_min = 2.85  # dimensionless, start of the scan [0, 1e9]
beta_max = 3.25  # dimensionless, end of the scan [0, 1e9]
n_beta = 41  # count, points of the scan [2, 1001]
n_starts = None  # count, fresh starts at each point {quick: 16, full: 64} [1, 10000]
seed = 20251223  # seed of the starts [0, 9223372036854775807]
closure = "stream"  # frame and density profile of the vortex [stream | stream_quartic | stream_gaussian |
# stream_linear | lab | lab_quartic | lab_gaussian | lab_linear | reported]
bounds = "report"  # bounds of the vortex [report | wide]
r_max = 10.0  # dimensionless, outer radius of the flow integral [1, 1e3]
measurements = "report_2025"  # set of measured values [report_2025 | codata_2022]
budget = "quick"  # effort; never changes the grid [quick | full]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import Effort, SetOptions, assess_profile, check, restrict, scan_map, scan_profile
from leptonfit.claims.december_2025 import load_claims
from leptonfit.vortex import BOUNDS, VortexModel, describe_c_mu, feasible_c_mu, load_measurements, solution_manifold
from leptonfit.workbook import figures, parameters, publish, store, tables

constraints = (
    "beta_min < beta_max",
    "n_beta * 1e-9 * beta_max < beta_max - beta_min",
    "n_beta * n_starts <= 200000",
    "r_max == 10 or closure != 'reported'",
    "r_max >= 10 or bounds == 'report' or closure in ('lab', 'lab_quartic', 'lab_gaussian', 'lab_linear')",
)
settings = parameters.read_settings("03_c_mu_calibration", globals())
effort = Effort(settings.n_starts, settings.seed)
figures.use_style()

# %% [markdown]
# ## What goes in

# %%
claims = load_claims()
grid = np.linspace(settings.beta_min, settings.beta_max, settings.n_beta)

# %%
model = VortexModel(
    load_measurements(settings.measurements),
    sigma_m_model=settings.sigma_m_model,
    sigma_g_model=settings.sigma_g_model,
    closure=settings.closure,
    r_max=settings.r_max,
    bounds=BOUNDS[settings.bounds],
)
problem = model.problem

# %% [markdown]
# ## The feasible interval, without a fit

# %%
feasible = feasible_c_mu(model, grid)
reference = claims["golden_loop"]["beta"]
there = feasible_c_mu(model, np.array([reference]))

# %% [markdown]
# And with one: the profile's own values.

# %%
profile = scan_profile(problem, "beta", grid, effort=effort, sets=SetOptions(release=False))
fitted = profile.x[:, problem.index("c_mu")]

# %% [markdown]
# Which of its ends do the data make? C_μ is profiled at the reference β. Where a search bound of another parameter
# makes an end, that bound is released.

# %%
held = restrict(problem, fixed={"beta": reference})
calibrated = assess_profile(held, scan_profile(held, "c_mu", effort=effort))

# %% [markdown]
# ## Checks
#
# An exact fit exists where the interval says so and nowhere else (up to the width a finite σ gives its edge), and every
# fitted value of an exact fit lies in it.

# %%
exact = profile.chi2_min < 1e-6
check((exact <= feasible.is_feasible).all(), "the profile fits exactly where no C_μ is feasible")
check((fitted >= feasible.joint[:, 0] * (1 - 1e-6))[exact].all(), "a fitted C_μ lies below the feasible interval")
check((fitted <= feasible.joint[:, 1] * (1 + 1e-6))[exact].all(), "a fitted C_μ lies above the feasible interval")

# %% [markdown]
# ## C_μ against β

# %% tags=["key-figure"]
fig, ax = plt.subplots(figsize=(6.8, 3.8))
figures.plot_c_mu_interval(ax, feasible, claims, fitted=fitted)
publish.figure(settings, "c_mu", fig, feasible=feasible, fitted=fitted)

# %% [markdown]
# ## The electron alone
#
# Each curve fits the electron's mass and g-factor exactly, at the reference β. The report's calibration is one point on
# this surface.

# %%
manifold = solution_manifold(model, reference)

# %%
fig, ax = plt.subplots(figsize=(6.8, 3.6))
figures.plot_manifold(ax, manifold, claims)
plt.show()

# %% [markdown]
# ## χ²_min over β and C_μ

# %%
ends = np.concatenate([feasible.joint.ravel(), fitted])
c_mu_grid = np.geomspace(*np.clip([np.nanmin(ends) / 1.25, np.nanmax(ends) * 1.25], *model.limits["c_mu"]), 41)

# %%
chi2_map = scan_map(problem, ("beta", grid), ("c_mu", c_mu_grid), effort=Effort(4, settings.seed))

# %%
fig, ax = plt.subplots()
figures.plot_map(ax, problem, chi2_map, interval=feasible)
plt.show()

# %% [markdown]
# ## Verdict

# %%
calibration = describe_c_mu(feasible, there, claim=claims["c_mu"]["electron_alone"], limits=model.limits["c_mu"])
sentence = f"{calibrated.sentence} {calibration}"
stated, (low, high) = claims["c_mu"], there.electron[0]
c_mu = {
    "claimed": (stated["electron_alone"], stated["joint"], stated["factor"]),
    f"computed at β = {there.beta[0]:.10g}": (there.electron[0], there.joint[0], high / low),
    f"computed at β = {feasible.beta[0]:.6g}": (feasible.electron[0], feasible.joint[0], np.nan),
}
claimed = tables.from_records(c_mu, {
    "quantity": 0,
    "electron alone": (
        lambda name, found: np.ravel(found[0]),
        lambda low, high: f"{low:g}" if np.isnan(high) else f"{low:.5g} to {high:.5g}", "none",
    ),
    "joint": (lambda name, found: np.ravel(found[1]), "{:.5g} to {:.5g}", "none"),
    "ratio of the two": (
        lambda name, found: found[2],
        lambda name, ratio: f"a factor of about {ratio:g}" if name == "claimed" else f"any up to {ratio:.3g}",
        "", (), ("quantity",),
    ),
}, across=True)
tables.show(claimed)

# %%
# NBVAL_CHECK_OUTPUT
print(calibrated.code)
print(sentence)

# %%
results = {
    "feasible": feasible,
    "at_reference": there,
    "fits": profile,
    "map": chi2_map,
    "assessment": calibrated,
}

# %%
electron_alone, (low, high) = claims["c_mu"]["electron_alone"], claims["c_mu"]["joint"]
stated = {"claimedElectronC": electron_alone, "claimedJointCLow": low, "claimedJointCHigh": high}
publish.numbers(settings, source="reported_2025.toml", mark="claimed", form="g", **stated)
for place, (low, high) in (("Start", feasible.joint[0]), ("Reference", there.joint[0])):
    publish.numbers(settings, form=".2f", **{f"jointC{place}Low": low, f"jointC{place}High": high})
low, high = there.electron[0]
publish.numbers(settings, form=".1f", electronCLow=low, electronCHigh=high)

# %%
csv = {"c_mu": tables.tabulate_c_mu(feasible, fitted), "claimed_computed": claimed}
_ = store.save(settings, results=results, verdict=sentence, verdict_code=calibrated.code, tables=csv)
