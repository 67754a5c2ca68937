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
# # Do your data determine your parameters?
#
# A function, a table and bounds are enough. The example is an activity that decays to a background,
# $y = a\,e^{-bt} + c$, measured over a long time and over a short one. All data here are simulated from known
# parameters ($a = 5$, $b = 0.8$, $c = 1$), so that the right answers are known.
#
# **Needs** `data/examples/decay_long.csv` and `decay_short.csv`. **Makes** verdicts on every parameter, and a gallery
# of fits whose answers are known from closed forms (`results/20_your_fit.json`).

# %% tags=["parameters"]
level = 0.95  # confidence level of the intervals [0.5, 0.999]
n_starts = None  # count, fresh starts at each point of a profile {quick: 8, full: 32} [1, 1000]
seed = 20251223  # seed of starts and simulated data [0, 9223372036854775807]
budget = "quick"  # effort [quick | full]

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import leptonfit
from leptonfit.datafiles import read_csv
from leptonfit.workbook import figures, parameters, publish, store, tables

settings = parameters.read_settings("20_your_fit", globals())
how = {"level": settings.level, "effort": leptonfit.Effort(settings.n_starts, settings.seed)}
figures.use_style()

# %% [markdown]
# ## Three lines
#
# Bounds are search bounds: they say where to look. Those of other parameters never make a verdict; where the allowed
# values reach the parameter's own bound, its interval is open.


# %%
def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


bounds = {"a": (0, 20), "b": (0, 5), "c": (-3, 3)}
long = pd.DataFrame(read_csv("examples/decay_long.csv"))

# %%
problem = leptonfit.problem_from_model(decay, long.t, long.y, long.sigma, bounds)
measured_long = leptonfit.assess(problem, derived={"half_life": lambda p: np.log(2) / p["b"]}, **how)
print(measured_long)

# %% [markdown]
# Over a long time the data determine all three parameters and the half-life, which is profiled like a parameter.

# %%
measured_long.plot()

# %% [markdown]
# ## The same fit to data over a short time

# %%
short = pd.DataFrame(read_csv("examples/decay_short.csv"))
problem = leptonfit.problem_from_model(decay, short.t, short.y, short.sigma, bounds)
measured_short = leptonfit.assess(problem, ["b"], **how)
print(measured_short)

# %% [markdown]
# The interval within the bounds looks finite, but it is made by the bounds of the other parameters. With wider bounds
# the same data allow every decay rate down to a straight line.

# %%
wide = leptonfit.problem_from_model(
    decay, short.t, short.y, short.sigma, {"a": (0, 1e4), "b": (0, 5), "c": (-1e4, 1e4)}
)
sets = leptonfit.SetOptions((settings.level,), release=False)
alone = leptonfit.scan_profile(wide, "b", np.linspace(0.01, 5, 41), effort=how["effort"], sets=sets)

# %% tags=["key-figure"]
# Long and short data with the fits that they allow, and the profiles of b below
fig, axes = plt.subplots(2, 2, figsize=(6.8, 5.2), sharex="row", sharey="row")
profile = measured_long.profiles["b"]
for (above, below), answer, free in zip(axes.T, (measured_long, measured_short), (profile, alone), strict=True):
    figures.plot_allowed_fits(above, answer.problem, free, until=6)
    above.set(ylim=(0, 7), xlabel="time t (arbitrary units)")
    figures.plot_profile_by_cause(below, answer.profiles["b"], free, answer.verdicts["b"].code)
    below.set(xlim=(0, 5), xlabel="decay rate b (1/unit of t)")
axes[0, 0].set(title="simulated over a long time", ylabel="activity y")
axes[0, 1].set_title("simulated over a short time")
axes[1, 1].set_ylabel("")
axes[0, 0].legend()
axes[1, 0].legend()
publish.figure(settings, "own_fit", fig, long=profile, short=measured_short.profiles["b"], short_alone=alone)

# %% [markdown]
# What would determine $b$?

# %%
for sentence in measured_short.explain("b"):
    print(sentence)

