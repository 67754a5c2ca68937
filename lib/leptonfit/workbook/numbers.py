"""Numbers and tables as LaTeX: a macro for every number that a manuscript quotes, from the results it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.active_bounds import describe_bounds
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.multistart import CHI2_FLOOR
from leptonfit.neutrino.spectra import MU_UNIT
from leptonfit.vortex.moments import CURRENTS, moment_factor

NOTEBOOKS = (
    "02_profile_scan",
    "03_c_mu_calibration",
    "04_identifiability",
    "05_closures",
    "08_reported",
    "11_limits",
    "12_recoil_spectra",
)

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

Row = tuple[str, str, str, str]
"""Name of a macro, its value, the notebook it comes from, and its mark."""


def gather_numbers(documents: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Every number a manuscript may quote: claimed, computed, proven, simulated and recorded ones told apart.

    Parameters
    ----------
    documents : mapping
        Stored results by notebook; those of `NOTEBOOKS`.
    """
    rows = [*_claimed(), *_profile(documents), *_c_mu(documents), *_identifiability(documents)]
    return [*rows, *_closures(documents), *_reported(documents), *_neutrinos(documents)]


def write_macros(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """`numbers.tex`: a line a number, with where it comes from."""
    lines = [
        f"\\newcommand{{\\{name}}}{{{value}}}% {source}, {mark}"
        for name, value, source, mark in gather_numbers(documents)
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX, Greek letters and signs as mathematics."""
    parts: list[str] = []
    for c in text:
        if c in _ACCENTS:
            parts.append(f"${_ACCENTS[c]}{{{parts.pop().strip('$')}}}$")
        else:
            parts.append(f"${_SYMBOLS[c]}$" if c in _SYMBOLS else _SPECIAL.get(c, c))
    return "".join(parts).replace("$$", "")


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


def _claimed() -> Iterator[Row]:
    claims, source = load_claims(), "reported_2025.toml"
    values = {
        "claimedReference": f"{claims['golden_loop']['beta']:.10g}",
        "claimedTightBeta": f"{claims['tight']['beta_min']:.3f}",
        "claimedTightChi": f"{claims['tight']['chi2_min']:.0f}",
        "claimedLooseBeta": f"{claims['loose']['beta_min']:.3f}",
        "claimedLooseChi": f"{claims['loose']['chi2_min']:.0f}",
        "claimedMultiStartChi": f"{claims['multi_start']['chi2_best']:g}",
        "claimedElectronC": f"{claims['c_mu']['electron_alone']:g}",
        "claimedJointCLow": f"{claims['c_mu']['joint'][0]:g}",
        "claimedJointCHigh": f"{claims['c_mu']['joint'][1]:g}",
    }
    for name, value in values.items():
        yield name, value, source, "claimed"


def _profile(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    source = "02_profile_scan"
    chi2_min, given = documents[source]["results"]["profile"].chi2_min, documents[source]["parameters"]
    yield "scanLow", f"{given['beta_min']:g}", source, "numerical"
    yield "scanHigh", f"{given['beta_max']:g}", source, "numerical"
    yield "scanPoints", f"{len(chi2_min)}", source, "numerical"
    yield "scanZeros", f"{(chi2_min < CHI2_FLOOR).sum()}", source, "numerical"


def _c_mu(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    source = "03_c_mu_calibration"
    results = documents[source]["results"]
    for name, found in (("Start", results["feasible"].joint[0]), ("Reference", results["at_reference"].joint[0])):
        for end, value in zip(("Low", "High"), found, strict=True):
            yield f"jointC{name}{end}", _number(value, ".2f"), source, "numerical"
    for end, value in zip(("Low", "High"), results["at_reference"].electron[0], strict=True):
        yield f"electronC{end}", _number(value, ".1f"), source, "numerical"


def _identifiability(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    source = "04_identifiability"
    results = documents[source]["results"]
    within = f"{source} within the {documents[source]['parameters']['bounds']} bounds"
    if results["certificate"] is not None:
        ends = results["certificate"].enclosures()
        for end, value in zip(("Low", "High"), ends[0] if len(ends) else (), strict=False):
            yield f"edge{end}", f"{value:.10f}", within, "proven"
    if results["edges"]["root"]:
        yield "edgeRoot", f"{results['edges']['root'][0]:.11f}", within, "numerical"
    for level, name in (("0.68", "SixtyEight"), ("0.95", "NinetyFive")):
        found = results["profile"].identified_set[level]
        if found.below:
            yield f"set{name}Low", _number(found.intervals[0, 0], ".7f"), within, "numerical"
            yield f"set{name}HeldBy", escape(describe_bounds(found.below[0].held_by)) or "nothing", within, "numerical"
    yield "rank", f"{results['spectrum'].rank}", source, "numerical"
    loop = results["golden_loop"]
    yield "loopBeta", f"{loop.beta:.10f}", source, "numerical"
    yield "loopBetaOlder", f"{loop.beta_older:.5f}", source, "numerical"
    for name, value in zip(("Tight", "Loose"), loop.c1_needed, strict=False):
        yield f"loopNeeded{name}", f"{value:.5f}", source, "numerical"


def _closures(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    source = "05_closures"
    compared, toys = (documents[source]["results"][name] for name in ("compared", "coverage"))
    determined = [one for one in compared if one.determines]
    yield "closures", f"{len(compared)}", source, "numerical"
    yield "closuresFit", f"{sum(one.fits for one in compared)}", source, "numerical"
    yield "closuresDetermined", f"{len(determined)}", source, "numerical"
    for level, name in (("0.68", "SixtyEight"), ("0.95", "NinetyFive")) if determined else ():
        low, high = determined[0].identified_set[level].intervals[0]
        bounds = f"{source} within the {determined[0].choice.bounds} bounds"
        yield f"determined{name}Low", f"{low:.4f}", bounds, "numerical"
        yield f"determined{name}High", f"{high:.4f}", bounds, "numerical"
    yield "toys", f"{len(toys.delta_chi2)}", source, "simulated"
    for level, name in (("0.68", "SixtyEight"), ("0.95", "NinetyFive")):
        yield f"coverage{name}", f"{toys.n_covered(level) / len(toys.delta_chi2):.4f}", source, "simulated"
        low, high = toys.interval(level)
        yield f"coverage{name}Low", f"{low:.4f}", source, "simulated"
        yield f"coverage{name}High", f"{high:.4f}", source, "simulated"
    for current, name in zip(CURRENTS, ("Rigid", "Swirl", "DeficitRigid", "DeficitSwirl"), strict=True):
        yield f"moment{name}", f"{moment_factor(current):.6f}", source, "numerical"


def _reported(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    source = "08_reported"
    results = documents[source]["results"]
    runs = results["recorded"]
    stated = [run.report.tight[0] for run in runs]
    yield "recordedRuns", f"{len(runs)}", source, "recorded"
    yield "recordedScipy", runs[0].versions["scipy"], source, "recorded"
    yield "recordedNumpy", runs[0].versions["numpy"], source, "recorded"
    yield "reenactedBeta", f"{stated[0].beta_min:.2f}", source, "recorded"
    yield "reenactedChi", f"{stated[0].chi2.min():.0f}", source, "recorded"
    yield "reenactedBetaLow", f"{min(scan.beta_min for scan in stated):.2f}", source, "recorded"
    yield "reenactedBetaHigh", f"{max(scan.beta_min for scan in stated):.2f}", source, "recorded"
    verdicts = [row.verdict for row in results["audit"]]
    yield "audited", f"{len(verdicts)}", source, "numerical"
    yield "auditContradicted", f"{verdicts.count('contradicted')}", source, "numerical"
    yield "auditNoMeaning", f"{verdicts.count('no meaning')}", source, "numerical"
    yield "auditHolds", f"{verdicts.count('holds')}", source, "numerical"


def _number(value: float | None, form: str) -> str:
    return "none" if value is None or value != value else format(value, form)


def _neutrinos(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    """Limits in 1e-11 μ_B, at the first confidence."""
    source = "11_limits"
    for name, meta in documents[source]["results"]["published"].classes.items():
        yield f"spread{name.title().replace('_', '')}Dex", f"{meta.tau2**0.5:.2f}", source, "numerical"
    source = "12_recoil_spectra"
    for slug, found in documents[source]["results"]["limits"].items():
        mark = "numerical" if found["observed"] else "simulated"
        for method in CONSTRUCTIONS:
            limit = next(iter(found[method].values()))
            yield f"limit{slug.title()}{method.title().replace('_', '')}", f"{limit / MU_UNIT:.3g}", source, mark
        expected = next(iter(found["expected_cls"].values()))[2]
        yield f"expected{slug.title()}Cls", f"{expected / MU_UNIT:.3g}", source, mark
