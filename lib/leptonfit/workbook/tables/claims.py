"""Table of judged claims, used for both reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from leptonfit.claims.claim import Claim


def tabulate_claims(claims: Sequence[Claim]) -> pd.DataFrame:
    """Statement, test, computed values, verdict, mark and source of each claim, one row for each claim."""
    table = pd.DataFrame([claim.to_dict() for claim in claims]).rename(columns={"name": "claim"})
    return table[["claim", "stated", "test", "computed", "verdict", "mark", "source"]]
