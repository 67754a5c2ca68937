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
# # What did the December report see, and does it follow?
#
# Each of the report's analyses three ways: *claimed*, what it states; *re-enacted*, its functional, starts, optimiser
# and finite differences, here; *converged*, the same minima found. Then its numbers are held against one another.
#
# **Needs** the report's claims, its measurements and a recorded re-enactment (`data/`). **Makes** the re-enactment on
# this machine, how it moves with what should not matter, and the audit (`results/08_reported.json`).
#
# A re-enactment does not reproduce to the digit, here or anywhere: where a finite-difference gradient of a $\chi^2$
# over sixteen decades stalls depends on everything. So nothing below that the optimiser found is a reference; what
# figures and quoted numbers show is the recorded run, with its versions.

# %% tags=["parameters"]
n_starts = None  # fresh starts at each point of the converged scans; None: what the budget says
seed = 20251223  # seed of the starts, and of the report's random β
budget = "quick"  # effort; explicit values win

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from leptonfit.inference.multistart import run_multistart
from leptonfit.inference.profile import scan_profile
from leptonfit.vortex.audit import audit_report, describe_findings
from leptonfit.vortex.c_mu import feasible_c_mu
from leptonfit.vortex.cross_lepton import REPORT_BOUNDS
from leptonfit.vortex.degeneracy import run_degeneracy_checks
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.reenactment import build_reported, load_recorded, reenact_all, reenact_multi_start, reenact_part
from leptonfit.vortex.reported import load_claims, recompute_scan
from leptonfit.vortex.reported_functional import ReportedClosure
from leptonfit.workbook import figures, parameters, store, tables

settings = parameters.read_settings("08_reported", globals())
effort = {"n_starts": settings.n_starts, "seed": settings.seed}
figures.use_style()

# %% [markdown]
# ## What goes in

# %%
measured = load_measurements("report_2025")
claims = load_claims()
recorded = load_recorded()

# %% [markdown]
# ## Re-enacted
#
# The tight scan as stated, and with other finite-difference steps, orders, starts and grids of the functional: choices
# the report leaves open, or that change the model by less than its own error. The last line only gives the optimiser
# the analytic gradient.

# %%
scans = reenact_all(measured, claims)
multi_start = reenact_multi_start(measured, claims, seed=settings.seed)

# %%
tables.show(tables.tabulate_reenacted(scans["tight"]))

# %% [markdown]
# The recorded run, which figures show:

# %%
print(f"recorded {recorded['recorded']} on {recorded['machine']}, ", end="")
print(", ".join(f"{name} {recorded['versions'][name]}" for name in ("python", "numpy", "scipy")))
tables.show(tables.tabulate_reenacted(recorded["tight"]))

# %% [markdown]
# ## Converged
#
# The same functional, measurements, σ and grids, with the analytic Jacobian and every point from fresh starts.

# %%
converged, seconds = {}, {}
for name in ("tight", "loose"):
    began = time.perf_counter()
    grid = scans[name][0].beta
    converged[name] = scan_profile(build_reported(measured, claims[name]), "beta", grid, **effort)
    seconds[name] = time.perf_counter() - began

# %% tags=["key-figure"]
fig, axes = plt.subplots(1, 2, figsize=(10.5, 4.2))
figures.plot_reenacted(axes, recorded["tight"], converged["tight"], claims)
plt.show()

# %% [markdown]
# The figure shows the recorded re-enactment.
#
# ## The other analyses

# %%
others = dict.fromkeys(("R_mu", "U_mu", "A_mu", "R_tau", "U_tau", "A_tau"), 0.5)  # not fitted to, and so without effect
only, single, held = claims["mass_only"], claims["single_lepton"][1], claims["degeneracy"]
parts = {
    "mass only": reenact_part(measured, claims, only, fixed={"c_mu": 250.0}, residuals=("m_e", "m_mu", "m_tau")),
    "single lepton": reenact_part(
        measured, claims, single, fixed={**others, "c_mu": single["c_mu"]}, residuals=("m_e", "g_e")
    ),
    "fixed amplitude": reenact_part(
        measured, claims, held, fixed={**others, "c_mu": 250.0, "A_e": held["amplitudes"][1]}, residuals=("m_e",)
    ),
}

# %%
box = {**REPORT_BOUNDS, "beta": tuple(claims["multi_start"]["beta_box"])}
boxed = build_reported(measured, claims["multi_start"], bounds=box)
began = time.perf_counter()
free = run_multistart(boxed, n_starts=claims["multi_start"]["n_starts"], seed=settings.seed)
seconds["multi-start"] = time.perf_counter() - began
feasible = feasible_c_mu(measured, np.array([claims["golden_loop"]["beta"]]), closure="reported")

# %%
tight = build_reported(measured, claims["tight"])
checks = run_degeneracy_checks(tight, ReportedClosure(), claims, **effort)

# %%
reenacted = {"g_e": measured.values[3], "multi-start": multi_start, **{name: scans[name][0] for name in scans}, **parts}
found = {"multi-start": free, "c_mu": feasible, **converged, "seconds": seconds}
three_ways = tables.tabulate_three_ways(claims, reenacted, found, checks)
tables.show(three_ways.drop(columns=["re-enacted in s", "converged in s"]))

# %% [markdown]
# ## Audit
#
# Each row is computed from the report's own numbers, as they stand in the data file, or by the library.

# %%
computed = [recompute_scan(claims, name, measured, **effort) for name in ("tight", "loose")]
audit = audit_report(claims, measured, computed, checks)
tables.show(tables.tabulate_audit(audit))

# %%
# NBVAL_CHECK_OUTPUT
for row in audit:
    print(f"{row.name}: {row.verdict} ({row.mark})")

# %% [markdown]
# ## Checks
#
# The converged scans lie nowhere above what the report's optimiser found, and an analytic gradient makes the same
# optimiser agree with them.

# %%
for name in ("tight", "loose"):
    assert (converged[name].chi2_min <= scans[name][0].chi2 + 1e-6).all(), "the report's optimiser found a lower χ²"
assert np.allclose(scans["tight"][-1].chi2, converged["tight"].chi2_min, rtol=1e-3, atol=1e-6), "analytic gradient"

# %% [markdown]
# ## Verdict

# %%
code, sentence = describe_findings(scans["tight"], converged["tight"], audit, claims)

# %%
results = {
    "tight": scans["tight"],
    "loose": scans["loose"],
    "multi_start": multi_start,
    "parts": parts,
    "converged": converged,
    "seconds": seconds,
    "recorded": {key: recorded[key] for key in ("recorded", "machine", "versions")},
    "audit": audit,
}

# %%
csv = {"claimed_computed": three_ways, "audit": tables.tabulate_audit(audit)}
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv)
