"""A service as the pages know it, without limits, batches and stand-ins: for tests of the pages alone.

It keeps what it was sent, so that a test can look, and refuses when it is told to.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from jinja2 import Environment
from running_app import running

from mmcourse.datasets.mood import CLASSES
from mmcourse.messages import make_batch
from mmcourse.onnx import load_trimodal
from mmcourse.preprocess import audio, image
from mmcourse.serve import page


def read(message: dict[str, Any]) -> dict[str, Any]:
    """Files as what the model reads: {"words": str, "face": pixels, "voice": samples}, those that are there."""
    decoders = {
        "words": lambda sentence: sentence,
        "face": image.read,
        "voice": lambda data: audio.read(data, sample_rate=16000, max_seconds=15)[0],
    }
    return {name: decoders[name](value) for name, value in message.items()}


class FakeService:
    """The application, and what it was sent last."""

    def __init__(self) -> None:
        self.runner = load_trimodal()
        self.model = self.runner.path.read_bytes()
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
        logits = self.runner.logits(make_batch([read(message)]))[0].astype(float)
        powers = np.exp(logits - logits.max())
        shares = dict(zip(CLASSES, (powers / powers.sum()).tolist(), strict=True))
        present = {name: name in message for name in ("words", "face", "voice")}
        return {
            "label": max(shares, key=shares.__getitem__), "probabilities": shares, "logits": logits.tolist(),
            "present": present, "missing": [name for name, there in present.items() if not there],
            "model": {"name": "model.onnx", "sha256": hashlib.sha256(self.model).hexdigest()}, "request_id": "test-1",
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

    def running(self):
        """The address of the service, on a free port of this machine."""
        return running(self.app)
