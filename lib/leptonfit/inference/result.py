"""Base class of all results: frozen dataclasses of arrays that can be converted to JSON and back."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Self

import numpy as np

Booleans = Annotated[np.ndarray, bool]
Integers = Annotated[np.ndarray, int]
"""Field types for arrays of booleans and integers; a plain `np.ndarray` field holds floats."""


def encode(value: Any) -> Any:
    """Convert `value` to plain JSON data: arrays become lists, and numbers that are not finite become None."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return encode(value.tolist())
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _decode(value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _decode(value, arguments[0])
    if hint is np.ndarray:
        return np.array(value, dtype=float)  # None becomes nan
    if origin is Annotated:
        return np.array(value, dtype=arguments[1])
    if origin is dict:
        return {key: _decode(item, arguments[1]) for key, item in value.items()}
    if origin is tuple:
        return tuple(_decode(item, arguments[0]) for item in value)
    if isinstance(hint, type) and issubclass(hint, Result):
        return hint.from_dict(value)
    return math.nan if hint is float and value is None else value


@dataclass(frozen=True)
class Result:
    """Base class of all results. Fields are arrays, numbers, strings, other results, or dicts and tuples of these."""

    _rows_of: ClassVar[dict[str, str]] = {}
    """Arrays with one column per item of another field: array name → field name. Needed to restore empty arrays."""

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields to plain JSON data (nan becomes None)."""
        return {field.name: encode(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a result from the output of `to_dict`.

        Raises
        ------
        KeyError
            If a field is missing.
        """
        hints = typing.get_type_hints(cls, include_extras=True)
        values = {field.name: _decode(data[field.name], hints[field.name]) for field in fields(cls)}
        for name, columns in cls._rows_of.items():
            values[name] = values[name].reshape(len(values[name]), len(values[columns]))
        return cls(**values)
