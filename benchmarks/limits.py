"""Recoil spectra, limits and toys on XENONnT's counts, beside quadrature, MIGRAD and pyhf on the same numbers."""

import itertools
import warnings
from functools import partial

import numpy as np
from comparison import Part, Row, compare, is_installed
from iminuit import Minuit
from scipy.integrate import quad

from leptonfit.inference.limit_coverage import draw_toys
from leptonfit.inference.limits import find_limits
from leptonfit.neutrino import scattering
from leptonfit.neutrino.experiments import load_experiment
from leptonfit.neutrino.likelihood import load_likelihood
from leptonfit.neutrino.spectra import load_sources

RECOILS = np.geomspace(1e-3, 3e-2, 32)
GRID = np.linspace(0, 1.5, 41)
CONFIDENCE = (0.90, 0.95)
N_TOYS, N_PEER, SEED = 10_000, 200, 1


def by_moments(experiment):
    least = scattering.least_energy(RECOILS, scattering.ELECTRON_MASS)
    moments = np.sum([source.moments(least) for source in load_sources(experiment)], axis=0)
    return np.sum(scattering.magnetic(RECOILS) * moments, axis=0)


def by_quad(experiment):
    total = np.zeros(len(RECOILS))
    for source in load_sources(experiment):
        for i, recoil in enumerate(RECOILS):
            least = float(scattering.least_energy(recoil, scattering.ELECTRON_MASS))
            if source.density is None:
                total[i] += (least < source.line) * source.total * (1 / recoil - 1 / source.line)
                continue

            def integrand(energy, recoil=recoil, source=source):
                return float(source.spectrum(np.array(energy))) * (1 / recoil - 1 / energy)

            cuts = [least, *source.edges[source.edges > least]]
            total[i] += sum(quad(integrand, a, b)[0] for a, b in itertools.pairwise(cuts))
    return scattering.MAGNETIC * total


def by_migrad(like):
    def cost(theta, pulls):
        expected = like.model.expected(theta, pulls)
        deviance = 2 * np.sum(expected - like.data + like.data * np.log(like.data / expected))
        return deviance + np.sum(np.array(pulls)[~like.model.is_free] ** 2)

    found = []
    for theta in GRID:
        fit = Minuit(partial(cost, theta), np.zeros(len(like.model.nuisances)), name=like.model.nuisances)
        fit.errordef = Minuit.LEAST_SQUARES
        fit.migrad()
        found.append(fit.fval)
    return np.array(found)


def build_pyhf(model):
    """The binned model in pyhf; the free nuisance is the norm of its shift, and a pull moves signal and base alike."""
    import pyhf

    (free,) = np.flatnonzero(model.is_free)
    rest = model.base - model.shifts[free]
    pulled = np.flatnonzero(~model.is_free)

    def vary(values, shifts):
        return [
            {
                "name": model.nuisances[k],
                "type": "histosys",
                "data": {"hi_data": (values + shifts[k]).tolist(), "lo_data": (values - shifts[k]).tolist()},
            }
            for k in pulled
        ]

    def scale(name):
        return {"name": name, "type": "normfactor", "data": None}

    samples = [
        {
            "name": "signal",
            "data": model.signal.tolist(),
            "modifiers": [scale("mu"), *vary(model.signal, model.signal_shifts)],
        },
        {"name": "free", "data": model.shifts[free].tolist(), "modifiers": [scale("norm")]},
        {"name": "rest", "data": rest.tolist(), "modifiers": vary(rest, model.shifts)},
    ]
    return pyhf.Model({"channels": [{"name": "counts", "samples": samples}]}, poi_name="mu")


def bound(peer):
    return [(0, 10) if name == "mu" else (0, 50) if name == "norm" else (-5, 5) for name in peer.config.par_names]


def limits_by_pyhf(like, peer):
    from pyhf.infer.intervals.upper_limits import toms748_scan

    data, (low, high) = [*like.data.tolist(), *peer.config.auxdata], bound(peer)[peer.config.poi_index]
    scans = [toms748_scan(data, peer, low, high, level=1 - one, par_bounds=bound(peer)) for one in CONFIDENCE]
    return np.array([float(observed) for observed, _ in scans])


