"""The model behind a small interface: `prepare` one message (decode worker), `predict` a list of prepared ones."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import io
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = [
    "CLASSES",
    "Model",
    "OnnxModel",
    "answer",
    "lighten",
    "occluded",
    "prepare",
    "self_test",
    "synthetic_files",
    "synthetic_message",
]

CLASSES = ("negative", "neutral", "positive")
MODALITIES = ("words", "face", "voice")
SELF_TEST = Path(__file__).with_name("self_test.json")
STAND_INS = Path(__file__).with_name("stand_ins.npz")
CELLS = 8  # a face map has 8 × 8 cells


class Model(Protocol):
    """What the service needs of a model."""

    name: str
    sha256: str

    def prepare(self, message: dict[str, Any]) -> Any:
        """One decoded message as the model's own features. Runs in a decode worker."""

    def predict(self, prepared: list[Any]) -> np.ndarray:
        """Logits float32 (n, 3) of prepared messages of any mix. Runs in the model's one thread."""


def prepare(message: dict[str, Any]) -> dict[str, np.ndarray]:
    """Features of the modalities that are there, without padding."""
    from mmcourse import messages

    return {name: messages.encode(name, raw) for name, raw in message.items()}


class OnnxModel:
    """The course's trimodal model in ONNX Runtime; no PyTorch.

    The model was trained on whole messages. Zeros in place of what is missing is something that it has never seen: with
    words alone it is then right less often than chance. So a missing part is filled in with those of `stand_ins`,
    training messages, one after the other, and the probabilities are averaged (`make_stand_ins` measures its worth).
    """

    def __init__(
        self, path: str | Path = "model.onnx", threads: int = 1, stand_ins: str | Path | None = STAND_INS
    ) -> None:
        from mmcourse import messages, onnx

        self._empty = messages.EMPTY
        self._runner = onnx.load_trimodal(path, threads)
        self.path = Path(self._runner.path)
        self.name = self.path.name
        self.sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()
        self.stand_ins = _read_stand_ins(Path(stand_ins)) if stand_ins else []

    def prepare(self, message: dict[str, Any]) -> dict[str, np.ndarray]:
        """Features of the modalities that are there, without padding."""
        return prepare(message)

    def predict(self, prepared: list[dict[str, np.ndarray]]) -> np.ndarray:
        """Logits (n, 3). Where something is missing they are logarithms of the mean probabilities."""
        rows: list[dict[str, np.ndarray]] = []
        counts = []
        for features in prepared:
            filled = [{**other, **features} for other in self.stand_ins] if len(features) < 3 else []
            rows += filled or [features]
            counts.append(len(filled) or 1)
        logits = self._run(rows)
        found, start = [], 0
        for count in counts:
            part = logits[start : start + count]
            found.append(part[0] if count == 1 else _log_mean_probability(part))
            start += count
        return np.stack(found)

    def _run(self, rows: list[dict[str, np.ndarray]]) -> np.ndarray:
        """Pad to the longest of the batch, mask, run."""
        arrays: dict[str, np.ndarray] = {}
        for name in ("voice", "words"):
            values = [features.get(name, self._empty[name]) for features in rows]
            lengths = np.array([len(value) for value in values])
            shape = (len(values), max(1, int(lengths.max())), *values[0].shape[1:])
            padded = np.zeros(shape, values[0].dtype)
            for row, value in zip(padded, values, strict=True):
                row[: len(value)] = value
            arrays[name] = padded
            arrays[f"{name}_mask"] = np.arange(shape[1]) < lengths[:, None]
        arrays["face"] = np.stack([features.get("face", self._empty["face"]) for features in rows])
        arrays["presence"] = np.array([[name in features for name in ("face", "voice", "words")] for features in rows])
        return self._runner.run(arrays)


def _read_stand_ins(path: Path) -> list[dict[str, np.ndarray]]:
    """Features of whole training messages."""
    with np.load(path, allow_pickle=False) as stored:
        count = len(stored.files) // 3
        return [
            {
                "face": stored[f"face{k}"].astype(np.float32) / 255,
                "voice": stored[f"voice{k}"].astype(np.float32),
                "words": stored[f"words{k}"].astype(np.int64),
            }
            for k in range(count)
        ]


