"""A service as the pages know it, with a model of a few random numbers: for tests of the pages alone.

It reads messages with the course's own Python, and keeps what it was sent, so that a test can look.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from jinja2 import Environment
from onnx import TensorProto, helper, numpy_helper

from mmcourse.datasets.mood import CLASSES, voices, words
from mmcourse.preprocess import audio, image
from mmcourse.serve import page

NAMES = ("face", "voice", "words")


def small_model(seed: int = 0) -> bytes:
    """face (1, 3, 32, 32), voice (1, t, 40), words (1, l), present (1, 3) → logits (1, 3): each part linear."""
    rng = np.random.default_rng(seed)
    weights = {
        "w_face": rng.standard_normal((3072, 3), np.float32) / 20,
        "w_voice": rng.standard_normal((40, 3), np.float32) / 4,
        "table": rng.standard_normal((len(words.vocabulary()), 3), np.float32),
        "shape": np.array([1, 3072], np.int64),
        "columns": np.arange(3, dtype=np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["face", "shape"], ["flat"]),
        node("MatMul", ["flat", "w_face"], ["face_logits"]),
        node("Abs", ["voice"], ["loud"]),
        node("ReduceMean", ["loud"], ["mean_voice"], axes=[1], keepdims=0),
        node("MatMul", ["mean_voice", "w_voice"], ["voice_logits"]),
        node("Gather", ["table", "words"], ["vectors"]),
        node("ReduceMean", ["vectors"], ["words_logits"], axes=[1], keepdims=0),
        *[node("Slice", ["present", f"from{k}", f"to{k}", "axis"], [f"there_{name}"]) for k, name in enumerate(NAMES)],
        *[node("Mul", [f"{name}_logits", f"there_{name}"], [f"part_{name}"]) for name in NAMES],
        node("Sum", [f"part_{name}" for name in NAMES], ["logits"]),
    ]
    weights |= {"axis": np.array([1])} | {f"from{k}": np.array([k]) for k in range(3)}
    weights |= {f"to{k}": np.array([k + 1]) for k in range(3)}
    inputs = [
        helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 32, 32]),
        helper.make_tensor_value_info("voice", TensorProto.FLOAT, [1, "t", 40]),
        helper.make_tensor_value_info("words", TensorProto.INT64, [1, "l"]),
        helper.make_tensor_value_info("present", TensorProto.FLOAT, [1, 3]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])]
    graph = helper.make_graph(
        nodes, "small", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in weights.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def features(message: dict[str, Any]) -> dict[str, np.ndarray]:
    """The model's inputs of {"words": str, "face": bytes, "voice": bytes}, those that are there."""
    inputs = {
        "face": np.zeros((1, 3, 32, 32), np.float32),
        "voice": np.zeros((1, 1, 40), np.float32),
        "words": np.zeros((1, 1), np.int64),
        "present": np.array([[name in message for name in NAMES]], np.float32),
    }
    if "face" in message:
        inputs["face"][0] = small_face(message["face"]).astype(np.float32).transpose(2, 0, 1) / 255
    if "voice" in message:
        wave, _ = audio.read(message["voice"], sample_rate=16000, max_seconds=15)
        inputs["voice"] = voices.encode(wave)[None]
    if "words" in message:
        inputs["words"] = words.encode(message["words"])[None]
    return inputs


def small_face(data: bytes) -> np.ndarray:
    """The middle square of a picture, uint8 (32, 32, 3)."""
    picture = image.read(data)
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return image.resize(picture[top : top + side, left : left + side], (32, 32))


class FakeService:
    """The application, and what it was sent last."""

    def __init__(self) -> None:
        self.model = small_model()
        self.session = onnxruntime.InferenceSession(self.model)
        self.received: list[dict[str, Any]] = []
        self.refuse: dict[str, Any] | None = None  # a problem to answer with
        self.app = FastAPI()
        self.app.get("/")(lambda: self.static("index.html"))
        self.app.get("/static/{name}")(self.static)
        self.app.get("/v1/model.onnx")(lambda: Response(self.model, media_type="application/octet-stream"))
        self.app.post("/v1/predict")(self.predict)
        self.app.post("/v1/explain")(self.predict)

    def static(self, name: str) -> Response:
        path = page.find(name)
        if path is None:
            return JSONResponse({"title": "Not found", "status": 404}, 404)
        headers = {"Content-Security-Policy": page.csp(name), "Permissions-Policy": page.PERMISSIONS}
        return FileResponse(path, media_type=page.media_type(name), headers=headers)

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        logits = self.session.run(None, features(message))[0][0].astype(float)
        powers = np.exp(logits - logits.max())
        shares = dict(zip(CLASSES, (powers / powers.sum()).tolist(), strict=True))
        present = {name: name in message for name in ("words", "face", "voice")}
        return {
            "label": max(shares, key=shares.__getitem__), "probabilities": shares, "logits": logits.tolist(),
            "present": present, "missing": [name for name, there in present.items() if not there],
            "model": {"name": "small", "sha256": hashlib.sha256(self.model).hexdigest()}, "request_id": "test-1",
        }  # fmt: skip

    async def predict(self, request: Request) -> Response:
        form = await request.form()
        message: dict[str, Any] = {}
        for name in ("words", "face", "voice"):
            value = form.get(name)
            value = value if value is None or isinstance(value, str) else await value.read()
            if value:
                message[name] = value
        self.received.append({**message, "types": {k: getattr(form[k], "content_type", None) for k in form}})
        html = "text/html" in request.headers.get("accept", "")
        if self.refuse or not message:
            problem = self.refuse or {"title": "Nothing to read", "status": 422, "detail": "Give one of the three."}
            body = {"type": "about:blank", "field": None, **problem}
            if html:
                return self.page(body, form, problem["status"])
            return JSONResponse(body, problem["status"], media_type="application/problem+json")
        answer = self.answer(message)
        if request.url.path == "/v1/explain":
            answer["face_map"] = (np.arange(64).reshape(8, 8) / 63).tolist() if "face" in message else []
        return self.page(answer, form, 200) if html else JSONResponse(answer)

    def page(self, values: dict[str, Any], form: Any, status: int) -> Response:
        template = Environment(autoescape=True).from_string((page.FOLDER / "answer.html").read_text(encoding="utf-8"))
        headers = {"Content-Security-Policy": page.csp("answer.html")}
        return HTMLResponse(template.render(**values, lang=form.get("lang", "en")), status, headers=headers)

    @contextlib.contextmanager
    def running(self):
        """The address of the service, on a free port of this machine."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(self.app, port=port, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(10)
