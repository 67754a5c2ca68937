"""The runner on three small notebooks: what it runs, what it keeps, what it refuses."""

import json
import multiprocessing
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jupytext
import nbformat
import pytest

from leptonfit.datafiles import InputError, compute_checksums
from leptonfit.inference.parallel import own_core
from leptonfit.workbook import cli, page, pairs, records, run, schedule, store, sweep
from leptonfit.workbook.execution import execute_notebook

NOTEBOOK = """# %% [markdown]
# # Notebook {name}
#
# What is $\\beta$ worth?

# %% tags=["parameters"]
seed = 1  # seed

# %%
from leptonfit.workbook import parameters, store

settings = parameters.read_settings("{name}", globals(), __import__("pathlib").Path({root!r}))
{line}

# %% tags=["key-figure"]
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(1, 1))
ax.plot([0, 1])
plt.show()

# %%
said = "value is <b>" + str(value) + "</b>"
_ = store.save(settings, results={{"value": value}}, verdict=said, verdict_code="identified")
"""


def execute_here(name, parameters, output, *, root):
    """As `execute_notebook`, in this process and without outputs: a kernel takes seconds, and most of what is tested
    here is decided before or after it."""
    notebook = jupytext.read(root / "notebooks" / f"{name}.py")
    nbformat.write(notebook, output)
    namespace = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and "key-figure" not in cell.metadata.get("tags", ()):
            exec(cell.source, namespace)
            if "parameters" in cell.metadata.get("tags", ()):
                namespace.update(parameters)


def fail_at_the_end(name, *given, **options):
    """As `execute_here`, with a failure after the results are saved."""
    execute_here(name, *given, **options)
    return "cell 9 failed: ValueError: too late"


@pytest.fixture
def kernel(small, monkeypatch):
    """Where the notebooks are executed as users have them."""
    monkeypatch.setattr(run, "execute_notebook", execute_notebook)


@pytest.fixture
def small(tmp_path, root, monkeypatch):
    """A checkout of three notebooks: 20 stands alone, 21 needs 22."""
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(root / "data", tmp_path / "data")
    monkeypatch.setattr(run, "execute_notebook", execute_here)
    write(tmp_path, "20_alone", "value = 10 * settings.seed")
    write(tmp_path, "21_needs", 'needs = ("22_makes",)\nvalue = store.load("22_makes")["results"]["value"] + 1')
    write(tmp_path, "22_makes", "value = 7")
    return tmp_path


def write(root, name, line):
    (root / "notebooks" / f"{name}.py").write_text(NOTEBOOK.format(name=name, line=line, root=str(root)))


def go(root, *names, **options):
    said = []
    errors = run.execute(run.check_request(names, root=root, **options), said.append)
    return not errors, said + errors


def ran(said):
    """Notebooks that were run, in the order of their start."""
    return [line.partition(":")[0] for line in said if ": running" in line]


def value(root, name, tag="latest"):
    return store.load(name, root / "reports" / tag)["results"]["value"]


def test_upstream_runs_first_results_are_reused_and_changes_are_noticed(small):
    finished, said = go(small, "21_needs")
    assert finished
    assert value(small, "21_needs") == 8
    assert [line.split(":")[0] for line in said if "finished" in line] == ["22_makes", "21_needs"]
    _, said = go(small, "21_needs", "22_makes")
    assert ran(said) == []

    write(small, "22_makes", "value = 70")  # a changed source: it runs again, and so does what reads it
    go(small, "21_needs", "22_makes")
    assert value(small, "21_needs") == 71

    _, said = go(small, "21_needs", "22_makes", fresh=True)
    assert ran(said) == ["22_makes", "21_needs"]
    (small / "reports/latest/results/22_makes.json").write_text("{}")  # a damaged result is not a finished one
    _, said = go(small, "22_makes")
    assert "22_makes" in ran(said)


def test_a_result_that_was_changed_or_not_finished_is_made_again_where_another_notebook_reads_it(small):
    results = small / "reports/latest/results"
    go(small, "21_needs")
    path = results / "22_makes.json"
    path.write_text(path.read_text().replace('"value": 7', '"value": 700'))
    _, said = go(small, "21_needs")
    assert ran(said) == ["22_makes"]
    assert value(small, "21_needs") == 8

    (results / ".22_makes.inputs").unlink()  # as after a kill between saving and the end
    _, said = go(small, "21_needs")
    assert ran(said) == ["22_makes"]


