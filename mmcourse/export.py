"""The trained model of the first lesson as one ONNX file, which runs without PyTorch.

::

    from mmcourse.export import export_trimodal

    export_trimodal("model.onnx")

    from mmcourse import onnx  # needs NumPy and ONNX Runtime, no PyTorch

    onnx.load_trimodal("model.onnx").probabilities([{"words": "What a lovely evening!"}])

The shipped files `data/models/start_here/model.onnx` and `model.int8.onnx` were made with
``python -m mmcourse.export``.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcourse import onnx as runtime
from mmcourse.datasets import data_dir
from mmcourse.io import atomic_write
from mmcourse.pretrained import Trimodal, load_trimodal
from mmcourse.torch.encoders import AudioEncoder, statistics_pooling

__all__ = ["ArrayInputs", "example_inputs", "export_program", "export_trimodal", "float16_onnx", "float16_weights"]
__all__ += ["quantize_onnx", "to_onnx"]

OPSET = 18


class OpenAudioEncoder(nn.Module):
    """An `AudioEncoder` for any number of frames, also when it is traced: same weights, same values.

    The encoder puts frames together in pairs, and adds one to an odd number of them. Whether to add one is a Python
    number, `-x.shape[1] % 2`, which tracing freezes: the graph would take odd lengths only, or even ones only.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        """x: log-mel (b, t, bands), padding_mask: bool (b, t) → (b, width)."""
        x = x.masked_fill(~padding_mask[..., None], 0)
        first = x[:, ::2]  # (b, ⌈t/2⌉, bands)
        second = nn.functional.pad(x, (0, 0, 0, 1))[:, 1::2]  # as many, whether t is odd or even
        steps = self.encoder.frames(torch.cat([first, second], dim=-1)).relu()
        pooled = statistics_pooling(steps, padding_mask[:, ::2])
        return self.encoder.out(self.encoder.hidden(pooled).relu())


class ArrayInputs(nn.Module):
    """The trimodal model with plain arrays as inputs, as exchange formats want them, in place of a batch dict.

    What `presence` says is missing is masked *inside* the graph, so no caller can forget it.
    """

    def __init__(self, model: Trimodal) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.model.encoders["voice"] = OpenAudioEncoder(self.model.encoders["voice"])

    def forward(
        self, face: Tensor, voice: Tensor, voice_mask: Tensor, words: Tensor, words_mask: Tensor, presence: Tensor
    ) -> Tensor:
        """Logits (b, 3).

        face: float (b, 32, 32, 3) from 0 to 1; voice: float (b, t, 40) and voice_mask: bool (b, t), True = real;
        words: int (b, l) and words_mask: bool (b, l); presence: bool (b, 3), in the order face, voice, words.
        """
        there = presence[:, :, None]  # (b, 3, 1)
        face = torch.where(there[:, 0, :, None, None], face, 0.0)  # absent: zeros, as the course's batches have it
        batch = {
            "inputs": {"face": face.permute(0, 3, 1, 2), "voice": voice, "words": words},
            "padding_mask": {"voice": voice_mask & there[:, 1], "words": words_mask & there[:, 2]},
        }
        return self.model(batch)


def example_inputs(batch: int = 3, frames: int = 7, words: int = 5) -> tuple[Tensor, ...]:
    """Inputs of the right shapes to trace with. Every size differs from 1, which an exporter would freeze."""
    return (
        torch.zeros(batch, 32, 32, 3),
        torch.zeros(batch, frames, 40),
        torch.ones(batch, frames, dtype=torch.bool),
        torch.ones(batch, words, dtype=torch.long),
        torch.ones(batch, words, dtype=torch.bool),
        torch.ones(batch, 3, dtype=torch.bool),
    )


def export_program(model: Trimodal) -> torch.export.ExportedProgram:
    """`torch.export` of the model: one graph, with batch, number of frames and number of words left open."""
    batch, words = torch.export.Dim("batch"), torch.export.Dim("words")
    frames = torch.export.Dim("frames", min=3)  # tracing tells 1, and 2 before pairing, from all other lengths
    shapes = (
        {0: batch},
        {0: batch, 1: frames},
        {0: batch, 1: frames},
        {0: batch, 1: words},
        {0: batch, 1: words},
        {0: batch},
    )
    return torch.export.export(ArrayInputs(model).eval(), example_inputs(), dynamic_shapes=shapes)


