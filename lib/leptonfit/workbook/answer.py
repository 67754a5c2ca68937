"""A fit of one's own: whether each parameter is determined, as a table, pictures and a page."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leptonfit.inference.active_bounds import describe_bounds
from leptonfit.inference.assess import CLOSED, AssessmentResult, assess_problem, choose_allowed_point, describe_ends
from leptonfit.inference.derived import Values
from leptonfit.inference.determine import find_next_datum, precision_that_closes
from leptonfit.inference.identifiability import VerdictResult
from leptonfit.inference.model_problem import ModelProblem
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult
from leptonfit.inference.result import encode
from leptonfit.inference.tension import format_p
from leptonfit.inference.verdict_text import describe_intervals
from leptonfit.workbook.store import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("parameter", "estimate", "error", "interval", "verdict", "held below by", "held above by")


@dataclass(frozen=True)
class Answer:
    """Verdicts on a fit, with the problem they belong to.

    Attributes
    ----------
    problem : LeastSquaresProblem
    result : AssessmentResult
    """

    problem: LeastSquaresProblem
    result: AssessmentResult

    @property
    def verdicts(self) -> dict[str, VerdictResult]:
        """Verdict on each assessed parameter and derived quantity."""
        return self.result.verdicts

    @property
    def profiles(self) -> dict[str, ProfileResult]:
        """Profile of each assessed parameter and derived quantity."""
        return self.result.profiles

    def rows(self) -> list[tuple[str, ...]]:
        """Texts of the table: a row for each parameter, in the order of `columns`."""
        return [self._row(name, verdict) for name, verdict in self.verdicts.items()]

    @property
    def columns(self) -> tuple[str, ...]:
        """Heads of the table."""
        level = next(iter(self.verdicts.values())).level if self.verdicts else "0.95"
        return tuple(f"{100 * float(level):g} % {name}" if name == "interval" else name for name in _COLUMNS)

    def _row(self, name: str, verdict: VerdictResult) -> tuple[str, ...]:
        value, error = self.result.estimates[name]
        found = verdict.allowed
        said = "on a bound" if np.isnan(error) else "undetermined" if np.isinf(error) else f"{error:.2g}"
        widths = np.minimum(np.abs(found.intervals - value), np.diff(found.intervals))
        rounded = replace(found, intervals=_round(found.intervals, widths))
        interval = describe_intervals(rounded) or "none"
        (estimate,) = _round(np.array([value]), np.array([error]))
        return (name, f"{estimate:.12g}", said, interval, verdict.code, *describe_ends(found))

    def __str__(self) -> str:
        cells = [self.columns, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join([*lines, self.describe_fit(), *self.result.combinations, *self.problem.notes])

    def describe_fit(self) -> str:
        """χ² of the best fit, degrees of freedom, p-value, and the search bounds that hold it, as sentences."""
        fit = self.result.fit
        p = "χ² does not test the model" if fit.p_value is None else f"p {format_p(fit.p_value)}"
        said = f"Lowest χ² {self.result.best_chi2:.5g} at {fit.degrees_of_freedom} degrees of freedom; {p}."
        best = min(self.profiles.values(), key=lambda profile: profile.best_chi2)
        search = [bound for bound in best.reference_held_by if not bound.is_physical]
        if search and best.release is not None and best.release.is_decided:
            lowest = f"{best.release.best_chi2:.5g}"
            said += f" It is held by {describe_bounds(search)}; with search bounds released, the lowest χ² is {lowest}."
        return said

    def explain(self, name: str) -> list[str]:
        """What would determine a parameter, as sentences: which other one, known how well, and where one more datum.

        Each statement is confirmed by new fits, which takes some seconds. The list is empty for a parameter that is
        determined, and where nothing is quoted because the model is rejected or the verdict unreliable.

        Raises
        ------
        ValueError
            If the parameter was not assessed.
        """
        if name not in self.verdicts:
            raise ValueError(f"parameter {name!r}: must be one of {', '.join(self.verdicts)}")
        if self.verdicts[name].code in (*CLOSED, "rejected", "unreliable", "empty") or name not in self.problem.names:
            return []
        at = choose_allowed_point(self.problem, self.profiles[name])
        sentences = []
        for other in self.problem.names:
            if other == name:
                continue
            precision = precision_that_closes(self.problem, self.profiles[name], other)
            tried = f"(tried at {other} = {at[self.problem.index(other)]:.4g}, which the data allow)"
            if precision:
                error = f"a relative error of {100 * precision:g} % or less"
                sentences.append(f"A measurement of {other} with {error} would determine {name} {tried}.")
            elif precision is not None:
                sentences.append(f"The exact value of {other} would determine {name} {tried}.")
        if not sentences:
            sentences.append(f"No other parameter alone, even if known exactly, lets the data determine {name}.")
        if isinstance(self.problem, ModelProblem) and np.ndim(self.problem.data.x) == 1:
            datum = find_next_datum(self.problem, self.result, name)
            low, high = datum.after
            x = self.problem.data.x_name
            more = "one further datum, with the median error of the present ones,"
            if np.isfinite([low, high]).all():
                sentences.append(
                    f"So would {more} at {x} = {datum.best_x:.4g}, where it shortens the interval most: {name} would "
                    f"be in [{low:.4g}, {high:.4g}]."
                )
            else:
                sentences.append(f"No {more} closes the interval, at {x} from {datum.x[0]:.4g} to {datum.x[-1]:.4g}.")
        return sentences

    def plot(self) -> Figure:
        """Draw the data with the best fit, if the problem has them, and the profile of each parameter."""
        from leptonfit.workbook.figures.answer import plot_answer

        return plot_answer(self.problem, self.result)

    def save(self, folder: str | Path) -> Path:
        """Write `index.html`, a page with the table, the verdicts and the pictures, and `answer.json` to a folder.

        Returns
        -------
        Path
            Path of the page.
        """
        from leptonfit.workbook.notebook_page import templates

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        picture = io.BytesIO()
        self.plot().savefig(picture, format="png", dpi=110, metadata={"Software": None})
        page = templates().get_template("answer.html.j2")
        text = page.render(
            answer=self,
            fit=self.describe_fit(),
            remedies={name: self.explain(name) for name in self.verdicts},
            picture=base64.b64encode(picture.getvalue()).decode(),
        )
        content = {"notes": list(self.problem.notes), "result": encode(self.result)}
        write_whole(place / "answer.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        write_whole(place / "index.html", text)
        return place / "index.html"


def _round(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Values rounded to three significant digits, and to three of their errors or distances where these are smaller."""
    rounded = []
    for value, size in zip(values.flat, np.abs(sizes).flat, strict=True):
        least = min(abs(value), size) if size > 0 else abs(value)
        is_number = np.isfinite(value) and least > 0
        rounded.append(round(value, 2 - math.floor(math.log10(least))) if is_number else value)
    return np.reshape(rounded, values.shape)


def assess(
    problem: LeastSquaresProblem,
    names: Sequence[str] | str | None = None,
    *,
    derived: Mapping[str, Callable[[Values], np.ndarray]] | None = None,
    level: float = 0.95,
    effort: Effort | None = None,
) -> Answer:
    """Decide for each parameter of a problem whether the data determine it.

    Parameters
    ----------
    problem : LeastSquaresProblem
        From `problem_from_model`, for example.
    names : sequence of str, optional
        Parameters to assess; all if not given.
    derived : mapping, optional
        Functions of a mapping of parameter names to arrays, by the name of the derived quantity.
    level : float
        Confidence level of the intervals.
    effort : Effort
        Fresh starts at each point of a profile; by default 16, or 4 if the model is called for one parameter set at a
        time.

    Raises
    ------
    ValueError
        If there is no parameter of a given name, or no start has a finite χ².
    """
    return Answer(problem, assess_problem(problem, names, derived=derived, level=level, effort=effort))
