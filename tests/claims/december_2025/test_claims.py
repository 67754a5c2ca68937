"""The rules, on made-up profiles: a claim stands or falls with the numbers."""

import copy

import pytest

from leptonfit.claims.december_2025.claims import answer_questions, judge_claims
from leptonfit.claims.december_2025.reported import load_claims

CLAIMS = load_claims()
OPEN = {
    "verdict_code": "not_identified",
    "mark": "numerical",
    "parameters": {"sigma_m_model": 1e-6},
    "results": {
        "released_set": {
            "0.95": {
                "intervals": [[None, None]], "decided": True,
                "below": [{"reason": "scan_end", "held_by": []}], "above": [{"reason": "scan_end", "held_by": []}],
            }
        },
        "contains_reference": True,
        "in_tension": None,
        "beta_min": None,
        "offset": None,
        "report_scans": [{"claimed_offset": 0.082, "offset": 0.0968}],
        "chi2_min": [1e-9, 2e-8, 3.0],
        "profile": {"best_chi2": 1e-9},
        "reference": {"misfit": {"m_e": 1e-9, "m_mu": 0.0, "m_tau": 2e-6}},
    },
}  # fmt: skip


def document(code, interval, **results):
    made = copy.deepcopy(OPEN)
    made["verdict_code"] = code
    reasons = ["scan_end" if end is None else "crossing" for end in interval]
    below, above = ([{"reason": reason, "held_by": []}] for reason in reasons)
    made["results"]["released_set"]["0.95"] |= {"intervals": [interval], "below": below, "above": above}
    made["results"] |= results
    return made


@pytest.mark.parametrize(
    ("made", "standing"),
    [
        (OPEN, ["compatible"]),
        (document("open_above", [1.1, None]), ["compatible"]),
        (document("identified", [3.02, 3.06], in_tension=False),
         ["compatible", "compatible, 3.06 ± 0.12", "moderate, 3.1 ± 0.1", "evidence"]),
        (document("identified", [2.95, 3.06], in_tension=False), ["compatible", "compatible, 3.06 ± 0.12", "evidence"]),
        (document("identified", [2.95, 3.06]), ["compatible", "compatible, 3.06 ± 0.12"]),
        (document("identified", [3.02, 3.06], in_tension=True),
         ["compatible, 3.06 ± 0.12", "moderate, 3.1 ± 0.1", "null"]),
        (document("identified", [1.0, 1.1], contains_reference=False), []),
        (document("rejected", [3.02, 3.06], contains_reference=None, in_tension=True), ["null"]),
    ],
)  # fmt: skip
def test_what_stands(made, standing):
    assert [claim.name for claim in judge_claims(CLAIMS, made) if claim.stands] == standing


def test_nothing_stands_on_an_unreliable_profile():
    made = document("unreliable", [3.02, 3.06])
    assert {claim.verdict for claim in judge_claims(CLAIMS, made)} == {"cannot be said"}


def test_answers_carry_the_numbers():
    answers = answer_questions(CLAIMS, OPEN)
    assert "0.0968 from it, not the 0.082 it states" in answers["offset"]
    assert "residual is 2e-06" in answers["precision"]
    assert "zero, at 2 of 3 points" in answers["offset"]
    assert "option A" in answers["next step"]
    outside = answer_questions(CLAIMS, document("empty", [None, None], chi2_min=[3.0]))
    assert "0 of 1 points of the scan but outside it" in outside["offset"]
    assert "No minimum can be named" in answer_questions(CLAIMS, document("unreliable", [3.0, 3.1]))["offset"]
    found = answer_questions(CLAIMS, document("identified", [3.1, 3.2], beta_min=3.14, offset=0.0968))
    assert "The minimum lies at β = 3.14" in found["offset"]
