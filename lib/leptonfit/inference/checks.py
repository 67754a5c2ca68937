"""Checks that stop a notebook before it states a wrong conclusion."""

from __future__ import annotations


class CheckError(AssertionError):
    """A condition without which a conclusion would be wrong does not hold."""


def check(condition: object, message: str) -> None:
    """Stop if a condition does not hold; unlike `assert`, also when Python runs with `-O` or PYTHONOPTIMIZE.

    Parameters
    ----------
    condition : bool
    message : str
        What is wrong if the condition does not hold.

    Raises
    ------
    CheckError
        If the condition does not hold.
    """
    if not condition:
        raise CheckError(message)