def test_what_a_notebook_saved_before_it_failed_is_no_result(small, monkeypatch):
    monkeypatch.setattr(run, "execute_notebook", fail_at_the_end)
    finished, said = go(small, "22_makes")
    report = small / "reports/latest"
    assert not finished
    assert not (report / "results/22_makes.json").exists()
    assert "value is" not in (report / "index.html").read_text()
    assert "22_makes did not finish" in (report / "index.html").read_text()
    _, said = go(small, "21_needs")
    assert ran(said) == ["22_makes"]
    assert "21_needs: not run, it needs 22_makes" in said


def test_a_result_whose_source_failed_since_is_marked_and_no_value_of_a_sweep(small, monkeypatch):
    requests = sweep.check_sweep(["21_needs"], ["seed=1,2"], root=small)[1]
    assert sweep.execute_sweep("seed", requests, jobs=1) == []
    assert sweep.compare("seed", requests)["21_needs"].tolist() == ["identified", "identified"]
    monkeypatch.setattr(run, "execute_notebook", fail_at_the_end)
    folder = requests["1"].folder
    go(small, "22_makes", fresh=True, assignments=["seed=1"], place="sweep/1")
    warning = "22_makes, which this reads, has no result any more: run both again."
    assert warning in (folder / "index.html").read_text()
    assert sweep.compare("seed", requests)["21_needs"].tolist() == ["did not finish", "identified"]


def test_a_damaged_result_of_a_sweep_is_named_before_anything_runs(small):
    requests = sweep.check_sweep(["22_makes"], ["seed=1,2"], root=small)[1]
    assert sweep.execute_sweep("seed", requests, jobs=1) == []
    damaged = small / "reports/latest/sweep/2/results/22_makes.json"
    damaged.write_text("")
    with pytest.raises(InputError, match=f"{damaged} is not what was written"):
        run.check_request(["21_needs"], root=small)

    shutil.move(damaged.parents[1], small / "elsewhere")
    damaged.parents[1].symlink_to(small / "elsewhere")
    with pytest.raises(InputError, match=f"{damaged} is a link out of"):
        run.check_request(["21_needs"], root=small)


@pytest.mark.parametrize("value", ["../../other", "/tmp", "..", ".", "a" * 201])
def test_a_swept_value_that_is_no_name_of_a_folder_is_refused(small, value):
    (small / "notebooks" / "23_text.py").write_text('# %% tags=["parameters"]\nlabel = "x"  # text\n')
    with pytest.raises(InputError, match="must have no '/' and at most 200 letters, as the name of its folder"):
        sweep.check_sweep(["text"], [f"label=ok,{value}"], root=small)


