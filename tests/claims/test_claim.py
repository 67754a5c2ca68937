"""A claim's sentences quote the report's numbers and the computed ones."""

import pytest

from leptonfit.claims.claim import HOLDING, Claim, Verdict, state_claim

REPORT = {"tight": {"beta_min": 3.14, "range": [2.85, 3.25]}, "source": "report", "mark": "numerical"}
ENTRY = {
    "name": "offset, {which}",
    "stated": "{tight[beta_min]:.3f} in {tight[range][0]:g} to {tight[range][1]:g}",
    "source": "{tight[beta_min]}, test 2",
    "test": "less than {limit:g}",
    "computed": {"holds": "only {offset:.2f}", "contradicted": "{offset:.2f}", "none": "none"},
}
NUMBERS = {"which": "tight", "limit": 0.1, "offset": 0.0968, "verdict": HOLDING[True]}


def test_sentences_quote_the_report_and_the_computed_numbers():
    claim = state_claim(REPORT, ENTRY, NUMBERS)
    assert claim == Claim(
        name="offset, tight",
        stated="3.140 in 2.85 to 3.25",
        source="3.14, test 2",
        test="less than 0.1",
        computed="only 0.10",
        verdict="holds",
        mark="numerical",
    )
    assert Claim.from_dict(claim.to_dict()) == claim


def test_the_case_selects_the_sentence_and_the_verdict_is_the_default_case():
    assert state_claim(REPORT, ENTRY, NUMBERS | {"verdict": Verdict.CONTRADICTED}).computed == "0.10"
    assert state_claim(REPORT, ENTRY, NUMBERS | {"case": "none"}).computed == "none"


def test_an_entry_overrides_the_report_and_numbers_override_the_entry():
    entry = {**ENTRY, "mark": "proven", "verdict": "not verifiable", "computed": ""}
    assert state_claim(REPORT, entry, NUMBERS | {"mark": "simulated"}).mark == "simulated"
    numbers = {key: value for key, value in NUMBERS.items() if key != "verdict"}
    claim = state_claim(REPORT, entry, numbers)
    assert (claim.mark, claim.verdict) == ("proven", "not verifiable")


def test_a_sentence_that_quotes_an_unknown_number_is_an_error():
    with pytest.raises(KeyError, match="limit"):
        state_claim(REPORT, ENTRY, {key: value for key, value in NUMBERS.items() if key != "limit"})
