"""Tasks on a real scheduler with two worker processes: the bytes of the serial path, whatever happens to a worker."""

import contextlib
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import dask
import numpy as np
import pytest
import threadpoolctl
from numpy.testing import assert_array_equal

from leptonfit.inference import chunks, cluster, finished, model_problem, parallel
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.finished import keep_finished
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.neyman import run_feldman_cousins
from leptonfit.inference.parallel import ClusterError, describe_cluster, map_ordered, spawn_seeds, use_cluster
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.solve import solve

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cluster")]


@pytest.fixture
def on_cluster(client):
    with use_cluster(client):
        yield


@pytest.fixture
def draw():
    return lambda seed: (os.getpid(), np.random.default_rng(seed).normal(size=50))


def test_the_same_bytes_in_the_same_order_from_other_processes(client, draw):
    seeds, seen = spawn_seeds(11, 300), []
    alone = map_ordered(draw, seeds)
    with use_cluster(client):
        together = map_ordered(draw, seeds, done=lambda *counted: seen.append(counted))
    assert [value.tobytes() for _, value in together] == [value.tobytes() for _, value in alone]
    assert {pid for pid, _ in together} == set(client.run(os.getpid).values())
    assert seen == [(k + 1, 300) for k in range(300)]
    together[0][1][0] = 0.0  # arrays can be changed, as those of the serial path


def test_short_tasks_are_sent_in_few_batches(client, monkeypatch):
    """A batch costs about 5 ms of processor time: 60 batches are 10 % of 3 s of work."""
    submitted, original = [], client.submit

    def submit(*arguments, **options):
        submitted.append(arguments)
        return original(*arguments, **options)

    def work(task):
        end = time.thread_time() + 1e-3
        while time.thread_time() < end:
            sum(range(1000))

    monkeypatch.setattr(client, "submit", submit)
    with use_cluster(client):
        map_ordered(work, range(3000))
    assert 8 < len(submitted) < 200  # 60 on a machine that does nothing else


def test_the_first_task_that_fails_raises_as_it_does_here(on_cluster):
    def fail(task):
        time.sleep(0.5 if task == 3 else 0.0)  # the other one has failed before
        if task in (3, 7):
            raise {3: KeyError, 7: ZeroDivisionError}[task](f"task {task}")
        return task

    seen = []
    with pytest.raises(KeyError, match="task 3"):
        map_ordered(fail, range(12), done=lambda finished, n: seen.append(finished))
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) <= 3


def test_a_killed_worker_loses_nothing(client, draw):
    seeds, killed = spawn_seeds(5, 60), []

    def kill(finished, n):
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    def slow(seed):
        time.sleep(0.02)  # so that the worker has batches when it is killed
        return draw(seed)[1].tobytes()

    with use_cluster(client):
        found = map_ordered(slow, seeds, done=kill)
    assert found == [draw(seed)[1].tobytes() for seed in seeds]
    client.wait_for_workers(2, timeout=60)
    assert killed[0] not in client.run(os.getpid).values()


def test_a_task_of_a_task_stays_in_its_worker(on_cluster):
    def outer(task):
        from leptonfit.inference.parallel import map_ordered

        return os.getpid(), map_ordered(lambda inner: (os.getpid(), task + inner), [1, 2], jobs=2)

    for pid, inner in map_ordered(outer, range(4)):
        assert {other for other, _ in inner} == {pid}


