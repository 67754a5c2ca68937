"""Execution of one notebook with papermill, from its .py source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from leptonfit.datafiles import ROOT
from leptonfit.workbook.declarations import Value

CELL_TIMEOUT = 1800
"""Seconds after which the execution of a cell is stopped."""
_WIDGET = "application/vnd.jupyter.widget-view+json"
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables of kernels, unless already set: on small matrices, threads of BLAS only wait for each other."""


def execute_notebook(name: str, parameters: Mapping[str, Value], output: Path, *, root: Path = ROOT) -> str | None:
    """Execute a notebook from its .py source into `output`; return the error in one line, or None.

    After an error, `output` holds the cells that were executed.
    """
    import jupytext
    import nbclient.exceptions
    import nbformat
    import papermill

    os.environ.update({**ONE_THREAD, **os.environ})  # kernels inherit it
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
                extra_arguments=["--IPKernelApp.log_level=ERROR"],  # hides a warning about local TCP at each start
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