# %% [markdown]
# ## Unknown errors, counts, a prior
#
# Without σ it is estimated from the scatter, and the intervals are Student's. Counts have Poisson's likelihood, empty
# bins included. A background that another measurement knows enters as a prior.

# %%
unknown = leptonfit.problem_from_model(decay, long.t, long.y, None, bounds)
print(leptonfit.assess(unknown, ["b"], **how))

# %%
rng = np.random.default_rng(settings.seed)
energy = np.arange(10.0)
counts = rng.poisson(20 + 3 * np.exp(-energy / 2))
signal = leptonfit.Parameter(name="signal", start=1, lower=0, upper=100, physical=(0, np.inf))
spectrum = leptonfit.problem_from_model(
    lambda e, signal, background: background + signal * np.exp(-e / 2),
    energy,
    counts,
    "poisson",
    {"signal": signal, "background": (1, 100)},
)
counted = leptonfit.assess(leptonfit.add_prior(spectrum, "background", 20, 2), **how)
print(counted)

# %% [markdown]
# ## Gallery
#
# Fits whose answers are known: at substrate concentrations far below $K_m$ only $V_{max}/K_m$ matters; absorption and
# elimination may change places (flip-flop kinetics); in A → B → C a detector scale and an amount appear only as a
# product; a sine sampled at whole numbers has aliases; two exponentials may change places; a Gaussian peak on a slope
# is determined. In an epidemic (SIR) of which an unknown share is reported, only population times share is determined;
# where only the prey of a Lotka–Volterra system is counted, only attack rate times number of predators is. Simulated
# counts like those of XENON, a signal that falls with recoil energy above a flat background, determine the background.


# %%
def michaelis(s, v_max, k_m):
    return v_max * s / (k_m + s)


def oral(t, volume, k_in, k_out):
    return k_in / (volume * (k_in - k_out)) * (np.exp(-k_out * t) - np.exp(-k_in * t))


def chain(t, scale, amount, k1, k2):
    return scale * amount * k1 / (k2 - k1) * (np.exp(-k1 * t) - np.exp(-k2 * t))


def sine(t, frequency, phase):
    return np.sin(2 * np.pi * frequency * t + phase)


def two_decays(t, a, p, b, q):
    return a * np.exp(-p * t) + b * np.exp(-q * t)


def peak(x, height, centre, width, offset, slope):
    return height * np.exp(-(((x - centre) / width) ** 2) / 2) + offset + slope * x


def xenon(energy, signal, background):  # keV
    return background + signal / energy


# %% [markdown]
# Two differential equations, solved by the fourth-order Runge–Kutta method for all parameter sets at once.


# %%
def runge_kutta(rate, state, t, n_steps):
    states, now = [], 0.0
    for then in t:
        h = (then - now) / n_steps
        for _ in range(n_steps):
            k1 = rate(state)
            k2 = rate(state + h / 2 * k1)
            k3 = rate(state + h / 2 * k2)
            state = state + h / 6 * (k1 + 2 * (k2 + k3) + rate(state + h * k3))
        states.append(state)
        now = then
    return np.concatenate(states, axis=-1)  # t is the last axis


def epidemic(t, infection, recovery, population, reported):  # day
    infection, recovery = (np.atleast_1d(value) for value in np.broadcast_arrays(infection, recovery))

    def rate(state):
        new = infection * state[0] * state[1]
        return np.stack([-new, new - recovery * state[1]])

    ill = runge_kutta(rate, np.stack([0.999 + 0 * infection, 0.001 + 0 * infection]), t, 2)[1]
    return reported * population * ill


def prey(t, growth, attack, gain, death, n_prey, n_predators):
    state = np.stack(
        [np.atleast_1d(value) for value in np.broadcast_arrays(n_prey + 0 * attack, n_predators + 0 * gain)]
    )

    def rate(state):
        meet = state[0] * state[1]
        return np.stack([growth * state[0] - attack * meet, gain * meet - death * state[1]])

    return runge_kutta(rate, state, t, 4)[0]


