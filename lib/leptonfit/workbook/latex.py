"""Numbers and tables as LaTeX."""

from __future__ import annotations

import itertools

import pandas as pd

_SYMBOLS = {
    "β": r"\beta",
    "χ": r"\chi",
    "σ": r"\sigma",
    "μ": r"\mu",
    "τ": r"\tau",
    "κ": r"\kappa",
    "α": r"\alpha",
    "π": r"\pi",
    "λ": r"\lambda",
    "δ": r"\delta",
    "ρ": r"\rho",
    "Δ": r"\Delta",
    "√": r"\surd",
    "²": "^2",
    "³": "^3",
    "₁": "_1",
    "₂": "_2",
    "±": r"\pm",
    "×": r"\times",
    "≤": r"\le",
    "≥": r"\ge",
    "≈": r"\approx",
    "∫": r"\int",
    "∝": r"\propto",
    "−": "-",
    "∞": r"\infty",
    "θ": r"\theta",
    "ν": r"\nu",
    "Λ": r"\Lambda",
    "⟨": r"\langle",
    "⟩": r"\rangle",
}
_ACCENTS = {"\u0302": r"\hat", "\u0303": r"\tilde", "\u0304": r"\bar"}
"""Signs over the letter before."""
_SPECIAL = {
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "^": r"\^{}",
    "~": r"\~{}",
    "\\": r"\textbackslash{}",
    "–": "--",
    "…": r"\dots{}",
    "<": r"$<$",
    ">": r"$>$",
}

_LONG = 30
"""Rows that fit a page."""


def write_macros(numbers: pd.DataFrame) -> str:
    """A macro for each row of macro, value, origin and mark; the last two stand in a comment."""
    return "".join(
        f"\\newcommand{{\\{name}}}{{{escape(value)}}}% {origin}, {mark}\n"
        for name, value, origin, mark in numbers.itertuples(index=False)
    )


def escape(text: str) -> str:
    """Text as LaTeX, Greek letters and signs as mathematics."""
    parts: list[tuple[bool, str]] = []
    for c in text:
        if c in _ACCENTS and parts:
            parts.append((True, f"{_ACCENTS[c]}{{{parts.pop()[1]}}}"))
        else:
            parts.append((True, _SYMBOLS[c]) if c in _SYMBOLS else (False, _SPECIAL.get(c, c)))
    groups = itertools.groupby(parts, key=lambda part: part[0])
    texts = ((is_math, "".join(word for _, word in group)) for is_math, group in groups)
    return "".join(f"${word}$" if is_math else word for is_math, word in texts)


def write_tabular(table: pd.DataFrame) -> str:
    """A table as a LaTeX tabular (longtable beyond a page), columns ragged and wrapped to share a text block."""
    width = f"{0.98 / len(table.columns) - 0.012:.3f}"
    columns = f">{{\\raggedright\\arraybackslash}}p{{{width}\\textwidth}}" * len(table.columns)
    rows = [" & ".join(escape(str(cell)) for cell in row) + r" \\" for row in table.itertuples(index=False)]
    head = " & ".join(escape(str(name)) for name in table.columns) + r" \\"
    kind = "tabular" if len(table) <= _LONG else "longtable"
    return "\n".join(
        [f"\\begin{{{kind}}}{{{columns}}}", r"\hline", head, r"\hline", *rows, r"\hline", f"\\end{{{kind}}}", ""]
    )