def test_links_are_not_followed_out_of_reports(small, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").write_text("mine")
    reports = small / "reports" / "latest"
    reports.mkdir(parents=True)
    for link in (reports / "results", reports / ".cores", reports / "sweep"):
        link.symlink_to(outside)
        with pytest.raises(InputError, match="is a link: must stay inside"):
            run.check_request(["20_alone"], root=small, place="sweep/1" if link.name == "sweep" else "")
        link.unlink()
    for name in (".lock", "20_alone.ipynb", ".20_alone.ipynb", "index.html"):
        (reports / name).symlink_to(outside / "kept")
    with pytest.raises(OSError, match="symbolic link"):
        go(small, "20_alone")
    (reports / ".lock").unlink()
    assert go(small, "20_alone")[0]
    assert (outside / "kept").read_text() == "mine"
    assert [path.name for path in outside.iterdir()] == ["kept"]


@pytest.mark.slow
def test_what_a_notebook_publishes_is_kept_and_goes_with_it(small):
    path = small / "reports/latest/results/20_alone.note.tex"
    write(small, "20_alone", 'value = 1\nsettings.published["note.tex"] = b"a note"')
    go(small, "20_alone")
    assert path.read_text() == "a note"
    path.write_text("another")
    _, said = go(small, "20_alone")
    assert "20_alone" in ran(said)
    assert path.read_text() == "a note"
    write(small, "20_alone", "value = 1")
    go(small, "20_alone")
    assert not path.exists()


def test_parameters_reach_the_notebooks_and_a_change_runs_again(small, monkeypatch):
    go(small, "20_alone")
    assert value(small, "20_alone") == 10
    monkeypatch.setattr(run, "execute_notebook", execute_notebook)
    _, said = go(small, "20_alone", assignments=["seed=4"])
    assert "20_alone" in ran(said)
    assert value(small, "20_alone") == 40
    assert store.load("20_alone", small / "reports/latest")["parameters"] == {"seed": 4}


@pytest.mark.slow
def test_a_failing_cell_keeps_the_partial_notebook_and_drops_the_stale_result(small, monkeypatch):
    go(small)
    write(small, "22_makes", 'raise RuntimeError("no vortex\\nsecond line")')
    write(small, "20_alone", "value = 11")
    with monkeypatch.context() as patch:
        patch.setattr(run, "execute_notebook", execute_notebook)
        finished, said = go(small, jobs=2)
    assert not finished
    assert (
        "22_makes: cell 3 failed: RuntimeError: no vortex; the partial notebook is reports/latest/22_makes.ipynb"
        in said
    )
    assert "21_needs: not run, it needs 22_makes" in said
    assert value(small, "20_alone") == 11  # what does not depend on it still runs
    report = small / "reports" / "latest"
    assert "no vortex" in (report / "22_makes.ipynb").read_text()
    assert not (report / "results" / "22_makes.json").exists()
    assert "did not finish" in (report / "index.html").read_text()
    write(small, "22_makes", "value = 7")
    assert go(small)[0]
    assert "did not finish" not in (report / "index.html").read_text()


def test_a_kernel_works_in_the_folder_of_notebooks_and_no_thread_changes_its_own(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "where.py").write_text("# %%\nfrom pathlib import Path\n\nprint(Path.cwd().name)\n")
    changed = []
    monkeypatch.setattr("os.chdir", changed.append)
    assert execute_notebook("where", {}, tmp_path / "out.ipynb", root=tmp_path) is None
    (cell,) = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert cell.outputs[0].text == "notebooks\n"
    assert set(changed) <= {str(Path.cwd())}


@pytest.mark.slow
def test_an_error_without_a_message_is_named(small):
    write(small, "20_alone", "raise RuntimeError")
    output = small / "out.ipynb"
    assert execute_notebook("20_alone", {}, output, root=small) == "cell 2 failed: RuntimeError"


def test_another_data_folder_is_used_and_marked(small, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(small / "data", other, dirs_exist_ok=True)
    claims = other / "reported_2025.toml"
    claims.write_text(claims.read_text().replace("chi2_min = 8686.0", "chi2_min = 8687.0"))
    with pytest.raises(InputError, match=r"data file reported_2025\.toml: its SHA-256 is"):
        run.check_request((), data=other, root=small)
    (other / "SHA256SUMS").write_text("".join(f"{d}  {n}\n" for n, d in compute_checksums(other).items()))
    (other / "extra.csv").write_text("a\n")
    with pytest.raises(InputError, match=r"data file extra\.csv: must be in .* and listed"):
        run.check_request((), data=other, root=small)
    (other / "extra.csv").unlink()
    module = "leptonfit.claims.december_2025.reported"
    line = f'value = __import__("importlib").import_module("{module}").load_claims()["tight"]["chi2_min"]'
    write(small, "20_alone", line)
    go(small, "20_alone")
    assert value(small, "20_alone") == 8686
    go(small, "20_alone", data=other)
    assert value(small, "20_alone") == 8687
    assert store.load("20_alone", small / "reports/latest")["provenance"]["data_folder"] == str(other)
    assert str(other) in (small / "reports/latest/index.html").read_text()


MINE = """# %% [markdown]
# # A notebook of a user
#
# How long is it?

# %% What may be changed tags=["parameters", "first"]
length: float = 2.0  # m, length of the side [0, 10]
colour = "red"  # colour of the line [red | blue]

# %%
from leptonfit.workbook import parameters, store

needs = ("22_makes",)
constraints = ("length < 5 or colour == 'red'",)
settings = parameters.read_settings("30_mine", globals(), __import__("pathlib").Path({root!r}))
value = settings.length * store.load("22_makes")["results"]["value"]

# %%
_ = store.save(settings, results={{"value": value}}, verdict=f"It is {{value:g}}.", verdict_code="identified")
"""


@pytest.mark.slow
def test_a_notebook_dropped_in_is_listed_run_swept_paired_and_on_the_page(small, monkeypatch):
    (small / "notebooks" / "30_mine.py").write_text(MINE.format(root=str(small)))
    assert list(cli.describe_notebooks(small))[-5:] == [
        "30_mine",
        "  length = 2.0 [m]: length of the side; a number from 0 to 10",
        "  colour = red: colour of the line; one of red, blue",
        "  must satisfy length < 5 or colour == 'red'",
        "  needs 22_makes",
    ]
    assert go(small, "30_mine", assignments=["length=3"])[0]
    assert value(small, "30_mine") == 21
    index = (small / "reports" / "latest" / "index.html").read_text()
    for shown in ("Other notebooks", "A notebook of a user", "It is 21.", "length of the side"):
        assert shown in index
    for wrong, message in (
        (["length=11"], "length = 11.0: must be a number from 0 to 10"),
        (["length=6", "colour=blue"], "length = 6.0: must satisfy length < 5 or colour == 'red', with colour = blue"),
        (["lenght=3"], "lenght = 3: unknown parameter, the nearest is length"),
    ):
        with pytest.raises(InputError, match=message):
            run.check_request(["30_mine"], wrong, root=small)
    parameter, requests = sweep.check_sweep(["30_mine"], ["length=1,1.5"], root=small)
    assert sweep.execute_sweep(parameter, requests) == []
    swept = [value(small, "30_mine", f"latest/sweep/{length}") for length in ("1", "1.5")]
    assert swept == [7, 10.5]
    with pytest.raises(InputError, match="a value is given twice"):
        sweep.check_sweep(["30_mine"], ["length=1,1.0"], root=small)

    missing = "30_mine: 30_mine.ipynb is missing (make notebooks)"
    assert missing in pairs.compare_pairs(small)
    monkeypatch.setenv(store.REPORT_VARIABLE, "")
    assert pairs.write_pairs(print, ["30_mine"], small) == []
    assert not [line for line in pairs.compare_pairs(small) if "30_mine" in line]
    assert not (small / "notebooks" / "22_makes.ipynb").exists(), "only what was asked for is written"
    (small / "notebooks" / "31_lone.ipynb").write_text((small / "notebooks" / "30_mine.ipynb").read_text())
    assert "31_lone: 31_lone.py is missing (jupytext --to py:percent)" in pairs.compare_pairs(small)


ODD = {
    "30_expression": 'needs = ()\n\n# %% tags=["parameters"]\nx = 2 * 3\n',
    "31_syntax": '# %% tags=["parameters"]\nx = (\n',
    "32_circle": "# %%\nneeds = ('33_circle',)\n",
    "33_circle": "# %%\nneeds = ('32_circle',)\n",
    "34_nothing": "print('no cells')\n",
    "35_bytes": b"\xff\xfe",
    "36_waits": '# %%\nneeds = ("30_expression",)\n',
}


def test_odd_notebooks_are_named_and_the_others_run(small):
    for name, source in ODD.items():
        path = small / "notebooks" / f"{name}.py"
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
    listed = list(cli.describe_notebooks(small))
    for name in ODD:
        (small / "notebooks" / f"{name}.ipynb").write_text("{")
        said = "has no parameters" if name in ("34_nothing", "36_waits") else f"cannot be run: {name}: "
        assert listed[listed.index(name) + 1].startswith(f"  {said}")
    assert "35_bytes: cannot be read: " in " ".join(pairs.compare_pairs(small))
    finished, said = go(small, "20_alone", assignments=["seed=3"])
    assert finished
    assert value(small, "20_alone") == 30
    for name, message in (("30_expression", "2 * 3"), ("32_circle", "needs itself"), ("35_bytes", "UTF-8")):
        with pytest.raises(InputError, match=f"^{name}: .*{re.escape(message)}"):
            run.check_request([name], root=small)

    finished, said = go(small, jobs=2)
    assert not finished
    assert value(small, "21_needs") == 8
    for line in (
        "30_expression: x = 2 * 3: must be a literal: a number, a text, True, False or None",
        "31_syntax: line 2 in the parameters cell: '(' was never closed",
        "35_bytes: must be UTF-8 text",
        "36_waits: not run, it needs 30_expression",
    ):
        assert line in said
    assert [line.split(":")[0] for line in said if "needs itself" in line] == ["32_circle", "33_circle"]


def test_a_refused_value_names_the_notebook_where_ranges_differ(small):
    narrow = (small / "notebooks" / "20_alone.py").read_text().replace("# seed\n", "# seed [0, 5]\n")
    (small / "notebooks" / "20_alone.py").write_text(narrow)
    with pytest.raises(InputError, match=r"^seed = 7: must be an integer from 0 to 5, in 20_alone$"):
        run.check_request((), ["seed=7"], root=small)
    with pytest.raises(InputError, match=r"^seed = 7: must be an integer from 0 to 5$"):
        run.check_request(["20_alone"], ["seed=7"], root=small)
    run.check_request(["22_makes"], ["seed=7"], root=small)


def _hold(folder, held, release):
    import fcntl

    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held.set()
        release.wait(30)


def test_one_run_a_tag_at_a_time(small):
    folder = small / "reports" / "busy"
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(folder, held, release))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(InputError, match=r"--tag busy: another run is using it"):
            go(small, "20_alone", tag="busy")
    finally:
        release.set()
        other.join()
    assert go(small, "20_alone", tag="busy")[0]


@pytest.mark.slow
@pytest.mark.usefixtures("kernel")
def test_the_page_is_self_contained_and_shows_text_as_text(small):
    go(small, "20_alone")
    report = small / "reports" / "latest"
    index, notebook = ((report / name).read_text() for name in ("index.html", "20_alone.html"))
    for html in (index, notebook):
        assert "<math" in html
        assert "$\\beta$" not in html
        for outside in ("http://", "https://", "<script", "@import", "url("):
            assert outside not in html.replace("http://www.w3.org/1998/Math/MathML", "")
    assert "value is &lt;b&gt;10&lt;/b&gt;" in index
    assert 'href="20_alone.html"' in index
    assert "data:image/png;base64," in index
    assert 'alt="' in notebook
    assert "No description has been provided" not in notebook
    for entry in ("numpy", "SHA-256", "seed"):
        assert entry in index


def test_results_hold_no_trace_of_a_process_environment(small, monkeypatch):
    """What the runner tells its kernels is gone afterwards."""
    import os

    go(small, "20_alone")
    assert store.REPORT_VARIABLE not in os.environ
    assert "LEPTONFIT_DATA" not in os.environ
    assert (
        json.loads((small / "reports/latest/results/20_alone.json").read_text())["schema_version"]
        == store.SCHEMA_VERSION
    )


def test_a_changed_library_runs_again(small, monkeypatch):
    go(small, "20_alone")
    real = store.compute_checksums
    monkeypatch.setattr(store, "compute_checksums", lambda folder: {**real(folder), "inference/new.py": "0" * 64})
    _, said = go(small, "20_alone")
    assert "20_alone" in ran(said)


def test_a_run_that_was_killed_leaves_nothing_of_the_old_one(small, monkeypatch):
    """The page is rewritten before the notebook starts; a kill at that moment leaves it, and no stale result."""
    go(small, "20_alone")
    report = small / "reports" / "latest"
    (report / "results" / "20_alone.table.csv").write_text("old")

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "execute_notebook", killed)
    with pytest.raises(KeyboardInterrupt):
        go(small, "20_alone", fresh=True)
    assert [path.name for path in (report / "results").iterdir()] == []
    page = (report / "index.html").read_text()
    assert "20_alone did not finish" in page
    assert "value is" not in page


