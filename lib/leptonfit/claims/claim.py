"""Claim of a report with the computed value and a verdict; each row of an audit is one such claim."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter
from typing import Any

from leptonfit.datafiles import InputError
from leptonfit.inference.result import Result


class Verdict(StrEnum):
    """Words used for the verdict on a claim."""

    HOLDS = "holds"
    CONTRADICTED = "contradicted"
    NO_MEANING = "no meaning"
    """The stated quantity contains no information about the parameter."""
    UNVERIFIABLE = "not verifiable"
    """The report does not give enough information to test the claim."""
    INCOMPARABLE = "not comparable"
    """The computed value was obtained from other data."""
    AGREES = "agrees"
    DIFFERS = "differs"
    """The values differ by more than two errors."""
    UNMEASURED = "not measured"
    """The data do not constrain the parameter: its posterior is about as wide as its prior."""
    VAGUE = "cannot be told"
    """The computed value is missing, or its error is too large."""
    STANDS = "stands"
    FALLS = "does not stand"
    UNDECIDED = "cannot be said"
    """The profile is unreliable, or there is nothing to test against."""


HOLDING: dict[bool | None, Verdict] = {True: Verdict.HOLDS, False: Verdict.CONTRADICTED, None: Verdict.NO_MEANING}
"""Verdict on a claim that passes its test, fails it, or cannot be tested because the quantity has no meaning."""
STANDING: dict[bool | None, Verdict] = {True: Verdict.STANDS, False: Verdict.FALLS, None: Verdict.UNDECIDED}
"""Verdict on a conclusion that the profile supports, does not support, or cannot decide."""

Numbers = dict[str, Any]
"""Computed values that the sentences of a claim quote, and its verdict, by name."""


@dataclass(frozen=True)
class Claim(Result):
    """A claim of a report and the verdict on it.

    Attributes
    ----------
    name : str
        Short key, unique in its table.
    stated : str
        Statement of the report.
    source : str
        Place of the statement in the report.
    test : str
        Condition that the claim must meet, or the quantity with which the stated value is compared.
    computed : str
        Numbers to which the test is applied.
    verdict : str
        One of the words of `Verdict`.
    mark : str
        Origin of the computed numbers: "arithmetic" (from numbers that the report states), "proven", "numerical" or
        "simulated".
    """

    name: str
    stated: str
    source: str
    test: str
    computed: str
    verdict: str
    mark: str

    @property
    def stands(self) -> bool:
        """Whether the verdict is "stands"."""
        return self.verdict == Verdict.STANDS


_FIELD, _FORM = re.compile(r"\w+(\[\w+\])*", re.ASCII), re.compile(r"[-+,.%\da-z]*", re.ASCII)


def check_sentences(name: str, content: Any) -> None:
    """Check that every text of a data file can be filled in by `state_claim`: its braces name values.

    Raises
    ------
    InputError
        For the first text that cannot.
    """
    if isinstance(content, str):
        try:
            fields = [(field, form or "") for _, field, form, _ in Formatter().parse(content) if field is not None]
        except ValueError as error:
            raise InputError(f"data file {name}: text {content!r}: {error}") from None
        for field, form in fields:
            if not (_FIELD.fullmatch(field) and _FORM.fullmatch(form)):
                raise InputError(
                    f"data file {name}: text {content!r}: {{{field}:{form}}} must be {{name}} or {{name:.3g}}"
                )
    elif isinstance(content, dict | list):
        for one in content.values() if isinstance(content, dict) else content:
            check_sentences(name, one)


def check_ranges(name: str, content: Mapping[str, Any], keys: Collection[str]) -> None:
    """Check that the pairs of numbers with these keys, wherever they are in a data file, ascend.

    Raises
    ------
    InputError
        For the first pair that does not.
    """
    for key, one in content.items():
        if key in keys and not one[0] < one[1]:
            raise InputError(f"data file {name}: {key} = {one}: must ascend")
        for part in one if isinstance(one, list) else [one]:
            if isinstance(part, dict):
                check_ranges(name, part, keys)


def state_claim(report: Mapping[str, Any], entry: Mapping[str, Any], numbers: Numbers) -> Claim:
    """Return a claim with its sentences filled in.

    The verdict, the mark and the source are taken from `numbers`, else from `entry`, else from `report`.

    Parameters
    ----------
    report : mapping
        Content of the report's data file. A sentence may quote any of its values: "{tight[chi2_min]:,.0f}".
    entry : mapping
        Sentences of the claim: `name`, `stated`, `test` and `computed`. `computed` may also be a table with one
        sentence for each case.
    numbers : dict
        Computed values that the sentences quote. `case` selects the sentence in `computed`; the default is the verdict.
    """
    values = {**report, **entry, **numbers}
    computed = entry["computed"]
    if not isinstance(computed, str):
        computed = computed[values.get("case", values["verdict"])]
    return Claim(
        name=entry["name"].format_map(values),
        stated=entry["stated"].format_map(values),
        source=values["source"].format_map(values),
        test=entry["test"].format_map(values),
        computed=computed.format_map(values),
        verdict=str(values["verdict"]),
        mark=values["mark"],
    )
