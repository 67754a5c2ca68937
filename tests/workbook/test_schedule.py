"""The order in which notebooks start, and the times from which it is learned."""

from leptonfit.workbook import schedule
from leptonfit.workbook.parameters import notebook_names, upstream

GRAPH = {
    "01_a": set(),
    "02_profile_scan": set(),
    "05_b": set(),
    "06_c": {"05_b", "01_a"},
    "07_d": set(),
    "90_e": {"06_c"},
}


def test_without_a_last_run_the_first_verdict_comes_first_and_then_the_names():
    ready = ["07_d", "05_b", "02_profile_scan", "01_a"]
    assert schedule.order_ready(ready, GRAPH, {}) == ["02_profile_scan", "01_a", "05_b", "07_d"]


def test_the_longest_work_that_depends_on_a_notebook_decides():
    seconds = {"01_a": 1.0, "05_b": 5.0, "06_c": 30.0, "07_d": 35.5, "90_e": 2.0, "02_profile_scan": 0.1}
    ready = ["01_a", "05_b", "07_d", "02_profile_scan"]  # 33, 37 and 35.5 s to the end
    assert schedule.order_ready(ready, GRAPH, seconds) == ["02_profile_scan", "05_b", "07_d", "01_a"]


def test_times_are_those_of_the_same_parameters(tmp_path):
    assert schedule.read_seconds(tmp_path, {"01_a": {"seed": 1}}) == {}
    schedule.record_cost(tmp_path, "01_a", {"seed": 1}, 12.34, 0)
    schedule.record_cost(tmp_path, "05_b", {}, 3.0, 0)
    asked = {"01_a": {"seed": 1}, "05_b": {"seed": 1}, "06_c": {}}
    assert schedule.read_seconds(tmp_path, asked) == {"01_a": 12.3}
    schedule.record_cost(tmp_path, "01_a", {"seed": 1}, 5.0, 0)
    assert schedule.read_seconds(tmp_path, asked) == {"01_a": 5.0}


def test_cost_is_that_of_the_nearest_execution_multiplied_by_larger_counts(tmp_path):
    runs = {
        "latest": ({"n_toys": 1000, "seed": 1, "bounds": "report", "budget": "quick"}, 30.0),
        "many": ({"n_toys": 4000, "seed": 1, "bounds": "report", "budget": "quick"}, 90.0),
        "wide": ({"n_toys": 16000, "seed": 1, "bounds": "wide", "budget": "quick"}, 900.0),
    }
    for tag, (parameters, seconds) in runs.items():
        (tmp_path / tag).mkdir()
        schedule.record_cost(tmp_path / tag, "01_a", parameters, seconds, 2**28)

    def estimate(**changes):
        return schedule.estimate_cost(tmp_path, "01_a", runs["latest"][0] | changes, {"n_toys"})

    assert estimate() == schedule.Cost(30.0, 2**28, False)
    assert estimate(n_toys=10) == schedule.Cost(30.0, 2**28, False)  # what does not depend on toys stays
    assert estimate(n_toys=16000, budget="full") == schedule.Cost(360.0, 2**28, True)
    assert estimate(n_toys=16000, bounds="wide") == schedule.Cost(900.0, 2**28, False)
    assert schedule.estimate_cost(tmp_path, "05_b", {}, set()) is None


def test_what_a_long_run_will_take_is_described_in_one_line():
    graph = {"01_a": set(), "05_b": {"01_a"}, "07_d": set()}
    costs = {"01_a": schedule.Cost(100.0, 2**30, False), "05_b": schedule.Cost(50.0, 2**29, False)}
    line = "expected: about 2 min 30 s, 1.5 GiB of memory, as in the last run"
    assert schedule.describe_costs(costs, graph, 2) == line  # one needs the other
    costs |= {"07_d": schedule.Cost(500.0, 2**31, True), "09_e": None}
    line = "expected: up to about 8 min 20 s, 3.0 GiB of memory, from runs with smaller counts; not known for 09_e"
    assert schedule.describe_costs(costs, graph, 2) == line
    assert "10 min 50 s, 2.0 GiB" in schedule.describe_costs(costs, graph, 1)
    assert schedule.describe_costs({"01_a": schedule.Cost(59.0, 1, False), "07_d": None}, graph, 1) is None
    assert schedule.describe_costs({}, graph, 2) is None


def test_a_damaged_record_of_costs_counts_as_none(tmp_path):
    (tmp_path / "latest").mkdir()
    whole = '{"01_a": {"seconds": %s, "memory": 1, "parameters": {"n_toys": %s}}}'
    damaged = ("", "[1]", '{"01_a": 3}', '{"01_a": {"seconds": 3}}', *(whole % (x, 9) for x in ('"3"', "NaN", "-1")))
    for text in damaged:
        (tmp_path / "latest" / ".seconds.json").write_text(text)
        assert schedule.estimate_cost(tmp_path, "01_a", {"n_toys": 9}, {"n_toys"}) is None
    for count in ('"9"', "0", "null", "-9"):
        (tmp_path / "latest" / ".seconds.json").write_text(whole % (3, count))
        assert schedule.estimate_cost(tmp_path, "01_a", {"n_toys": 9}, {"n_toys"}) == schedule.Cost(3, 1, False)


def test_the_notebook_of_the_first_verdict_needs_no_other():
    assert schedule.FIRST in notebook_names()
    assert upstream(schedule.FIRST) == set()
