"""The trained model of the first lesson without PyTorch: NumPy, ONNX Runtime and the course's own pre-processing.

::

    from mmcourse import onnx

    model = onnx.load_trimodal()
    model.probabilities([{"words": "What a lovely evening!"}])  # (1, 3): negative, neutral, positive

Import it as ``from mmcourse import onnx``; the package `onnx`, which reads and writes the format, is another one.
`mmcourse.export` made the files in `data/models/start_here`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcourse.datasets import data_dir, mood
from mmcourse.datasets.base import Batch
from mmcourse.messages import make_batch

__all__ = ["INPUTS", "OnnxModel", "load_trimodal", "to_arrays"]

INPUTS = ("face", "voice", "voice_mask", "words", "words_mask", "presence")


def to_arrays(batch: Batch) -> dict[str, np.ndarray]:
    """A batch of `mood` (NumPy, images with their colors last) as the named arrays that the graph takes."""
    presence = np.stack([np.asarray(batch["modality_mask"][name]) for name in mood.MODALITIES], axis=1)  # (b, 3)
    return {
        "face": np.ascontiguousarray(batch["inputs"]["face"], np.float32),
        "voice": np.ascontiguousarray(batch["inputs"]["voice"], np.float32),
        "voice_mask": np.ascontiguousarray(batch["padding_mask"]["voice"], bool),
        "words": np.ascontiguousarray(batch["inputs"]["words"], np.int64),
        "words_mask": np.ascontiguousarray(batch["padding_mask"]["words"], bool),
        "presence": presence,
    }


class OnnxModel:
    """A trimodal ONNX file and its session. It may be called from several threads.

    Parameters
    ----------
    path : an ONNX file that `mmcourse.export` wrote
    threads : how many threads one call may use; 1 where several calls run at a time
    """

    classes = mood.CLASSES

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before it is loaded: it would report to its makers
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        self.path = Path(path)
        self.session = onnxruntime.InferenceSession(self.path.read_bytes(), options, providers=["CPUExecutionProvider"])
        names = [node.name for node in self.session.get_inputs()]
        if sorted(names) != sorted(INPUTS):
            raise ValueError(f"{self.path.name}: expected the inputs {', '.join(INPUTS)}, got {', '.join(names)}")

    def run(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits float32 (b, 3) of arrays as `to_arrays` names them."""
        return self.session.run(["logits"], dict(arrays))[0]

    def logits(self, batch: Batch) -> np.ndarray:
        """Logits float32 (b, 3) of a batch, as `make_batch` or `Dataset.batches` give it."""
        return self.run(to_arrays(batch))

    def probabilities(self, messages: Batch | Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Probabilities float64 (b, 3), in the order of `classes`.

        Parameters
        ----------
        messages : a batch, or raw messages, each a dict with some or all of "face" (uint8 (h, w, 3)), "voice" (float32
            (n,) at 16 kHz) and "words" (a sentence)
        """
        batch = messages if isinstance(messages, Mapping) else make_batch(messages)
        logits = self.logits(batch).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def load_trimodal(path: str | Path = "model.onnx", threads: int = 1) -> OnnxModel:
    """The shipped model ("model.onnx", or "model.int8.onnx"), or the ONNX file at `path`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        The file takes other inputs.
    """
    folder = data_dir() / "models" / "start_here"
    shipped = folder / Path(path).name
    found = Path(path) if Path(path).is_file() else shipped
    if not found.is_file():
        raise FileNotFoundError(
            f"{path}: no such ONNX file, neither there nor in {folder.name}; mmcourse.export writes one"
        )
    return OnnxModel(found, threads)