# %%
gallery = {  # x, true parameters, error, bounds, the parameter judged, the right verdict
    michaelis: (np.arange(1, 6) / 100, (10, 5), 1e-3, [(0, 1e3)] * 2, "v_max", "open_above"),
    oral: (np.linspace(0.25, 12, 16), (2, 1.5, 0.3), 0.005, [(0.01, 20), (0.01, 5), (0.01, 5)], "k_in", "disjoint"),
    chain: (
        np.linspace(0, 8, 17),
        (2, 3, 1.2, 0.4),
        0.05,
        [(0, 100), (0, 100), (0.01, 5), (0.01, 5)],
        "scale",
        "not_identified",
    ),
    sine: (np.arange(12.0), (0.3, 0.5), 0.1, [(0, 1), (-4, 4)], "frequency", "disjoint"),
    two_decays: (np.linspace(0, 6, 25), (3, 2, 1, 0.3), 0.02, [(0, 20), (0, 10)] * 2, "p", "disjoint"),
    peak: (
        np.linspace(0, 10, 41),
        (5, 4, 0.8, 1, 0.1),
        0.2,
        [(0, 50), (0, 10), (0.1, 5), (-5, 5), (-1, 1)],
        "width",
        "identified",
    ),
    xenon: (np.arange(1.5, 30.5), (40, 45), "poisson", [(-500, 500), (1, 200)], "background", "identified"),
    epidemic: (
        np.arange(2.0, 42.0, 2.0),
        (0.6, 0.2, 1e4, 0.3),
        20,
        [(0, 3), (0, 2), (1e3, 1e6), (0.001, 1)],
        "population",
        "not_identified",
    ),
    prey: (
        np.arange(1.0, 13.0),
        (1, 0.5, 0.2, 0.6, 4, 1.5),
        0.1,
        [(0, 2), (0, 2), (0, 1), (0, 2), (0, 10), (0, 10)],
        "attack",
        "not_identified",
    ),
}

# %%
rows, answers = [], {}
for model, (x, truth, sigma, limits, name, expected) in gallery.items():
    y = model(x, *truth)
    y = rng.poisson(y) if sigma == "poisson" else y + sigma * rng.standard_normal(len(x))
    names = model.__code__.co_varnames[1 : 1 + len(truth)]
    fit = leptonfit.problem_from_model(model, x, y, sigma, dict(zip(names, limits, strict=True)))
    answer = answers[model.__name__] = leptonfit.assess(fit, [name], **how)
    interval = leptonfit.describe_intervals(answer.verdicts[name].allowed)
    combined = "; ".join(answer.result.combinations)
    rows.append((model.__name__, name, answer.verdicts[name].code, expected, interval, combined))
columns = ["model", "parameter", "verdict", "right verdict", f"{100 * settings.level:g} % set", "determined"]
shown = pd.DataFrame(rows, columns=columns)
tables.show(shown)

# %% [markdown]
# ## Checks

# %%
leptonfit.check(measured_long.verdicts["b"].code == "identified", "long data do not determine b")
leptonfit.check(measured_short.verdicts["b"].code != "identified", "short data determine b")
leptonfit.check((shown["verdict"] == shown["right verdict"]).all(), "a verdict of the gallery is wrong")

# %% [markdown]
# ## Verdict

# %%
b_long, b_short = measured_long.verdicts["b"], measured_short.verdicts["b"]
sentence = (
    f"Long data: {b_long.sentence} Short data: {b_short.sentence} In the gallery "
    f"{(shown['verdict'] == shown['right verdict']).sum()} of {len(shown)} verdicts are right."
)

# %%
# NBVAL_CHECK_OUTPUT
print(b_long.code, b_short.code, counted.verdicts["signal"].code)
print(shown[["model", "verdict"]].to_string(index=False))

# %%
results = {
    "long": measured_long.result,
    "short": measured_short.result,
    "counts": counted.result,
    **{name: answer.result for name, answer in answers.items()},
}
_ = store.save(
    settings, results=results, verdict=sentence, verdict_code=b_long.code, mark="simulated", tables={"gallery": shown}
)
