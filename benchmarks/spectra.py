"""Spectra and limits of every neutrino data set, timed beside quadrature and MIGRAD in the same run, on one core."""

import itertools
import statistics
import time
from functools import partial

import numpy as np
from iminuit import Minuit
from scipy.integrate import quad

from leptonfit.inference.limits import find_limits
from leptonfit.neutrino import scattering
from leptonfit.neutrino.experiments import SPECTRA, load_experiment, load_response
from leptonfit.neutrino.likelihood import build_likelihood
from leptonfit.neutrino.response import quench_lindhard
from leptonfit.neutrino.spectra import load_sources, predict_spectrum


def main():
    experiments = [load_experiment(slug) for slug in SPECTRA]
    points, xenon = load_response(), experiments[SPECTRA.index("xenonnt")]

    def every():
        quench_lindhard(points.columns["recoil"], 32, points.values["lindhard_k"])
        return [predict_spectrum(one) for one in experiments]

    print(f"neutrino data sets; one core, NumPy {np.__version__}; min, median, max of several runs")
    spectra = line("leptonfit, all nine spectra, weak and magnetic, with shifts", every, 15)
    recoils = np.geomspace(1e-3, 3e-2, 32)
    fine = line("leptonfit, solar magnetic recoils at 32 energies", partial(by_moments, xenon, recoils), 15)
    plain = line("SciPy quad, the same", partial(by_quad, xenon, recoils), 1)
    print(f"    largest difference {np.max(np.abs(fine / plain - 1)):.1e}")
    likelihoods = [build_likelihood(*both) for both in zip(experiments, spectra, strict=True)]
    for like in likelihoods:
        name = f"leptonfit, {like.experiment.slug}: four constructions, two levels"
        line(name, partial(find_limits, like.model, like.data), 5)
    grid = np.linspace(0, 1.5, 41)
    like = likelihoods[SPECTRA.index("xenonnt")]
    ours = line("leptonfit, xenonnt: 41 profile points", lambda: like.model.fit(like.data, theta=grid).value, 15)
    peer = line("iminuit MIGRAD, the same", partial(by_migrad, like, grid), 3)
    print(f"    largest difference {np.max(np.abs(ours - peer)):.1e}")


def by_moments(experiment, recoils):
    least = scattering.least_energy(recoils, scattering.ELECTRON_MASS)
    moments = np.sum([source.moments(least) for source in load_sources(experiment)], axis=0)
    return np.sum(scattering.magnetic(recoils) * moments, axis=0)


def by_quad(experiment, recoils):
    total = np.zeros(len(recoils))
    for source in load_sources(experiment):
        for i, recoil in enumerate(recoils):
            least = float(scattering.least_energy(recoil, scattering.ELECTRON_MASS))
            if source.density is None:
                total[i] += (least < source.line) * source.total * (1 / recoil - 1 / source.line)
                continue

            def integrand(energy, recoil=recoil, source=source):
                return float(source.spectrum(np.array(energy))) * (1 / recoil - 1 / energy)

            cuts = [least, *source.edges[source.edges > least]]
            total[i] += sum(quad(integrand, a, b)[0] for a, b in itertools.pairwise(cuts))
    return scattering.MAGNETIC * total


def by_migrad(like, grid):
    def cost(theta, pulls):
        expected = like.model.expected(theta, pulls)
        deviance = 2 * np.sum(expected - like.data + like.data * np.log(like.data / expected))
        return deviance + np.sum(np.array(pulls)[~like.model.is_free] ** 2)

    found = []
    for theta in grid:
        fit = Minuit(partial(cost, theta), np.zeros(len(like.model.nuisances)), name=like.model.nuisances)
        fit.errordef = Minuit.LEAST_SQUARES
        fit.migrad()
        found.append(fit.fval)
    return np.array(found)


def line(name, run, repeats):
    result, seconds = run(), []
    for _ in range(repeats):
        began = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - began)
    low, middle, high = (1e3 * f(seconds) for f in (min, statistics.median, max))
    print(f"{name:62}{low:9.1f} {middle:9.1f} {high:9.1f} ms")
    return result


if __name__ == "__main__":
    main()
