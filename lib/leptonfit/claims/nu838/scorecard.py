"""Report NU838's scorecard and numbers, recomputed from its own figures.

Each audit row takes what the report states and what follows from its other statements; nothing here is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leptonfit.claims.nu838.model_comparison import FOLDS, ComparisonResult, ModelResult
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import Experiment
from leptonfit.neutrino.joint import JointResult
from leptonfit.neutrino.likelihood import to_moment
from leptonfit.neutrino.threshold_scan import CoherenceResult, SpreadResult

_LEAD = 0.5
"""Of a score of ten: less is no lead."""
HOLDS, CONTRADICTED, UNVERIFIABLE = "holds", "contradicted", "not verifiable"
AGREES, DIFFERS, UNMEASURED = "agrees", "differs", "not measured"
VAGUE, INCOMPARABLE = "cannot be told", "not comparable"
STANDINGS = (AGREES, DIFFERS, UNMEASURED, VAGUE, INCOMPARABLE)


@dataclass(frozen=True)
class AuditRow(Result):
    """One claim, and what follows from the report's other numbers.

    Attributes
    ----------
    claim, claimed, recomputed : str
    standing : str
        holds, contradicted, not verifiable, or not comparable (of data of this workbook's own).
    """

    claim: str
    claimed: str
    recomputed: str
    standing: str


def add_points(report: Mapping[str, Any]) -> np.ndarray:
    """Points weight × score / 10 (n_dimensions, 2) of EFT and mainstream."""
    dimensions = report["scorecard"]["dimension"]
    return np.array([[one["weight"] * score / 10 for score in one["scores"]] for one in dimensions])


def rank_differences(differences: Sequence[float]) -> list[int]:
    """Competition ranks, the largest first; equal ones share a rank."""
    rounded = np.round(differences, 9)
    return [1 + int(np.sum(rounded > one)) for one in rounded]


def _row(claim: str, claimed: float, found: float, form: str, *, more: str = "") -> AuditRow:
    said, computed = format(claimed, form), format(found, form)
    return AuditRow(claim, said, computed + more, HOLDS if said == computed else CONTRADICTED)


def audit_report(
    report: Mapping[str, Any], experiments: Mapping[str, Experiment], published: Mapping[str, float]
) -> list[AuditRow]:
    """Recompute the report from its own numbers.

    Parameters
    ----------
    report : mapping
        From `load_report`.
    experiments : mapping
        By slug: what thresholds real spectra have.
    published : mapping
        Published limits, 1e-11 μ_B, by name.
    """
    score, metrics, given, result = report["scorecard"], report["metrics"], report["report"], report["result"]
    points, dimensions = add_points(report), report["scorecard"]["dimension"]
    totals, claimed_points = points.sum(axis=0), np.array([one["points"] for one in dimensions])
    differences = np.array([one["difference"] for one in dimensions])
    samples = sum(one["n_samples"] for one in report["dataset"])
    records = sum(one.get("records", 0) for one in report["dataset"])
    rows = [
        _row("EFT total", score["totals"][0], totals[0], ".1f"),
        _row("mainstream total", score["totals"][1], totals[1], ".1f"),
        _row("difference of totals", score["difference"], totals[0] - totals[1], ".1f"),
        AuditRow("points of each row", f"{len(dimensions)} rows",
                 f"{np.sum(np.isclose(points, claimed_points).all(axis=1))} right",
                 HOLDS if np.isclose(points, claimed_points).all() else CONTRADICTED),
        AuditRow("difference of each row", f"{len(dimensions)} rows",
                 f"{np.sum(np.isclose(points @ [1, -1], differences))} right",
                 HOLDS if np.isclose(points @ [1, -1], differences).all() else CONTRADICTED),
        _ranks(dimensions, points),
        _row(f"n_samples_total, over its {len(report['dataset'])} data sets", given["n_samples_total"], samples, "d",
             more=f" (table 1: {records})"),
    ]  # fmt: skip
    for k, (name, aic, bic) in enumerate(zip(("EFT", "mainstream"), metrics["aic"], metrics["bic"], strict=True)):
        n_par = metrics["n_parameters"][k]
        following = [n_par * (math.log(n) - 2) for n in (given["n_samples_total"], given["n_conditions"])]
        rows.append(
            AuditRow(
                f"BIC − AIC, {name}, k = {n_par}", f"{bic - aic:.1f}",
                f"{following[0]:.1f} at n = {given['n_samples_total']} ({following[1]:.1f} at {given['n_conditions']})",
                HOLDS if any(abs(bic - aic - one) < 0.1 for one in following) else CONTRADICTED,
            )
        )  # fmt: skip
    implied = [math.exp((bic - aic) / k + 2) for aic, bic, k in
               zip(metrics["aic"], metrics["bic"], metrics["n_parameters"], strict=True)]  # fmt: skip
    rows.append(
        AuditRow("n implied by BIC − AIC, one data set", "the same for both models",
                 f"{implied[0]:.0f} and {implied[1]:.0f}",
                 HOLDS if abs(math.log(implied[0] / implied[1])) < 0.05 else CONTRADICTED)
    )  # fmt: skip
    delta_rmse = 100 * (metrics["rmse"][0] / metrics["rmse"][1] - 1)
    rows.append(_row("ΔRMSE (%)", metrics["delta_rmse_percent"], delta_rmse, ".1f"))
    bayes = (metrics["bic"][1] - metrics["bic"][0]) / 2
    rows.append(
        AuditRow("lnK, beside −ΔBIC/2", "{:g} ± {:g}".format(*result["lnK"]), f"{bayes:.2f}",
                 HOLDS if abs(bayes - result["lnK"][0]) < 3 * result["lnK"][1] else CONTRADICTED)
    )  # fmt: skip
    n = given["n_conditions"]
    chi2 = [dof * (n - k) for dof, k in zip(metrics["chi2_dof"], metrics["n_parameters"], strict=True)]
    gain = chi2[1] - chi2[0] - 2 * (metrics["n_parameters"][0] - metrics["n_parameters"][1])
    claimed_gain = metrics["aic"][1] - metrics["aic"][0]
    rows.append(
        AuditRow(f"ΔAIC implied by χ²/dof at {n}", f"{claimed_gain:.1f}", f"{gain:.1f}",
                 HOLDS if abs(gain - claimed_gain) < 0.1 * claimed_gain else CONTRADICTED)
    )  # fmt: skip
    margin = 100 * claimed_gain / metrics["aic"][1]
    rows.append(
        AuditRow("falsification margin, beside ΔAIC/AIC", f"≥ {given['falsification_margin_percent']:g} %",
                 f"{margin:.1f} %", HOLDS if margin >= given["falsification_margin_percent"] else CONTRADICTED)
    )  # fmt: skip
    one_percent = given["falsification_deterioration_percent"] / 100 * metrics["aic"][0]
    rows.append(
        AuditRow("two falsification thresholds on AIC", f"ΔAIC < {given['falsification_delta_aic']:g}",
                 f"{given['falsification_deterioration_percent']:g} % of AIC is {one_percent:.1f}: "
                 f"{one_percent / given['falsification_delta_aic']:.0f} times as much",
                 HOLDS if one_percent <= 2 * given["falsification_delta_aic"] else CONTRADICTED)
    )  # fmt: skip
    rows.append(_economy(dimensions, metrics))
    rows += _thresholds(report, experiments)
    xenon = published["XENONnT 2022"] * 1e-11
    rows.append(
        AuditRow("global 90 % limit, with XENON in the list", f"{result['mu_lim_90'][0]:.2g} μ_B",
                 f"XENONnT alone: {xenon:.2g} μ_B", HOLDS if result["mu_lim_90"][0] <= xenon else CONTRADICTED)
    )  # fmt: skip
    attainable = sum(one.n_bins - 1 for one in experiments.values())
    rows.append(AuditRow("n_conditions, on the bins of the spectra here", str(n), str(attainable), INCOMPARABLE))
    gates = ", ".join(given["gates"])
    rows.append(AuditRow("quality gates I to IV", gates, "what they test is not said", UNVERIFIABLE))
    rows.append(AuditRow("hash of the package", given["hash"], "cut off: names no file", UNVERIFIABLE))
    return rows


def _ranks(dimensions: Sequence[Mapping[str, Any]], points: np.ndarray) -> AuditRow:
    found = rank_differences(points[:, 0] - points[:, 1])
    claimed = [one["rank"] for one in dimensions]
    wrong = [one["name"] for one, rank in zip(dimensions, found, strict=True) if one["rank"] != rank]
    return AuditRow("ranking of differences", f"{len(claimed)} ranks", "all right" if not wrong else ", ".join(wrong),
                    CONTRADICTED if wrong else HOLDS)  # fmt: skip


def _economy(dimensions: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]) -> AuditRow:
    (economy,) = (one for one in dimensions if one["name"] == "Parameter economy")
    fewer = metrics["n_parameters"][0] <= metrics["n_parameters"][1]
    return AuditRow(
        "parameter economy, EFT above mainstream", "{} against {}".format(*economy["scores"]),
        "{} parameters against {}".format(*metrics["n_parameters"]),
        HOLDS if fewer == (economy["scores"][0] >= economy["scores"][1]) else CONTRADICTED,
    )  # fmt: skip


def _thresholds(report: Mapping[str, Any], experiments: Mapping[str, Experiment]) -> list[AuditRow]:
    rows = []
    for one in report["dataset"]:
        slug = one["slugs"][0]
        if "threshold_kevee" not in one or slug not in experiments:
            continue
        experiment = experiments[slug]
        scale = {"keV": 1.0, "MeV": 1e3, "PE": 1 / experiment.values.get("light_yield", 1.0)}[experiment.unit]
        low, high = experiment.edges[[0, -3]] * scale
        first, last = one["threshold_kevee"]
        if one.get("nuclear"):
            recoil = np.linspace(0, 0.06, 601)
            seen = recoil[:, None] ** np.arange(1, 5) @ np.array(experiment.values["quenching"])
            low, high = 1e3 * np.interp([low / 1e3, high / 1e3], seen, recoil)
        unit = "keV nuclear" if one.get("nuclear") else "keVee"
        standing = HOLDS if first <= high and last >= low else CONTRADICTED
        found = f"{low:.3g} to {high:.3g}"
        rows.append(
            AuditRow(f"thresholds of {one['name']} ({unit}), overlap", f"{first:g} to {last:g}", found, standing)
        )
        if slug == "conus":  # its numbers would be sensible in eVee
            standing = HOLDS if first <= 1e3 * high and last >= 1e3 * low else CONTRADICTED
            found = f"{1e3 * low:.3g} to {1e3 * high:.3g}"
            rows.append(
                AuditRow(f"the same numbers for {one['name']} in eVee", f"{first:g} to {last:g}", found, standing)
            )
    return rows


def score_models(one: ComparisonResult, joint: JointResult | None) -> dict[str, tuple[float, float]]:
    """Computed counterparts (EFT, baseline), 0 to 10, of the dimensions that have one.

    Goodness of fit: 10 exp(−|ln χ²/dof|). Predictiveness: 10 shared in inverse proportion to the error on data sets
    left out. Parameter economy: 10 shared in inverse proportion to the number of parameters. Explanatory power: 10
    shared by the evidence. Robustness: the share of parameters that the data have measured. Cross-sample consistency:
    10 where one moment for all sets is not rejected at 5 %, less in proportion where it is; the same for both.
    """
    eft, base = one.eft, one.baseline
    errors = np.array([eft.metrics.cv_rmse, base.metrics.cv_rmse])
    parameters = np.array([eft.metrics.n_parameters, base.metrics.n_parameters])
    bayes, _ = one.log_bayes_factor
    measured = [10 * (1 - len(model.prior_dominated) / len(model.fit.names)) for model in (eft, base)]
    share = 1 / (1 + math.exp(-bayes))
    scores = {
        "Explanatory power": (10 * share, 10 * (1 - share)),
        "Predictiveness": _share(1 / errors),
        "Goodness of fit": (10 * math.exp(-abs(math.log(eft.metrics.chi2_dof))),
                            10 * math.exp(-abs(math.log(base.metrics.chi2_dof)))),
        "Robustness": (measured[0], measured[1]),
        "Parameter economy": _share(1 / parameters),
    }  # fmt: skip
    if joint is not None:
        scores["Cross-sample consistency"] = (10 * min(1.0, joint.toy_p_value / 0.05),) * 2
    return {name: pair for name, pair in scores.items() if np.isfinite(pair).all()}


def _share(merit: np.ndarray) -> tuple[float, float]:
    first, second = 10 * merit / merit.sum()
    return float(first), float(second)


@dataclass(frozen=True)
class ClaimRow(Result):
    """A claimed number beside the computed one.

    Attributes
    ----------
    claim, claimed, computed, standing : str
        Standing: differs by more than two errors of both, agrees, not measured (the data leave it where the prior had
        it), cannot be told (there is no number, its error is above half the claim, or a posterior that holds the claim
        holds zero too), not comparable (of other data).
    """

    claim: str
    claimed: str
    computed: str
    standing: str


def judge_results(
    report: Mapping[str, Any],
    one: ComparisonResult,
    joint: JointResult | None,
    spread: SpreadResult | None,
    coherence: CoherenceResult | None,
) -> list[ClaimRow]:
    """The report's whole summary of results, each number judged by the same rule: as many rows whatever there is.

    Parameters
    ----------
    report : mapping
    one : ComparisonResult
        Of the selection that is judged.
    joint, spread, coherence
        Of the same selection, all classes together as the report has it; None where there are too few data sets.
    """
    result, metrics, found = report["result"], report["metrics"], one.eft.metrics
    rows = [_weigh(name, name, entry["claimed"], one.eft) for name, entry in report["parameter"].items()]
    for level, key in ((0.90, "mu_lim_90"), (0.95, "mu_lim_95")):
        limit = error = math.nan
        if joint is not None and (k := np.flatnonzero(np.isclose(joint.limits.confidence, level))).size:
            limit = float(to_moment(joint.limits.observed["cls"][k[0]]))
            band = to_moment(joint.limits.expected["cls"][k[0]])
            error = float(band[3] - band[1]) / 2
        rows.append(_claim(key, result[key], limit, error))
    rows.append(_p_value("PG_PTE", result["PG_PTE"], math.nan if joint is None else joint.toy_p_value))
    dex = error = math.nan
    if spread is not None:
        dex = math.sqrt(spread.limits.tau2) / math.log(10)
        low, high = np.sqrt(spread.limits.tau2_interval) / math.log(10)
        error = (high - low) / 4
    rows.append(_claim("Delta_log10_mu", result["delta_log10_mu"], dex, error))
    together = (math.nan,) * 2 if coherence is None else (coherence.coherence, float(np.std(coherence.null)))
    rows.append(_claim("C_coh", result["C_coh"], *together))
    rows.append(_claim("lnK", result["lnK"], *one.log_bayes_factor))
    rows += [_weigh(name, f"{name} (keV)", result[name], one.eft) for name in ("x_bend", "tau_c")]
    gains = metrics["aic"][0] - metrics["aic"][1], found.aic - one.baseline.metrics.aic
    folds = min(FOLDS, len(one.slugs))
    rmse = 100 * (found.rmse / one.baseline.metrics.rmse - 1)
    other_data = [
        ("RMSE (ln μ)", metrics["rmse"][0], found.rmse),
        ("R2", metrics["r2"][0], found.r2),
        ("AIC", metrics["aic"][0], found.aic),
        ("BIC", metrics["bic"][0], found.bic),
        ("CV error (ln μ)", metrics["cv"][0], found.cv_rmse),
        ("chi2_dof", metrics["chi2_dof"][0], found.chi2_dof),
        ("KS_p", metrics["ks_p"][0], found.ks_p),
        ("Delta_RMSE_vs_Mainstream (%)", metrics["delta_rmse_percent"], rmse),
        ("CrossVal_kfold, at most a data set each", report["report"]["folds"], folds),
        ("n_experiments, those fitted here", report["report"]["n_experiments"], len(one.slugs)),
        ("n_conditions, those fitted here", report["report"]["n_conditions"], found.n),
    ]
    rows += [ClaimRow(name, f"{claimed:g}", f"{value:.4g}", INCOMPARABLE) for name, claimed, value in other_data]
    total, samples = report["report"]["n_samples_total"], sum(entry["n_samples"] for entry in report["dataset"])
    return [
        *rows,
        ClaimRow(
            "n_samples_total, sum over its own list", str(total), str(samples), AGREES if total == samples else DIFFERS
        ),
        ClaimRow("AIC, EFT less baseline", f"{gains[0]:g}", f"{gains[1]:.4g}", _judge((gains[0], 0.0), gains[1], 2.0)),
    ]


def _judge(claimed: Sequence[float], found: float, error: float) -> str:
    if abs(found - claimed[0]) > 2 * math.hypot(claimed[1], error):
        return DIFFERS
    return VAGUE if math.isnan(found) or error > abs(claimed[0]) / 2 else AGREES


def _weigh(name: str, title: str, claimed: Sequence[float], model: ModelResult) -> ClaimRow:
    """A parameter: it agrees where its posterior, which holds the claim, does not hold zero too."""
    j = model.fit.names.index(name)
    mean, sd = float(model.mean[j]), float(model.sd[j])
    standing = UNMEASURED if name in model.prior_dominated else _judge(claimed, mean, sd)
    return _claim(title, claimed, mean, sd, VAGUE if standing == AGREES and abs(mean) <= 2 * sd else standing)


def _p_value(name: str, claimed: float, found: float) -> ClaimRow:
    """Agree where both are on one side of 0.05."""
    standing = VAGUE if math.isnan(found) else AGREES if (claimed > 0.05) == (found > 0.05) else DIFFERS
    return ClaimRow(name, f"{claimed:g}", "none" if math.isnan(found) else f"{found:.2g}", standing)


def _claim(name: str, claimed: Sequence[float], found: float, error: float, standing: str | None = None) -> ClaimRow:
    computed = "none" if math.isnan(found) else f"{found:.3g} ± {error:.2g}"
    return ClaimRow(name, "{:g} ± {:g}".format(*claimed), computed, standing or _judge(claimed, found, error))


def describe_scorecard(
    rows: Sequence[AuditRow], claims: Sequence[ClaimRow], scores: Mapping[str, tuple[float, float]], selection: str
) -> tuple[str, str]:
    """Verdict code and sentence: `contradicted` where any audit row is, else `consistent`."""
    counts = {standing: sum(one.standing == standing for one in rows)
              for standing in (HOLDS, CONTRADICTED, UNVERIFIABLE, INCOMPARABLE)}  # fmt: skip
    judged = {standing: sum(one.standing == standing for one in claims) for standing in STANDINGS}
    better = [name for name, (eft, base) in scores.items() if eft > base + _LEAD]
    listed = f": {', '.join(better)}" if better else ""
    audited = (
        f"Of {len(rows)} numbers audited, {counts[CONTRADICTED]} are contradicted, {counts[HOLDS]} hold, "
        f"{counts[UNVERIFIABLE]} cannot be verified and {counts[INCOMPARABLE]} cannot be compared."
    )
    results = (
        f"Of its {len(claims)} results, on {selection} counts, {judged[DIFFERS]} differ, {judged[AGREES]} agree, "
        f"{judged[UNMEASURED]} are not measured by these counts, {judged[VAGUE]} cannot be told and "
        f"{judged[INCOMPARABLE]} are of other data and not comparable."
    )
    ahead = f"Of {len(scores)} dimensions with a computed score the EFT is ahead in {len(better)}{listed}."
    said = f"{audited} {results} {ahead}"
    return ("contradicted" if counts[CONTRADICTED] else "consistent"), said
