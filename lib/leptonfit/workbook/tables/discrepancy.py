"""Tables of joint fits, and of the report's extra terms compared with a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from leptonfit.claims.nu838.discrepancy import BASELINE
from leptonfit.claims.nu838.falsification import FalsificationResult, RelationsResult, VariationResult
from leptonfit.claims.nu838.model_comparison import PRIOR_DOMINATED, ComparisonResult, MetricsResult
from leptonfit.claims.nu838.scorecard import add_points, rank_differences
from leptonfit.neutrino.experiments import SPECTRA
from leptonfit.neutrino.joint import JointResult
from leptonfit.neutrino.likelihood import to_moment
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES

_YES = {True: "yes", False: "no", None: "not executable"}
_OTHERS = {True: "baseline", False: "0.1 to 4000 keV"}


def tabulate_joint(joined: Mapping[str, JointResult], report: Mapping[str, Any]) -> pd.DataFrame:
    """Joint limits and goodness of fit, one row for each selection and class; † marks an approximation out of range."""
    claimed = report["result"]
    widest = max(joined, key=lambda key: len(joined[key].titles), default="")
    rows = []
    for key, one in joined.items():
        counts, _, name = key.partition(": ")
        limits = [
            f"{100 * level:g} %: {to_moment(limit):.3g}"
            for level, limit in zip(one.limits.confidence, one.limits.observed["cls"], strict=True)
        ]
        rows.append(
            {
                "counts": counts,
                "effective moment of": FLAVOUR_CLASSES.get(name, "all classes, if equal"),
                "data sets": ", ".join(one.titles),
                "CLs limit (μ_B)": "; ".join(limits) + ("" if one.limits.is_valid["cls"] else " †"),
                "θ̂ (1e-22 μ_B²)": f"{one.limits.theta_hat:.3g} ± {one.limits.sigma:.2g}",
                "χ²_PG / dof": f"{one.chi2_pg:.2f} / {one.dof}",
                "PG_PTE, χ² law": "too few counts" if math.isnan(one.p_value) else f"{one.p_value:.2f}",
                "PG_PTE, toys": f"{one.toy_p_value:.2f}",
                "claimed": f"90 %: {claimed['mu_lim_90'][0]:g}; PG_PTE {claimed['PG_PTE']:g}" if key == widest else "",
            }
        )
    return pd.DataFrame(rows)


_METRICS = {
    "rmse": ("RMSE (ln μ), descriptive", ".3f"),
    "r2": ("R², descriptive", ".4f"),
    "chi2_dof": ("χ²/dof, effective parameters taken off", ".2f"),
    "aic": ("AIC", ".1f"),
    "bic": ("BIC (independent limits)", ".1f"),
    "bic_n": ("BIC (all conditions)", ".1f"),
    "ks_p": ("KS p", ".2f"),
    "n_parameters": ("parameters", "d"),
    "n_effective": ("parameters that the data determine, without variances", ".1f"),
    "cv_rmse": ("CV error, data sets left out, at most 5 folds (ln μ)", ".3f"),
    "cv_log_density": ("CV log density a condition, data sets left out", ".2f"),
}
_CLAIMED = {"cv_rmse": "cv"}


def tabulate_models(found: Sequence[ComparisonResult], report: Mapping[str, Any]) -> pd.DataFrame:
    """Metrics, evidence and convergence of both models, beside the values that the report states."""
    rows = []
    for key, (title, form) in _METRICS.items():
        claimed = report["metrics"].get(_CLAIMED.get(key, key), ["", ""])
        row = {"quantity": title, "claimed EFT": f"{claimed[0]}", "claimed baseline": f"{claimed[1]}"}
        for one in found:
            for name, model in (("EFT", one.eft), ("baseline", one.baseline)):
                row[f"{one.selection}, {name}"] = _write(model.metrics, key, form)
        rows.append(row)
    more: dict[str, Any] = {"quantity": "ln evidence", "claimed EFT": "", "claimed baseline": ""}
    factor: dict[str, Any] = {"quantity": "lnK", "claimed EFT": "{:g} ± {:g}".format(*report["result"]["lnK"])}
    moment: dict[str, Any] = {"quantity": "lnK, baseline with one moment over baseline"}
    mixing: dict[str, Any] = {"quantity": "emcee: largest R̂; least effective sample"}
    drawn: dict[str, Any] = {"quantity": "posterior drawn by"}
    reached: dict[str, Any] = {"quantity": "best fit: starts that reached it; slope left"}
    for one in found:
        factor[f"{one.selection}, EFT"] = "{:.1f} ± {:.1f}".format(*one.log_bayes_factor)
        moment[f"{one.selection}, baseline"] = "{:.1f} ± {:.1f}".format(*one.log_moment_factor)
        for name, model in (("EFT", one.eft), ("baseline", one.baseline)):
            more[f"{one.selection}, {name}"] = f"{model.evidence.log_evidence:.1f} ± {model.evidence.error:.1f}"
            posterior = model.posterior
            mixing[f"{one.selection}, {name}"] = f"{posterior.r_hat.max():.2f}; {posterior.effective_size.min():.0f}"
            reached[f"{one.selection}, {name}"] = f"{model.fit.n_reached}; {model.fit.slope:.1g}"
            drawn[f"{one.selection}, {name}"] = model.drawn_by
    return pd.DataFrame([*rows, more, factor, moment, mixing, drawn, reached]).fillna("")


def _write(metrics: MetricsResult, key: str, form: str) -> str:
    value = getattr(metrics, key)
    return "" if isinstance(value, float) and math.isnan(value) else format(value, form)


def tabulate_widths(found: Sequence[ComparisonResult], report: Mapping[str, Any]) -> pd.DataFrame:
    """Ratio of posterior to prior width of each EFT parameter, with claimed and computed values."""
    names = found[0].eft.fit.names
    rows = []
    for j, name in enumerate(names):
        claim = report["parameter"].get(name)
        row = {
            "parameter": name,
            "prior": "[{:g}, {:g}]".format(*claim["prior"])
            if claim
            else "baseline"
            if name in BASELINE
            else "0.1 to 4000",
            "claimed": "{:g} ± {:g}".format(*claim["claimed"]) if claim else "",
        }
        for one in found:
            width = one.eft.width[j]
            row[one.selection] = f"{one.eft.mean[j]:.3g} ± {one.eft.sd[j]:.2g}"
            row[f"{one.selection}: posterior/prior"] = f"{width:.2f}" + (" prior" if width > PRIOR_DOMINATED else "")
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_variations(varied: Mapping[str, Sequence[VariationResult]]) -> pd.DataFrame:
    """Comparison of the EFT with the baseline for changed covariates and priors, by selection of data sets."""
    rows = []
    for changes in zip(*varied.values(), strict=True):
        row = {"varied": changes[0].name}
        for selection, one in zip(varied, changes, strict=True):
            drawn = "" if math.isnan(one.n_effective) else f" ({one.n_effective:.0f} draws)"
            row[f"{selection}: −2 ln L; AIC"] = f"{one.delta_chi2:+.1f}; {one.delta_aic:+.1f}"
            row[f"{selection}: lnK"] = f"{one.log_bayes_factor:+.1f} ± {one.error:.1f}{drawn}"
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_falsification(falsified: Mapping[str, FalsificationResult]) -> pd.DataFrame:
    """Outcome of the report's two falsification rules, by selection of data sets."""
    rows = []
    for name, one in falsified.items():
        whole, reduced, base = (
            _leave(*pair) for pair in zip(one.spread.tolist(), one.spread_error.tolist(), strict=True)
        )
        apart = [slug for slug in SPECTRA if slug in one.within and not all(one.within[slug])]
        rows.append(
            {
                "counts": name,
                "ΔAIC with five parameters at zero": f"{one.delta_aic:+.1f} ({one.aic_percent:+.1f} %)",
                "Δ(−2 ln L)": f"{one.delta_chi2:+.1f}",
                "ΔRMSE": f"{one.rmse_percent:+.1f} %",
                "C_coh left, EFT → zero": " → ".join(_leave(value) for value in one.coherence),
                "Δlog10 μ left, EFT → zero (baseline)": f"{whole} → {reduced} ({base})",
                "limits and slopes apart from the baseline": ", ".join(apart) or "none",
                "rule 1 (AIC hardly worse, all at the baseline): falsified": _YES[one.first_rule],
                "rule 2 (RMSE, AIC, C_coh, Δlog10 μ): disfavoured": _YES[one.second_rule],
            }
        )
    return pd.DataFrame(rows)


