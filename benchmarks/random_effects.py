"""Random effects of the thirteen BCG trials, beside statsmodels: agreement and time.

Log risk ratios and variances are those of metafor's dat.bcg.
"""

import numpy as np
from comparison import Row, compare, is_installed

from leptonfit.inference.meta import combine_estimates

# log risk ratio, variance
TRIALS = np.array(
    [
        (-0.889311, 0.3255848),
        (-1.585389, 0.1945811),
        (-1.348073, 0.4153680),
        (-1.441551, 0.0200100),
        (-0.217547, 0.0512102),
        (-0.786116, 0.0069056),
        (-1.620898, 0.2230172),
        (0.011952, 0.0039616),
        (-0.469418, 0.0564342),
        (-1.371345, 0.0730248),
        (-0.339359, 0.0124122),
        (0.445913, 0.5325058),
        (-0.017314, 0.0714047),
    ]
)
VALUES, VARIANCES = TRIALS.T
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
