"""β from α, against the equation itself and known roots."""

import numpy as np
import pytest
from scipy.optimize import brentq

from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.vortex.golden_loop import solve_golden_loop

OLDER = (0.4962966571, 0.3236710195)


def test_roots_of_the_equation():
    found = solve_golden_loop(older_constants=OLDER, wanted=(3.14, 3.18), alpha_inverse=137.035999177)

    def gap(beta):
        return 2 * np.pi**2 * np.exp(beta) / beta + 1 - 137.035999177

    assert found.beta == pytest.approx(brentq(gap, 1, 5, xtol=1e-14), abs=1e-12)
    assert found.beta_small == pytest.approx(brentq(gap, 0.01, 1, xtol=1e-14), abs=1e-12)
    assert (found.beta, found.beta_small) == pytest.approx((3.0432330528, 0.172405), abs=1e-6)
    assert found.beta_without_one == pytest.approx(3.05413, abs=5e-6)
    assert found.beta_older == pytest.approx(3.05823, abs=5e-6)
    assert found.c1 == pytest.approx(0.4963513, abs=5e-8)
    assert found.c1_needed == pytest.approx([0.52993, 0.54462], abs=5e-6)
    assert found.by_ln_c1 == pytest.approx(1.489, abs=5e-4)


def test_sensitivities_are_those_of_the_roots():
    step = 1e-4
    up, down = (solve_golden_loop(older_constants=OLDER, alpha_inverse=137.0 + s) for s in (step, -step))
    middle = solve_golden_loop(older_constants=OLDER, alpha_inverse=137.0, alpha_inverse_sigma=0.5)
    assert middle.by_alpha_inverse == pytest.approx((up.beta - down.beta) / (2 * step), rel=1e-8)
    assert middle.sigma_beta == pytest.approx(0.5 * middle.by_alpha_inverse)
    for k in (0, 1):
        moved = [np.array(OLDER) * (1 + sign * 1e-5 * np.eye(2)[k]) for sign in (1, -1)]
        older_up, older_down = (solve_golden_loop(older_constants=tuple(c)).beta_older for c in moved)
        assert middle.older_by_ln_c[k] == pytest.approx((older_up - older_down) / 2e-5, rel=1e-6)
    again = solve_golden_loop(older_constants=OLDER, wanted=(middle.beta,), alpha_inverse=137.0)
    assert again.c1_needed[0] == pytest.approx(again.c1, rel=1e-12)


def test_the_reports_reference_is_the_root():
    claims = load_claims()["golden_loop"]
    found = solve_golden_loop(older_constants=(claims["older_c1"], claims["older_c2"]))
    assert claims["beta"] == pytest.approx(found.beta, abs=1e-9)
    assert claims["older_beta"] == pytest.approx(found.beta_older, abs=5e-4)


def test_no_real_root_is_refused():
    with pytest.raises(ValueError, match=r"alpha_inverse = 40: must be at least 54\.6"):
        solve_golden_loop(older_constants=OLDER, alpha_inverse=40.0)
