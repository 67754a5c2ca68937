"""Progress of a run: lines, and in a terminal a bar for each running notebook with the time left."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
import unicodedata
from collections.abc import Iterator

import click
from tqdm import tqdm

_HIDDEN = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories of characters that command a terminal or change the order of what it shows."""


def say(text: object, *, err: bool = False) -> None:
    """Print a text on stdout or stderr, above the bars, as `printable` gives it."""
    with tqdm.external_write_mode():
        try:
            click.echo(printable(str(text)), err=err)
        except BrokenPipeError:  # the reader wants no more
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "stderr" if err else "stdout") from None


def printable(text: str) -> str:
    r"""Text in which each control character is written as its escape, such as `\x1b`; line ends and tabs are kept."""
    hidden = {c for c in text if unicodedata.category(c) in _HIDDEN} - {"\n", "\t"}
    return text.translate({ord(c): c.encode("unicode_escape").decode() for c in hidden})


@contextlib.contextmanager
def show_bar(name: str, expected: float | None) -> Iterator[None]:
    """Show a bar while a notebook runs, if stderr is a terminal and this is not a worker of a sweep.

    Parameters
    ----------
    name : str
    expected : float or None
        Time in seconds of the last run; None shows the time since the start alone.
    """
    began, ended = time.monotonic(), threading.Event()
    disable = None if multiprocessing.parent_process() is None else True
    shape = "{desc}" if expected is None else "{desc} |{bar:20}|"
    with tqdm(total=expected, bar_format=shape, leave=False, disable=disable) as bar:

        def tick() -> None:
            while not ended.is_set():
                elapsed = time.monotonic() - began
                bar.n = min(elapsed, expected or 0.0)
                bar.set_description_str(f"{printable(name)}: {describe_time(elapsed, expected)}")
                ended.wait(1)

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()


def describe_time(elapsed: float, expected: float | None) -> str:
    """Time since the start, and the time left or exceeded if the time of the last run is known (all in seconds)."""
    if expected is None:
        return write_time(elapsed)
    if elapsed > expected:
        return f"{write_time(elapsed)}, longer than in the last run ({write_time(expected)})"
    return f"{write_time(elapsed)}, about {write_time(expected - elapsed)} left"


def write_time(seconds: float) -> str:
    """Seconds as text: 3.2 s, 59 s or 2 min 5 s."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
