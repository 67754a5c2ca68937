"""Tables of neutrino spectra and of limits on magnetic moments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.errors_in_variables import OrthogonalFitResult
from leptonfit.inference.gaussian_process import CurveResult
from leptonfit.inference.meta import MetaResult
from leptonfit.neutrino.data_limits import DataLimitsResult
from leptonfit.neutrino.experiments import ResponsePoints
from leptonfit.neutrino.likelihood import Likelihood, to_moment
from leptonfit.neutrino.published import PublishedResult
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES
from leptonfit.neutrino.simulation import expect_limit
from leptonfit.neutrino.threshold_scan import ALL, CoherenceResult, SpreadResult, ThresholdScanResult

_INVALID = " †"
"""Mark of a limit whose approximation is not valid for the data set."""
_YES = {True: "yes", False: "no"}
_TOP = 3
"""Number of nuisance parameters shown for each data set."""


def tabulate_published(limits: pd.DataFrame) -> pd.DataFrame:
    """Published limits, sorted by flavour class and year."""
    order = list(FLAVOUR_CLASSES)
    rows = limits.assign(rank=limits["flavour_class"].map(order.index)).sort_values(["rank", "year"])
    return pd.DataFrame(
        {
            "effective moment of": rows["flavour_class"].map(FLAVOUR_CLASSES),
            "experiment": rows["experiment"],
            "year": rows["year"],
            "limit (1e-11 μ_B)": [f"{value:g}" for value in rows["limit"]],
            "confidence": [f"{100 * value:g} %" for value in rows["confidence"]],
            "disputed": rows["disputed"].map(_YES),
            "number": rows["mark"],
            "source": rows["source"],
        }
    ).reset_index(drop=True)


def tabulate_meta(found: PublishedResult) -> pd.DataFrame:
    """Random-effects summary of the published limits, one row for each flavour class."""
    rows = []
    for name, meta in found.classes.items():
        low, high = np.sqrt(meta.tau2_interval)
        rows.append(
            {
                "effective moment of": FLAVOUR_CLASSES[name],
                "experiments": meta.n,
                "estimator": meta.estimator,
                "middle (1e-11 μ_B)": f"{10**meta.mean:.3g}",
                "its 95 % interval": "{:.3g} to {:.3g}".format(*10**meta.interval),
                "spread τ (dex)": f"{math.sqrt(meta.tau2):.3f}",
                "its 95 % interval (dex)": f"{low:.3f} to {high:.3f}",
                "Q": f"{meta.q:.1f}",
                "p if there were no spread": f"{meta.p_value:.2g}",
                "I²": f"{100 * meta.i2:.0f} %",
                "a further experiment, 95 % (1e-11 μ_B)": "{:.2g} to {:.2g}".format(*10**meta.prediction),
            }
        )
    return pd.DataFrame(rows)


def tabulate_estimators(found: Mapping[str, PublishedResult]) -> pd.DataFrame:
    """Spread between experiments (dex), by estimator and flavour class."""
    return pd.DataFrame(
        [
            {"effective moment of": FLAVOUR_CLASSES[name]}
            | {f"τ (dex), {estimator}": f"{math.sqrt(one.classes[name].tau2):.3f}" for estimator, one in found.items()}
            for name in next(iter(found.values())).classes
        ]
    )


def tabulate_spectra(likelihoods: Sequence[Likelihood], mu: float) -> pd.DataFrame:
    """Input and expected counts of the spectra, one row for each data set; `mu` in μ_B."""
    unit = float(to_moment(1.0))
    rows = []
    for one in likelihoods:
        experiment, spectrum = one.experiment, one.spectrum
        rows.append(
            {
                "data set": experiment.title,
                "effective moment of": FLAVOUR_CLASSES[experiment.flavour_class],
                "counts": experiment.mark,
                "bins": experiment.n_bins,
                "range": f"{experiment.edges[0]:g} to {experiment.edges[-1]:g} {experiment.unit}",
                "counted": f"{one.data[: experiment.n_bins].sum():.6g}",
                "weak scattering": f"{spectrum.weak.sum():.4g}",
                f"magnetic, {mu:g} μ_B": f"{spectrum.magnetic.sum() * (mu / unit) ** 2:.3g}",
                "nuisances": len(one.model.nuisances),
            }
        )
    return pd.DataFrame(rows)


def tabulate_tuning(likelihoods: Sequence[Likelihood]) -> pd.DataFrame:
    """Background factors of simulated data sets, with the limits that they lead to in 1e-11 μ_B."""
    rows = []
    for one in likelihoods:
        experiment, n_bins = one.experiment, one.experiment.n_bins
        if experiment.is_observed:
            continue
        rows.append(
            {
                "data set": experiment.title,
                "background, stated": f"{experiment.values['background_rate']:g} /(kg d keV)",
                "factor on it": f"{experiment.values['background_factor']:g}",
                "background counts": f"{one.model.base[:n_bins].sum() - one.spectrum.weak.sum():.3g}",
                "expected CLs limit, as stated": f"{expect_limit(experiment, 1.0):.3g}",
                "tuned to": f"{expect_limit(experiment, experiment.values['background_factor']):.3g} "
                f"({experiment.published})",
            }
        )
    return pd.DataFrame(rows)


def tabulate_data_limits(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Limits (μ_B) by every construction, expected and published, one row for each data set and confidence level.

    A dagger marks a limit outside the range of its approximation (`LimitsResult.is_valid`).
    """
    rows = []
    for one in found:
        for level, confidence in enumerate(one.limits.confidence):
            band = to_moment(one.limits.expected["cls"][level])
            toys, error = one.toys.limit[level], one.toys.error[level]
            spread = to_moment(toys + error) - to_moment(toys)
            rows.append(
                {
                    "data set": one.title,
                    "effective moment of": FLAVOUR_CLASSES[one.flavour_class],
                    "counts": "observed" if one.observed else "simulated",
                    "confidence": f"{100 * confidence:g} %",
                    **{
                        CONSTRUCTIONS[key].title: _write(one.moment_limit(key, level)) + ("" if holds else _INVALID)
                        for key, holds in one.limits.is_valid.items()
                    },
                    "Feldman–Cousins, toys": "too few" if math.isnan(toys) else _write(float(to_moment(toys)), spread),
                    "expected CLs, 68 % of repetitions": f"{band[2]:.3g} ({band[1]:.3g} to {band[3]:.3g})"
                    + ("" if one.limits.is_valid["cls"] else _INVALID),
                    "published": _publish(one, float(confidence)),
                }
            )
    return pd.DataFrame(rows)


