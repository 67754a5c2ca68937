"""What a run says about its time: nothing that is not known from the last run."""

import io
import time

import pytest

from leptonfit.workbook import progress


@pytest.mark.parametrize(
    ("elapsed", "expected", "said"),
    [
        (42.4, None, "42 s"),
        (42.4, 159.3, "42 s, about 1 min 57 s left"),
        (3.04, 9.0, "3.0 s, about 6.0 s left"),
        (160.0, 159.3, "2 min 40 s, longer than in the last run (2 min 39 s)"),
        (9.96, None, "10 s"),
    ],
)
def test_time_left_is_that_of_the_last_run_or_none(elapsed, expected, said):
    assert progress.describe_time(elapsed, expected) == said


class Terminal(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize(("expected", "said"), [(None, "05_b: 0.0 s"), (60.0, "05_b: 0.0 s, about 1 min 0 s left |")])
def test_a_terminal_has_a_bar_with_the_time_while_the_notebook_runs(expected, said, monkeypatch):
    stream = Terminal(True)
    monkeypatch.setattr("sys.stderr", stream)
    with progress.show_bar("05_b", expected):
        end = time.monotonic() + 60
        while said not in stream.getvalue():
            assert time.monotonic() < end, stream.getvalue()
    assert ("left" in stream.getvalue()) == (expected is not None)


def test_elsewhere_there_is_no_bar(monkeypatch):
    stream = Terminal(False)
    monkeypatch.setattr("sys.stderr", stream)
    with progress.show_bar("05_b", 60.0):
        pass
    assert stream.getvalue() == ""
