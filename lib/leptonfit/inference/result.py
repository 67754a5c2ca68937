"""Base class of all results: frozen dataclasses of arrays that can be converted to JSON and back."""

from __future__ import annotations

import importlib
import math
import types
import typing
from dataclasses import dataclass, fields
from typing import Annotated, Any, Self

import numpy as np

Booleans = Annotated[np.ndarray, bool]
Integers = Annotated[np.ndarray, int]
"""Field types for arrays of booleans and integers; a plain `np.ndarray` field holds floats."""
PACKAGE = __name__.partition(".")[0]


def encode(value: Any, *, inside: bool = False) -> Any:
    """Convert `value` to plain JSON data: a result becomes a mapping of its type and its fields, an array a list.

    Numbers that are not finite become None. `inside` a result nothing may be lost: there, infinity becomes "inf" or
    "-inf", and an empty array of several dimensions a mapping with its shape.

    Raises
    ------
    ValueError
        If a result is defined outside leptonfit, or a mapping has the key "type", which is reserved for results.
    """
    if isinstance(value, Result):
        return value.to_dict() if inside else {"type": _name_type(type(value)), **value.to_dict()}
    if isinstance(value, dict):
        if "type" in value and not inside:
            raise ValueError(f"type = {value['type']!r}: this key is reserved for the type of a result")
        return {str(key): encode(item, inside=inside) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        if inside and value.ndim > 1 and not value.size:
            return {"shape": list(value.shape)}
        return encode(value.tolist(), inside=inside)
    if isinstance(value, list | tuple):
        return [encode(item, inside=inside) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if inside and math.isinf(value) else None
    return value


def decode(value: Any) -> Any:
    """Rebuild the results in the output of `encode`; everything else stays plain JSON data.

    Raises
    ------
    ValueError
        If a type is not the name of a result of leptonfit.
    KeyError
        If a field is missing.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "type" in value:
        return _find_type(value["type"]).from_dict(value)
    return {key: decode(item) for key, item in value.items()}


def _name_type(kind: type[Result]) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix(f"{PACKAGE}.")
    _find_type(name)  # refuses a class that could not be loaded again
    return name


def _find_type(name: Any) -> type[Result]:
    """Class that `name`, such as "inference.profile.ProfileResult", stands for."""
    module, _, kind = str(name).rpartition(".")
    try:
        found = getattr(importlib.import_module(f"{PACKAGE}.{module}"), kind)
    except (ImportError, AttributeError):
        found = None
    if not (isinstance(found, type) and issubclass(found, Result) and found.__module__ == f"{PACKAGE}.{module}"):
        raise ValueError(f"type = {name!r}: must be a result defined in a module of {PACKAGE}")
    return found


def _decode_field(value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _decode_field(value, arguments[0])
    if hint is np.ndarray or origin is Annotated:
        dtype = arguments[1] if arguments else float  # None becomes nan
        return np.empty(value["shape"], dtype) if isinstance(value, dict) else np.array(value, dtype)
    if origin is dict:
        return {key: _decode_field(item, arguments[1]) for key, item in value.items()}
    if origin is tuple:
        return tuple(_decode_field(item, arguments[0]) for item in value)
    if isinstance(hint, type) and issubclass(hint, Result):
        return hint.from_dict(value)
    if hint is float and (value is None or isinstance(value, str)):
        return math.nan if value is None else float(value)
    return value


@dataclass(frozen=True)
class Result:
    """Base class of all results. Fields are arrays, numbers, strings, other results, or dicts and tuples of these."""

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields to plain JSON data (nan becomes None, infinity "inf")."""
        return {field.name: encode(getattr(self, field.name), inside=True) for field in fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a result from the output of `to_dict`.

        Raises
        ------
        KeyError
            If a field is missing.
        """
        hints = typing.get_type_hints(cls, include_extras=True)
        return cls(**{field.name: _decode_field(data[field.name], hints[field.name]) for field in fields(cls)})
