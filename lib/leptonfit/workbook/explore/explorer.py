"""Base class of the explorers: event handling, drawing, error messages and commands."""

from __future__ import annotations

import asyncio
import base64
import functools
import html
import io
import math
import shlex
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from PIL import Image

from leptonfit.datafiles import InputError
from leptonfit.inference.cancellation import cancellable
from leptonfit.workbook.declarations import Value, read_notebook
from leptonfit.workbook.figures.style import STYLE

Work = Callable[[], Any]
"""Computation of a part of a drawing."""
Drawing = Generator[Work | None, Any, None]
"""Parts of a drawing: None where a picture can be shown, or work whose value is sent back when it is done."""
_WAIT = 0.005
"""Seconds from an event to its drawing; events within this time are drawn once."""
_SLICE = 0.3
"""Seconds between two pictures of work that goes on."""
_STALE = "leptonfit-stale"
"""CSS class of an explorer whose picture is of an older state than its controls."""
_STYLE = f"""<style>
@keyframes leptonfit-grey {{to {{opacity: 0.35}}}}
@keyframes leptonfit-tell {{to {{font-size: 1em}}}}
.{_STALE} img, .{_STALE} [role=status] code {{animation: leptonfit-grey 0s 0.3s forwards}}
.{_STALE} [role=status]::before {{content: "computing: "; font-size: 0; animation: leptonfit-tell 0s 0.3s forwards}}
</style>"""
"""Style that greys a stale picture and its code, and says "computing", if no new picture has come after 0.3 s."""
_WRONG = ("refused", "failed")