def cls_by_toys(model, data, theta):
    """CLs at θ and its error, from toys of both hypotheses with the nuisances that fit the data best there."""
    rng = np.random.default_rng(SEED)

    def q_tilde(data, centres):
        free = model.fit(data, lowest=0.0, centres=centres)
        held = model.fit(data, theta=theta, centres=centres)
        return np.where(free.theta <= theta, held.value - free.value, 0.0)

    seen = q_tilde(data[None], np.zeros((1, len(model.nuisances))))
    toys = [draw_toys(model, truth, model.fit(data, theta=truth).pulls, N_TOYS, rng) for truth in (theta, 0.0)]
    return divide_tails(*(np.mean(q_tilde(*one) >= seen) for one in toys), N_TOYS)


def divide_tails(signal, background, n_toys):
    """CLs from the tails of both hypotheses, and its error from the number of toys."""
    cls = signal / background
    return cls, cls * np.sqrt(((1 - signal) / signal + (1 - background) / background) / n_toys)


def cls_by_pyhf(peer, counts, theta):
    from pyhf.infer.calculators import ToyCalculator

    np.random.seed(SEED)  # noqa: NPY002 - SciPy's distributions draw pyhf's toys from it
    data = [*counts.tolist(), *peer.config.auxdata]
    toys = ToyCalculator(data, peer, ntoys=N_PEER, track_progress=False, par_bounds=bound(peer))
    signal, background, _ = toys.pvalues(toys.teststatistic(theta), *toys.distributions(theta))
    return divide_tails(float(signal), float(background), N_PEER)


def run_all() -> list[Row]:
    """Rows by task: spectrum, profile, asymptotic limits, toys."""
    experiment, like = load_experiment("xenonnt"), load_likelihood("xenonnt")
    rows = []
    for task, ours, peers in (
        (
            "solar magnetic recoils at 32 energies",
            partial(by_moments, experiment),
            {"SciPy quad": partial(by_quad, experiment)},
        ),
        (
            "XENONnT: Δχ² at 41 points",
            lambda: like.model.fit(like.data, theta=GRID).value,
            {"iminuit": partial(by_migrad, like)},
        ),
    ):
        expected = ours()
        print(task)
        rows += compare(task, ours, peers, lambda found, expected=expected: differ(found, expected))
    if not is_installed("pyhf"):
        print("  pyhf is not installed: limits are left out")
        return rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pyhf's own imports
        import pyhf

        pyhf.set_backend("numpy", "scipy")
        peer = build_pyhf(like.model)
        pulls = like.model.fit(like.data, theta=0.0).pulls
        task = "XENONnT: CLs limits at 90 and 95 %"
        print(task)
        rows += compare(
            task,
            lambda: find_limits(like.model, like.data, confidence=CONFIDENCE, asimov_pulls=pulls).observed["cls"],
            {"pyhf": partial(limits_by_pyhf, like, peer)},
            lambda found: "θ = " + ", ".join(f"{one:.4f}" for one in found),
        )
        counts = np.round(like.model.base)  # with the counts seen, which are few, pyhf would need many more toys
        theta = float(find_limits(like.model, counts).observed["cls"][0])
        task = f"XENONnT without signal: CLs by {N_TOYS:,} toys"
        print(task)
        name = f"pyhf, extrapolated from {N_PEER} toys"
        peers = {name: Part(partial(cls_by_pyhf, peer, counts, theta), N_TOYS / N_PEER)}
        ours = partial(cls_by_toys, like.model, counts, theta)
        rows += compare(task, ours, peers, lambda found: f"CLs = {found[0]:.3f} ± {found[1]:.3f}")
    return rows


def differ(found, expected):
    """Largest difference from leptonfit's result, as a share of its largest value; nothing for that result itself."""
    share = np.max(np.abs(found - expected)) / np.max(np.abs(expected))
    return f"differs by {share:.0e} at most" if share else ""


if __name__ == "__main__":
    run_all()
