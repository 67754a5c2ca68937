"""Controls of the explorers."""

from __future__ import annotations

import math
from typing import Any

import ipywidgets as widgets

from leptonfit.workbook.declarations import Declaration

_WIDE = widgets.Layout(width="26rem")
_NAMES = {"style": {"description_width": "8.5rem"}, "layout": _WIDE, "continuous_update": True}


def log_slider(declared: Declaration, value: float, *, step: float = 0.1) -> widgets.FloatLogSlider:
    """Return a logarithmic slider over the allowed range of a parameter."""
    return widgets.FloatLogSlider(
        value=value,
        base=10,
        min=math.log10(declared.low),
        max=math.log10(declared.high),
        step=step,
        description=declared.name,
        readout_format=".2e",
        tooltip=declared.meaning,
        **_NAMES,
    )


def slider(name: str, value: float, low: float, high: float, step: float, **more: Any) -> widgets.FloatSlider:
    """Return a linear slider."""
    return widgets.FloatSlider(value=value, min=low, max=high, step=step, description=name, **{**_NAMES, **more})


def range_slider(
    name: str, value: tuple[float, float], low: float, high: float, step: float, *, width: str
) -> widgets.FloatRangeSlider:
    """Return a slider that selects an interval."""
    more = {**_NAMES, "layout": widgets.Layout(width=width)}
    return widgets.FloatRangeSlider(value=value, min=low, max=high, step=step, description=name, **more)


def choice(name: str, options: Any, value: Any) -> widgets.Dropdown:
    """Return a drop-down list of options."""
    style = {key: _NAMES[key] for key in ("style", "layout")}
    return widgets.Dropdown(options=options, value=value, description=name, **style)


def whole(name: str, value: int, low: int, high: int) -> widgets.IntSlider:
    """Return a slider over integers."""
    return widgets.IntSlider(value=value, min=low, max=high, description=name, **_NAMES)


def tidy(value: float) -> float:
    """Round a slider's value to six digits, as written on the command line."""
    return float(f"{value:.6g}")
