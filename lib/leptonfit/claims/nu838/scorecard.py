"""Calculations for the audit of report NU838, the verdicts on its results, and the recomputed scorecard.

The sentences are in `report_838.toml`. This module fits nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from leptonfit.claims.claim import HOLDING, Claim, Numbers, Verdict, state_claim
from leptonfit.claims.nu838.model_comparison import FOLDS, ComparisonResult, ModelResult
from leptonfit.neutrino.experiments import Experiment
from leptonfit.neutrino.joint import JointResult
from leptonfit.neutrino.likelihood import to_moment
from leptonfit.neutrino.threshold_scan import CoherenceResult, SpreadResult

_LEAD = 0.5
"""Difference of two scores, out of ten, above which a model is ahead."""


def add_points(report: Mapping[str, Any]) -> np.ndarray:
    """Return the points (n_dimensions, 2) of EFT and mainstream: weight × score / 10."""
    dimensions = report["scorecard"]["dimension"]
    return np.array([[one["weight"] * score / 10 for score in one["scores"]] for one in dimensions])


def rank_differences(differences: Sequence[float]) -> list[int]:
    """Return competition ranks, with rank 1 for the largest difference; equal differences share a rank."""
    rounded = np.round(differences, 9)
    return [1 + int(np.sum(rounded > one)) for one in rounded]


def audit_report(
    report: Mapping[str, Any], experiments: Mapping[str, Experiment], published: Mapping[str, float]
) -> tuple[Claim, ...]:
    """Return every audited claim of the report, recomputed from the numbers that the report states.

    Parameters
    ----------
    report : mapping
        From `load_report`.
    experiments : mapping
        Measured spectra by slug, and the detectors without a public spectrum; their ranges of energy are compared with
        the report's thresholds.
    published : mapping
        Published limits, 1e-11 μ_B, by name.
    """
    found = [
        *_sum_scorecard(report),
        ("samples", _sum_samples(report)),
        *(("penalty", _subtract_criteria(report, k)) for k in (0, 1)),
        ("implied_n", _invert_criteria(report)),
        *_compare_metrics(report),
        *_compare_thresholds(report, experiments),
        ("global_limit", _compare_limit(report, published["XENONnT 2022"] * 1e-11)),
        ("conditions", _count_conditions(report, [one for one in experiments.values() if one.is_observed])),
        ("gates", {"gates": ", ".join(report["report"]["gates"])}),
        ("hash", {}),
    ]
    return tuple(state_claim(report, report["statements"][key], numbers) for key, numbers in found)


def _sum_scorecard(report: Mapping[str, Any]) -> Iterator[tuple[str, Numbers]]:
    score, points = report["scorecard"], add_points(report)
    dimensions, (eft, mainstream) = score["dimension"], points.sum(axis=0)
    for key, stated, total in (
        ("eft_total", score["totals"][0], eft),
        ("mainstream_total", score["totals"][1], mainstream),
        ("total_difference", score["difference"], eft - mainstream),
    ):
        yield key, {"verdict": HOLDING[_is_equal(stated, total)], "total": total}
    differences = points[:, 0] - points[:, 1]
    for key, right in (
        ("points", np.isclose(points, [one["points"] for one in dimensions]).all(axis=1)),
        ("differences", np.isclose(differences, [one["difference"] for one in dimensions])),
    ):
        yield key, {"verdict": HOLDING[bool(right.all())], "n_rows": len(dimensions), "n_right": np.sum(right)}
    ranks = rank_differences(differences.tolist())
    wrong = [one["name"] for one, rank in zip(dimensions, ranks, strict=True) if one["rank"] != rank]
    yield "ranks", {"verdict": HOLDING[not wrong], "n_rows": len(dimensions), "wrong": ", ".join(wrong)}


def _is_equal(stated: float, computed: float) -> bool:
    """Whether two numbers are the same to one decimal, as the report prints them."""
    return f"{stated:.1f}" == f"{computed:.1f}"


def _sum_samples(report: Mapping[str, Any]) -> Numbers:
    n_samples = sum(one["n_samples"] for one in report["dataset"])
    return {
        "verdict": HOLDING[n_samples == report["report"]["n_samples_total"]],
        "n_sets": len(report["dataset"]),
        "n_samples": n_samples,
        "n_records": sum(one.get("records", 0) for one in report["dataset"]),
    }


def _subtract_criteria(report: Mapping[str, Any], k: int) -> Numbers:
    metrics, given = report["metrics"], report["report"]
    n_parameters, penalty = metrics["n_parameters"][k], metrics["bic"][k] - metrics["aic"][k]
    following = [n_parameters * (math.log(given[n]) - 2) for n in ("n_samples_total", "n_conditions")]
    return {
        "verdict": HOLDING[any(abs(penalty - one) < 0.1 for one in following)],
        "model": ("EFT", "mainstream")[k],
        "n_parameters": n_parameters,
        "penalty": penalty,
        "from_samples": following[0],
        "from_conditions": following[1],
    }


def _invert_criteria(report: Mapping[str, Any]) -> Numbers:
    metrics = report["metrics"]
    models = zip(metrics["aic"], metrics["bic"], metrics["n_parameters"], strict=True)
    n = [math.exp((bic - aic) / k + 2) for aic, bic, k in models]
    return {"verdict": HOLDING[abs(math.log(n[0] / n[1])) < 0.05], "n": n}


def _compare_metrics(report: Mapping[str, Any]) -> Iterator[tuple[str, Numbers]]:
    metrics, given, (log_k, error) = report["metrics"], report["report"], report["result"]["lnK"]
    percent = 100 * (metrics["rmse"][0] / metrics["rmse"][1] - 1)
    yield "rmse", {"verdict": HOLDING[_is_equal(metrics["delta_rmse_percent"], percent)], "percent": percent}
    bayes = (metrics["bic"][1] - metrics["bic"][0]) / 2
    yield "evidence", {"verdict": HOLDING[abs(bayes - log_k) < 3 * error], "bayes": bayes}
    gain, n_parameters = metrics["aic"][1] - metrics["aic"][0], metrics["n_parameters"]
    freedom = [given["n_conditions"] - k for k in n_parameters]
    chi2 = [ratio * dof for ratio, dof in zip(metrics["chi2_dof"], freedom, strict=True)]
    implied = chi2[1] - chi2[0] - 2 * (n_parameters[0] - n_parameters[1])
    yield "aic_gain", {"verdict": HOLDING[abs(implied - gain) < 0.1 * gain], "gain": gain, "implied": implied}
    margin = 100 * gain / metrics["aic"][1]
    yield "margin", {"verdict": HOLDING[margin >= given["falsification_margin_percent"]], "percent": margin}
    threshold = given["falsification_deterioration_percent"] / 100 * metrics["aic"][0]
    ratio = threshold / given["falsification_delta_aic"]
    yield "aic_thresholds", {"verdict": HOLDING[ratio <= 2], "threshold": threshold, "ratio": ratio}
    (scores,) = (one["scores"] for one in report["scorecard"]["dimension"] if one["name"] == "Parameter economy")
    fewer = n_parameters[0] <= n_parameters[1]
    yield "economy", {"verdict": HOLDING[fewer == (scores[0] >= scores[1])], "scores": scores}


def _compare_thresholds(
    report: Mapping[str, Any], experiments: Mapping[str, Experiment]
) -> Iterator[tuple[str, Numbers]]:
    for one in report["dataset"]:
        slug = one.get("detector", next(iter(one["slugs"]), ""))
        if "threshold_kevee" not in one or slug not in experiments:
            continue
        experiment = experiments[slug]
        low, high = experiment.energies_kev[[0, -3]]
        if one.get("nuclear"):
            recoil = np.linspace(0, 0.06, 601)
            seen = recoil[:, None] ** np.arange(1, 5) @ np.array(experiment.values["quenching"])
            low, high = 1e3 * np.interp([low / 1e3, high / 1e3], seen, recoil)
        yield "threshold" if experiment.is_observed else "threshold_simulated", _overlap(one, low, high)
        if slug == "conus":  # the stated numbers would be plausible in eVee
            yield "threshold_in_ev", _overlap(one, 1e3 * low, 1e3 * high)


def _overlap(dataset: Mapping[str, Any], low: float, high: float) -> Numbers:
    first, last = dataset["threshold_kevee"]
    return {
        "verdict": HOLDING[bool(first <= high and last >= low)],
        "name": dataset["name"],
        "unit": "keV nuclear" if dataset.get("nuclear") else "keVee",
        "first": first,
        "last": last,
        "low": low,
        "high": high,
    }


def _count_conditions(report: Mapping[str, Any], measured: Sequence[Experiment]) -> Numbers:
    most = report["report"]["n_conditions"] // report["report"]["n_experiments"]
    return {
        "attainable": sum(one.n_thresholds for one in measured),
        "most": most,
        "capped": sum(min(most, one.n_thresholds) for one in measured),
        "n_sets": len(measured),
    }


def _compare_limit(report: Mapping[str, Any], xenon: float) -> Numbers:
    return {"verdict": HOLDING[report["result"]["mu_lim_90"][0] <= xenon], "xenon": xenon}


def score_models(one: ComparisonResult, joint: JointResult | None) -> dict[str, tuple[float, float]]:
    """Computed scores (EFT, baseline), 0 to 10, of the scorecard dimensions that can be computed.

    Goodness of fit: 10 exp(−|ln χ²/dof|). Predictiveness: 10 points divided in inverse proportion to the error on data
    sets left out. Parameter economy: 10 points divided in inverse proportion to the number of parameters. Explanatory
    power: 10 points divided in proportion to the evidence. Robustness: 10 times the fraction of parameters that the
    data measure. Cross-sample consistency: 10 min(1, p/0.05), with p for one moment in all sets; the same for both.
    """
    eft, base = one.eft, one.baseline
    errors = np.array([eft.metrics.cv_rmse, base.metrics.cv_rmse])
    parameters = np.array([eft.metrics.n_parameters, base.metrics.n_parameters])
    bayes, _ = one.log_bayes_factor
    measured = [10 * (1 - len(model.prior_dominated) / len(model.fit.names)) for model in (eft, base)]
    fits = [10 * math.exp(-abs(math.log(model.metrics.chi2_dof))) for model in (eft, base)]
    share = 1 / (1 + math.exp(-bayes))
    scores = {
        "Explanatory power": (10 * share, 10 * (1 - share)),
        "Predictiveness": _share(1 / errors),
        "Goodness of fit": (fits[0], fits[1]),
        "Robustness": (measured[0], measured[1]),
        "Parameter economy": _share(1 / parameters),
    }
    if joint is not None:
        scores["Cross-sample consistency"] = (10 * min(1.0, joint.toy_p_value / 0.05),) * 2
    return {name: pair for name, pair in scores.items() if np.isfinite(pair).all()}


def _share(merit: np.ndarray) -> tuple[float, float]:
    first, second = 10 * merit / merit.sum()
    return float(first), float(second)


def judge_results(
    report: Mapping[str, Any],
    one: ComparisonResult,
    joined: tuple[JointResult | None, JointResult | None],
    spread: SpreadResult | None,
    coherence: CoherenceResult | None,
) -> tuple[Claim, ...]:
    """Return a verdict, by one rule, on every number in the report's summary of results.

    Parameters
    ----------
    report : mapping
    one : ComparisonResult
        Model comparison of the selection that is judged.
    joined : tuple of JointResult or None
        From `choose_joint`: the p-value is that of the first fit, the limits are those of the second.
    spread, coherence
        Of all classes together, as in the report; None if there are too few data sets. The number of claims does not
        depend on them.
    """
    result, eft, (whole, joint) = report["result"], one.eft, joined
    limits = {level: _find_limit(joint, level) for level in (0.90, 0.95)}
    dex = (math.nan, math.nan)
    if spread is not None:
        low, high = np.sqrt(spread.limits.tau2_interval) / math.log(10)
        dex = math.sqrt(spread.limits.tau2) / math.log(10), (high - low) / 4
    together = (math.nan, math.nan)
    if coherence is not None:
        together = coherence.coherence, float(np.std(coherence.null))
    found = [
        *(_weigh(name, name, entry["claimed"], eft) for name, entry in report["parameter"].items()),
        _compare("mu_lim_90", result["mu_lim_90"], *limits[0.90]),
        _compare("mu_lim_95", result["mu_lim_95"], *limits[0.95]),
        _compare_p_values("PG_PTE", result["PG_PTE"], math.nan if whole is None else whole.toy_p_value),
        _compare("Delta_log10_mu", result["delta_log10_mu"], *dex),
        _compare("C_coh", result["C_coh"], *together),
        _compare("lnK", result["lnK"], *one.log_bayes_factor),
        *(_weigh(name, f"{name} (keV)", result[name], eft) for name in ("x_bend", "tau_c")),
        *_list_other_data(report, one),
        ("samples", _agree_on_samples(report)),
        ("aic_gain", _compare_gains(report, one)),
    ]
    marked = {**report, "mark": "numerical"}
    return tuple(state_claim(marked, report["judgements"][key], numbers) for key, numbers in found)


def _judge(claimed: Sequence[float], found: float, error: float) -> Verdict:
    if abs(found - claimed[0]) > 2 * math.hypot(claimed[1], error):
        return Verdict.DIFFERS
    return Verdict.VAGUE if math.isnan(found) or error > abs(claimed[0]) / 2 else Verdict.AGREES


def _weigh(name: str, title: str, claimed: Sequence[float], model: ModelResult) -> tuple[str, Numbers]:
    """Judge a parameter: it agrees only if its posterior contains the claimed value and excludes zero."""
    j = model.fit.names.index(name)
    mean, sd = float(model.mean[j]), float(model.sd[j])
    verdict = _judge(claimed, mean, sd)
    if name in model.prior_dominated:
        verdict = Verdict.UNMEASURED
    elif verdict == Verdict.AGREES and abs(mean) <= 2 * sd:
        verdict = Verdict.VAGUE
    return "parameter", {"verdict": verdict, "title": title, "claimed": claimed, "found": mean, "error": sd}


def _compare(title: str, claimed: Sequence[float], found: float, error: float) -> tuple[str, Numbers]:
    case, verdict = "none" if math.isnan(found) else "number", _judge(claimed, found, error)
    numbers = {"verdict": verdict, "case": case, "title": title, "claimed": claimed, "found": found, "error": error}
    return "quantity", numbers


def _compare_p_values(title: str, claimed: float, found: float) -> tuple[str, Numbers]:
    case, verdict = "number", Verdict.AGREES if (claimed > 0.05) == (found > 0.05) else Verdict.DIFFERS
    if math.isnan(found):
        case, verdict = "none", Verdict.VAGUE
    return "p_value", {"verdict": verdict, "case": case, "title": title, "claimed": claimed, "found": found}


def _find_limit(joint: JointResult | None, level: float) -> tuple[float, float]:
    """Joint limit at a confidence level, and half the width of its expected 68 % band; nan if there is none."""
    if joint is None or not (k := np.flatnonzero(np.isclose(joint.limits.confidence, level))).size:
        return math.nan, math.nan
    band = to_moment(joint.limits.expected["cls"][k[0]])
    return float(to_moment(joint.limits.observed["cls"][k[0]])), float(band[3] - band[1]) / 2


def _list_other_data(report: Mapping[str, Any], one: ComparisonResult) -> Iterator[tuple[str, Numbers]]:
    metrics, given, found, base = report["metrics"], report["report"], one.eft.metrics, one.baseline.metrics
    for title, claimed, value in (
        ("RMSE (ln μ)", metrics["rmse"][0], found.rmse),
        ("R2", metrics["r2"][0], found.r2),
        ("AIC", metrics["aic"][0], found.aic),
        ("BIC", metrics["bic"][0], found.bic),
        ("CV error (ln μ)", metrics["cv"][0], found.cv_rmse),
        ("chi2_dof", metrics["chi2_dof"][0], found.chi2_dof),
        ("KS_p", metrics["ks_p"][0], found.ks_p),
        ("Delta_RMSE_vs_Mainstream (%)", metrics["delta_rmse_percent"], 100 * (found.rmse / base.rmse - 1)),
        ("CrossVal_kfold, at most a data set each", given["folds"], min(FOLDS, len(one.slugs))),
        ("n_experiments, those fitted here", given["n_experiments"], len(one.slugs)),
        ("n_conditions, those fitted here", given["n_conditions"], found.n),
    ):
        yield "other_data", {"title": title, "claimed": claimed, "found": value}


def _agree_on_samples(report: Mapping[str, Any]) -> Numbers:
    numbers = _sum_samples(report)
    return numbers | {"verdict": Verdict.AGREES if numbers["verdict"] == Verdict.HOLDS else Verdict.DIFFERS}


def _compare_gains(report: Mapping[str, Any], one: ComparisonResult) -> Numbers:
    claimed = report["metrics"]["aic"][0] - report["metrics"]["aic"][1]
    found = one.eft.metrics.aic - one.baseline.metrics.aic
    return {"verdict": _judge((claimed, 0.0), found, 2.0), "claimed": claimed, "found": found}


def describe_scorecard(
    audit: Sequence[Claim], results: Sequence[Claim], scores: Mapping[str, tuple[float, float]], selection: str
) -> tuple[str, str]:
    """Verdict code and sentence: `contradicted` if any audited number is contradicted, else `consistent`."""
    counts, judged = (Counter(claim.verdict for claim in claims) for claims in (audit, results))
    better = [name for name, (eft, base) in scores.items() if eft > base + _LEAD]
    listed = f": {', '.join(better)}" if better else ""
    sentence = (
        f"Of {len(audit)} numbers audited, {counts[Verdict.CONTRADICTED]} are contradicted, {counts[Verdict.HOLDS]} "
        f"hold, {counts[Verdict.UNVERIFIABLE]} cannot be verified and {counts[Verdict.INCOMPARABLE]} cannot be "
        f"compared. Of its {len(results)} results, on {selection}, {judged[Verdict.DIFFERS]} differ, "
        f"{judged[Verdict.AGREES]} agree, {judged[Verdict.UNMEASURED]} are not measured by these counts, "
        f"{judged[Verdict.VAGUE]} cannot be told and {judged[Verdict.INCOMPARABLE]} are of other data and not "
        f"comparable. Of {len(scores)} dimensions with a computed score the EFT is ahead in {len(better)}{listed}."
    )
    return ("contradicted" if counts[Verdict.CONTRADICTED] else "consistent"), sentence
