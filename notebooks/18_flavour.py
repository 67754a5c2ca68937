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
# # Which fundamental moments of neutrinos do the data determine?
#
# Each source sends another mixture of neutrino states, and limits one effective moment, a quadratic form in the
# fundamental moments: $\mu_\mathrm{eff}^2 = \mathrm{Tr}(\mu\,\rho\,\mu^\dagger)$ with the density matrix $\rho$ of the
# mixture. With mixing and matter these forms are known. Data sets of the sun and of stopped pions can therefore be
# fitted together, in the same parameters: the transition moments $\Lambda_i$ of Majorana neutrinos, the moments of
# Dirac neutrinos, or those of flavours.
#
# **Needs** the mixing (`data/neutrino/mixing.toml`) and the measured data sets. **Makes** limits on each moment, alone
# and with the others profiled, verdicts, and limits on a charge and a charge radius (`results/18_flavour.json`).

# %% tags=["parameters"]
datasets = "all"  # data sets [borexino_phase2 | lz_ws2022 | lz_ws2024 | pandax4t_run1 | xenonnt | superk_1to4 |
# coherent_csi | coherent_lar | …]
with_xenon1t = False  # fit XENON1T, too, although it disagrees with the other solar data sets
solar_model = "B16-GS98"  # fluxes of the sun, where not measured [B16-GS98 | B16-AGSS09met]
solar_fluxes = "measured"  # what is known of them where they are fitted [measured | loose | model]
atomic_response = "stepping"  # rate of bound electrons of xenon [stepping | rrpa]
more_nuisances = "none"  # optional nuisances, where a data set has them [none | slope | efficiency | argon_37 | …]

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from leptonfit import check
from leptonfit.neutrino import (
    SPECTRA, Choices, bound_alone, bound_components, describe_moments, fit_charges, fit_moments, flavour_shares,
    flavour_state, load_experiment, load_mixing, load_published, load_sources, load_states, majorana_form, mean_shares,
    propagate_mixing, share_mass_states, to_moment,
)
from leptonfit.workbook import figures, parameters, publish, store, tables

settings = parameters.read_settings("18_flavour", globals())
choices = Choices(
    settings.solar_model, settings.solar_fluxes, settings.atomic_response, settings.more_nuisances,
)
mixing = load_mixing()
figures.use_style()

# %% [markdown]
# ## What each source sends
#
# Solar neutrinos arrive as incoherent mass states, in shares that matter at the place of production decides
# (adiabatic, by day; effects of the Earth are neglected). Reactor and stopped-pion neutrinos are still of one flavour.
# The numbers below are the weights of $|\Lambda_i|^2$ in $\mu_\mathrm{eff}^2$, those of the Dirac moments
# $\mu_i^2 = \sum_j |\mu_{ji}|^2$, and the probabilities of the flavours. A mixture that is one pure state has no weight
# for one combination of the $\Lambda_i$. For flavours the products of different $\Lambda_i$ count as well, with phases
# that are not known. Weak scattering uses a rounded probability of the electron flavour for all energies of a branch,
# for $^8$B that of the energies which Super-Kamiokande sees; they agree with those of the mixing to 0.06.

# %%
fluxes = load_sources(load_experiment("lz_ws2024", choices=choices))
solar = {flux.name: np.diag(mean_shares(mixing, flux)) for flux in fluxes}
pure = {f"ν_{name}": flavour_state(mixing, flavour)
        for name, flavour in {"e (reactor, stopped pions)": "e", "μ (stopped pions)": "mu"}.items()}
weak_survival = {f"solar {flux.name}": flux.flavours["nu_e"] for flux in fluxes}
sent = {f"solar {name}": state for name, state in solar.items()} | pure
three = ("1", "2", "3")
sources = tables.from_records(sent, {
    "neutrinos": lambda name, state: name,
    "weights of |Λ_i|²": (
        lambda name, state: np.diag(majorana_form(state)).real, "{:.3f}, {:.3f}, {:.3f}", "", three,
    ),
    "weights of Dirac μ_i²": (lambda name, state: np.diag(state).real, "{:.3f}, {:.3f}, {:.3f}", "", three),
    "flavours e, μ, τ": (
        lambda name, state: flavour_shares(mixing, state), "{:.3f}, {:.3f}, {:.3f}", "", ("e", "μ", "τ"),
    ),
    "electron flavour in weak scattering": (lambda name, state: weak_survival.get(name, np.nan), "{:.2f}", "same"),
    "combinations of Λ_i seen": lambda name, state: int(np.linalg.matrix_rank(majorana_form(state), tol=1e-9)),
})
tables.show(sources)

# %% [markdown]
# ## What each data set counts
#
# The share of each incoherent state in the recoils that a common moment would add, after the detector.

