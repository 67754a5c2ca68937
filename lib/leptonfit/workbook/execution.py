"""Execution of one notebook with papermill, from its .py source."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leptonfit.datafiles import ROOT
from leptonfit.workbook.declarations import Value

CELL_TIMEOUT = 1800
"""Seconds after which the execution of a cell is stopped."""
logging.getLogger("papermill").addHandler(logging.NullHandler())  # its errors are in the line that is returned
_WIDGET = "application/vnd.jupyter.widget-view+json"
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables of kernels, unless already set: on small matrices, threads of BLAS only wait for each other."""

_ARGUMENTS = (
    "--IPKernelApp.log_level=ERROR",  # hides a warning about local TCP at each start
    "--InlineBackend.figure_formats={'png'}",  # a configuration of the whole machine may say otherwise
)
_OF_THE_USER = ("PYTHON", "MPL", "MATPLOTLIB")
"""First letters of environment variables by which a user sets what Python and Matplotlib do."""


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a temporary folder, and delete those of processes that were killed before they could delete them.

    Such a folder is recognised by a file in it that no process has locked: a lock ends with its process.
    """
    import fcntl  # not on Windows, where no notebook is executed

    prefix = "leptonfit-"
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*/lock"):
        with contextlib.suppress(OSError):  # it is in use, or has just been deleted
            if path.parent.lstat().st_uid == os.getuid():
                with open(path, "a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with open(folder / "new", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.replace(folder / "new", folder / "lock")  # it is never there without being locked
            yield folder


def _make_kernel_manager(settings: Path) -> Any:
    """Class that starts kernels with the Python and the library of this process, whatever the user has configured.

    Parameters
    ----------
    settings : Path
        Folder for the files of the kernel, in which IPython finds no configuration.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    environment = {
        **{name: os.environ.get(name, one) for name, one in ONE_THREAD.items()},
        **{name: "" for name in os.environ if name.startswith(_OF_THE_USER) and name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": str(Path(__file__).parents[2]),  # the library may not be installed
        "PYTHONUTF8": "1",
        "IPYTHONDIR": str(settings),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }

    class OwnKernelManager(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=command, env=environment, language="python", name="python3")
        connection_file = str(settings / "connection.json")

    return OwnKernelManager


def execute_notebook(name: str, parameters: Mapping[str, Value], output: Path, *, root: Path = ROOT) -> str | None:
    """Execute a notebook from its .py source into `output`; return the error in one line, or None.

    After an error, `output` holds the cells that were executed.
    """
    import jupytext
    import nbclient.exceptions
    import nbformat
    import papermill

    source = jupytext.read(root / "notebooks" / f"{name}.py")

    def keep_pictures() -> None:  # a widget needs its kernel, so only its picture is kept
        done = nbformat.read(output, as_version=4)
        for data in [o["data"] for cell in done.cells for o in cell.get("outputs", []) if "data" in o]:
            if "image/png" in data:
                data.pop(_WIDGET, None)
        done.metadata.pop("widgets", None)
        nbformat.write(done, output)

    for attempt in (1, 2):
        try:
            with temporary_folder() as settings:
                papermill.execute_notebook(
                    source,
                    str(output),
                    parameters=dict(parameters),
                    kernel_name="python3",
                    language="python",
                    resources={"metadata": {"path": str(root / "notebooks")}},  # cwd would change that of all threads
                    progress_bar=False,
                    record_timing=False,
                    execution_timeout=CELL_TIMEOUT,
                    shutdown_kernel="immediate",
                    kernel_manager_class=_make_kernel_manager(settings),
                    extra_arguments=[*_ARGUMENTS],
                )
        except papermill.PapermillExecutionError as error:
            keep_pictures()
            said = ": ".join([error.ename, *str(error.evalue).splitlines()[:1]])  # an error may have no message
            return f"cell {error.exec_count} failed: {said}"
        except nbclient.exceptions.CellTimeoutError:
            return f"a cell took longer than {CELL_TIMEOUT} s"
        except (RuntimeError, nbclient.exceptions.DeadKernelError) as error:
            # parallel kernels sometimes choose the same port; this fails before any cell has run
            if attempt == 2 or "before replying" not in str(error):
                return f"the kernel died: {error}"
        else:
            keep_pictures()
            return None
    return None
