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
    schedule.record_seconds(tmp_path, "01_a", {"seed": 1}, 12.34)
    schedule.record_seconds(tmp_path, "05_b", {}, 3.0)
    asked = {"01_a": {"seed": 1}, "05_b": {"seed": 1}, "06_c": {}}
    assert schedule.read_seconds(tmp_path, asked) == {"01_a": 12.3}
    schedule.record_seconds(tmp_path, "01_a", {"seed": 1}, 5.0)
    assert schedule.read_seconds(tmp_path, asked) == {"01_a": 5.0}


def test_the_notebook_of_the_first_verdict_needs_no_other():
    assert schedule.FIRST in notebook_names()
    assert upstream(schedule.FIRST) == set()
