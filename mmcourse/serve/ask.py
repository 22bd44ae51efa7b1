"""The assistant behind `/v1/ask`: a picture of a scene and a question, written or spoken.

The question is written down by lesson speech_to_text's recognizer, answered by lesson vlm's model, and lesson
detection's detector says where things are. All need PyTorch, which the service itself does without: so the assistant is
a process of its own, started with the first question (or by `mmcourse serve --ask`).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from mmcourse.serve import limits as checks
from mmcourse.serve.decoder import late, run_worker
from mmcourse.serve.limits import Limits
from mmcourse.serve.problems import Problem

__all__ = ["MODELS", "Assistant", "begin", "fingerprints"]

MODELS = ("vlm", "speech_to_text", "detection")
SIDE = 64  # of the pictures that the models were trained on
LONGEST = 24  # pieces of an answer: the longest right one has fewer


class Assistant:
    """The three models. Raises FileNotFoundError or ImportError where one, or PyTorch, is missing."""

    def __init__(self) -> None:
        import torch

        from mmcourse.torch.detection import CLASSES, Detector
        from mmcourse.torch.speech_to_text import Recognizer, as_question
        from mmcourse.torch.vlm import VLM

        torch.set_num_threads(1)
        self._shapes, self._as_question = CLASSES, as_question
        self.vlm = VLM.from_pretrained("vlm")
        self.recognizer = Recognizer.from_pretrained("speech_to_text")
        self.detector = Detector.from_pretrained("detection")

    def answer(
        self, picture: np.ndarray, question: str | None = None, wave: np.ndarray | None = None
    ) -> dict[str, Any]:
        """What is asked, what was heard, the answer, and the things in the picture.

        Parameters
        ----------
        picture : uint8 (64, 64, 3)
        question, wave : one of them; a wave is float32 (n,) at 16 kHz

        Returns
        -------
        {"answer", "question", "heard", "things"}; a thing's box is left, top, right, bottom as parts of the picture
        """
        heard = None
        if wave is not None:
            heard = self.recognizer.transcribe([wave])[0]
            if not heard:
                raise Problem("invalid-input", "No word was understood.", "voice")
            question = self._as_question(heard)
        assert question is not None
        question = as_written(question)
        try:
            answer = self.vlm.answer(picture, question, max_length=LONGEST)[0]
        except ValueError as error:
            where = "question" if wave is None else "voice"
            raise Problem("invalid-input", _why(str(error)), where) from None
        found = self.detector.detect(picture, nms_threshold=0.5)[0]  # each thing once
        things = [
            {"shape": self._shapes[label], "score": float(score), "box": [float(edge) / SIDE for edge in box]}
            for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
        ]
        return {"answer": answer, "question": question, "heard": heard, "things": things}


def as_written(question: str) -> str:
    """As the questions of lesson vlm are written: `colour`, a capital, a question mark."""
    text = re.sub(r"\bcolor(?=s?\b)", "colour", question.strip(), flags=re.IGNORECASE)
    return text[:1].upper() + text[1:] + ("" if text.endswith(("?", ".", "!")) else "?")


def _why(error: str) -> str:
    """A reason that names no path and no function."""
    if "the vocabulary has no" in error:
        word = error.split("the vocabulary has no ")[1].split(";")[0]
        return f"The model does not know the word {word}."
    return "The question is too long for the model."


@lru_cache(maxsize=1)
def fingerprints() -> dict[str, str]:
    """sha256 of each model's weights that are here, without PyTorch."""
    from mmcourse.datasets import data_dir

    files = {name: data_dir() / "models" / name / "model.safetensors" for name in MODELS}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path.is_file()}


def begin(limits: Limits) -> Callable[[Any, float], tuple[list[str], dict[str, Any]]]:
    """Load the assistant; what then answers a JSON body or a form's fields, unless its time is over."""
    from mmcourse.preprocess import image

    try:
        assistant = Assistant()
    except ImportError:
        raise Problem("not-installed", "Asking about pictures needs PyTorch: install mmcourse[torch].") from None
    except FileNotFoundError:
        raise Problem("not-installed", "The weights of the assistant are not here.") from None
    assistant.answer(
        np.zeros((SIDE, SIDE, 3), np.uint8), "Is there a red star?"
    )  # what is made at first use is made now

    def answer(given: bytes | dict[str, Any], end: float) -> tuple[list[str], dict[str, Any]]:
        if time.monotonic() > end:
            raise late()
        raw = checks.parse_json(given, limits, checks.QUESTION) if isinstance(given, bytes) else given
        asked = checks.decode_question(raw, limits)
        present: list[str] = [name for name in ("picture", "question", "voice") if name in asked]
        picture = image.resize(asked["picture"], (SIDE, SIDE))
        return present, assistant.answer(picture, asked.get("question"), asked.get("voice"))

    return answer


if __name__ == "__main__":
    from mmcourse.serve import ask  # by its name: what is sent back names its module

    run_worker(ask.begin)