# %%
slugs = [*settings.datasets, *["xenon1t_sr1"] * settings.with_xenon1t]
sets = {slug: load_states(slug, mixing, choices=choices) for slug in slugs}
tables.show(tables.from_records(sets.values(), {
    "data set": "experiment.title",
    "states": lambda one: ", ".join(one.states),
    "shares": lambda one: ", ".join(f"{share:.3f}" for share in one.shares),
    "counts": "experiment.mark",
    "bins": "experiment.n_bins",
    "nuisances": lambda one: len(one.signals.models[0].nuisances),
}))

# %% [markdown]
# ## Limits
#
# The parameters are the squares of the moments, which are not negative. Nuisance parameters are fitted at each point.
# *Alone*: all other moments are 0. *Profiled*: whatever the others are. Both are where $\Delta\chi^2 = 2.71$ above the
# lowest $\chi^2$ at squares that are not negative; after a downward fluctuation this construction gives a stronger
# limit than CLs, see the column beside it. A set that is closed only by the physical limit of the squares is
# `bound_limited`: the counts fix fewer combinations than there are moments, as the column beside it says. CLs stands
# beside them for one moment alone. Data sets have separate nuisance parameters, LZ's two science runs too. XENON1T
# disagrees with the other solar data sets (`13_threshold_scan`), and is fitted only if `with_xenon1t` says so.
#
# Where a mixture is not of pure flavours, products of two moments of flavours count as well. *Without interference*
# they are taken as zero; the next section says what they can change.

# %%
groups = {}
for one in sets.values():
    groups.setdefault(one.experiment.flux, []).append(one)
chosen = {"Borexino": [sets[slug] for slug in sets if slug.startswith("borexino")]}
chosen |= {"all solar": groups.get("solar", [])}
asked = {f"{name}, Majorana": ("majorana", some) for name, some in chosen.items() if some}
asked |= {"all solar, Dirac": ("dirac", groups["solar"])} if "solar" in groups else {}
asked |= {"COHERENT, flavours": ("flavour", groups["pion"])} if "pion" in groups else {}
asked |= {"all, flavours without interference": ("flavour", list(sets.values()))}

# %%
fits = {name: fit_moments(some, basis, mixing) for name, (basis, some) in asked.items()}
rows = [(name, fit, j) for name, fit in fits.items() for j in range(len(fit.names))]
moments = tables.from_records(rows, {
    "data": lambda name, fit, j: name,
    "moment": lambda name, fit, j: fit.names[j],
    "alone (μ_B)": (lambda name, fit, j: fit.alone[j], "{:.3g}"),
    "alone, CLs (μ_B)": (lambda name, fit, j: fit.cls[j], "{:.3g}"),
    "profiled (μ_B)": (lambda name, fit, j: fit.profiled[j], "{:.3g}", "not quoted"),
    "verdict on its square": lambda name, fit, j: fit.verdicts[fit.names[j]].code,
    "combinations that counts determine": (
        lambda name, fit, j: (fit.n_combinations, len(fit.names)), "{} of {}", "", ("", "of"),
    ),
    "χ²; p": (lambda name, fit, j: (fit.chi2, fit.p_value), "{:.1f}; {:.2g}", "", ("(χ²)", "(p)")),
})
tables.show(moments)

# %% [markdown]
# ## If flavours interfere
#
# A limit on $\mu_\mathrm{eff}$ of a mixture $\rho$ bounds $\mu_\alpha$ by $\mu/\sqrt{\rho_{\alpha\alpha}}$ alone, and
# by $\mu\sqrt{(\rho^{-1})_{\alpha\alpha}}$ whatever the other moments and all products are, $\rho$ in the basis of
# flavours. The ratio is what interference can weaken a limit on a flavour by, with the phases that are the least
# favourable.

# %%
mixed = {one.experiment.title: mixing.matrix @ one.mean_state @ mixing.matrix.conj().T
         for one in groups.get("solar", [])}
interference = tables.from_records(mixed, {
    "data set": 0,
    "weaker by, for μ_e, μ_μ, μ_τ": (
        lambda title, state: np.divide(*bound_components(state, 1.0)[::-1]), "{:.2f}, {:.2f}, {:.2f}", "",
        ("e", "μ", "τ"),
    ),
})
tables.show(interference)

# %% [markdown]
# ## Against the literature
#
# B. C. Cañas et al., Phys. Lett. B 753, 191 (2016), arXiv:1510.01684, have $|\Lambda_{1,2,3}| < 5.6, 4.0, 3.1 \cdot
# 10^{-11}\,\mu_B$ at 90 % from earlier data of Borexino. The errors of the mixing angles and of $\Delta m^2_{21}$ move
# our limits by the percentage in the last column (one standard deviation); they are not part of the limits. The weights
# of $|\Lambda_i|^2$ behind the literature's numbers, $(3.1/5.6)^2$ and $(3.1/4.0)^2$ of the third, are smaller than
# ours above for the first two: another mixing and an energy-independent mixture.

