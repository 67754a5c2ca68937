"""The ordered map: the same values in the same order, in one process or two."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from leptonfit.inference.parallel import map_ordered, spawn_seeds

TASKS = """
import os, time
import numpy as np

def slow_when_first(task):
    time.sleep(0.3 if task == 0 else 0.0)
    return task, os.getpid()

def draw(seed):
    return np.random.default_rng(seed).normal(size=50).tobytes()

def invert(value):
    return 1 / value
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Functions of a module that other processes can import."""
    (tmp_path / "parallel_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    import parallel_tasks

    return parallel_tasks


def test_order_is_kept_whatever_finishes_first(tasks):
    tasks_done, processes = zip(*map_ordered(tasks.slow_when_first, range(9), jobs=2), strict=True)
    assert tasks_done == tuple(range(9))
    assert os.getpid() not in processes


def test_one_job_stays_in_this_process(tasks):
    seen = []
    assert map_ordered(seen.append, iter("abc")) == [None, None, None]
    assert seen == ["a", "b", "c"]
    assert map_ordered(tasks.slow_when_first, [1], jobs=8) == [(1, os.getpid())]


def test_one_process_or_two_give_the_same_bytes(tasks):
    alone, together = (map_ordered(tasks.draw, spawn_seeds(11, 10), jobs=jobs) for jobs in (1, 2))
    assert alone == together
    assert len(set(alone)) == 10


def test_seeds_depend_on_the_seed_and_the_task_alone(tasks):
    draws = partial(map_ordered, tasks.draw)
    assert draws(spawn_seeds(11, 10))[:4] == draws(spawn_seeds(11, 4))
    assert not set(draws(spawn_seeds(11, 10))) & set(draws(spawn_seeds(12, 10)))
    assert all(isinstance(seed, np.random.SeedSequence) for seed in spawn_seeds(1, 3))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_passes_through(tasks, jobs):
    with pytest.raises(ZeroDivisionError):
        map_ordered(tasks.invert, [1.0, 2.0, 0, 4.0], jobs=jobs)


@pytest.mark.parametrize("jobs", [0, -1])
def test_refuses_no_jobs(jobs):
    with pytest.raises(ValueError, match=f"jobs = {jobs}"):
        map_ordered(abs, [1, 2], jobs=jobs)


def test_no_tasks():
    assert map_ordered(abs, [], jobs=4) == []
    assert spawn_seeds(1, 0) == []


def test_workers_end_with_their_parent(tmp_path, monkeypatch):
    """A killed parent leaves no process behind."""
    (tmp_path / "sleepers.py").write_text(
        "import os, sys, time\n"
        "from leptonfit.inference.parallel import map_ordered\n"
        "def nap(task):\n"
        "    open(f'pid{task}', 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    map_ordered(nap, [0, 1], jobs=2)\n"
    )
    parent = subprocess.Popen([sys.executable, "sleepers.py"], cwd=tmp_path)
    pids = [tmp_path / f"pid{task}" for task in (0, 1)]
    wait_until(lambda: all(path.is_file() and path.read_text() for path in pids))
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(Path(f"/proc/{path.read_text()}").exists() for path in pids))


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