def to_onnx(program: torch.export.ExportedProgram, path: str | Path) -> Path:
    """Write an exported program as one ONNX file, weights inside it, and check it."""
    import onnx

    path = Path(path)
    with quiet_export():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(runtime.INPUTS),
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    assert exported is not None
    graph = exported.model_proto
    for part in (
        graph,
        graph.graph,
        *graph.graph.node,
        *graph.graph.value_info,
        *graph.graph.input,
        *graph.graph.output,
    ):
        del part.metadata_props[:]  # where in whose source each node came from: a fifth of the file, and your folders
    onnx.checker.check_model(graph)
    atomic_write(path, graph.SerializeToString())
    return path


def export_trimodal(path: str | Path, model: Trimodal | None = None) -> Path:
    """The trained trimodal model (or `model`) as one self-contained ONNX file at `path`.

    Batch size and lengths are open, masks and presence are inputs, pre-processing is outside: see `mmcourse.onnx`.
    """
    model = load_trimodal() if model is None else model
    return to_onnx(export_program(model), path)


def quantize_onnx(source: str | Path, path: str | Path, per_channel: bool = True) -> Path:
    """Dynamic int8 by ONNX Runtime: weights of matrix products as int8, activations quantized as they come.

    Convolutions keep their float32 weights: as integers they would run several times slower on ordinary processors.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet_export(), tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_dynamic(
            source,
            target,
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        atomic_write(Path(path), target.read_bytes())
    return Path(path)


def float16_weights(source: str | Path, path: str | Path) -> Path:
    """The same graph with its float32 weights stored as float16: half the bytes; it computes in float32 as before."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = onnx.load(source)
    casts, kept = [], []
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_float16"))
            casts.append(helper.make_node("Cast", [kept[-1].name], [tensor.name], to=TensorProto.FLOAT))
        else:
            kept.append(tensor)
    nodes = [*casts, *graph.graph.node]
    del graph.graph.initializer[:], graph.graph.node[:]
    graph.graph.initializer.extend(kept)
    graph.graph.node.extend(nodes)
    onnx.checker.check_model(graph)
    atomic_write(Path(path), graph.SerializeToString())
    return Path(path)


def float16_onnx(source: str | Path, path: str | Path) -> Path:
    """The graph with weights *and* arithmetic in float16, by ONNX Runtime's converter; inputs and logits stay float32.

    A processor without such arithmetic converts back and forth.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with quiet_export():
        graph = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    atomic_write(Path(path), graph.SerializeToString())
    return Path(path)


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
    """Without the notes that exporters print for their developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def write_shipped(folder: Path) -> dict[str, Any]:
    """`model.onnx`, `model.int8.onnx` and `onnx.json`, which holds what was measured, into `folder`."""
    from mmcourse.datasets import load

    model = load_trimodal()
    export_trimodal(folder / "model.onnx", model)
    quantize_onnx(folder / "model.onnx", folder / "model.int8.onnx")
    test = load("mood", "test")
    batches = list(test.torch_loader(batch_size=100))
    with torch.no_grad():
        eager = np.concatenate([model(batch).numpy() for batch in batches])  # (1500, 3)
    figures: dict[str, Any] = {"opset": OPSET, "test messages": len(test), "torch": torch.__version__.split("+")[0]}
    figures["eager accuracy"] = round(float((eager.argmax(1) == test.labels).mean()), 4)
    for name in ("model.onnx", "model.int8.onnx"):
        session = runtime.load_trimodal(folder / name)
        logits = np.concatenate([session.logits(batch) for batch in test.batches(batch_size=100)])
        figures[name] = {
            "bytes": (folder / name).stat().st_size,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "largest difference of logits": float(f"{np.abs(logits - eager).max():.2g}"),
            "agreement": round(float((logits.argmax(1) == eager.argmax(1)).mean()), 4),
            "accuracy": round(float((logits.argmax(1) == test.labels).mean()), 4),
        }
    atomic_write(folder / "onnx.json", json.dumps(figures, indent=1) + "\n")
    return figures


if __name__ == "__main__":
    print(json.dumps(write_shipped(data_dir() / "models" / "start_here"), indent=1))
