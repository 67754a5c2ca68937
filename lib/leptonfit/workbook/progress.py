"""Progress of a run: lines, and in a terminal a bar for each running notebook with the time left."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Iterator

import click
from tqdm import tqdm


def say(line: str) -> None:
    """Print a line on stdout, above the bars."""
    with tqdm.external_write_mode():
        click.echo(line)


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
                bar.set_description_str(f"{name}: {describe_time(elapsed, expected)}")
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
