"""The ordered map: the same values in the same order, in one process or two."""

import fcntl
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from leptonfit.inference import parallel
from leptonfit.inference.parallel import map_ordered, own_core, share_cores, spawn_seeds, use_core

TASKS = """
import os, time
from pathlib import Path
import numpy as np

def slow_when_first(task):
    time.sleep(0.3 if task == 0 else 0.0)
    return task, os.getpid()

def draw(seed):
    return np.random.default_rng(seed).normal(size=50).tobytes()

def enter(room):
    path = Path(room) / f"inside-{os.getpid()}"
    path.touch()
    return path

def meet(room):
    enter(room)
    end = time.monotonic() + 60
    while len(list(Path(room).glob("inside-*"))) < 2:
        assert time.monotonic() < end, "the other one never came"
        time.sleep(0.01)  # between two looks
    return 2

def count_inside(room):
    path = enter(room)
    time.sleep(0.05)  # room for another task to come in, which would make the test fail
    n_inside = len(list(Path(room).glob("inside-*")))
    path.unlink()
    return n_inside

def invert(value):
    return 1 / value
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Functions of a module that other processes can import."""
    (tmp_path / "parallel_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(parallel, "count_cores", lambda: 2)  # also on a machine with one core
    import parallel_tasks

    return parallel_tasks


def test_order_is_kept_whatever_finishes_first(tasks):
    tasks_done, processes = zip(*map_ordered(tasks.slow_when_first, range(9), jobs=2), strict=True)
    assert tasks_done == tuple(range(9))
    assert os.getpid() not in processes


def test_no_more_processes_than_cores(tasks, monkeypatch):
    monkeypatch.setattr(parallel, "count_cores", lambda: 1)
    assert {process for _, process in map_ordered(tasks.slow_when_first, range(3), jobs=50)} == {os.getpid()}
    started = []
    monkeypatch.setattr(parallel, "count_cores", lambda: 2)
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda jobs, *_, **__: started.append(jobs) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        map_ordered(tasks.slow_when_first, range(60), jobs=50)
    assert started == [2]


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


def use(own, inside, leave, goes_first=False):
    """Thread that uses a core: sets `inside` when it has one, and keeps it until `leave` is set."""

    def run():
        with use_core(own, goes_first=goes_first):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def budget(tmp_path):
    with share_cores(tmp_path / "cores", 2):
        yield


@pytest.mark.usefixtures("budget")
def test_two_cores_are_used_by_two_tasks_and_then_by_what_goes_first():
    """The caller's own core, the other core, a worker that waits, and a notebook that comes later and goes first."""
    own, someone = own_core(), multiprocessing.Lock()
    someone.acquire()  # what waits has no core of its own
    inside, leave = ([threading.Event() for _ in range(4)] for _ in range(2))
    tasks = [use(own, inside[0], leave[0])]
    assert inside[0].wait(60)
    tasks.append(use(own, inside[1], leave[1]))
    assert inside[1].wait(60)
    tasks.append(use(someone, inside[3], leave[3], goes_first=True))
    wait_until(lambda: not is_free("queue"))
    tasks.append(use(someone, inside[2], leave[2]))
    assert not any(is_free("queue") for _ in range(100)), "the notebook keeps the queue while it waits"
    assert not inside[2].is_set()
    assert not inside[3].is_set()
    leave[1].set()
    assert inside[3].wait(60)
    assert not inside[2].is_set()
    leave[3].set()
    assert inside[2].wait(60)
    leave[2].set()
    leave[0].set()
    for task in tasks:
        task.join()
    assert is_free("core-1")
    assert own.acquire(False), "the caller has its core again"
    own.release()


def is_free(name):
    with open(Path(os.environ["LEPTONFIT_CORES"]) / name, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_pool_takes_a_core_that_is_free_and_no_other(budget, tasks, tmp_path):
    room = str(tmp_path)
    assert map_ordered(tasks.meet, [room] * 2, jobs=2) == [2, 2]
    for path in tmp_path.glob("inside-*"):
        path.unlink()
    with open(Path(os.environ["LEPTONFIT_CORES"]) / "core-1", "a") as core:
        fcntl.flock(core, fcntl.LOCK_EX)
        assert map_ordered(tasks.count_inside, [room] * 8, jobs=2) == [1] * 8
        alone = map_ordered(tasks.draw, spawn_seeds(11, 10), jobs=2)
    assert alone == map_ordered(tasks.draw, spawn_seeds(11, 10), jobs=2) == map_ordered(tasks.draw, spawn_seeds(11, 10))


def test_a_budget_inside_another_is_the_same(budget, tmp_path):
    cores = os.environ["LEPTONFIT_CORES"]
    with share_cores(tmp_path / "more", 8):
        assert os.environ["LEPTONFIT_CORES"] == cores
    assert os.environ["LEPTONFIT_CORES"] == cores
