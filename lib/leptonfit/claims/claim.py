"""A claim of a report beside the computed value and a verdict: the row of every audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from leptonfit.inference.result import Result


class Verdict(StrEnum):
    """The words for a verdict on a claim."""

    HOLDS = "holds"
    CONTRADICTED = "contradicted"
    NO_MEANING = "no meaning"
    """The stated quantity says nothing about the parameter."""
    UNVERIFIABLE = "not verifiable"
    """The report does not say enough to test the claim."""
    INCOMPARABLE = "not comparable"
    """The computed value belongs to other data."""
    AGREES = "agrees"
    DIFFERS = "differs"
    """The values differ by more than two errors."""
    UNMEASURED = "not measured"
    """The data leave the parameter where the prior had it."""
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
"""Computed values that the sentences of a claim quote, by name, and the verdict."""


@dataclass(frozen=True)
class Claim(Result):
    """A claim of a report and the verdict on it.

    Attributes
    ----------
    name : str
        Short key, unique in its table.
    stated : str
        What the report states.
    source : str
        Where the report states it.
    test : str
        What must be true for the claim to pass, or what the stated value is compared with.
    computed : str
        The numbers to which the test is applied.
    verdict : str
        A word of `Verdict`.
    mark : str
        How the computed numbers are known: "arithmetic" (from the report's own numbers), "proven", "numerical" or
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


def state_claim(report: Mapping[str, Any], entry: Mapping[str, Any], numbers: Numbers) -> Claim:
    """Fill in the sentences of a claim.

    The verdict, the mark and the source come from `numbers`, else from `entry`, else from `report`.

    Parameters
    ----------
    report : mapping
        The report's data file. A sentence may quote any of its values: "{tight[chi2_min]:,.0f}".
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