def test_the_page_says_what_was_run_since(small):
    go(small, "21_needs")
    page = small / "reports" / "latest" / "index.html"
    assert "was run since" not in page.read_text()
    go(small, "22_makes", fresh=True)
    assert "22_makes was run since, which this reads" in page.read_text()


def test_the_page_is_named_first_and_shows_each_verdict_as_soon_as_there_is_one(small, monkeypatch):
    index, seen = small / "reports/latest/index.html", {}

    def look(name, *arguments, **options):
        seen[name] = index.read_text()
        return execute_here(name, *arguments, **options)

    monkeypatch.setattr(run, "execute_notebook", look)
    finished, said = go(small, jobs=1)
    assert finished
    assert said[0] == "page: reports/latest/index.html, written again after each notebook"
    assert said[-1] == "report: reports/latest/index.html"
    assert list(seen) == ["20_alone", "22_makes", "21_needs"]
    assert all('<meta http-equiv="refresh"' in page for page in seen.values())
    assert "No notebook has finished" not in seen["20_alone"]
    assert seen["20_alone"].count("not finished yet") == 3
    assert "did not finish" not in seen["20_alone"]
    assert "value is &lt;b&gt;10" in seen["22_makes"]
    assert seen["22_makes"].count("not finished yet") == 2
    assert "2 more\nnotebooks were to finish" in seen["22_makes"]
    assert "1 more\nnotebook was to finish" in seen["21_needs"]
    for word in ("http-equiv", "to finish", "not finished"):
        assert word not in index.read_text()


