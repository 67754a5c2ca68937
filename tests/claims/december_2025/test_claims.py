"""The rules, on made-up profiles: a claim stands or falls with the numbers."""

from types import SimpleNamespace

import numpy as np
import pytest

from leptonfit.claims.december_2025.claims import answer_questions, judge_claims
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.intervals import EndResult, IntervalSet

CLAIMS = load_claims()


def document(code, interval, *, chi2_min=(1e-9, 2e-8, 3.0), **assessed):
    """Stored results of 02: what the rules read of them."""
    below, above = (EndResult("crossing" if np.isfinite(end) else "scan_end") for end in interval)
    found = IntervalSet(np.array([interval]), (below,), (above,), decided=True)
    verdict = {"contains_reference": True, "in_tension": None, "minimum": None, "offset": None, **assessed}
    return {
        "verdict_code": code,
        "mark": "numerical",
        "parameters": {"sigma_m_model": 1e-6},
        "results": {
            "profile": SimpleNamespace(released_set={"0.95": found}, best_chi2=1e-9, chi2_min=np.array(chi2_min)),
            "assessment": SimpleNamespace(**verdict),
            "report_scans": [SimpleNamespace(claimed_offset=0.082, offset=0.0968)],
            "reference": {"misfit": {"m_e": 1e-9, "m_mu": 0.0, "m_tau": 2e-6}},
        },
    }


OPEN = document("not_identified", [-np.inf, np.inf])


@pytest.mark.parametrize(
    ("made", "standing"),
    [
        (OPEN, ["compatible"]),
        (document("open_above", [1.1, np.inf]), ["compatible"]),
        (
            document("identified", [3.02, 3.06], in_tension=False),
            ["compatible", "compatible, 3.06 ± 0.12", "moderate, 3.1 ± 0.1", "evidence"],
        ),
        (document("identified", [2.95, 3.06], in_tension=False), ["compatible", "compatible, 3.06 ± 0.12", "evidence"]),
        (document("identified", [2.95, 3.06]), ["compatible", "compatible, 3.06 ± 0.12"]),
        (
            document("identified", [3.02, 3.06], in_tension=True),
            ["compatible, 3.06 ± 0.12", "moderate, 3.1 ± 0.1", "null"],
        ),
        (document("identified", [1.0, 1.1], contains_reference=False), []),
        (document("rejected", [3.02, 3.06], contains_reference=None, in_tension=True), ["null"]),
    ],
)
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
    outside = answer_questions(CLAIMS, document("empty", [-np.inf, np.inf], chi2_min=[3.0]))
    assert "0 of 1 points of the scan but outside it" in outside["offset"]
    assert "No minimum can be named" in answer_questions(CLAIMS, document("unreliable", [3.0, 3.1]))["offset"]
    found = answer_questions(CLAIMS, document("identified", [3.1, 3.2], minimum=3.14, offset=0.0968))
    assert "The minimum lies at β = 3.14" in found["offset"]
