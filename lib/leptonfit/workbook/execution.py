"""One notebook, executed by papermill from its .py source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from leptonfit.datafiles import ROOT
from leptonfit.workbook.parameters import Value

CELL_TIMEOUT = 1800
"""Seconds after which a cell is given up."""
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of kernels, where it says nothing else: threads of BLAS on small matrices only wait for one another."""


def execute_notebook(
    name: str,
    parameters: Mapping[str, Value],
    output: Path,
    *,
    root: Path = ROOT,
    show_progress: bool = False,
) -> str | None:
    """Execute a notebook's .py, its source, into `output`; what went wrong in one line, or None.

    The executed notebook is written as far as it got.
    """
    import jupytext
    import nbclient.exceptions
    import papermill

    os.environ.update({**ONE_THREAD, **os.environ})  # kernels inherit it
    source = jupytext.read(root / "notebooks" / f"{name}.py")
    for attempt in (1, 2):
        try:
            papermill.execute_notebook(
                source, str(output), parameters=dict(parameters), kernel_name="python3", language="python",
                cwd=str(root / "notebooks"), progress_bar=show_progress, record_timing=False,
                execution_timeout=CELL_TIMEOUT, shutdown_kernel="immediate",
                extra_arguments=["--IPKernelApp.log_level=ERROR"],  # else each start warns of TCP on this very machine
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            return f"cell {error.exec_count} failed: {error.ename}: {str(error.evalue).splitlines()[0]}"
        except nbclient.exceptions.CellTimeoutError:
            return f"a cell took longer than {CELL_TIMEOUT} s"
        except (RuntimeError, nbclient.exceptions.DeadKernelError) as error:
            # parallel kernels now and then collide on a port, before any cell has run
            if attempt == 2 or "before replying" not in str(error):
                return f"the kernel died: {error}"
        else:
            return None
    return None
