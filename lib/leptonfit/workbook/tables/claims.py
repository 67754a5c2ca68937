"""The table of judged claims, the same for both reports."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from leptonfit.claims.claim import Claim


def tabulate_claims(claims: Sequence[Claim]) -> pd.DataFrame:
    """What a report states, the test, the computed values, the verdict and the source, one row for each claim."""
    table = pd.DataFrame([claim.to_dict() for claim in claims]).rename(columns={"name": "claim"})
    return table[["claim", "stated", "test", "computed", "verdict", "mark", "source"]]
