"""Run a notebook in a fresh kernel of this Python, without network, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from .real import data_folder

OFFLINE = Path(__file__).parent / "offline"
CELL_SECONDS = 300
WITHOUT_READER = {"MMCOURSE_WIDGETS": "static"}  # nobody turns a knob: the first state is shown
Progress = Callable[[int, int], None]


class ExecutionError(RuntimeError):
    """A cell failed; ``cell`` is its index in the notebook."""

    def __init__(self, cell: int, message: str) -> None:
        super().__init__(message)
        self.cell = cell


@dataclass(frozen=True)
class Usage:
    """What a run took: wall seconds without the kernel's start, and the peak memory of its processes in MiB."""

    seconds: float
    peak_mb: float


def offline_environment(scratch: Path | str) -> dict[str, str]:
    """Environment of a run that reaches no network, uses no GPU and reads none of the user's Jupyter settings."""
    return {
        "OMP_NUM_THREADS": "1",  # unless set: sums in the order of `make test`, and no threads that fight
        **{k: v for k, v in os.environ.items() if k not in ("PYTHONSTARTUP", "MPLBACKEND", "JPY_SESSION_NAME")},
        "PYTHONPATH": os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH", "")])),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "IPYTHONDIR": str(Path(scratch) / "ipython"),
        "CUDA_VISIBLE_DEVICES": "-1",
        "MMCOURSE_PROFILE": "laptop",
        "MMCOURSE_OFFLINE": "1",
        **WITHOUT_READER,
        **({"MMCOURSE_REAL_DATA": str(folder)} if (folder := data_folder()) else {}),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def execute(
    nb: NotebookNode,
    progress: Progress | None = None,
    passes: int = 1,
    timeout: int = CELL_SECONDS,
    offline: bool = True,
    then: Sequence[NotebookNode] = (),
) -> Usage:
    """Run every cell of ``nb`` in place.

    Parameters
    ----------
    progress
        Called with (cells done, all cells) after each cell.
    passes
        How often to run all cells in the same kernel.
    timeout
        Seconds allowed to one cell.
    offline
        False for a learner's own run, which may use the network and a GPU.
    then
        Code cells that are run afterwards in the same kernel, unmeasured; they are filled with their outputs, and
        are not part of the notebook.

    Raises
    ------
    ExecutionError
        At the first cell that fails without the tag ``raises-exception``.
    """
    last = [0]
    memory: _Memory | None = None

    def started(cell: NotebookNode, cell_index: int) -> None:
        last[0] = cell_index
        if progress:
            progress(cell_index, len(nb.cells))

    with tempfile.TemporaryDirectory(prefix="mmcourse-", ignore_cleanup_errors=True) as scratch:
        env = offline_environment(scratch) if offline else os.environ | WITHOUT_READER
        kernel: Any = _kernel()
        client = NotebookClient(
            nb, km=kernel, timeout=timeout, record_timing=False, coalesce_streams=True, store_widget_state=False,
            resources={"metadata": {"path": _folder(scratch, "work")}}, on_cell_start=started,
        )  # fmt: skip
        try:
            with client.setup_kernel(env=env, stderr=subprocess.DEVNULL, cleanup_kc=True):
                memory, start = _Memory(kernel.provisioner.pid), time.perf_counter()
                for _ in range(passes):
                    client.code_cells_executed = 0
                    for index, cell in enumerate(nb.cells):
                        client.execute_cell(cell, index)
                seconds = time.perf_counter() - start
                count = len(nb.cells)
                for cell in then:
                    nb.cells.append(cell)  # nbclient runs only what is in the notebook
                    client.execute_cell(cell, len(nb.cells) - 1)
                del nb.cells[count:]
        except CellExecutionError as error:
            raise ExecutionError(last[0], f"{error.ename}: {error.evalue}") from error
        except CellTimeoutError as error:
            raise ExecutionError(last[0], f"no answer after {timeout} s") from error
        except DeadKernelError as error:
            raise ExecutionError(last[0], "the kernel died (out of memory?)") from error
        finally:
            peak_mb = memory.stop() if memory else 0.0
    if progress:
        progress(len(nb.cells), len(nb.cells))
    return Usage(seconds, peak_mb)


def _folder(scratch: str, name: str) -> str:
    folder = Path(scratch) / name
    folder.mkdir()
    return str(folder)


class _ThisPython(KernelSpecManager):
    """Always the running interpreter: a user's own `python3` kernel may lack the course."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")


def _kernel() -> AsyncKernelManager:
    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_ThisPython())


class _Memory:
    """Samples the resident memory of a process and its children, from now until :meth:`stop`."""

    def __init__(self, pid: int, every: float = 0.1) -> None:
        self._process, self._every, self._peak = psutil.Process(pid), every, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Highest sum seen, in MiB."""
        self._stop.set()
        self._thread.join()
        return self._peak / 2**20

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(p.memory_info().rss for p in family))
            except psutil.Error:  # a child ended between the two looks
                pass
            self._stop.wait(self._every)
