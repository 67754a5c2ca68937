"""The bench: our verdicts are those known from closed forms, the peers' rows run, and README shows the stored run."""

import copy
import cProfile
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import comparison
import explorers
import growth
import limits
import mutants
import numpy as np
import own_fit
import pytest
import report
import tables
from scipy.optimize import brentq, minimize_scalar

import leptonfit
from leptonfit.neutrino.likelihood import load_likelihood

ROOT = Path(__file__).resolve().parents[1]
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text())
FITS = {fit.title: fit for fit in own_fit.list_fits()}
LEVEL = 3.841458820694124


def assess(fit):
    problem = leptonfit.problem_from_model(fit.model, *fit.data, fit.bounds)
    return leptonfit.assess(problem, [fit.name]).verdicts[fit.name]


def linear_chi2(fit, *columns):
    """Lowest χ² of a sum of columns with free factors."""
    x, y, sigma = fit.data
    design = np.stack(np.broadcast_arrays(*columns, x)[:-1], axis=1) / sigma[:, None]
    return np.sum((design @ np.linalg.lstsq(design, y / sigma)[0] - y / sigma) ** 2)


def decay_profile(fit):
    """Δχ² at fixed b, where the fit of a and c is linear, as a function; and b at the lowest χ²."""

    def chi2(b):
        return linear_chi2(fit, 1, np.expm1(-b * fit.data[0]) / b)

    best = minimize_scalar(chi2, bounds=(0.1, 4), method="bounded", options={"xatol": 1e-10})
    return lambda b: chi2(b) - best.fun, best.x


def test_long_data_determine_the_decay_rate():
    fit = FITS["decay, long"]
    rise, best = decay_profile(fit)
    verdict = assess(fit)
    assert verdict.code == fit.code == "identified"
    ends = brentq(lambda b: rise(b) - LEVEL, 0.1, best), brentq(lambda b: rise(b) - LEVEL, best, 4)
    assert verdict.interval == pytest.approx(ends, rel=1e-5)


def test_short_data_allow_a_straight_line_and_so_give_only_an_upper_limit():
    fit = FITS["decay, short"]
    rise, best = decay_profile(fit)
    straight = linear_chi2(fit, 1, fit.data[0])
    assert rise(1e-4) == pytest.approx(straight - linear_chi2(fit, 1, np.exp(-best * fit.data[0])), abs=1e-3)
    assert rise(1e-4) < LEVEL
    verdict = assess(fit)
    assert verdict.code == fit.code == "open_below"
    assert verdict.interval[1] == pytest.approx(brentq(lambda b: rise(b) - LEVEL, best, 8), rel=1e-5)


def test_far_below_k_m_a_line_through_zero_is_allowed_and_v_has_no_upper_end():
    fit = FITS["far below K_m"]
    s = fit.data[0]

    def profile(v):
        return minimize_scalar(
            lambda k: np.sum(((fit.model(s, v, k) - fit.data[1]) / fit.data[2]) ** 2), (v / 3, v)
        ).fun

    lowest = minimize_scalar(profile, (1, 7)).fun
    assert linear_chi2(fit, s) - lowest < LEVEL
    verdict = assess(fit)
    assert verdict.code == fit.code == "open_above"
    assert verdict.interval[0] == pytest.approx(brentq(lambda v: profile(v) - lowest - LEVEL, 0.5, 5), rel=1e-4)


@pytest.mark.slow
def test_aliases_of_a_sine_are_mirrored_at_half_the_sampling_rate():
    fit = FITS["sine, aliases"]
    assert fit.model(fit.data[0], 0.3, 0.5) == pytest.approx(fit.model(fit.data[0], 0.7, np.pi - 0.5), abs=1e-12)
    verdict = assess(fit)
    assert verdict.code == fit.code == "disjoint"
    low, high = verdict.allowed.intervals
    assert 1 - low[::-1] == pytest.approx(high, rel=1e-6)


def test_rates_that_may_change_places_give_two_intervals():
    fit = FITS["flip-flop"]
    t = fit.data[0]
    assert fit.model(t, 2, 1.5, 0.3) == pytest.approx(fit.model(t, 2 * 0.3 / 1.5, 0.3, 1.5), rel=1e-12)
    verdict = assess(fit)
    assert verdict.code == fit.code == "disjoint"
    low, high = verdict.allowed.intervals
    assert low[0] < 0.3 < low[1] < high[0] < 1.5 < high[1]