# %%
literature = (5.6e-11, 4.0e-11, 3.1e-11)
compared = [
    (name, i, found, errors[name])
    for one in chosen["Borexino"]
    for errors in [propagate_mixing(one.experiment.slug, "majorana", mixing, choices=choices)]
    for i, (name, found) in enumerate(bound_alone(one, "majorana", mixing).items())
]
beside = tables.from_records(compared, {
    "moment": lambda name, i, found, error: name,
    "CLs (μ_B)": (lambda name, i, found, error: to_moment(found.observed["cls"][0]), "{:.3g}"),
    "expected CLs (μ_B)": (lambda name, i, found, error: to_moment(found.expected["cls"][0][2]), "{:.3g}"),
    "Δχ² = 2.71 (μ_B)": (lambda name, i, found, error: to_moment(found.delta_chi2[1]), "{:.3g}"),
    "arXiv:1510.01684 (μ_B)": (lambda name, i, found, error: literature[i], "{:.2g}"),
    "error from mixing (%)": (lambda name, i, found, error: 100 * error, "{:.1f}"),
})
tables.show(beside)

# %% tags=["key-figure"]
energy = np.geomspace(0.1, 15, 200)
shares = share_mass_states(mixing, energy, mixing.potential["B8"])
survival = flavour_shares(mixing, np.stack([np.diag(one) for one in shares.T]))[:, 0]
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), width_ratios=[1, 1.4])
figures.plot_solar_states(axes[0], energy, shares, survival)
figures.plot_moments(axes[1], fits, {"Borexino, Majorana": literature})
publish.figure(settings, "flavour", fig, fits=fits, energy=energy, shares=shares, survival=survival)

# %% [markdown]
# ## Correlations
#
# Of the estimates at the best fit, if squares could be negative; *nan* where the counts do not tell the moments apart
# at all. Within a flavour class they are all but degenerate.

# %%
tables.show(tables.from_records(
    [(name, fit, i, j) for name, fit in fits.items() for i in range(len(fit.names)) for j in range(i)],
    {
        "data": lambda name, fit, i, j: name,
        "moments": lambda name, fit, i, j: f"{fit.names[j]}, {fit.names[i]}",
        "correlation": (lambda name, fit, i, j: fit.correlations[i, j], "{:+.4f}", "not apart"),
    },
))

# %% [markdown]
# ## What a single pure state says, and what phases do
#
# A limit on $\mu_\mathrm{eff}$ bounds each $|\Lambda_i|$ by $\mu/\sqrt{A_{ii}}$ if the others vanish, and by
# $\mu\sqrt{(A^{-1})_{ii}}$ whatever they and their phases are. The form $A$ of one flavour is singular: reactors alone
# leave every $|\Lambda_i|$ open. Stopped pions send two flavours, whose forms have no common null direction, but their
# limits are a hundred times weaker than those of the sun: within these, no phases could change their $\chi^2$ by more
# than the last line says.

# %%
gemma = load_published().set_index("name")["limit"]["GEMMA 2012"] * 1e-11
bounds = {f"reactor, GEMMA 2012, μ_eff < {gemma:.2g} μ_B (published)": (flavour_state(mixing, "e"), gemma)}
bounds |= {f"the sun, all from {name}, for the same μ_eff": (state, gemma) for name, state in solar.items()
           if name in ("pp", "B8")}
singles = tables.from_records(bounds, {
    "neutrinos": lambda name, bound: name,
    "|Λ_i| alone (μ_B)": (
        lambda name, bound: bound_components(majorana_form(bound[0]), bound[1])[0], "{:.3g}, {:.3g}, {:.3g}", "", three,
    ),
    "|Λ_i|, whatever the others (μ_B)": (
        lambda name, bound: bound_components(majorana_form(bound[0]), bound[1])[1], "{:.3g}, {:.3g}, {:.3g}", "", three,
    ),
})
tables.show(singles)

# %%
if "all solar, Majorana" in fits and "pion" in groups:
    largest = np.sum((fits["all solar, Majorana"].profiled / 1e-11) ** 2)  # no form of one state exceeds Σ |Λ_i|²
    for one in groups["pion"]:
        corners = np.array([[0.0, 0.0], [largest, 0.0], [0.0, largest], [largest, largest]])
        chi2 = np.sum(one.signals.expand(corners)[0] ** 2, axis=-1)
        change = np.abs(chi2 - chi2[0]).max()
        print(f"{one.experiment.title}: χ² changes by at most {change:.1g} within the limits from the sun")
        check(change < 0.01, "phases matter in the joint fit")

