"""Tables of the report's extra terms compared with a baseline, and of its falsification rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leptonfit.workbook.formats import Column, from_records

if TYPE_CHECKING:
    from leptonfit.claims.nu838.falsification import FalsificationResult, RelationsResult
    from leptonfit.claims.nu838.model_comparison import ComparisonResult

_METRICS = {
    "rmse": ("RMSE (ln μ), descriptive", ".3f"),
    "r2": ("R², descriptive", ".4f"),
    "chi2_dof": ("χ²/dof, effective parameters taken off", ".2f"),
    "aic": ("AIC", ".1f"),
    "bic": ("BIC (independent limits)", ".1f"),
    "bic_n": ("BIC (all conditions)", ".1f"),
    "ks_p": ("KS p", ".2f"),
    "n_parameters": ("parameters", ".0f"),
    "n_effective": ("parameters that the data determine, without variances", ".1f"),
    "cv_rmse": ("CV error, data sets left out, at most 5 folds (ln μ)", ".3f"),
    "cv_log_density": ("CV log density a condition, data sets left out", ".2f"),
}
_CLAIMED = {"cv_rmse": "cv"}


def tabulate_models(found: Sequence[ComparisonResult], report: Mapping[str, Any]) -> pd.DataFrame:
    """Metrics, evidence and convergence of both models, beside the values that the report states.

    One row for each model, shown as a column.
    """
    claims: list[tuple[str, int, Any, Any]] = [("claimed EFT", 0, None, None), ("claimed baseline", 1, None, None)]
    models = [
        (f"{one.selection}, {name}", k, one, model)
        for one in found
        for k, (name, model) in enumerate((("EFT", one.eft), ("baseline", one.baseline)))
    ]

    def column(read: Any, form: Any, parts: tuple[str, ...] = ()) -> Column:
        """Column of models, missing for the claims."""
        return Column(lambda title, k, one, model: read(k, one, model) if model else None, form, parts=parts)

    def metric(key: str, form: str) -> Column:
        stated = report["metrics"].get(_CLAIMED.get(key, key), [math.nan] * 2)
        return Column(
            lambda title, k, one, model: getattr(model.metrics, key) if model else stated[k],
            lambda title, value: f"{value:g}" if title.startswith("claimed") else format(value, form),
            also=("quantity",),
        )

    return from_records(
        [*claims, *models],
        {
            "quantity": 0,
            **{title: metric(key, form) for key, (title, form) in _METRICS.items()},
            "ln evidence": column(
                lambda k, one, model: (model.evidence.log_evidence, model.evidence.error), "{:.1f} ± {:.1f}"
            ),
            "lnK": (
                lambda title, k, one, model: None if k else one.log_bayes_factor if one else report["result"]["lnK"],
                lambda title, *lnk: ("{:g} ± {:g}" if title.startswith("claimed") else "{:.1f} ± {:.1f}").format(*lnk),
                "",
                ("", "error"),
                ("quantity",),
            ),
            "lnK, baseline with one moment over baseline": column(
                lambda k, one, model: one.log_moment_factor if k else None, "{:.1f} ± {:.1f}"
            ),
            "emcee: largest R̂; least effective sample": column(
                lambda k, one, model: (model.posterior.r_hat.max(), model.posterior.effective_size.min()),
                "{:.2f}; {:.0f}",
                ("(R̂)", "(sample)"),
            ),
            "posterior drawn by": column(
                lambda k, one, model: (
                    model.drawn_by if model.posterior.has_converged else f"{model.drawn_by}, emcee not converged"
                ),
                None,
            ),
            "best fit: starts that reached it; slope left": column(
                lambda k, one, model: (model.fit.n_reached, model.fit.slope), "{:.0f}; {:.1g}", ("(starts)", "(slope)")
            ),
        },
        across=True,
    )


def tabulate_falsification(falsified: Mapping[str, FalsificationResult]) -> pd.DataFrame:
    """Outcome of the report's two falsification rules, by selection of data sets."""
    zero = ("(EFT)", "(zero)")
    return from_records(
        falsified,
        {
            "on": 0,
            "ΔAIC with five parameters at zero": (
                lambda name, one: (one.delta_aic, one.aic_percent),
                "{:+.1f} ({:+.1f} %)",
                "",
                ("", "(%)"),
            ),
            "Δ(−2 ln L)": ("delta_chi2", "{:+.1f}"),
            "ΔRMSE": (lambda name, one: [one.rmse_percent], "{:+.1f} %", "", ("(%)",)),
            "C_coh left, EFT → zero": (
                lambda name, one: tuple(one.coherence),
                lambda *values: " → ".join(_leave(value) for value in values),
                None,
                zero,
            ),
            "Δlog10 μ left, EFT → zero (baseline)": (
                lambda name, one: (*np.ravel(one.spread), *np.ravel(one.spread_error)),
                _write_spreads,
                None,
                (*zero, "(baseline)", *(f"{model} error" for model in (*zero, "(baseline)"))),
            ),
            "limits and slopes apart from the baseline": lambda name, one: (
                ", ".join(slug for slug, pair in one.within.items() if not all(pair)) or "none"
            ),
            "rule 1 (AIC hardly worse, all at the baseline): falsified": ("first_rule", None, "not executable"),
            "rule 2 (RMSE, AIC, C_coh, Δlog10 μ): disfavoured": ("second_rule", None, "not executable"),
        },
    )


def _write_spreads(*values: float) -> str:
    whole, reduced, base = (_leave(*pair) for pair in zip(values[:3], values[3:], strict=True))
    return f"{whole} → {reduced} ({base})"


def _leave(value: float, error: float | None = None) -> str:
    if math.isnan(value):
        return "fewer than two sets"
    if error == 0:  # the interval of the spread is [0, 0]
        return "none beyond the errors"
    return f"{value:.2f}" + (f" ± {error:.2f}" if error else "")


def tabulate_relations(related: Mapping[str, RelationsResult]) -> pd.DataFrame:
    """Correlations in the posterior, by selection of data sets; covariances of slopes in 1e-11 μ_B/keV.

    Of a pull, the error and the error with a perfect calibration are given.
    """
    rows: dict[str, dict[str, tuple[float, ...]]] = {}
    for selection, found in related.items():
        for slug, value in found.k_thr_x_bend.items():
            covariance = found.k_thr_x_bend_covariance[slug]
            rows.setdefault(f"k_thr of {slug} and ln x_bend", {})[selection] = (value, covariance, np.nan, np.nan)
        rows.setdefault("k_STG and beta_TPR", {})[selection] = (found.k_stg_beta_tpr, np.nan, np.nan, np.nan)
        for pair, value, errors in (
            ("energy scale and rho_Recon", found.scale_rho_recon, found.rho_recon_sd),
            ("quenching and k_TBN", found.quenching_k_tbn, found.k_tbn_sd),
        ):
            rows.setdefault(pair, {})[selection] = (value, np.nan, *errors)
    parts = ("", "covariance", "error", "error, calibrated")
    columns: dict[str, Any] = {"correlation of": 0}
    for selection in related:
        columns[selection] = (
            lambda pair, values, selection=selection: values.get(selection),
            _write_relation,
            "",
            parts,
        )
    return from_records(sorted(rows.items(), key=lambda row: not row[0].startswith("k_thr")), columns)


def _write_relation(value: float, covariance: float, now: float, then: float) -> str:
    text = f"{value:+.2f}"
    if not math.isnan(covariance):
        return f"{text}; covariance {covariance:.2g}"
    return text if math.isnan(now) else f"{text}; error {now:.3f}, perfectly calibrated {then:.3f}"