def test_a_run_with_nothing_to_do_writes_nothing(small):
    go(small)
    folder = small / "reports" / "latest"
    before = {path: path.stat().st_mtime_ns for path in [*folder.glob("[!.]*.*"), *folder.glob("results/*")]}
    assert folder / "index.html" in before
    (folder / page.PDF).write_text("of this page")
    _, said = go(small)
    assert ran(said) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (folder / page.PDF).read_text() == "of this page"
    go(small, "20_alone", assignments=["seed=2"])
    assert not (folder / page.PDF).exists()


def test_notebooks_start_in_the_order_of_the_work_after_them(small):
    _, said = go(small, jobs=1)
    assert ran(said) == ["20_alone", "22_makes", "21_needs"]
    schedule.record_cost(small / "reports/latest", "21_needs", {"seed": 1}, 99.0, 2**30)
    _, said = go(small, jobs=1, fresh=True)
    assert ran(said) == ["22_makes", "21_needs", "20_alone"]
    assert "21_needs: running; the last run took 1 min 39 s" in said
    [expected] = [line for line in said if line.startswith("expected")]
    memory = r"[\d.]+ GiB of memory"  # at least that of this process, in which the stub executes notebooks
    assert re.fullmatch(rf"expected: about 1 min (39|4\d) s, {memory}, as in the last run", expected)
    schedule.record_cost(small / "reports/latest", "21_needs", {"seed": 1}, 99.0, 2**30)
    _, said = go(small, jobs=1)
    assert not any(line.startswith("expected") for line in said)  # all are up to date


