"""Every notebook, found by itself: its pair, its outputs, its execution; and the manuscript made of them all."""

import io
import json
import re

import matplotlib.pyplot as plt
import nbformat
import pytest

from leptonfit.workbook import figures, manuscript, numbers, pairs, parameters

NOTEBOOKS = parameters.notebook_names()


def read(root, notebook):
    return nbformat.read(root / "notebooks" / f"{notebook}.ipynb", as_version=4)


def test_pairs_agree():
    assert pairs.compare_pairs() == []


def test_a_difference_between_a_pair_is_found(checkout):
    path = checkout / "notebooks" / f"{NOTEBOOKS[0]}.py"
    path.write_text(path.read_text() + "\n# %%\nprint('only here')\n")
    assert pairs.compare_pairs(checkout) == [
        f"{NOTEBOOKS[0]}: {len(read(checkout, NOTEBOOKS[0]).cells) + 1} cells in .py, "
        f"{len(read(checkout, NOTEBOOKS[0]).cells)} in .ipynb (make notebooks)"
    ]
    path.write_text(path.read_text().replace("settings", "Settings", 1))
    assert "differs between .py and .ipynb" in pairs.compare_pairs(checkout)[0]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_committed_notebooks_are_executed_normalised_and_have_the_house_form(notebook, root):
    document = read(root, notebook)
    code = [cell for cell in document.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "executed once, in order"
    assert set(document.metadata) == {"jupytext", "kernelspec", "language_info"}
    assert document.cells[0].source.startswith("# ")
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    assert [cell.metadata.get("tags") for cell in code].count(["key-figure"]) == 1
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    kinds = {kind for cell in code for o in cell.outputs for kind in o.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds, "a widget dies with its kernel: its picture is kept"
    checked = [cell for cell in code if "NBVAL_CHECK_OUTPUT" in cell.source]
    assert checked
    assert all(cell.outputs for cell in checked), "a check without an output passes whatever happens"


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_nbval(notebook, executed):
    assert executed.run(notebook) == ""
    assert (executed.folder / "results" / f"{notebook}.json").is_file()


@pytest.fixture
def documents(executed):
    """Results of all notebooks that the manuscript shows."""
    return {notebook: executed.load(notebook) for notebook in manuscript.source_notebooks()}


@pytest.mark.slow
def test_the_manuscript_is_the_same_bytes_twice(documents):
    """Every figure from one set of results: PNG and PDF, fonts embedded, every axis named."""
    for name in manuscript.FIGURES:
        made = []
        for _ in range(2):
            with plt.style.context([str(figures.STYLE)]):
                figure = plt.figure()
                content = json.dumps(manuscript.draw(name, figure, documents), ensure_ascii=False)
                labels = [label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel())]
                named = [ax.get_xlabel() for ax in figure.axes if ax.get_label() != "<colorbar>"]
                png, pdf = io.BytesIO(), io.BytesIO()
                figure.savefig(png, format="png", metadata={"Software": None})
                figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
                plt.close(figure)
            made.append((content, png.getvalue(), pdf.getvalue()))
        assert made[0] == made[1], name
        assert b"/FontFile2" in made[0][2], f"{name}: fonts are not embedded"
        assert len(made[0][0]) < 1_000_000
        assert any(labels)
        assert all(named), f"{name}: an axis has no name"


@pytest.mark.slow
def test_the_committed_numbers_are_those_of_the_results(documents, root):
    made = numbers.write_macros(documents).splitlines()
    committed = (root / "figures" / "numbers.tex").read_text().splitlines()
    assert len(made) == len(committed)
    for one, other in zip(made, committed, strict=True):
        (name, value, source), (committed_name, committed_value, committed_source) = (
            re.fullmatch(r"\\newcommand\{\\(\w+)\}\{(.+)\}% (.+)", line).groups() for line in (one, other)
        )
        assert (name, source) == (committed_name, committed_source)
        if value != committed_value:  # a toy may fall on the other side of a level on another machine
            assert float(value) == pytest.approx(float(committed_value), rel=2e-3), name
