"""Rules that decide from a profile of β which conclusions of the December 2025 report stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leptonfit.claims.claim import STANDING, Claim, state_claim
from leptonfit.inference.identifiability import VerdictResult
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR, format_chi2
from leptonfit.inference.verdict_text import describe_intervals
from leptonfit.vortex.comparison import ComparedResult


def judge_claims(claims: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[Claim, ...]:
    """Return the report's conclusions, each with a verdict from the stored profile.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    document : mapping
        Stored results of `02_profile_scan`.
    """
    profile, verdict = document["results"]["profile"], document["results"]["assessment"]
    found = profile.released_set["0.95"]
    return _judge(claims, found, profile.best_chi2, verdict, document["verdict_code"], document["mark"])


def _judge(
    claims: Mapping[str, Any],
    identified: IntervalSet,
    best_chi2: float,
    verdict: VerdictResult | ComparedResult,
    code: str,
    mark: str,
) -> tuple[Claim, ...]:
    contains, in_tension = verdict.contains_reference, verdict.in_tension
    is_bounded = (
        code != "rejected" and bool(len(identified.intervals)) and bool(np.isfinite(identified.intervals).all())
    )
    extent = describe_intervals(identified) or "empty"
    numbers = {
        "extent": "none, the model is rejected" if code == "rejected" else extent,
        "contains": _word(contains),
        "tension": _word(in_tension),
        "lowest": format_chi2(best_chi2),
        "mark": mark,
    }

    def lies_within(low: float, high: float) -> bool:
        return is_bounded and bool(low <= identified.intervals.min() and identified.intervals.max() <= high)

    stands: dict[str, bool | None] = {
        "compatible": None if contains is None else contains and in_tension is not True,
        "evidence": is_bounded and contains is True and in_tension is False,
        "null": in_tension is True,
    }
    stands |= {claim["name"]: lies_within(*claim["interval"]) for claim in claims["claims"] if "interval" in claim}
    if code == "unreliable":
        stands = dict.fromkeys(stands)
    return tuple(
        state_claim(claims, claim, {**numbers, "verdict": STANDING[stands[claim["name"]]]})
        for claim in claims["claims"]
    )


def find_standing(claims: Mapping[str, Any], compared: Sequence[ComparedResult]) -> dict[str, list[str]]:
    """Names of the closures under which each claim stands, by the rules of `judge_claims`.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    compared : sequence of ComparedResult
        Results for the closures of `05_closures`.
    """
    standing: dict[str, list[str]] = {claim["name"]: [] for claim in claims["claims"]}
    for one in compared:
        for claim in _judge(claims, one.released_set, one.best_chi2, one, one.verdict_code, "numerical"):
            if claim.stands:
                standing[claim.name].append(one.name)
    return standing


def answer_options(
    claims: Mapping[str, Any], judged: Sequence[Claim], compared: Sequence[ComparedResult]
) -> tuple[Claim, ...]:
    """Return the report's options for the next step, each with a verdict by rule.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    judged : sequence of Claim
        Claims as judged under the report's closure.
    compared : sequence of ComparedResult
        Results for the closures of `05_closures`.
    """
    by_name = {claim.name: claim for claim in judged}
    derived = [one for one in compared if one.choice.moment == "spin_half"]
    radius = [one for one in compared if one.choice.radius != "none" and one.choice.moment != "none"]
    needed = {
        "B": [one for one in derived if one.choice.radius == "none"],
        "C": [one for one in radius if one.choice.moment == "universal"],
    }
    both = [one for one in derived if one in radius and one.determines]
    answered = []
    for option in claims["options"]:
        if "claim" in option:
            asked = {key: option[key] for key in ("name", "stated", "source", "test")}
            answered.append(replace(by_name[option["claim"]], **asked))
            continue
        found = needed[option["name"]]
        n_determined = sum(one.determines for one in found)
        numbers = {
            "n_closures": len(found),
            "n_fit": sum(one.fits for one in found),
            "n_determined": n_determined,
            "case": "each",
            "verdict": STANDING[bool(n_determined) if any(one.verdict_code != "unreliable" for one in found) else None],
            "mark": "numerical",
        }
        if both and not n_determined:
            low, high = both[0].released_set.intervals[0]
            holds = {True: "holds", False: "excludes", None: "leaves open"}[both[0].contains_reference]
            numbers |= {"case": "together", "closure": both[0].name, "low": low, "high": high, "holds": holds}
        answered.append(state_claim(claims, option, numbers))
    return tuple(answered)


def describe_claims(judged: Mapping[str, Sequence[Claim]]) -> str:
    """List the claims that stand, with one sentence for each closure."""
    standing = {name: ", ".join(claim.name for claim in claims if claim.stands) for name, claims in judged.items()}
    return " ".join(
        f"Claims that stand under the closure {name}: {those or 'none'}." for name, those in standing.items()
    )


def _word(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not testable"}[value]


def answer_questions(claims: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, str]:
    """Answer the report's three critical questions (offset, precision, next step) with computed numbers.

    Parameters
    ----------
    claims, document : mapping
        As for `judge_claims`.
    """
    results, code = document["results"], document["verdict_code"]
    reference = claims["golden_loop"]["beta"]
    verdict, chi2_min = results["assessment"], results["profile"].chi2_min
    n_zero = (chi2_min < CHI2_FLOOR).sum()
    if code == "unreliable":
        offset = "No minimum can be named: the profile's points are not trusted."
    elif verdict.minimum is None:
        offset = f"There is no minimum to be offset from {reference:g}: χ² is zero, at {n_zero} of "
        offset += f"{len(chi2_min)} points of the scan{'' if n_zero else ' but outside it'}."
    else:
        offset = f"The minimum lies at β = {verdict.minimum:.6g}, {verdict.offset:.4g} from {reference:g}."
    stated = ", ".join(f"{scan.claimed_offset:g}" for scan in results["report_scans"])
    recomputed = ", ".join(f"{scan.offset:.4f}" for scan in results["report_scans"])
    offset += f" The report's own minima lie {recomputed} from it, not the {stated} it states."
    residual = max(abs(results["reference"]["misfit"][name]) for name in ("m_e", "m_mu", "m_tau"))
    shown = "below 1e-9" if residual < 1e-9 else f"{residual:.2g}"
    worst = ", ".join(f"{claims[name]['mass_residual']:g}" for name in ("tight", "loose"))
    precision = f"At the reference the largest relative mass residual is {shown}; the report's optimiser left {worst}."
    step = {
        "not_identified": "Neither a value nor evidence can be claimed (option A): the data leave β open. "
        "What is missing is a constraint, from another closure or observable (options B, C), not a better fit.",
        "open_above": "The data give a lower limit on β, no value (option A falls).",
        "open_below": "The data give an upper limit on β, no value (option A falls).",
        "rejected": "No β fits: the closure is rejected within the bounds given (option D).",
        "identified": "The data determine β under this closure; whether they fit it is a separate question.",
        "empty": "No β is allowed.",
        "unreliable": "Nothing follows until the profile's points can be trusted.",
    }.get(code, "The set is limited by declared bounds or in pieces: a choice, not the data, would settle β.")
    return {"offset": offset, "precision": precision, "next step": step}