@pytest.mark.parametrize("cores", [1, 2])
def test_as_many_notebooks_run_at_a_time_as_there_are_cores(cores, small, monkeypatch):
    inside, most, together = set(), [], threading.Event()

    def meet(name, *arguments, **options):
        inside.add(name)
        most.append(len(inside))
        if len(inside) == 2:
            together.set()
        if cores == 2 and name != "21_needs":
            assert together.wait(60), "20_alone and 22_makes need nothing, and there are two cores"
            assert not own_core().acquire(False), "a process pool would take a core that a notebook uses"
        failed = execute_here(name, *arguments, **options)
        inside.remove(name)
        return failed

    monkeypatch.setattr(run, "execute_notebook", meet)
    monkeypatch.setattr(run, "count_cores", lambda: cores)
    assert go(small, jobs=2)[0]
    assert max(most) == cores
    assert own_core().acquire(False)
    own_core().release()


def test_results_of_another_schema_do_not_break_the_page(small):
    go(small, "20_alone")
    result = small / "reports" / "latest" / "results" / "20_alone.json"
    result.write_text(json.dumps({"schema_version": 1}))
    folder = result.parents[1]
    records.write_record(records.record_path(folder, "20_alone"), "x", records.list_outputs(folder, "20_alone"))
    page.write_index(folder, small)
    assert "20_alone did not finish" in (result.parents[1] / "index.html").read_text()


