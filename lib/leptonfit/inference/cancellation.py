"""Early end of a computation whose result is no longer wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextvars import ContextVar

_is_cancelled: ContextVar[Callable[[], bool]] = ContextVar("is_cancelled")


@contextlib.contextmanager
def cancellable(is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Let minimisations inside this context, in this thread, end with a `CancelledError` once `is_cancelled()`."""
    token = _is_cancelled.set(is_cancelled)
    try:
        yield
    finally:
        _is_cancelled.reset(token)


def check_cancelled() -> None:
    """Raise a `CancelledError` if the computation is cancelled; minimisers call this before every step."""
    is_cancelled = _is_cancelled.get(None)
    if is_cancelled is not None and is_cancelled():
        raise CancelledError
