"""Runs and sweeps with a Dask cluster: what its workers do, what the results say, and what is refused."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leptonfit.inference.parallel import use_cluster
from leptonfit.workbook import cli, store, sweep

pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cluster")]

NOTEBOOK = """# %% tags=["parameters"]
seed = 1  # seed

# %%
import os

from leptonfit import map_ordered
from leptonfit.workbook import parameters, store

settings = parameters.read_settings("20_pids", globals())
pids = map_ordered(lambda task: os.getpid(), range(20))
_ = store.save(settings, results={"pids": pids, "parent": os.getppid()}, verdict="Done.", verdict_code="identified")
"""


@pytest.fixture
def small(tmp_path, root):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "20_pids.py").write_text(NOTEBOOK)
    shutil.copytree(root / "data", tmp_path / "data")
    return tmp_path


def test_the_tasks_of_a_notebook_go_to_the_workers_and_the_page_says_so(client, small):
    command = [Path(sys.executable).with_name("leptonfit"), "run", "--scheduler", client.scheduler_info()["address"]]
    done = subprocess.run(command, cwd=small, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    document = store.load("20_pids", small / "reports" / "latest")
    workers = set(client.run(os.getpid).values())
    assert set(document["results"]["pids"]) <= workers
    assert document["results"]["parent"] not in workers
    assert document["provenance"]["cluster"] == "2 workers"
    assert "2 workers" in (small / "reports" / "latest" / "index.html").read_text()


def test_the_values_of_a_sweep_run_on_the_workers_and_are_not_repeated(client, small):
    parameter, requests = sweep.check_sweep(["20_pids"], ["seed=1,2"], root=small)

    def go():
        said = []
        with use_cluster(client):
            assert sweep.execute_sweep(parameter, requests, say=said.append) == []
        return [line.partition(":")[0] for line in said if ": running" in line and "values" not in line]

    assert go() == ["seed = 1", "seed = 2"]
    documents = [store.load("20_pids", request.folder) for request in requests.values()]
    parents = [document["results"]["parent"] for document in documents]
    assert set(parents) <= set(client.run(os.getpid).values())
    for document in documents:  # its kernel did its own tasks
        assert len({*document["results"]["pids"], *client.run(os.getpid).values()}) == 3
    (requests["2"].folder / "results" / "20_pids.json").unlink()  # as if it had been cut off
    assert go() == ["seed = 2"]


@pytest.mark.parametrize("command", ["run", "sweep"])
@pytest.mark.parametrize("fault", ["no scheduler", "no dask"])
def test_a_cluster_that_cannot_be_used_is_one_line_and_nothing_is_written(command, fault, root, capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    expected = f"leptonfit: scheduler {address}: does not answer: "
    if fault == "no dask":
        monkeypatch.setitem(sys.modules, "distributed", None)
        expected = (
            "leptonfit: a cluster needs the package distributed, of the extra cluster: "
            "pip install 'leptonfit[cluster]'\n"
        )
    values = ["-p", "n_starts=2,3"] if command == "sweep" else []
    arguments = [command, "02_profile_scan", *values, "--tag", "no-cluster", "--scheduler", address]
    monkeypatch.setattr("sys.argv", ["leptonfit", *arguments])
    began = time.monotonic()
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert time.monotonic() - began < 10
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(expected)
    assert said.err.count("\n") == 1
    assert not (root / "reports" / "no-cluster").exists()


def test_a_number_of_jobs_beside_a_cluster_is_refused(monkeypatch, capsys):
    arguments = ["sweep", "02_profile_scan", "-p", "n_starts=2,3", "--jobs", "3", "--scheduler", "local"]
    monkeypatch.setattr("sys.argv", ["leptonfit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    expected = "leptonfit: --jobs 3: cannot be used with --scheduler, whose workers run the values of a sweep\n"
    assert capsys.readouterr() == ("", expected)