@pytest.mark.parametrize("tool", ["lmfit", "lmfit, no bounds", "iminuit", "iminuit, no bounds"])
def test_the_rows_of_the_peers_run(tool):
    for title in ("decay, long", "far below K_m"):
        _, intervals, said = own_fit.run_once(tool, FITS[title])
        assert len(intervals) == 1, said
    assert "valid" in said or "maxiter" in said
    assert 4 < own_fit.count_statements(own_fit.TOOLS[tool]) < 9


def test_what_a_tool_refuses_with_is_shown(monkeypatch):
    def refuses(*given):
        raise RuntimeError("no minimum\nmore")

    monkeypatch.setitem(own_fit.TOOLS, "lmfit", refuses)
    assert own_fit.run_once("lmfit", FITS["decay, long"])[1:] == ([], "no minimum")


def test_readme_shows_the_stored_run():
    readme = (ROOT / "README.md").read_text()
    assert tables.replace(readme, tables.render(RESULTS)) == readme
    assert (ROOT / "figures" / "bench.png").stat().st_size < 200_000


def test_every_number_of_the_tables_comes_from_the_run():
    changed = json.loads(json.dumps(RESULTS))
    for row in (*changed["comparisons"], *changed["public_sets"], *changed["own_fits"], *changed["growth"]):
        row["seconds"] *= 7
    before, after = (tables.render(one).splitlines() for one in (RESULTS, changed))
    same = [line for line in before if line in after and line.startswith("| ") and any(map(str.isdigit, line))]
    assert all("minima of" in line or "statements" in line for line in same), same


def test_what_has_no_known_cause_is_said_so():
    changed = copy.deepcopy(RESULTS)
    for cost in changed["growth"]:
        cost["seconds"] *= cost["size"]
    for row in changed["comparisons"]:
        row["ratio"] = 0.5
    text = tables.render(changed)
    assert "because of a cause that is not known yet." in text
    assert "×: the cause is not known yet" in text


def test_the_page_of_the_cluster_takes_the_numbers_of_its_bench():
    cluster = pytest.importorskip("cluster")
    overheads = {1: (0.016, 0.095), 10: (-0.003, 0.05)}
    toys = dict(zip(cluster.KINDS, [(36e-6, 400), (38e-6, 1), (1.071e-3, 34)], strict=True))
    text = cluster.render(overheads, 643.0, toys)
    assert "| more time on the clock | 9.5 % | 5.0 % |\n" in text
    assert "| more processor time of the workers | 1.6 % | −0.3 % |\n" in text
    assert "| 36 µs | 0.01 core hours | 10 core hours | 322 workers |\n" in text  # 643 a second, of 0.5 s
    assert "| 1071 µs | 0.297 core hours | 298 core hours | 2025 workers |\n" in text  # of 3.15 s
    page = (ROOT / cluster.PAGE).read_text()
    assert text in tables.replace(page, text, "benchmarks/cluster.py")


def test_a_readme_without_the_markers_is_refused():
    with pytest.raises(ValueError, match="written by make bench"):
        tables.replace("# title\n", "text")


