"""HTML that opens from a file, without a network: executed notebooks and the page of a report."""

from __future__ import annotations

import base64
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from leptonfit.datafiles import ROOT
from leptonfit.inference.multistart import format_chi2
from leptonfit.workbook import store
from leptonfit.workbook.parameters import upstream

_TEMPLATES = Path(__file__).parent / "templates"
KEY_FIGURE = "key-figure"
"""Tag of the notebook cell whose picture goes on the page."""
CLAIMED = (
    "claimed_computed", "claims", "options", "closures", "standing", "changes", "boxes", "coverage", "sigma", "audit",
    "meta", "limits", "fits", "spreads", "joint", "widths", "scorecard", "falsification",
)  # fmt: skip
"""Tables that go on the page: what is claimed, beside what is computed."""


def write_notebook(source: Path, target: Path) -> None:
    """Write an executed notebook as one self-contained HTML file, mathematics as MathML."""
    notebook = nbformat.read(source, as_version=4)
    heading = source.stem
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
            heading = found[-1] if found else heading
        else:
            cell.metadata["alt"] = f"Figure of the section “{heading}”"  # read by nbconvert's template
    body, resources = _tools()["exporter"].from_notebook_node(notebook)
    title = _title_and_question(notebook)[0] or source.stem
    style = resources["inlining"]["css"][0]
    html = _tools()["templates"].get_template("notebook.html.j2").render(title=title, body=body, pygments=style)
    store.write_whole(target, html)


def write_index(folder: Path, root: Path = ROOT) -> None:
    """Write `index.html` of a report folder from the executed notebooks in it and the results they have."""
    cards: list[dict[str, Any]] = []
    names = {path.stem.lstrip(".") for pattern in ("[0-9]*.ipynb", ".[0-9]*.ipynb") for path in folder.glob(pattern)}
    for path in sorted(folder / f"{name}.ipynb" for name in names):
        if not path.is_file():  # begun, and not ended
            cards.append(
                {"name": path.stem, "title": path.stem, "question": "", "figure": None, "result": None, "html": ""}
            )
            continue
        notebook = nbformat.read(path, as_version=4)
        title, question = _title_and_question(notebook)
        found = folder / "results" / f"{path.stem}.json"
        result = store.read(found) if found.is_file() else None
        if result and result["schema_version"] != store.SCHEMA_VERSION:
            result = None  # of another version of leptonfit
        cards.append(
            {
                "name": path.stem,
                "title": title,
                "question": render_markdown(question),
                "figure": _key_figure(notebook),
                "html": f"{path.stem}.html",
                "tables": [
                    pd.read_csv(found, dtype=str, keep_default_na=False).to_html(index=False, border=0)
                    for name in CLAIMED
                    if (found := folder / "results" / f"{path.stem}.{name}.csv").is_file()
                ],
                "result": result,
                "newer": _newer(path.stem, folder, root) if result else [],
            }
        )
    html = (
        _tools()["templates"]
        .get_template("index.html.j2")
        .render(tag=folder.name, cards=cards, sweep=(folder / store.SWEEP / "index.html").is_file())
    )
    store.write_whole(folder / "index.html", html)


def _newer(name: str, folder: Path, root: Path) -> list[str]:
    """What a notebook reads and was run after it."""
    finished = store.load(name, folder)["provenance"]["finished"]
    paths = {other: folder / "results" / f"{other}.json" for other in sorted(upstream(name, root))}
    return [o for o, path in paths.items() if path.is_file() and store.read(path)["provenance"]["finished"] > finished]


def write_comparison(folder: Path, parameter: str, table: pd.DataFrame) -> None:
    """Write `index.html` of a sweep from its table and `comparison.png`."""
    shown = pd.DataFrame({"value": table[parameter]})
    for column in table.columns.drop(parameter).drop(_NUMBERS, errors="ignore"):
        shown[_TITLES.get(column, column)] = table[column]
    if "largest_chi2_min" in table:
        shown["largest χ²_min"] = [format_chi2(value) for value in table["largest_chi2_min"]]
    if "c_mu_low" in table:
        ends = zip(table["c_mu_low"], table["c_mu_high"], strict=True)
        shown["C_μ feasible somewhere in the scan"] = [
            "none" if math.isnan(low) else f"{low:.6g} to {high:.6g}" for low, high in ends
        ]
    html = (
        _tools()["templates"]
        .get_template("comparison.html.j2")
        .render(
            parameter=parameter,
            figure=base64.b64encode((folder / "comparison.png").read_bytes()).decode(),
            columns=list(shown.columns),
            rows=shown.values.tolist(),
        )
    )
    store.write_whole(folder / "index.html", html)


_TITLES = {"set_95": "95 % set of β"}
_NUMBERS = ["beta_low", "beta_high", "scan_low", "scan_high", "largest_chi2_min", "c_mu_low", "c_mu_high"]
"""Columns of a comparison that its page puts in words."""


def render_markdown(text: str) -> str:
    """Markdown to HTML, with TeX as MathML and any HTML in it shown as text."""
    tools = _tools()
    return tools["markdown"](renderer=tools["renderer"](escape=True)).render(text)


def _title_and_question(notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """The first heading, and the paragraph below it."""
    paragraphs = notebook.cells[0].source.split("\n\n")
    question = paragraphs[1] if len(paragraphs) > 1 else ""
    return paragraphs[0].lstrip("# ").strip(), question.strip()


def _key_figure(notebook: nbformat.NotebookNode) -> str | None:
    """The PNG of the cell tagged `key-figure`, as base64; None if it was not reached."""
    for cell in notebook.cells:
        if KEY_FIGURE in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return re.sub(r"\s", "", output["data"]["image/png"])
    return None


@cache
def _tools() -> dict[str, Any]:
    """Exporter, Markdown renderer and page templates; imported late, since they take a second to load."""
    import jinja2
    from latex2mathml.converter import convert
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class MathRenderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return convert(body)

        def block_math(self, body: str) -> str:
            return convert(body, display="block")

    class Exporter(HTMLExporter):
        def markdown2html(self, context: Any, source: str) -> str:
            return MarkdownWithMath(renderer=MathRenderer(escape=False, exclude_anchor_links=True)).render(source)

    Exporter.markdown2html = jinja2.pass_context(Exporter.markdown2html)  # type: ignore[method-assign]  # nbconvert passes the context
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.globals["style"] = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    exporter = Exporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    return {"exporter": exporter, "renderer": MathRenderer, "markdown": MarkdownWithMath, "templates": templates}