def _log_mean_probability(logits: np.ndarray) -> np.ndarray:
    """ln of the mean over rows of softmax(logits), (3,)."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.log((shifted / shifted.sum(axis=1, keepdims=True)).mean(axis=0)).astype(np.float32)


# ---------------------------------------------------------------- answers
def answer(logits: np.ndarray, present: Collection[str]) -> dict[str, Any]:
    """What the client gets of three logits and the names of what its message held."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = shifted / shifted.sum()
    return {
        "label": CLASSES[int(probabilities.argmax())],
        "probabilities": dict(zip(CLASSES, probabilities.tolist(), strict=True)),
        "logits": [float(value) for value in logits],
        "present": {name: name in present for name in MODALITIES},
        "missing": [name for name in MODALITIES if name not in present],
    }


def occluded(prepared: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The message once for each cell of the face, with that cell in the face's mean color."""
    face = prepared["face"]  # (32, 32, 3)
    size = face.shape[0] // CELLS
    variants = []
    for row in range(CELLS):
        for column in range(CELLS):
            hidden = face.copy()
            hidden[row * size : (row + 1) * size, column * size : (column + 1) * size] = face.mean(axis=(0, 1))
            variants.append({**prepared, "face": hidden})
    return variants


def face_map(logits: np.ndarray) -> list[list[float]]:
    """How much of the answer's log-odds each cell holds, from 0 to 1; the first row of logits is the whole face's."""
    label = int(logits[0].argmax())
    others = np.delete(np.arange(logits.shape[1]), label)
    margin = logits[:, label] - np.log(np.exp(logits[:, others]).sum(axis=1))
    lost = np.maximum(margin[0] - margin[1:], 0).astype(float).reshape(CELLS, CELLS)
    return (lost / lost.max() if lost.max() > 0 else lost).round(4).tolist()


# ---------------------------------------------------------------- is it the right model, and does it compute right?
def synthetic_message() -> dict[str, Any]:
    """A message that is the same everywhere: a gradient, a tone, a sentence."""
    rows, columns = np.mgrid[:32, :32]
    face = np.stack([rows * 8, columns * 8, (rows + columns) * 4], axis=-1).astype(np.uint8)
    time = np.arange(8_000) / 16_000
    voice = (0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time)).astype(np.float32)
    return {"words": "What a lovely evening!", "face": face, "voice": voice}


def synthetic_files() -> dict[str, Any]:
    """The same, its picture as a PNG file and its sound as a WAV file."""
    import soundfile
    from PIL import Image

    message, face, voice = synthetic_message(), io.BytesIO(), io.BytesIO()
    Image.fromarray(message["face"]).save(face, "PNG")
    soundfile.write(voice, message["voice"], 16_000, format="WAV", subtype="PCM_16")
    return {"words": message["words"], "face": face.getvalue(), "voice": voice.getvalue()}


def self_test(model: Model, stored: Path = SELF_TEST) -> str:
    """Why the model must not serve, or "": its answer to the synthetic message is compared with the stored one."""
    known: dict[str, Sequence[float]] = json.loads(stored.read_text(encoding="utf-8"))
    if model.sha256 not in known:
        return f"no answer is stored for a model with sha256 {model.sha256[:12]}…"
    found = model.predict([model.prepare(synthetic_message())])[0]
    worst = float(np.abs(found - np.array(known[model.sha256])).max())
    return "" if worst <= 1e-3 else f"the self-test differs by {worst:.2g}"


def lighten() -> None:
    """What was needed to start is given back, and what stays is never looked through for garbage again.

    Python's full collection visits every object of every imported module: a pause of tens of milliseconds.
    """
    from mmcourse.datasets.mood import voices

    voices.forget()
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":  # 30 MB that the allocator keeps; glibc alone has this function
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)


if __name__ == "__main__":  # after a new export: python -m mmcourse.serve.model
    answers = {}
    for file in ("model.onnx", "model.int8.onnx"):
        try:
            made = OnnxModel(file)
        except FileNotFoundError:
            continue
        answers[made.sha256] = made.predict([made.prepare(synthetic_message())])[0].astype(float).round(5).tolist()
    SELF_TEST.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