def _leave(value: float, error: float | None = None) -> str:
    if math.isnan(value):
        return "fewer than two sets"
    if error == 0:  # the interval of the spread is [0, 0]
        return "none beyond the errors"
    return f"{value:.2f}" + (f" ± {error:.2f}" if error else "")


def tabulate_relations(related: Mapping[str, RelationsResult]) -> pd.DataFrame:
    """Correlations in the posterior, by selection of data sets; covariances of slopes in 1e-11 μ_B/keV."""
    rows: dict[str, dict[str, str]] = {}
    for selection, found in related.items():
        said = {
            f"k_thr of {slug} and ln x_bend": f"{value:+.2f}; covariance {found.k_thr_x_bend_covariance[slug]:.2g}"
            for slug, value in found.k_thr_x_bend.items()
        }
        said["k_STG and beta_TPR"] = f"{found.k_stg_beta_tpr:+.2f}"
        for pair, value, (now, then) in (
            ("energy scale and rho_Recon", found.scale_rho_recon, found.rho_recon_sd),
            ("quenching and k_TBN", found.quenching_k_tbn, found.k_tbn_sd),
        ):
            said[pair] = f"{value:+.2f}; error {now:.3f}, perfectly calibrated {then:.3f}"
        for pair, text in said.items():
            rows.setdefault(pair, {"correlation of": pair})[selection] = text
    ordered = sorted(rows.values(), key=lambda row: not row["correlation of"].startswith("k_thr"))
    return pd.DataFrame(ordered, columns=["correlation of", *related]).fillna("")


def tabulate_scorecard(report: Mapping[str, Any], scores: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """Scorecard: claimed scores, points recomputed from them, and computed scores if available."""
    points = add_points(report)
    ranks = rank_differences(points[:, 0] - points[:, 1])
    rows = []
    for one, (eft, base), rank in zip(report["scorecard"]["dimension"], points, ranks, strict=True):
        own = scores.get(one["name"])
        rows.append(
            {
                "dimension": one["name"],
                "weight": one["weight"],
                "claimed scores": "{} : {}".format(*one["scores"]),
                "points, recomputed": f"{eft:.1f} : {base:.1f}",
                "rank of difference": f"{rank} (claimed {one['rank']})",
                "computed scores": f"{own[0]:.1f} : {own[1]:.1f}" if own else "none",
            }
        )
    totals, claimed = points.sum(axis=0), report["scorecard"]["totals"]
    rows.append(
        {
            "dimension": "total",
            "weight": 100,
            "claimed scores": f"{claimed[0]:.1f} : {claimed[1]:.1f}",
            "points, recomputed": f"{totals[0]:.1f} : {totals[1]:.1f}",
            "rank of difference": "",
            "computed scores": "",
        }
    )
    return pd.DataFrame(rows)
