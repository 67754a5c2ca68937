"""Does this data determine this parameter, or is that minimum the optimiser's? Verdicts on fits.

Names are loaded when they are first used, so that `import leptonfit` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leptonfit.inference.derived import profile_derived
    from leptonfit.inference.determine import add_prior
    from leptonfit.inference.identifiability import assess_profile
    from leptonfit.inference.model_problem import ModelProblem, problem_from_model
    from leptonfit.inference.multistart import Effort
    from leptonfit.inference.problem import LeastSquaresProblem, Parameter, extend, restrict
    from leptonfit.inference.profile import scan_profile
    from leptonfit.inference.solve import solve
    from leptonfit.inference.verdict_text import describe_intervals
    from leptonfit.workbook.answer import Answer, assess

__all__ = [
    "Answer",
    "Effort",
    "LeastSquaresProblem",
    "ModelProblem",
    "Parameter",
    "add_prior",
    "assess",
    "assess_profile",
    "describe_intervals",
    "extend",
    "problem_from_model",
    "profile_derived",
    "restrict",
    "scan_profile",
    "solve",
]

_HOMES = {
    "Answer": "workbook.answer",
    "Effort": "inference.multistart",
    "LeastSquaresProblem": "inference.problem",
    "ModelProblem": "inference.model_problem",
    "Parameter": "inference.problem",
    "add_prior": "inference.determine",
    "assess": "workbook.answer",
    "assess_profile": "inference.identifiability",
    "describe_intervals": "inference.verdict_text",
    "extend": "inference.problem",
    "problem_from_model": "inference.model_problem",
    "profile_derived": "inference.derived",
    "restrict": "inference.problem",
    "scan_profile": "inference.profile",
    "solve": "inference.solve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'leptonfit' has no attribute {name!r}")
    return getattr(import_module(f"leptonfit.{_HOMES[name]}"), name)