def test_workers_have_the_threads_and_the_variables_of_this_process(client, on_cluster, monkeypatch):
    def look(task):
        assert describe_cluster() is None, "a worker that was started again has the variables of its parent"
        return os.environ.get("LEPTONFIT_DATA"), max(
            found["num_threads"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"
        )

    client.run(lambda: os.environ.update(LEPTONFIT_WORKERS="2 workers"))
    for n_threads in (2, 1):
        monkeypatch.setenv("LEPTONFIT_DATA", f"data-{n_threads}")
        with threadpoolctl.threadpool_limits(n_threads, user_api="blas"):
            assert set(map_ordered(look, range(6))) == {(f"data-{n_threads}", n_threads)}
    monkeypatch.delenv("LEPTONFIT_DATA")
    assert {data for data, _ in map_ordered(look, range(6))} == {None}


def test_what_cannot_be_sent_is_done_here(on_cluster):
    lock = threading.Lock()

    def pid(task):
        with lock:
            return os.getpid()

    with pytest.warns(UserWarning, match="cannot be sent to the cluster: .*lock"):
        assert map_ordered(pid, range(3)) == [os.getpid()] * 3


@pytest.fixture
def sent(monkeypatch):
    """Number of tasks of each call that was sent to workers."""
    numbers, original = [], cluster.map_batches

    def count(client, function, tasks):
        numbers.append(len(tasks))
        return original(client, function, tasks)

    monkeypatch.setattr(cluster, "map_batches", count)
    return numbers


def test_a_multistart_of_several_chunks_is_the_same_on_the_cluster(client, sent, monkeypatch):
    t = np.linspace(0, 3, 8)
    y = np.cos(t)

    def jacobian(x):
        decay = np.exp(-x[..., 1:] * t)
        return np.stack([decay, -x[..., :1] * t * decay], axis=-1)

    parameters = Parameter(name="a", lower=0.0, upper=9.0), Parameter(name="b", lower=-2.0, upper=2.0)
    names = tuple(f"r{i}" for i in range(8))
    problem = LeastSquaresProblem(parameters, names, lambda x: x[..., :1] * np.exp(-x[..., 1:] * t) - y, jacobian)
    monkeypatch.setattr(chunks, "MEMORY", 5 * 8 * chunks.COPIES * 16)
    alone = run_multistart(problem, effort=Effort(40, 1))
    assert sent == []
    with use_cluster(client):
        together = run_multistart(problem, effort=Effort(40, 1))
    assert sent == [8]
    for name in ("x", "chi2", "kkt", "converged", "n_iter"):
        assert_array_equal(getattr(together, name), getattr(alone, name), name)


@pytest.mark.parametrize("sigma", [0.1, 0.01 * (np.eye(12) + 0.2)], ids=["errors", "covariance"])
def test_every_start_of_a_slow_model_is_a_task_with_the_same_bytes(sigma, client, sent, monkeypatch):
    def decay(t, a, b):
        return float(a) * np.exp(-float(b) * t)  # takes numbers only

    t = np.linspace(0, 3, 12)
    monkeypatch.setattr(model_problem, "_WORTH_A_TASK", 0.0)
    problem = problem_from_model(decay, t, 3 * np.exp(-t) + 0.1 * np.sin(9 * t), sigma, {"a": (0, 9), "b": (0, 5)})
    starts = np.random.default_rng(1).uniform(problem.lower, problem.upper, (2, 3, 2))
    alone = solve(problem, starts), solve(problem, starts, fixed=("a",))
    assert sent == []
    with use_cluster(client):
        together = solve(problem, starts), solve(problem, starts, fixed=("a",))
    assert sent == [6, 6]
    for one, other in zip(alone, together, strict=True):
        for name in ("x", "chi2", "kkt", "converged", "n_iter"):
            assert_array_equal(getattr(other, name), getattr(one, name), name)


def test_limits_and_coverage_from_toys_are_the_same_on_the_cluster(client, sent, monkeypatch):
    monkeypatch.setattr(chunks, "TOYS", 100)
    none = np.zeros((0, 1))
    model = BinnedModel((), np.array([5.0]), none, np.ones(1), none, np.zeros(0, dtype=bool))
    how = {"confidence": (0.9,), "n_toys": 250, "seed": 1}

    def run():
        found = run_feldman_cousins(model, np.array([7.0]), **how)
        return found.limit, found.error, found.p_value, cover_limits(model, np.array([7.0]), 2.0, **how).n_covered["fc"]

    alone = run()
    with use_cluster(client):
        together = run()
    assert sent[0] == 33, "eleven θ, three chunks of toys each"
    assert sent[-1] == 3
    for one, other in zip(alone, together, strict=True):
        assert_array_equal(one, other)


def test_a_process_started_meanwhile_finds_the_cluster(client, on_cluster):
    code = (
        "import os; from leptonfit.inference.parallel import map_ordered\n"
        "print(*map_ordered(lambda task: os.getpid(), range(8)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {int(pid) for pid in said.stdout.split()} <= set(client.run(os.getpid).values())
    assert said.stderr == ""


def test_local_starts_a_cluster_and_ends_it(monkeypatch):
    monkeypatch.setattr(parallel, "count_cores", lambda: 1)
    with use_cluster("local"):
        assert describe_cluster() == "1 workers"
        (pid,) = set(map_ordered(lambda task: os.getpid(), range(3)))
        assert pid != os.getpid()
    assert describe_cluster() is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_other_versions_are_one_warning_and_stand_in_the_provenance(client):
    def change(version):
        import numpy

        numpy.__version__, was = version, numpy.__version__
        return was

    said, worker = [], next(iter(client.nthreads()))
    was = client.run(change, "0.9", workers=[worker])[worker]
    try:
        with use_cluster(client, warn=said.append):
            assert describe_cluster() == f"2 workers with numpy 0.9 instead of {np.__version__}"
    finally:
        client.run(change, was, workers=[worker])
    assert said == [
        f"the cluster has 2 workers with numpy 0.9 instead of {np.__version__}: the last digits of results may differ"
    ]


@pytest.fixture
def change(client):
    """Change a name in a module of every worker, as if other workers had joined."""

    def set_name(module, name, value):
        import importlib

        known = vars(importlib.import_module(module))
        known[name], was = value, known[name]
        return was

    with contextlib.ExitStack() as stack:

        def change(module, name, value):
            was = next(iter(client.run(set_name, module, name, value).values()))
            stack.callback(client.run, set_name, module, name, was)

        yield change


def test_workers_that_join_later_are_compared_and_tasks_of_other_versions_not_kept(
    on_cluster, change, tmp_path, monkeypatch
):
    change("numpy", "__version__", "0.9")
    monkeypatch.setattr(finished, "PAUSE", 0.0)
    expected, files = f"2 workers with numpy 0.9 instead of {np.__version__}", []
    warned = pytest.warns(UserWarning, match=f"^the cluster has {expected}: the last digits")
    with warned as seen, keep_finished(tmp_path):
        map_ordered(abs, range(9), done=lambda *_: files.extend(tmp_path.rglob("*.pickle")))
    assert len(seen) == 1
    assert describe_cluster() == expected
    assert files == []


def test_workers_of_other_sources_that_join_later_are_refused(on_cluster, change):
    change("leptonfit", "_sources", "other")
    with pytest.raises(ClusterError, match=r"^worker tcp://.*: has leptonfit .* \(sources other\), must be "):
        map_ordered(abs, range(9))


def test_work_that_was_cut_off_goes_on_with_and_without_the_cluster(client, draw, tmp_path, monkeypatch):
    monkeypatch.setattr(finished, "PAUSE", 0.0)
    seeds, pids = spawn_seeds(5, 40), set(client.run(os.getpid).values())

    def cut(n, of):
        if n == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), use_cluster(client), keep_finished(tmp_path):
        map_ordered(draw, seeds, done=cut)
    with keep_finished(tmp_path):
        found = map_ordered(draw, seeds)
    assert {pid for pid, _ in found[:10]} <= pids
    assert found[-1][0] == os.getpid()
    assert [value.tobytes() for _, value in found] == [draw(seed)[1].tobytes() for seed in seeds]


def test_workers_without_leptonfit_or_with_another_are_refused(client):
    def refused():
        with pytest.raises(ClusterError) as error, use_cluster(client):
            pytest.fail("the cluster was used")
        return str(error.value)

    def change(version):
        import importlib.metadata as module

        if version:
            module.original, module.version = module.version, lambda name: version
        else:
            module.version = module.original

    def hide(is_hidden):
        import sys

        whole = sys.modules.pop("leptonfit", None)
        if is_hidden:
            sys.modules["leptonfit"] = None
        return whole is None

    worker = next(iter(client.nthreads()))
    here = f"must be {importlib.metadata.version('leptonfit')} (sources "
    client.run(hide, True, workers=[worker])
    assert refused().startswith(f"worker {worker}: has leptonfit none, {here}")
    client.run(hide, False, workers=[worker])
    client.run(change, "9.9", workers=[worker])
    assert refused().startswith(f"worker {worker}: has leptonfit 9.9 (sources ")
    client.run(change, None, workers=[worker])
    with use_cluster(client):
        assert describe_cluster() == "2 workers"


def test_a_scheduler_that_is_not_there_or_does_not_answer_is_named_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(ClusterError, match=f"^scheduler tcp://127.0.0.1:{port}: does not answer: timed out$"):
            cluster.connect(f"tcp://127.0.0.1:{port}")
        assert time.monotonic() - began < 9
    for address, reason in ((f"127.0.0.1:{port}", "refused"), ("nowhere", "missing port")):
        with pytest.raises(ClusterError, match=f"^scheduler {address}: does not answer: .*{reason}"):
            cluster.connect(address)
    for address in ("x://y:1", f"tls://127.0.0.1:{port}"):
        with pytest.raises(ClusterError, match=f"^scheduler {address}: must be tcp://HOST:PORT, or local$"):
            cluster.connect(address)


def test_another_program_that_speaks_is_no_scheduler(capfd):
    with socket.create_server(("127.0.0.1", 0)) as speaking:

        def greet():
            while True:
                try:
                    connection, _ = speaking.accept()
                except OSError:
                    return
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 3)

        threading.Thread(target=greet, daemon=True).start()
        address = f"tcp://127.0.0.1:{speaking.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ClusterError, match=f"^scheduler {address}: does not answer: it is no scheduler of Dask: "):
            cluster.connect(address)
        assert time.monotonic() - began < 9
        assert capfd.readouterr() == ("", "")
        speaking.shutdown(socket.SHUT_RDWR)