def test_the_tools_take_turns_and_a_part_stands_for_the_whole(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(comparison.time, "process_time", lambda: now[0])

    def take(tool, seconds):
        now[0] += seconds
        calls.append(tool)
        return tool

    peers = {"peer": lambda: take("peer", 0.5), "part": comparison.Part(lambda: take("part", 1.5), 10.0)}
    ours, peer, part = comparison.compare("task", lambda: take("ours", 0.25), peers)
    assert (ours.seconds, peer.seconds, part.seconds) == (0.25, 0.5, 15.0)
    assert (ours.ratio, peer.ratio, part.ratio) == (1.0, 2.0, 60.0)
    assert [row.reached for row in (ours, peer, part)] == ["ours", "peer", "part"]
    turns = calls[-2 * part.n_runs :]
    assert turns == ["ours", "part"] * part.n_runs
    assert part.n_runs == 2  # 1.5 s each, until 4 s are spent


def test_the_generated_problem_has_the_derivatives_of_its_residuals():
    problem = growth.build_species(3, 4)
    x = problem.start * np.array([[0.9], [1.1]])
    assert problem.jacobian(x).shape == (2, 12, 10)
    step = 1e-6 * np.eye(10)
    moved = [(problem.residuals(row + step) - problem.residuals(row - step)) / 2e-6 for row in x]
    np.testing.assert_allclose(problem.jacobian(x), np.swapaxes(moved, 1, 2), rtol=1e-6, atol=1e-6)


def test_every_kind_of_growing_work_runs():
    for kind in growth.SIZES:
        assert growth.measure_one(kind, 4)["megabytes"] >= 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pyhf's own imports
def test_pyhf_is_given_the_same_counts():
    model = load_likelihood("xenonnt").model
    peer = limits.build_pyhf(model)
    theta, pulls = 0.7, np.array([0.3, -0.4, 0.6])
    values = {"mu": theta, "norm": 1 + pulls[0], "pp": pulls[1], "beryllium_7": pulls[2]}
    assert model.nuisances == ("background", "pp", "beryllium_7")
    expected = peer.expected_actualdata([values[name] for name in peer.config.par_names])
    np.testing.assert_allclose(expected, model.expected(theta, pulls), rtol=1e-12)


def test_the_time_of_a_command_is_that_until_it_has_ended():
    takes_long = [sys.executable, "-c", "import time; time.sleep(0.2)"]  # the time to be measured, not to be waited for
    assert report.time_command(takes_long) > 0.2
    with pytest.raises(subprocess.CalledProcessError):
        report.time_command([sys.executable, "-c", "1 / 0"])


def test_the_page_of_performance_takes_the_times_of_the_explorers():
    profiler = cProfile.Profile()
    profiler.runcall(FITS["decay, long"].model, np.ones(3), 1.0, 1.0, 1.0)
    text = explorers.render([("profile", "beta", 20.4, 40.6)], profiler)
    assert "| profile | `beta` | 20 ms | 41 ms |" in text
    assert "of `benchmarks.own_fit` | 0 |" in text
    page = (ROOT / "docs" / "performance.md").read_text()
    assert text in tables.replace(page, text, explorers.WRITER)


def test_the_page_of_performance_takes_the_times_of_the_notebooks():
    profiler = cProfile.Profile()
    profiler.runcall(FITS["decay, long"].model, np.ones(3), 1.0, 1.0, 1.0)
    times = dict.fromkeys(report.AIMS, 2.96)
    text = report.render(times, {"05_closures": 60.2, "02_profile_scan": 4.0, "00_start_here": 3.0}, profiler, 5)
    assert "| run with nothing to do | 3.0 s | 3.0 s | met |" in text
    assert "| `leptonfit list` | 3.0 s | 0.4 s | missed |" in text
    assert "| `05_closures` | 60 s |\n| `02_profile_scan` | 4 s |" in text
    assert "67 s of 3 notebooks" in text
    page = (ROOT / "docs" / "performance.md").read_text()
    assert text in tables.replace(page, text, report.WRITER)


def test_mutants_change_code_that_runs_and_the_same_seed_draws_the_same(tmp_path):
    pytest.importorskip("cosmic_ray")
    for name in mutants.FOLDERS:
        (tmp_path / "lib/leptonfit" / name).mkdir(parents=True)
    source = 'def f(x: list[3] | None) -> dict[4] | None:\n    """1 + 2."""\n    return (x +\n        5)\n'
    (tmp_path / "lib/leptonfit/vortex/one.py").write_text(source)
    drawn, n_places = mutants.draw(tmp_path, 9, seed=1)
    assert n_places == 2  # the sum and the 5
    assert mutants.draw(tmp_path, 9, seed=1)[0] == drawn
    for known, changed in drawn:
        assert (known["file"], known["function"]) == ("lib/leptonfit/vortex/one.py", "f")
        assert known["before"] != known["after"]
        assert changed.startswith(source[: source.index("(x +")])
    assert mutants.find_lines(source, 4) == range(3, 5)
    assert mutants.find_lines(source, 1) == range(2, 5)
    assert not mutants.find_lines("K = 1\n" + source, 1)


def test_the_page_of_mutants_shows_the_stored_run():
    record = json.loads(mutants.RECORD.read_text())
    text = mutants.render(record, tomllib.loads(mutants.REASONS.read_text())["survivor"])
    page = (ROOT / "docs" / "mutants.md").read_text()
    assert tables.replace(page, text, mutants.WRITER) == page
    assert "Not explained" not in text
    everything = mutants.render(record, [])
    assert everything.count("Not explained") == sum(row["outcome"] not in mutants.NOTICED for row in record["mutants"])
