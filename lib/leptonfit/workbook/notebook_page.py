"""Pages of executed notebooks: one HTML file each, with folded code, open outputs and described figures."""

from __future__ import annotations

import ast
import html
import re
import textwrap
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import Any

import nbformat

from leptonfit.workbook import store

TEMPLATES = Path(__file__).parent / "templates"
_FIGURES = Path(__file__).parent / "figures"
KEY_FIGURE = "key-figure"
"""Tag of the notebook cell whose picture is shown on the report's page."""
_PAPERMILL = "papermill-error-cell-tag"
"""Tag of the cells that papermill adds to a notebook that failed."""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SUMMARIES = {"parameters": "Parameters, defaults", "injected-parameters": "Parameters of this run"}


def write_notebook(source: Path, target: Path) -> None:
    """Write an executed notebook as one self-contained HTML file, with mathematics as MathML."""
    notebook = nbformat.read(source, as_version=4)
    title = read_title(notebook)[0] or source.stem
    failed = len(notebook.cells)
    notebook.cells = [cell for cell in notebook.cells if _PAPERMILL not in cell.metadata.get("tags", [])]
    heading, prose = title, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                found = re.fullmatch(r"#+ +(.+)", line)
                heading, prose = (to_plain(found[1]), "") if found else (heading, f"{prose}\n{line}")
        elif cell.cell_type == "code":
            described = f"{heading}: {describe_figure(cell)} {to_plain(prose)}"
            cell.metadata["alt"] = textwrap.shorten(described, 300, placeholder=" …")  # used by nbconvert's template
            cell.metadata["summary"] = _summarise(cell)
            for output in cell.outputs:
                _dress(output, f"Table: {heading}")
    body, _ = _exporter().from_notebook_node(notebook)
    contents: list[str] = []

    def number(found: re.Match[str]) -> str:
        contents.append(found[1])
        return f'<h2 id="section-{len(contents)}">{found[1]}</h2>'

    page = templates().get_template("notebook.html.j2")
    body = re.sub(r"<h2>(.*?)</h2>", number, body)
    content = page.render(title=title, body=body, contents=contents, failed=failed > len(notebook.cells))
    store.write_whole(target, content)


def read_title(notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """Return the first heading and the Markdown paragraph below it; empty texts if there is none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and _PAPERMILL not in cell.metadata.get("tags", []):
            title, _, rest = cell.source.partition("\n\n")
            return title.lstrip("# ").strip(), rest.partition("\n\n")[0].strip()
    return "", ""


def describe_figure(cell: nbformat.NotebookNode) -> str:
    """Describe the figure of a cell by the first docstring line of each plot function that the cell calls."""
    called = dict.fromkeys(re.findall(r"\bfigures\.(plot_\w+)", cell.source))
    drawn = [_plot_functions()[name] for name in called if name in _plot_functions()]
    return " ".join(drawn).replace("`", "")


@cache
def _plot_functions() -> dict[str, str]:
    """First docstring line of each plot function, read from the source: importing all figures takes a second."""
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(_FIGURES.glob("*.py"))]
    found = [node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)]
    return {node.name: (ast.get_docstring(node) or "").partition("\n")[0] for node in found}


def render_markdown(text: str) -> str:
    """Convert Markdown to HTML, with TeX as MathML; HTML inside the Markdown is shown as text."""
    renderer, markdown = _markdown()
    safe = renderer(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
    return markdown(renderer=safe).render(text)


def to_plain(text: str) -> str:
    """Convert Markdown to one line of plain text."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", render_markdown(text))).split())


def _summarise(cell: nbformat.NotebookNode) -> str:
    """Summarise a code cell in one line: the text for its tag, or else its first comment or code line."""
    for tag in cell.metadata.get("tags", []):
        if tag in _SUMMARIES:
            return _SUMMARIES[tag]
    lines = [line for line in cell.source.splitlines() if line.strip() and "NBVAL_CHECK_OUTPUT" not in line]
    return lines[0].lstrip("# ") if lines else "empty"


def _dress(output: nbformat.NotebookNode, label: str) -> None:
    """Add header scopes to tables, and a scroll region to wide ones; replace a widget that needs a kernel by a note."""
    data = output.get("data", {})
    if data.pop(_WIDGET, None) and data.keys() <= {"text/plain"}:
        output.data = {"text/plain": "An interactive control: open the notebook in JupyterLab to use it."}
    elif "text/html" in data:

        def dress(found: re.Match[str]) -> str:
            head, end, rest = found[0].partition("</thead>")
            region = f' role="region" tabindex="0" aria-label="{html.escape(label)}"' if head.count("<th>") > 3 else ""
            scoped = head.replace("<th>", '<th scope="col">') + end + rest.replace("<th>", '<th scope="row">')
            return f'<div class="scroll"{region}>{scoped}</div>'

        data["text/html"] = re.sub(r"<table.*?</table>", dress, data["text/html"], flags=re.DOTALL)


@cache
def templates() -> Any:
    """Return the Jinja environment with the templates of the pages."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["style"] = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return found


@cache
def _markdown() -> tuple[Any, Any]:
    """Return Markdown renderer and parser; they are imported here because loading them takes a second."""
    from latex2mathml.converter import convert_to_element
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    def convert(body: str, display: str) -> str:
        element = convert_to_element(body, display=display)
        for part in element.iter():  # the converter itself would pass HTML in \text{} unescaped
            part.text = html.unescape(part.text) if part.text else part.text
        return ElementTree.tostring(element, encoding="unicode")

    class MathRenderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return convert(body, "inline")

        def block_math(self, body: str) -> str:
            return convert(body, "block")

    return MathRenderer, MarkdownWithMath


@cache
def _exporter() -> Any:
    import jinja2
    from nbconvert import HTMLExporter

    class Exporter(HTMLExporter):
        def markdown2html(self, context: Any, source: str) -> str:
            return render_markdown(source)

    Exporter.markdown2html = jinja2.pass_context(Exporter.markdown2html)  # type: ignore[method-assign]  # nbconvert passes the context
    return Exporter(
        template_name="basic",
        template_file=str(TEMPLATES / "cells.html.j2"),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