CUT = """
import os
from leptonfit import map_ordered
from leptonfit.inference import finished

finished.PAUSE = 0.0


def square(task):
    with open({log!r}, "a") as file:
        file.write(f"{{task}} ")
    if open({log!r}).read() == "0 1 2 ":
        os._exit(1)
    return task**2


value = map_ordered(square, range(5))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("fresh", "done"), [(False, "0 1 2 2 3 4 "), (True, "0 1 2 0 1 2 3 4 ")])
def test_a_notebook_whose_kernel_died_goes_on_unless_it_is_run_afresh(fresh, done, small):
    log = small / "log"
    write(small, "20_alone", CUT.format(log=str(log)))
    request = run.check_request(["20_alone"], fresh=fresh, root=small)
    assert "kernel died" in run.execute(request)[0]
    assert run.execute(request) == []
    assert log.read_text() == done
    assert store.load("20_alone", request.folder)["results"]["value"] == [0, 1, 4, 9, 16]
    assert not [path for path in (small / ".unfinished").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.usefixtures("kernel")
def test_settings_of_the_user_change_nothing_in_a_report(small, tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    files = {
        ".ipython/profile_default/startup/a.py": "raise SystemExit",
        ".ipython/profile_default/ipython_kernel_config.py": "c.InlineBackend.figure_formats = ['svg']",
        ".config/matplotlib/matplotlibrc": "lines.linewidth: 17\nbackend: agg\n",
        ".local/share/jupyter/kernels/python3/kernel.json": '{"argv": ["false"], "display_name": "", "language": "R"}',
        "modules/numpy.py": "raise ImportError('not NumPy')",
    }
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    (small / "notebooks/matplotlibrc").write_text("lines.linewidth: 18\n")
    for name, said in {
        "HOME": str(home),
        "IPYTHONDIR": str(home / ".ipython"),
        "MPLCONFIGDIR": str(home / ".config/matplotlib"),
        "MATPLOTLIBRC": str(home / ".config/matplotlib/matplotlibrc"),
        "JUPYTER_PATH": str(home / ".local/share/jupyter"),
        "PYTHONPATH": str(home / "modules"),
        "PYTHONSTARTUP": str(home / ".ipython/profile_default/startup/a.py"),
        "MPLBACKEND": "agg",
        "PYTHONOPTIMIZE": "2",
        "LC_ALL": "C",
    }.items():
        monkeypatch.setenv(name, said)
    write(small, "20_alone", "from leptonfit.workbook import figures\nfigures.use_style()\nvalue = [__debug__]")
    with (small / "notebooks/20_alone.py").open("a") as file:
        file.write('\n# %%\nassert plt.rcParams["lines.linewidth"] == 1.3\n')
    assert go(small, "20_alone")[1][-1].startswith("report:")
    assert value(small, "20_alone") == [True]
    assert "<figure><img" in (small / "reports/latest/index.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", [["run", "alone"], ["sweep", "alone", "-p", "seed=1,2"]])
def test_an_interrupt_is_one_line_and_leaves_no_result(small, command):
    write(
        small, "20_alone", "open('begun', 'w').write('x' * seed)\nimport threading; threading.Event().wait()\nvalue = 1"
    )
    os.mkfifo(small / "notebooks" / "begun")
    begun = os.open(small / "notebooks" / "begun", os.O_RDONLY | os.O_NONBLOCK)
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell may have it ignored
    program = [sys.executable, "-c", f"{heed}; from leptonfit.workbook.cli import main; main()", *command]
    options = {"cwd": small, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, start_new_session=True, **options) as started:
        assert select.select([begun], [], [], 300)[0], "no notebook began"
        os.killpg(started.pid, signal.SIGINT)
        _, errors = started.communicate()
    os.close(begun)
    assert (started.returncode, errors) == (130, "\nleptonfit: interrupted\n")
    assert not list((small / "reports").rglob("20_alone.*"))
