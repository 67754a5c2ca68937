"""A model written in jax.numpy: its predictions for many parameter sets at once, and its exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from leptonfit.inference.model_calls import Arguments

Function = Callable[..., np.ndarray]


def is_jax(value: Any) -> bool:
    """True for an array of JAX; JAX is not imported."""
    return type(value).__module__.partition(".")[0] in ("jax", "jaxlib")


def read_model(model: Callable[..., Any], arguments: Arguments) -> tuple[Function, Function]:
    """Functions (x, **parameters) → predictions (..., n) and → derivatives (..., n, n_par), compiled by JAX.

    The parameters are numbers, or arrays (..., 1) as for a model that broadcasts. Batches are filled up to a power of
    two, because JAX compiles anew for every size.

    Parameters
    ----------
    model : callable
        Function f(x, **parameters) → predictions (n,) of one parameter set, in jax.numpy.
    arguments : Arguments
        Its free parameters are those of the derivatives.

    Raises
    ------
    ValueError
        When called, if JAX computes in single precision, in which no fit converges.
    """
    import jax

    def one(values: Any, x: Any) -> Any:
        return model(x, **arguments.fill(values))

    predict = jax.jit(jax.vmap(one, in_axes=(0, None)))
    differentiate = jax.jit(jax.vmap(jax.jacfwd(one), in_axes=(0, None)))

    def call(compiled: Callable[..., Any], x: Any, parameters: dict[str, Any]) -> np.ndarray:
        values = np.stack(np.broadcast_arrays(*(parameters[name] for name in arguments.names)), axis=-1)
        values = values[..., 0, :] if values.ndim > 1 else values
        sets = values.reshape(-1, len(arguments.names))
        n = len(sets)
        filled = np.concatenate([sets, np.repeat(sets[-1:], 2 ** max(n - 1, 0).bit_length() - n, axis=0)])
        found = np.asarray(compiled(filled, x))
        if found.dtype == np.float32:
            raise ValueError(
                'the model computes in single precision: call jax.config.update("jax_enable_x64", True) before the fit'
            )
        return found[:n].reshape(*values.shape[:-1], *found.shape[1:])

    return (
        lambda x, **parameters: call(predict, x, parameters),
        lambda x, **parameters: call(differentiate, x, parameters),
    )