class Explorer(widgets.VBox):
    """Widget with controls, a picture, a sentence and the commands that run notebooks with the same parameters.

    A subclass creates its artists once and then updates them. A drawing consists of parts: a first picture that takes
    little time, and work that may take long. In a kernel, an event loop runs where the explorer is created. Then all
    drawing is done in the thread of this loop, because matplotlib must not be used in two threads (JupyterLab may send
    events to another thread), and work is done in a thread of the explorer, so that it blocks nothing. What the work
    has found so far is shown about three times a second. Events that arrive meanwhile are collected; they end the work,
    and the newest state is drawn. A picture of an older state is greyed, and the sentence below it says "computing".
    Without an event loop, a change of a control draws immediately.

    Parameters
    ----------
    controls : mapping of Widget
        Controls by name; a change of any `value` triggers a new drawing.
    size : tuple of float
        Size of the picture in inches.
    actions : tuple of Widget
        Further widgets, which do not trigger a drawing themselves.
    exact : mapping, optional
        Initial numbers of sliders in full precision, since a browser rounds a slider to its step.

    Attributes
    ----------
    controls : dict of Widget
    sentence : str
        Result shown in the picture, or the reason why the state is refused.
    code : str
        Verdict code; "refused" if the state is not allowed, "failed" if the computation failed.
    remark : str
        State of the explorer that the shown commands cannot reproduce.
    n_drawn : int
        Number of pictures drawn.
    loop : AbstractEventLoop or None
        Event loop that draws; None if none ran where the explorer was created.
    milliseconds, computed : float
        Time in ms from the event to the last picture, and the part of it spent on the computation.
    """

    notebooks: ClassVar[tuple[str, ...]] = ()
    """Notebooks that reproduce the state."""

    def __init__(
        self,
        controls: Mapping[str, widgets.Widget],
        *,
        size: tuple[float, float],
        actions: tuple[widgets.Widget, ...] = (),
        exact: Mapping[str, float] | None = None,
    ) -> None:
        self.controls = dict(controls)
        self._exact = dict(exact or {})
        self.sentence, self.code, self.n_drawn, self.milliseconds, self.computed = "", "", 0, 0.0, 0.0
        self.loop = _find_loop()
        self._is_stale, self._is_working = False, threading.Lock()
        self._drawing: Drawing | None = None
        self._refining: asyncio.TimerHandle | None = None
        self._worked_on: Drawing | None = None
        self._so_far: tuple[Drawing | None, tuple[np.ndarray, ...]] = None, ()
        self._layers: dict[Any, tuple[Any, np.ndarray]] = {}  # look and pixels of each part of the frame
        self._frame: Any
        self._began, self._quiet = 0.0, False
        self.remark = ""
        with plt.style.context(STYLE):
            self.figure = Figure(figsize=size, dpi=100)
            self.figure.set_layout_engine("none")
            self._canvas = FigureCanvasAgg(self.figure)
            self.set_up()
            for axis in (axis for ax in self.figure.axes for axis in (ax.xaxis, ax.yaxis)):
                if axis.get_scale() == "linear" and not isinstance(axis.get_major_locator(), FixedLocator):
                    axis.set_major_locator(MaxNLocator(5))  # ticks take most of the drawing time
        self._image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self._said = widgets.HTML()
        self._command = widgets.HTML()
        panel = widgets.Box(
            [*self.controls.values(), *actions], layout=widgets.Layout(flex_flow="row wrap", align_items="center")
        )
        super().__init__([panel, self._image, self._said, self._command, widgets.HTML(_STYLE)])
        for control in self.controls.values():
            control.observe(self._notice, "value")
        self.draw()

    @property
    def picture(self) -> bytes:
        """Picture on screen, as PNG."""
        return bytes(self._image.value)

    @property
    def is_drawing(self) -> bool:
        """Whether a picture or a verdict is still to come for the events that arrived so far."""
        return self._is_stale or self._drawing is not None

    def set_up(self) -> None:
        """Create the axes and artists of `figure`."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Value]:
        """Return the notebook parameters of the state on screen."""
        raise NotImplementedError

    def advance(self) -> Drawing:
        """Update the artists; yield None whenever a picture is ready, and functions whose computation takes long."""
        raise NotImplementedError

    def refine(self, so_far: tuple[np.ndarray, ...]) -> None:
        """Update the artists to what the work for the state on screen has reported; by default not at all."""

    def report(self, *so_far: np.ndarray) -> None:
        """Keep what a work has found so far, for `refine`, unless nothing has changed; the work calls this."""
        if self._so_far[0] is not self._worked_on or not all(map(np.array_equal, so_far, self._so_far[1])):
            self._so_far = self._worked_on, so_far

    def draw(self) -> None:
        """Draw the state on screen immediately and completely."""
        self._drawing, self._is_stale = None, False
        self._began = time.perf_counter()
        drawing, value, raised = self._steps(), None, None
        while True:
            try:
                work = drawing.throw(raised) if raised else drawing.send(value)
            except StopIteration:
                return
            value, raised = None, None
            try:
                value = work() if work else None
            except Exception as error:  # shown by the drawing, which raises it again unless the state is refused
                raised = error

    def close(self) -> None:
        """End the work for a state, and remove the explorer from the page."""
        self._drawing, self._is_stale, self._quiet = None, False, True
        super().close()

    def call(self, function: Callable[[], Any]) -> None:
        """Call a function in the thread that draws; where events come from another thread, this returns before it."""
        if self.loop is None:
            function()
        else:
            self.loop.call_soon_threadsafe(function)

    def put(self, **values: Any) -> None:
        """Set several controls as one event and draw immediately; numbers keep their full precision."""
        before, self._quiet = self._quiet, True
        try:
            for name, value in values.items():
                self.controls[name].value = value
                if name in self._exact:
                    self._exact[name] = value
        finally:
            self._quiet = before
        if not self._quiet:
            self.draw()

    def read(self, name: str) -> float:
        """Return a slider's value, or the exact number last set if the slider shows this number rounded to its step."""
        control, exact = self.controls[name], self._exact[name]
        value = float(control.value)
        apart = math.log10(value / exact) if isinstance(control, widgets.FloatLogSlider) else value - exact
        return exact if abs(apart) < 0.6 * control.step else value

    def commands(self) -> list[str]:
        """Return the commands that run the notebooks at the state on screen, by `leptonfit run` and by papermill."""
        if not self.notebooks:
            return []
        chosen = self.parameters()
        given: dict[str, Value] = {}
        papermill = []
        for notebook in self.notebooks:
            defaults = read_notebook(notebook).resolve({})
            changed = {name: v for name, v in chosen.items() if name in defaults and defaults[name] != v}
            given |= changed
            words = [f"-p {name} {shlex.quote(_write(v))}" for name, v in changed.items()]
            papermill.append(" ".join([f"papermill notebooks/{notebook}.ipynb out.ipynb", *words]))
        words = [f"-p {name}={shlex.quote(_write(v))}" for name, v in given.items()]
        return [" ".join(["leptonfit run", *self.notebooks, *words, "--tag explored"]), *papermill]

    def say(self, code: str, sentence: str) -> None:
        """Set the code and the sentence shown below the picture."""
        self.code, self.sentence = code, sentence

    def _notice(self, _: object) -> None:
        """Ask for a drawing of the state on screen; in any thread."""
        if self._quiet:
            return
        if self.loop is None or self.loop.is_closed():
            self.draw()
        elif not self._is_stale:
            self._is_stale = True  # ends the work for an older state
            self._began = time.perf_counter()
            self.add_class(_STALE)
            self.loop.call_soon_threadsafe(self.loop.call_later, _WAIT, self._start, self.loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_stale:  # not yet drawn by `draw`
            self._is_stale, self._drawing = False, self._steps()
            self._continue(loop, self._drawing)

    def _continue(
        self, loop: asyncio.AbstractEventLoop, drawing: Drawing, value: Any = None, error: Exception | None = None
    ) -> None:
        """Draw the next part, for which the work before gave a value or an error; then let new events be handled."""
        if self._is_outdated(drawing):
            return
        if self._refining:
            self._refining.cancel()
        try:
            work = drawing.throw(error) if error else drawing.send(value)
        except StopIteration:
            self._drawing = None
        except Exception:  # raised again, but nothing may wait for this drawing any more
            self._drawing = None
            raise
        else:
            if work:
                threading.Thread(target=self._work, args=(loop, drawing, work), daemon=True).start()
                self._refining = loop.call_later(_SLICE, self._refine, loop, drawing)
            else:
                loop.call_later(0.001, self._continue, loop, drawing)

    def _refine(
        self, loop: asyncio.AbstractEventLoop, drawing: Drawing, shown: tuple[np.ndarray, ...] | None = None
    ) -> None:
        """Show what the work for a drawing has found so far if it is not shown yet, again and again until it ends."""
        if self._is_outdated(drawing):
            return
        of, so_far = self._so_far
        if of is drawing and so_far is not shown:
            self.refine(so_far)
            self._show()
            shown = so_far
        self._refining = loop.call_later(_SLICE, self._refine, loop, drawing, shown)

    def _work(self, loop: asyncio.AbstractEventLoop, drawing: Drawing, work: Work) -> None:
        """Do the work of a drawing, in a thread of its own, until it is done or a newer state ends it.

        The work of an older state ends first: a model is never called by two threads.
        """
        value, raised = None, None
        with self._is_working, cancellable(lambda: self._is_outdated(drawing)):
            if self._is_outdated(drawing):
                return
            self._worked_on = drawing
            try:
                value = work()
            except Exception as error:  # raised in the thread that draws
                raised = error
            except BaseException as error:  # such as an exit, which must end neither this thread unseen nor the kernel
                raised = RuntimeError(f"the computation ended with {type(error).__name__} {error}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._continue, loop, drawing, value, raised)

    def _is_outdated(self, drawing: Drawing) -> bool:
        """Whether a drawing is of an older state than the controls, or of a state drawn by `draw` meanwhile."""
        return self._is_stale or drawing is not self._drawing

    def _steps(self) -> Drawing:
        """Run the parts of a drawing and show each picture."""
        computing = time.perf_counter()
        try:
            chosen = self.parameters()
            for notebook in self.notebooks:
                read_notebook(notebook).check(chosen)
            drawing, value = self.advance(), None
            while True:
                try:
                    work = drawing.send(value)
                except StopIteration:
                    return
                if work is None:
                    self.computed = 1e3 * (time.perf_counter() - computing)
                    self._show()
                value = yield work
                if work is None:
                    computing = time.perf_counter()
        except Exception as error:  # shown on screen, where no traceback appears; raised unless refused
            refused = isinstance(error, InputError | ValueError)
            self.say("refused" if refused else "failed", " ".join(str(error).split()))
            self.computed = 1e3 * (time.perf_counter() - computing)
            self._show()
            yield None
            if not refused:
                raise

    def _show(self) -> None:
        buffer = io.BytesIO()
        self._paint()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB").save(buffer, "png", compress_level=1)
        self._image.value = buffer.getvalue()
        if not self._is_stale:
            self.remove_class(_STALE)
        if self._is_stale:  # an event has come from another thread meanwhile
            self.add_class(_STALE)
        said = [f"# {self.remark}"] if self.remark else []
        lines = "\n".join(html.escape(line) for line in (*said, *self.commands())) if self.code not in _WRONG else ""
        self._command.value = (
            f'<pre style="white-space: pre-wrap; word-break: normal; font-size: 0.85em">{lines}</pre>' if lines else ""
        )
        self.n_drawn += 1
        self.milliseconds = 1e3 * (time.perf_counter() - self._began)
        colour = ' style="color: var(--jp-error-color1, #b3261e)"' if self.code in _WRONG else ""
        self._said.value = (
            f'<p role="status"{colour} data-drawn="{self.n_drawn}" data-milliseconds="{self.milliseconds:.1f}" '
            f'data-computed="{self.computed:.1f}" data-code="{html.escape(self.code)}">'
            f"<code>{html.escape(self.code)}</code> {html.escape(self.sentence)}</p>"
        )

    def _paint(self) -> None:
        """Draw the moving artists onto a stored frame.

        The frame holds patches, spines, axes with their ticks, and legends, each in a layer of its own. Only layers
        that change are drawn again. What is dark in any layer is dark in the frame.
        """
        if not self._layers:
            self._canvas.draw()  # places axes of a fixed aspect
        moving: list[Any] = []
        fixed = [artist for ax in self.figure.axes if ax.axison for artist in (ax.patch, *ax.spines.values())]
        parts: dict[Any, tuple[Any, list[Any]]] = {None: (None, fixed)}  # look and artists of each layer
        for ax in self.figure.axes:
            artists = [*ax.images, *ax.patches, *ax.collections, *ax.lines, *ax.texts]
            moving += sorted(artists, key=lambda artist: artist.zorder)
            if ax.axison:
                parts[ax.xaxis] = (*ax.get_xlim(), ax.get_xlabel()), [ax.xaxis]
                parts[ax.yaxis] = (*ax.get_ylim(), ax.get_ylabel()), [ax.yaxis]
            legend = ax.get_legend()
            if legend:
                texts = [text.get_text() for text in (legend.get_title(), *legend.get_texts())]
                lines = [(line.get_linewidth(), line.get_markerfacecolor()) for line in legend.get_lines()]
                parts[ax] = (texts, lines), [legend]
        if {key: look for key, (look, _) in self._layers.items()} != {key: look for key, (look, _) in parts.items()}:
            self._layers = {
                key: self._layers[key]
                if key in self._layers and self._layers[key][0] == look
                else (look, self._draw_layer(artists))
                for key, (look, artists) in parts.items()
            }
            frame = functools.reduce(np.minimum, (layer for _, layer in self._layers.values()))
            np.asarray(self._canvas.buffer_rgba())[...] = frame
            self._frame = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._frame)
        for artist in moving:
            artist.axes.draw_artist(artist)

    def _draw_layer(self, artists: list[Any]) -> np.ndarray:
        """Pixels (height, width, 4) of artists alone, on the colour of the figure."""
        renderer = self._canvas.get_renderer()
        renderer.clear()
        for artist in (self.figure.patch, *artists):
            artist.draw(renderer)
        return np.array(self._canvas.buffer_rgba())

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget, and its picture for programs that show no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "image/png": base64.b64encode(self.picture).decode()}, metadata


def _find_loop() -> asyncio.AbstractEventLoop | None:
    """Event loop that runs in this thread, as in a kernel; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _write(value: Value) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
