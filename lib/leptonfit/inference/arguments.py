"""Checks of arguments that many functions share: counts, seeds, confidences, numbers and arrays.

Each returns the argument in the form in which it is used, and names it, its value and what is allowed if it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

_WHOLE, _REAL = (int, np.integer), (int, float, np.integer, np.floating)
_LONGEST = 60
"""Characters of a refused value that are shown."""
Kind = TypeVar("Kind")
MOST = 10_000_000
"""Largest number of toys, starts or points of a grid."""


def read_count(name: str, value: Any, *, lowest: int = 1, highest: int = MOST) -> int:
    """Whole number from `lowest` to `highest`.

    Raises
    ------
    TypeError
        If the value is no whole number; True and False are none.
    ValueError
        If it is out of range.
    """
    if not isinstance(value, _WHOLE) or isinstance(value, bool):
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    if value < lowest:
        raise ValueError(f"{name} = {value}: must be at least {lowest}")
    if value > highest:
        raise ValueError(f"{name} = {value}: must be at most {highest}")
    return int(value)


def read_seed(value: Any) -> int | np.random.SeedSequence:
    """Seed of random numbers: a whole number, 0 or more, or a SeedSequence.

    Raises
    ------
    TypeError, ValueError
        If it is another thing, such as None, which would give other numbers each time, or negative.
    """
    if isinstance(value, np.random.SeedSequence):
        return value
    if not isinstance(value, _WHOLE) or isinstance(value, bool):
        raise TypeError(f"seed = {value!r}: must be a whole number, or a SeedSequence")
    if value < 0:
        raise ValueError(f"seed = {value}: must be 0 or more")
    return int(value)


def make_seed(value: Any) -> np.random.SeedSequence:
    """SeedSequence of a seed; raises as `read_seed`."""
    seed = read_seed(value)
    return seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)


def read_number(name: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Finite real number from `low` to `high`.

    Raises
    ------
    TypeError
        If the value is no real number; True and False are none.
    ValueError
        If it is not finite, or out of range.
    """
    if not isinstance(value, _REAL) or isinstance(value, bool):
        raise TypeError(f"{name} = {value!r}: must be a number")
    if not (math.isfinite(value) and low <= value <= high):
        allowed = "finite" if math.isinf(low) and math.isinf(high) else f"in [{low:g}, {high:g}]"
        raise ValueError(f"{name} = {value:g}: must be {allowed}")
    return float(value)


def read_choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Text that is one of `allowed`.

    Raises
    ------
    ValueError
        If it is another one.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} = {show(value)}: must be one of {', '.join(allowed)}")
    return value


def read_instance(name: str, value: Any, kind: type[Kind]) -> Kind:
    """Object of a class.

    Raises
    ------
    TypeError
        If it is of another class.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} = {show(value)}: must be of type {kind.__name__}")
    return value


def show(value: Any) -> str:
    """Start of the text of a value, in one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def read_confidences(name: str, value: Any, *, above: float = 0.0) -> np.ndarray:
    """Confidences (n,) as given, one or several: 0.9 is read as (0.9,).

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is not a number above `above` and below 1.
    """
    several = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not all(isinstance(one, _REAL) and not isinstance(one, bool) for one in several):
        raise TypeError(f"{name} = {value!r}: must be one number or several, such as 0.95")
    if not several or not all(above < one < 1 for one in several):
        raise ValueError(f"{name} = {[float(one) for one in several]}: must be above {above:g} and below 1, as 0.95")
    return np.array(several, dtype=float)


def read_array(
    name: str,
    value: Any,
    shape: Sequence[int | None] | None = None,
    *,
    is_finite: bool = True,
    is_complex: bool = False,
) -> np.ndarray:
    """Array of numbers.

    Parameters
    ----------
    name : str
    value : array_like
    shape : sequence of int or None, optional
        Shape that the array must have; None stands for any length.
    is_finite : bool
        True to refuse numbers that are not finite.
    is_complex : bool
        True to allow complex numbers.

    Raises
    ------
    TypeError
        If an entry is no number, or a complex one that is not allowed.
    ValueError
        If the shape is another one, or a number is not finite although it must be.
    """
    array = np.asarray(value)
    if array.dtype.kind not in ("iufc" if is_complex else "iuf"):
        raise TypeError(f"{name} of type {array.dtype}: must be {'' if is_complex else 'real '}numbers")
    wanted = array.shape if shape is None else tuple(shape)
    if array.ndim != len(wanted) or any(n not in (None, m) for n, m in zip(wanted, array.shape, strict=True)):
        said = ", ".join("n" if n is None else str(n) for n in wanted)
        raise ValueError(f"{name} of shape {array.shape}: must be ({said}{',' if len(wanted) == 1 else ''})")
    bad = ~np.isfinite(array)
    if is_finite and bad.any():
        where = tuple(int(one) for one in np.argwhere(bad)[0])
        raise ValueError(f"{name}[{', '.join(map(str, where))}] = {array[where]:g}: must be finite")
    return array.astype(complex if is_complex else float)