def test_tasks_that_cannot_be_sent_are_done_here(client):
    with use_cluster(client), pytest.warns(UserWarning, match="tasks are done in this process, as they cannot be sent"):
        assert map_ordered(type, [threading.Lock(), threading.Lock()]) == [type(threading.Lock())] * 2


def test_a_cluster_that_is_lost_is_said_in_one_line():
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    lost = distributed.LocalCluster(**options)
    client = distributed.Client(lost.scheduler_address, set_as_default=False)
    message = "^the cluster was lost, or tasks ended its workers; run again to go on: "
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        pytest.raises(ClusterError, match=message),
        use_cluster(client),
    ):
        map_ordered(time.sleep, [0.0] * 3 + [30.0] * 3, done=lambda finished, n: lost.close())


def test_a_scheduler_without_workers_is_refused():
    options = {"n_workers": 0, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as empty:
        message = f"^scheduler {empty.scheduler_address}: has no workers; start one with: dask worker tcp://"
        with pytest.raises(ClusterError, match=message), use_cluster(empty.scheduler_address):
            pytest.fail("the cluster was used")
        cluster.connect(empty.scheduler_address).close()


def test_a_worker_of_several_threads_is_refused():
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as local, distributed.Client(local, set_as_default=False) as client:
        message = r"runs 2 tasks at a time, must be 1 \(--nthreads 1\)$"
        with pytest.raises(ClusterError, match=message), use_cluster(client):
            pytest.fail("the cluster was used")


def test_what_is_no_cluster_is_refused():
    message = r"^cluster 5: must be tcp://HOST:PORT, local or a client of distributed$"
    with pytest.raises(ClusterError, match=message), use_cluster(5):
        pytest.fail("there is no cluster")


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ClusterError, match=r"of the extra cluster: pip install 'leptonfit\[cluster\]'$"),
        use_cluster("local"),
    ):
        pytest.fail("there is no cluster")
