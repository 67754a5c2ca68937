"""Closures in full: the fits they make, the known floors, and what the data file may hold."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from leptonfit.datafiles import ROOT, InputError
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.profile import scan_profile
from leptonfit.vortex.choices import AXES, Choice, build_choice, load_choices
from leptonfit.vortex.closures import CLOSURES, ComplexStepClosure
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel
from leptonfit.workbook.store import write_checksums

REPORT = load_measurements("report_2025")
MODEL = VortexModel(REPORT, sigma_m_model=1e-6, sigma_g_model=2e-8)


def test_the_file_holds_every_axis_and_no_combination_twice():
    choices = load_choices()
    assert len(choices) >= 48
    assert len(set(choices)) == len(choices)
    assert len({choice.name for choice in choices}) == len(choices)
    assert choices[0] == Choice()
    for axis, allowed in AXES.items():
        assert {getattr(choice, axis) for choice in choices} == set(allowed)
    assert not any(choice.gradient == "on" and choice.shape == "gaussian" for choice in choices)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('frame = ["rest"]', "frame = 'rest': must be one of stream, lab"),
        ('colour = ["red"]', r"block\[0\].colour: must be one of meaning, frame"),
        ('frame = "lab"', r"block\[0\].frame = lab: must be a list of choices"),
        ('shape = ["gaussian"]\ngradient = ["on"]', "no combination"),
        ("frame = [", "closures.toml: "),
    ],
)
def test_a_block_that_names_what_there_is_not_is_refused(tmp_path, line, message):
    shutil.copy(ROOT / "data" / "closures.toml", tmp_path)
    (tmp_path / "closures.toml").write_text(f'[[block]]\nmeaning = "x"\n{line}\n')
    write_checksums(tmp_path)
    with pytest.raises(InputError, match=message):
        load_choices(data=tmp_path)


@pytest.mark.parametrize("choice", load_choices()[::3], ids=lambda choice: choice.name)
def test_the_jacobian_is_the_slope_of_the_residuals(choice):
    problem = build_choice(choice, VortexModel(REPORT, sigma_m_model=1e-2, sigma_g_model=1e-2))
    rng = np.random.default_rng(7)
    low, high = problem.search_box({"beta": (0.5, 5.0)})
    x = low + (0.2 + 0.6 * rng.random((3, problem.n_par))) * (high - low)
    slopes = problem.jacobian(x)
    for column in range(problem.n_par):
        step = 1e-5 * np.abs(x[:, column])
        ends = [x.copy(), x.copy()]
        for end, sign in zip(ends, (-1, 1), strict=True):
            end[:, column] += sign * step
        numeric = (problem.residuals(ends[1]) - problem.residuals(ends[0])) / (2 * step)[:, None]
        lost = 1e-15 * np.abs(problem.residuals(x)).max(axis=-1) / step  # to rounding, in the difference
        allowed = 1e-7 * np.abs(slopes[..., column]).max() + lost[:, None]
        assert (np.abs(slopes[..., column] - numeric) <= allowed).all()


@pytest.mark.parametrize(("radius", "floor"), [("mean", 1970.65), ("free", 1238.47)])
def test_the_floor_of_masses_and_radii(radius, floor):
    """R_e = R_μ = 1 and R_τ = 0.1 are as near as the report's bounds let m R come; by hand, κ the mean or fitted."""
    size = REPORT.values[:3] * [1.0, 1.0, 0.1]
    kappa = size.mean() if radius == "mean" else (size**2).sum() / size.sum()
    by_hand = float(np.sum(((size / kappa - 1) / 0.03) ** 2))
    assert by_hand == pytest.approx(floor, abs=5e-3)
    problem = build_choice(Choice(moment="none", radius=radius), MODEL)
    found = run_multistart(problem, effort=Effort(32, 1, {"beta": (0.5, 5.0)}))
    assert found.chi2[0] == pytest.approx(by_hand, rel=1e-6)
    assert problem.n_par == (10 if radius == "mean" else 11)


@pytest.mark.slow
def test_the_floor_with_the_moments():
    problem = build_choice(Choice(radius="mean"), MODEL)
    profile = scan_profile(problem, "beta", np.array([3.0, 3.1]), effort=Effort(16, 1), references=(3.043233053,))
    assert profile.reference_chi2[0] == pytest.approx(5223.03, abs=0.01)


def test_spin_one_half_leaves_no_constant():
    problem = build_choice(Choice(moment="spin_half", amplitude="saturated", bounds="wide"), MODEL)
    assert "c_mu" not in problem.names
    assert not any(name.startswith("A_") for name in problem.names)
    x = problem.start.copy()
    radius, velocity = x[problem.index("R_mu")], x[problem.index("U_mu")]
    g = problem.residuals(x)[4] * 2e-8 + REPORT.values[4]
    assert g == pytest.approx(4 * REPORT.values[1] * radius * velocity / 5, rel=1e-9)


def test_radii_about_their_own_mean_are_two_constraints():
    """The departures add up to zero, so that a third residual would only repeat them."""
    problem = build_choice(Choice(radius="mean", moment="none"), MODEL)
    assert problem.residual_names[3:] == ("kappa_e_mu", "kappa_tau")
    x = problem.start
    size = REPORT.values[:3] * x[[problem.index(f"R_{lepton}") for lepton in ("e", "mu", "tau")]]
    by_hand = np.sum(((size / size.mean() - 1) / 0.03) ** 2)
    assert np.sum(problem.residuals(x)[3:] ** 2) == pytest.approx(by_hand, rel=1e-12)


def test_what_cannot_be_chosen_is_refused():
    own = CLOSURES["stream"](r_max=10.0)
    with pytest.raises(ValueError, match="lab parabolic: frame, shape, current and gradient must be the report's"):
        build_choice(Choice(frame="lab"), replace(MODEL, closure=lambda r_max: own))
    with pytest.raises(ValueError, match="moment = 'spin': must be one of universal"):
        Choice(moment="spin")
    with pytest.raises(ValueError, match="gradient = 'on': must be off for the gaussian shape"):
        Choice(shape="gaussian", gradient="on")


def test_ones_own_closure_has_exact_slopes():
    stream = CLOSURES["stream"](r_max=10.0)
    own = ComplexStepClosure(stream.flow, stream.static)
    radius, amplitude, beta = np.array([[0.2, 0.9]]), np.array([[0.3, 1.0]]), np.array([[3.0]])
    for found, expected in zip(own.flow_slopes(radius, amplitude), stream.flow_slopes(radius, amplitude), strict=True):
        assert found == pytest.approx(expected, rel=1e-13)
    slopes = zip(own.static_slopes(radius, amplitude, beta), stream.static_slopes(radius, amplitude, beta), strict=True)
    for found, expected in slopes:
        assert found == pytest.approx(expected, rel=1e-13)


def test_ones_own_closure_takes_the_place_of_energy_and_moment():
    mine = replace(MODEL, closure=lambda r_max: CLOSURES["lab"](r_max=r_max), moment_factor=0.3)
    own = build_choice(Choice(), mine)
    lab = build_choice(Choice(frame="lab"), MODEL)
    x = lab.start
    assert own.residuals(x)[:3] == pytest.approx(lab.residuals(x)[:3])
    moments = [problem.residuals(x)[3:] * 2e-8 + REPORT.values[3:] for problem in (own, lab)]
    assert moments[0] == pytest.approx(1.5 * moments[1], rel=1e-9)
