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
# # What is being fitted, and where to look?
#
# In December 2025 a report modelled $e$, $\mu$ and $\tau$ as Hill vortices in a vacuum of one shared stiffness $\beta$,
# and asked whether the measured masses and g-factors determine $\beta$. This notebook shows the model and the way
# through the workbook.
#
# **Needs** nothing. **Makes** the picture of the model (`results/00_start_here.json`).
#
# A vortex has radius $R$, circulation velocity $U$, and a density that its core depletes by $A$. Its mass is the energy
# of its flow less a stabilisation energy, $m = U^2 I(R, A) - \beta\, S(R, A)$; its moment is taken as that of a rigid
# sphere, $k R U$, and $g = C_\mu k R U$.

# %% tags=["parameters"]
r_max = 10.0  # dimensionless, outer radius of the flow integral [1, 1e3]

# %%
import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check
from leptonfit.claims.december_2025 import load_claims
from leptonfit.vortex import describe_energy, lay_out_flow, scan_outer_radius
from leptonfit.workbook import figures, parameters, publish, store, tables

settings = parameters.read_settings("00_start_here", globals())
figures.use_style()

# %% [markdown]
# ## The model in one picture
#
# The closure `stream`, at a deficit of 0.9 and radius 1. Left: streamlines in the vortex's own frame, over the density.
# Right: how the flow energy grows with the radius out to which it is counted; a smaller vortex has a smaller share.

# %%
flow = lay_out_flow(0.9, r_max=settings.r_max, n=81)

# %% tags=["key-figure"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9))
figures.plot_model(axes, flow)
publish.figure(settings, "vortex", fig, flow=flow)

# %%
# NBVAL_CHECK_OUTPUT
sentence = describe_energy(flow)
print(sentence)

# %% [markdown]
# How much energy there is depends on where the integral ends, in the frame of the box. In the vortex's own frame
# (`lab`) it does not.

# %%
outer = scan_outer_radius(np.geomspace(1.0, 40.0, 81))

# %%
fig, ax = plt.subplots(figsize=(3.4, 2.9))
figures.plot_outer_radius(ax, outer, load_claims()["audit"]["r_max"])
publish.figure(settings, "outer_radius", fig, scan=outer)

# %% [markdown]
# ## Checks
#
# The stream function vanishes on the vortex's surface: what is inside stays inside.

# %%
on_surface = abs(abs(flow.x) - 1) < 1e-9
check(abs(flow.psi[len(flow.z) // 2, on_surface]).max() < 1e-9, "the surface is not a streamline")

# %% [markdown]
# ## The way through
#
# `leptonfit run` executes these in order; each can be opened and run by itself.

# %%
tables.show(tables.tabulate_notebooks())

# %%
results = {"radius": flow.radius, "energy": flow.energy, "share_inside": flow.energy[0] / flow.energy[-1]}
_ = store.save(settings, results=results, verdict=sentence, verdict_code="model")
