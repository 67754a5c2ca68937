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
# # What happens to the verdict when an assumption is moved?
#
# Move a slider: the fit is done anew, by the same functions as in the notebooks. The lines below each picture repeat
# what is on screen as a run, with the notebooks' own effort.
#
# **Needs** the measured masses and g-factors and the report's claims (`data/`). **Makes** three explorers, live in
# JupyterLab, a picture elsewhere (`results/07_explore.json`).

# %% tags=["parameters"]
sigma_m_model = 1e-6  # relative, model error of each mass [1e-12, 1e3]
sigma_g_model = 2e-8  # absolute, model error of each g-factor [1e-14, 1e3]
beta_min = 2.85  # dimensionless, start of the scan [0, 1e9]
beta_max = 3.25  # dimensionless, end of the scan [0, 1e9]
closure = "stream"  # frame and density profile of the vortex [stream | stream_quartic | stream_gaussian |
# stream_linear | lab | lab_quartic | lab_gaussian | lab_linear | reported]
bounds = "report"  # bounds of the vortex [report | wide]
r_max = 10.0  # dimensionless, outer radius of the flow integral [1, 1e3]
lepton = "e"  # lepton whose vortex is shown; at first a fit of its mass and g-factor [e | mu | tau]
radius = 1.0  # dimensionless, radius R of the vortex shown [0.1, 1]
velocity = 0.04323044758504143  # dimensionless, velocity U of the vortex shown [0.001, 3]
amplitude = 0.9999999987660209  # dimensionless, amplitude A of the vortex shown [0.1, 1]
beta = 3.043233053  # dimensionless, vacuum stiffness of the vortex shown [0.01, 10]
c_mu = 231.58669597668023  # dimensionless, C_μ of the vortex shown [100, 1500]

# %%
from leptonfit import check
from leptonfit.workbook import parameters, store
from leptonfit.workbook.explore import MultistartExplorer, ProfileExplorer, VortexExplorer

constraints = (
    "beta_min < beta_max",
    "r_max == 10 or closure != 'reported'",
    "r_max >= 10 or bounds == 'report' or closure in ('lab', 'lab_quartic', 'lab_gaussian', 'lab_linear')",
)
settings = parameters.read_settings("07_explore", globals())

# %% [markdown]
# ## The profile of β
#
# $\chi^2_{\min}(\beta)$, the values allowed at 95 %, the $C_\mu$ that fits exactly, and the three vortices that fit at
# one $\beta$. Widen the scan, loosen the errors, change the closure: does the set close?

# %% tags=["key-figure"]
assumed = ("sigma_m_model", "sigma_g_model", "beta_min", "beta_max", "closure", "bounds", "r_max")
profile = ProfileExplorer(**{name: settings.values[name] for name in assumed})
profile

# %%
# NBVAL_CHECK_OUTPUT
print(profile.code)
print(profile.sentence)

# %% [markdown]
# ## One vortex, and the walk along the degeneracy
#
# Its shape, energies, mass and moment. The button walks: $\beta$ grows, and $R$, $U$ and $A$ are fitted to the same
# mass and g-factor, in the stream closure. How far does it go?

# %%
shown = ("lepton", "radius", "velocity", "amplitude", "beta", "c_mu")
vortex = VortexExplorer(**{name: settings.values[name] for name in shown})
vortex

# %% [markdown]
# ## A multi-start, by two optimisers
#
# The same starts by this solver and by the report's: the waterfall builds up while it runs.

# %%
given = {name: settings.values[name] for name in ("sigma_m_model", "sigma_g_model", "closure", "bounds", "r_max")}
multistart = MultistartExplorer(**given)
multistart

# %% [markdown]
# ## Checks
#
# Ten steps along the degeneracy, and the vortex fits as it did, if it fits; then back.

# %%
before = {name: control.value for name, control in vortex.controls.items()}
fitted = vortex.code
for _ in range(10 if fitted == "fits" else 0):
    vortex.walk()
check(vortex.code == fitted, "mass or g-factor moved along the degeneracy")
vortex.put(**before)

# %%
results = {"profile": profile.profile, "commands": profile.commands(), "multistart": multistart.sentence}
_ = store.save(settings, results=results, verdict=profile.sentence, verdict_code="explored")