# %% [markdown]
# ## Charge and charge radius
#
# Other dependences on the recoil energy in the same machinery. A charge $q_\nu$ adds recoils like $1/T^2$, a charge
# radius shifts $\sin^2\theta_W$; both interfere with weak scattering, so that a set may have two parts. One quantity of
# the flavours named is free, all others are 0; $\nu_\mu$ stands for $\nu_\tau$, too. Electrons are free above their
# binding energy here. M. Atzori Corona et al., Phys. Rev. D 107, 053001 (2023), arXiv:2207.05036, have $|q_\nu| < 1.5
# \cdot 10^{-13}\,e$ at 90 % from LZ's first data with the equivalent-photon approximation, which gives more recoils:
# the sets of LZ here are several times wider. The fitted charge radius includes that of the standard model, which has
# charge radii of $-0.83$, $-0.48$ and $-0.30 \cdot 10^{-32}$ cm² for $\nu_e$, $\nu_\mu$ and $\nu_\tau$. Borexino
# measured its solar fluxes as if there were weak scattering alone; its charge radius is therefore fitted with the
# fluxes of the solar model and their errors.

# %%
tried = [
    ("xenonnt", "charge", "e, mu", 1e-13, 30), ("lz_ws2022", "charge", "e, mu", 1e-13, 30),
    ("lz_ws2024", "charge", "e, mu", 1e-13, 30), ("xenonnt", "radius", "e, mu", 1e-32, 300),
    ("borexino_phase2", "radius", "e", 1e-32, 100), ("coherent_csi", "radius", "e", 1e-32, 120),
    ("coherent_csi", "radius", "mu", 1e-32, 120), ("coherent_csi", "charge", "mu", 1e-8, 100),
]
by_model = replace(choices, solar_fluxes="model")
charged = [fit_charges(load_experiment(slug, choices=by_model), kind, [group], unit=unit, reach=reach)
           for slug, kind, group, unit, reach in tried if slug in sets]


def write_sets(*ends):
    pairs = [f"[{low:.3g}, {high:.3g}]" for low, high in zip(ends[::2], ends[1::2], strict=True) if low == low]
    return " and ".join(pairs)


charges = tables.from_records(charged, {
    "data set": "title",
    "quantity": lambda one: {"charge": "charge (e)", "radius": "charge radius (cm²)"}[one.kind],
    "flavours": lambda one: ", ".join(one.flavours),
    "best fit": (lambda one: one.best[0], "{:.3g}"),
    "90 % set": (
        lambda one: [one.unit * end for pair in one.verdicts[one.flavours[0]].intervals for end in pair], write_sets,
    ),
    "verdict": lambda one: one.verdicts[one.flavours[0]].code,
    "Δχ² of none": (lambda one: one.chi2_zero - one.chi2_best, "{:.2f}"),
})
tables.show(charges)

# %% [markdown]
# ## Checks

# %%
electrons = {f"solar {name}": flavour_shares(mixing, state)[0] for name, state in solar.items()}
differences = [abs(electrons[name] - weak_survival[name]) for name in electrons]
check(max(differences) < 0.06, "weak scattering has another mixing")
check(all(fit.p_value > 2.7e-3 for fit in fits.values()), "a model is rejected, and its limits mean nothing")
check(all((fit.profiled > 0.999 * fit.alone).all() for fit in fits.values()), "profiling others made a limit stronger")

# %% [markdown]
# ## Verdict

# %%
left_out = [load_experiment(slug).title for slug in SPECTRA if slug not in sets]
code, sentence = describe_moments(fits, left_out)

# %%
# NBVAL_CHECK_OUTPUT
print(code)
print(sentence)

# %%
for name, fit in fits.items():
    for moment, end in zip(fit.names, fit.profiled, strict=True):
        letters = moment.replace("Λ", "Lambda").replace("μ_μ", "mu_muon").replace("μ", "mu").replace("τ", "tau")
        macro = f"limit{publish.spell(name)}{publish.spell(letters)}"
        publish.numbers(settings, form=".3g", **{macro: end / 1e-11})

# %%
results = {"fits": fits, "charges": charged}
csv = {"sources": sources, "moments": moments, "beside": beside, "interference": interference, "singles": singles,
       "charges": charges}
publish.table(settings, "moments", moments)
publish.table(settings, "charges", charges)
mark = "numerical" if all(one.experiment.is_observed for one in sets.values()) else "simulated"
_ = store.save(settings, results=results, verdict=sentence, verdict_code=code, tables=csv, mark=mark)
