"""Random effects of the thirteen BCG trials, beside statsmodels: agreement and time."""

import numpy as np
from comparison import Row, compare, is_installed

from leptonfit.datafiles import read_csv
from leptonfit.inference.meta import combine_estimates

TRIALS = read_csv("examples/bcg.csv")
VALUES, VARIANCES = np.array(TRIALS["log_risk_ratio"]), np.array(TRIALS["variance"])
ESTIMATORS = {"DerSimonian–Laird": ("DL", "chi2"), "Paule–Mandel": ("PM", "iterated")}


def run_all() -> list[Row]:
    """Rows of both tools by estimator; each says τ² and the mean, to show how well they agree."""
    if not is_installed("statsmodels"):
        print("  statsmodels is not installed: random effects are left out")
        return []
    from statsmodels.stats.meta_analysis import combine_effects

    rows = []
    for title, (ours, theirs) in ESTIMATORS.items():

        def by_leptonfit(estimator=ours):
            found = combine_estimates(VALUES, VARIANCES, estimator=estimator)
            return found.tau2, found.mean

        def by_statsmodels(method=theirs):
            found = combine_effects(VALUES, VARIANCES, method_re=method)
            return found.tau2, found.mean_effect_re

        task = f"random effects, {title}, 13 trials"
        print(task)
        peers = {"statsmodels": by_statsmodels}
        rows += compare(task, by_leptonfit, peers, lambda found: f"τ² = {found[0]:.6f}, mean {found[1]:.6f}")
    return rows


if __name__ == "__main__":
    run_all()