def _write(value: float, error: float = math.nan) -> str:
    if math.isinf(value):
        return "no limit"
    return (f"{value:.3g}" if math.isnan(error) else f"{value:.3g} ± {error:.1g}") if value > 0 else "excludes all"


def _publish(one: DataLimitsResult, confidence: float) -> str:
    if math.isnan(one.published) or not math.isclose(confidence, one.published_confidence):
        return "none"
    return f"{one.published:g}e-11 ({one.published_name})"


def tabulate_fits(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Best fits and goodness of fit, one row for each data set; θ = μ² in 1e-22 μ_B².

    p is from the χ² law if at least five counts are expected in every bin, else from toys.
    """
    rows = []
    for one in found:
        fit = one.goodness
        rows.append(
            {
                "data set": one.title,
                "counts": "observed" if one.observed else "simulated",
                "θ̂ (1e-22 μ_B²)": f"{one.limits.theta_hat:.4g} ± {one.limits.sigma:.3g}",
                "from zero": f"{one.significance:+.2f} σ",
                "χ² at θ̂": f"{one.limits.chi2_min:.1f}",
                "degrees of freedom": fit.dof,
                "p": "not testable" if math.isnan(fit.p_value) else f"{fit.p_value:.2g}",
                "p from": f"{fit.n_toys} toys" if fit.is_by_toys else "χ² law",
                **{
                    f"Δχ² = {rise:g} (μ_B)": f"{to_moment(end):.3g}"
                    for rise, end in zip((1.64, 2.71, 3.84), one.limits.delta_chi2, strict=True)
                },
            }
        )
    return pd.DataFrame(rows)


def tabulate_limit_coverage(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Coverage of each construction, one row for each data set, true value and confidence level."""
    rows = []
    for one in found:
        for toys in one.coverage:
            for level, confidence in enumerate(toys.confidence):
                row = {
                    "data set": one.title,
                    "true μ (μ_B)": f"{to_moment(toys.theta):.3g}",
                    "confidence": f"{100 * confidence:g} %",
                    "toys": toys.n_toys,
                }
                for key, n_covered in toys.n_covered.items():
                    low, high = toys.interval(key, level)
                    share = n_covered[level] / toys.n_toys
                    said = "under" if high < confidence else "over" if low > confidence else "as said"
                    construction = CONSTRUCTIONS[key]
                    certain = toys.theta == 0 and not construction.has_low_end
                    row[construction.title] = "100 %, by definition" if certain else f"{100 * share:.1f} % ({said})"
                rows.append(row)
    return pd.DataFrame(rows)


def tabulate_nuisances(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Nuisance parameters that shift each best fit most."""
    rows = []
    for one in found:
        several = one.nuisances
        for k in range(min(_TOP, len(several.names))):
            rows.append(
                {
                    "data set": one.title,
                    "nuisance": several.names[k],
                    "constrained beforehand": _YES[not several.is_free[k]],
                    "pull": f"{several.pulls[k]:+.2f} ± {several.errors[k]:.2f}",
                    "impact on θ̂ (its σ)": f"{several.impacts[k] / one.limits.sigma:+.2f}",
                }
            )
    return pd.DataFrame(rows)


def tabulate_thresholds(scans: Sequence[ThresholdScanResult]) -> pd.DataFrame:
    """Thresholds of each data set, and the shape of its expected curve of limits."""
    rows = []
    for one in scans:
        slope, error = one.k_thr
        curve = one.curve
        rows.append(
            {
                "data set": one.title,
                "counts": "observed" if one.observed else "simulated",
                "attainable": one.attainable,
                "set a limit": len(one.threshold),
                "range": f"{one.threshold[0]:g} to {one.threshold[-1]:g} {one.unit}",
                "worth (independent limits)": f"{one.n_independent:.1f}",
                "k_thr (1e-11 μ_B/keV)": f"{slope:.3g} ± {error:.1g}" if curve else "too few thresholds to tell",
                "x_bend (keV)": _bend(curve) if curve else "",
                "τ_c (keV)": f"{curve.length_scale:.3g}" if curve else "",
            }
        )
    return pd.DataFrame(rows)


def tabulate_conditions(scans: Sequence[ThresholdScanResult]) -> pd.DataFrame:
    """All conditions, one data set at one threshold each, with observed and expected limits in 1e-11 μ_B."""
    rows = []
    for one in scans:
        for i, threshold in enumerate(one.threshold):
            row = {
                "data set": one.title,
                "counts": "observed" if one.observed else "simulated",
                "threshold": f"{threshold:g}",
                "unit": one.unit,
                "approximation": "holds" if one.is_valid[i] else "does not hold",
            }
            for k, (limit, expected) in enumerate(zip(one.limit[i], one.expected[i], strict=True)):
                row |= {f"limit, level {k + 1}": f"{limit:.5g}", f"expected, level {k + 1}": f"{expected:.5g}"}
            names = ("−2 σ", "−1 σ", "median", "+1 σ", "+2 σ")
            row |= {f"band {name}": f"{end:.5g}" for name, end in zip(names, one.band[i], strict=True)}
            rows.append(row)
    return pd.DataFrame(rows)


def _bend(curve: CurveResult) -> str:
    return f"none (bends most at the end, {curve.bend:.3g})" if curve.bend_on_edge else f"{curve.bend:.3g}"


def tabulate_spreads(spreads: Mapping[str, Mapping[str, SpreadResult]], claims: Mapping[str, Any]) -> pd.DataFrame:
    """Spreads between experiments, and from sensitivities alone; the claimed value is for all classes together."""
    claimed = "{:g} ± {:g}".format(*claims["result"]["delta_log10_mu"])
    return pd.DataFrame(
        [
            {
                "counts": counts,
                "effective moment of": FLAVOUR_CLASSES.get(name, "all classes, which are not one quantity"),
                "data sets": ", ".join(one.titles),
                "Δlog10 μ, limits": f"{_dex(one.limits):.2f}",
                "Δlog10 μ, sensitivities alone": f"{_dex(one.sensitivities):.2f}",
                "Δlog10 μ, limits over sensitivities": f"{_dex(one.excess):.2f} (p = {one.excess.p_value:.2g})",
                "Δμ_cross (1e-11 μ_B)": f"{one.cross:.3g}",
                "Δμ_cross, sensitivities alone": f"{one.cross_expected:.3g}",
                "claimed Δlog10 μ": claimed if (counts, name) == (ALL, ALL) else "",
            }
            for counts, classes in spreads.items()
            for name, one in classes.items()
        ]
    )


def _dex(meta: MetaResult) -> float:
    return math.sqrt(meta.tau2) / math.log(10)


def tabulate_threshold_claims(
    scans: Sequence[ThresholdScanResult],
    spreads: Mapping[str, Mapping[str, SpreadResult]],
    coherence: Mapping[str, CoherenceResult | None],
    claims: Mapping[str, Any],
) -> pd.DataFrame:
    """Claims of the report on thresholds and spreads, beside computed values."""
    claimed = claims["result"]
    limited = sum(len(one.threshold) for one in scans)
    curves = {one.title: one.curve for one in scans if one.curve}
    scales = [curve.length_scale for curve in curves.values()]
    bends = [f"{title} {curve.bend:.3g}" for title, curve in curves.items() if not curve.bend_on_edge]
    dex = [
        f"{counts}, {name}: {_dex(one.limits):.2f}"
        for counts, several in spreads.items()
        for name, one in several.items()
    ]
    coherent = [
        f"{counts}: {one.coherence:.2f} (p = {one.p_value:.2g} if unrelated)"
        for counts, one in coherence.items()
        if one
    ]
    rows = [
        (
            "n_conditions",
            f"{claims['report']['n_conditions']}",
            f"{sum(one.attainable for one in scans)} attainable, {limited} set a limit",
        ),
        ("x_bend (keVee)", "{:g} ± {:g}".format(*claimed["x_bend"]), "; ".join(bends) or "no bend in any range"),
        (
            "tau_c (keVee)",
            "{:g} ± {:g}".format(*claimed["tau_c"]),
            f"{min(scales):.2g} to {max(scales):.3g}, by data set" if scales else "no curve",
        ),
        ("Delta_log10_mu", "{:g} ± {:g}".format(*claimed["delta_log10_mu"]), "; ".join(dex) or "one data set"),
        ("C_coh", "{:g} ± {:g}".format(*claimed["C_coh"]), "; ".join(coherent) or "no two curves"),
    ]
    return pd.DataFrame(rows, columns=["claim", "claimed", "computed"])


def tabulate_calibration(points: ResponsePoints, fits: Mapping[str, OrthogonalFitResult]) -> pd.DataFrame:
    """Parameters fitted to the calibration points, beside the true values used to draw the points."""
    drawn = {"Lindhard k": points.values["lindhard_k"], "energy scale": points.values["scale"]}
    return pd.DataFrame(
        [
            {
                "quantity": name,
                "points": f"{fit.n_points} {points.mark}",
                "fitted": f"{fit.values[0]:.5g} ± {fit.errors[0]:.2g}",
                "drawn with": f"{drawn[name]:g}",
                "χ²": f"{fit.chi2:.1f}",
                "degrees of freedom": fit.n_points - 1,
            }
            for name, fit in fits.items()
        ]
    )
