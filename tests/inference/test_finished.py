"""Work that was cut off goes on where it was, with the same bytes, and takes nothing from other work."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import leptonfit
from leptonfit.inference import chunks, finished, limit_coverage, neyman
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.finished import keep_finished
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.neyman import run_feldman_cousins
from leptonfit.inference.parallel import map_ordered, spawn_seeds

CALLS = []
"""Tasks that were done, by position in the call; None stands for the task that was cut off."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every finished task is written at once."""
    monkeypatch.setattr(finished, "PAUSE", 0.0)
    CALLS.clear()


def draw(task):
    CALLS.append(task[0])
    return np.random.default_rng(task[1]).normal(size=5)


def cut(n, of):
    """Stop after n tasks; as an argument `done` of `map_ordered`."""
    if n == of:
        raise KeyboardInterrupt


def draw_six(folder, seed=3, done=lambda n, of: None):
    with keep_finished(folder):
        return np.array(map_ordered(draw, list(enumerate(spawn_seeds(seed, 6))), done=done)).tobytes()


@pytest.fixture
def kept(tmp_path):
    """Folder of six draws that were cut off after four."""
    with pytest.raises(KeyboardInterrupt):
        draw_six(tmp_path / "kept", done=lambda n, of: cut(n, 4))
    assert CALLS == [0, 1, 2, 3]
    CALLS.clear()
    return tmp_path / "kept"


def test_work_goes_on_where_it_was_cut_off_with_the_same_bytes(kept, tmp_path):
    seen = []
    found = draw_six(kept, done=lambda n, of: seen.append((n, of)))
    assert CALLS == [4, 5]
    assert seen == [(n, 6) for n in range(1, 7)]
    assert found == draw_six(tmp_path / "other")
    assert not kept.exists()


@pytest.mark.parametrize("what", ["seed", "sources", "version", "module"])
def test_nothing_is_taken_from_another_state(what, kept, tmp_path, monkeypatch):
    finished._describe_here()
    if what in ("sources", "version"):
        finished._describe_here.cache_clear()
    if what == "sources":
        monkeypatch.setitem(vars(leptonfit), "_sources", "other")
    if what == "version":
        monkeypatch.setattr(np, "__version__", "9.9")
    if what == "module":
        (tmp_path / "own_module.py").write_text("a = 1")
        monkeypatch.syspath_prepend(tmp_path)
        __import__("own_module")
    draw_six(kept, seed=4 if what == "seed" else 3)
    assert CALLS == [0, 1, 2, 3, 4, 5]
    sys.modules.pop("own_module", None)
    finished._SEEN.pop("own_module", None)
    finished._describe_here.cache_clear()


def test_a_file_that_is_not_what_was_written_is_named(kept):
    path = next(kept.rglob("2.pickle"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"^{path} is not what was written: .*; delete it$"):
        draw_six(kept)


def test_what_cannot_be_compared_is_not_kept(tmp_path):
    lock = threading.Lock()
    with keep_finished(tmp_path):
        assert map_ordered(lambda task: lock.locked(), range(3)) == [False] * 3
        assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_or_taken_where_a_module_is_no_longer_what_its_file_says(kept, tmp_path, monkeypatch):
    path = tmp_path / "changed_module.py"
    path.write_text("a = 1")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("changed_module")
    with pytest.raises(KeyboardInterrupt):
        draw_six(kept, done=lambda n, of: cut(n, 2))
    path.write_text("a = 2")
    CALLS.clear()
    draw_six(kept)
    assert CALLS == [0, 1, 2, 3, 4, 5]
    del sys.modules["changed_module"]
    del finished._SEEN["changed_module"]


def test_short_work_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(finished, "PAUSE", 60.0)
    with pytest.raises(KeyboardInterrupt):
        draw_six(tmp_path / "kept", done=lambda n, of: cut(n, 4))
    assert not (tmp_path / "kept").exists()


def fail_first(task):
    """Fail once the others have ended."""
    number, folder = task
    if number:
        (folder / str(number)).touch()
        return number
    while len(list(folder.iterdir())) < 3:
        pass
    raise ArithmeticError("the first")


def test_tasks_that_other_processes_finished_before_a_failure_are_kept(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))  # for the other processes
    (tmp_path / "done").mkdir()
    tasks = [(number, tmp_path / "done") for number in range(4)]
    with pytest.raises(ArithmeticError, match="the first"), keep_finished(tmp_path / "kept"):
        map_ordered(fail_first, tasks, jobs=2)
    assert {path.stem for path in (tmp_path / "kept").rglob("*.pickle")} == {"1", "2", "3"}


def counts(n):
    none = np.zeros((0, 1))
    return BinnedModel((), np.array([5.0]), none, np.ones(1), none, np.zeros(0, dtype=bool)), np.array([n])


@pytest.mark.parametrize("work", ["limit", "coverage"])
def test_toys_of_limits_and_of_their_coverage_go_on(work, tmp_path, monkeypatch):
    model, data = counts(7.0)
    how = {"confidence": (0.9,), "n_toys": 50, "seed": 1}
    module = {"limit": neyman, "coverage": limit_coverage}[work]
    draw_toys, made = limit_coverage.draw_toys, []

    def run():
        if work == "limit":
            return run_feldman_cousins(model, data, **how)
        return cover_limits(model, data, 2.0, **how)

    def counted(*arguments):
        made.append(1)
        if len(made) == 8:
            raise KeyboardInterrupt
        return draw_toys(*arguments)

    monkeypatch.setattr(chunks, "TOYS", 25 if work == "limit" else 5)
    monkeypatch.setattr(module, "draw_toys", counted)
    with pytest.raises(KeyboardInterrupt), keep_finished(tmp_path / "kept"):
        run()
    with keep_finished(tmp_path / "kept"):
        again = run()
    n_again = len(made) - 8
    whole = run()
    assert n_again == len(made) - 8 - n_again - 7
    for field in vars(whole):
        np.testing.assert_equal(getattr(again, field), getattr(whole, field), field)


DIGEST = """
import sys
import numpy as np
from leptonfit.inference.finished import _digest
from leptonfit.neutrino.likelihood import load_likelihood

one = load_likelihood("xenonnt")
{line}
exec(compile("\\n" * {shift} + "model = lambda t, a: np.exp(a * t)", "cell {shift}", "exec"))
print(_digest((model, one)), end="")
"""


@pytest.mark.slow
def test_a_task_is_known_again_in_another_process(tmp_path):
    """Whatever the seed of Python's hashes, the cell of a function, and the quantities that a model has remembered."""

    def digest(seed, line):
        code = DIGEST.format(line=line, shift=seed)
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout

    first = digest(1, "")
    assert len(first) == 16
    assert digest(2, "one.model.fit(one.data)") == first
    assert digest(1, "one.data[0] += 1") != first
