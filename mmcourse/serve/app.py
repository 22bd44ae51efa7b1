"""The service: routes, and the way of a request through limits, decode worker, batcher and model.

The event loop only moves bytes. Decoding runs in one worker (a process of its own in `mmcourse serve`, a thread in a
notebook), the model in a thread; how many requests may be inside is counted at the door, before a body is read.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from mmcourse import __version__
from mmcourse.serve import limits as checks
from mmcourse.serve.batcher import Batcher, Busy, TooLate
from mmcourse.serve.decoder import DecodeFailed, Decoder, late, understand
from mmcourse.serve.limits import LIMITS, Limits
from mmcourse.serve.metrics import Metrics
from mmcourse.serve.model import Model, answer, face_map, occluded, self_test
from mmcourse.serve.problems import Problem
from mmcourse.serve.records import Log, ReviewSample

__all__ = ["Service", "create_app"]

PAGE = Path(__file__).with_name("page")
CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
BARE_ANSWER = "<!doctype html><title>mmcourse</title><p>{{ label or answer or detail }}</p>"
LANGUAGES = ("en", "zh")
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNoaGgAAAMEAYFL09IQAAAAAElFTkSuQmCC"  # a PNG of one pixel
)


class Service:
    """One model and all that stands in front of it.

    Parameters
    ----------
    load : makes the model; called in a thread, so that `/live` answers meanwhile
    limits, log, review : see `limits` and `records`
    check : says why the model must not serve, or ""
    decoder : the process that decodes; without one it is a thread
    assistant : the process that answers questions about pictures; without one it is the model's thread
    """

    def __init__(
        self,
        load: Callable[[], Model],
        limits: Limits = LIMITS,
        log: Log | None = None,
        review: ReviewSample | None = None,
        check: Callable[[Model], str] = self_test,
        decoder: Decoder | None = None,
        assistant: Decoder | None = None,
    ) -> None:
        self.load, self.limits, self.check = load, limits, check
        self.log, self.review, self.metrics = log or Log(), review or ReviewSample(), Metrics()
        self.model: Model | None = None
        self.pauses = (1.0, 4.0)  # seconds between tries to load it
        self.not_ready = "the model is not loaded yet"
        self.leaving = False  # shutting down soon: not ready any more, requests are still answered
        self.draining = False  # nothing new is taken
        self.reading = 0  # their bodies are still coming
        self.coming = 0  # of these, those that have not taken long yet: a place is kept for each
        self.inside = 0
        self.explaining = 0
        self.decoder, self.assistant = decoder, assistant
        self.asking = 0
        self.ask_at_start = False
        self._loading: asyncio.Task | None = None  # of the assistant
        self._answer: Callable[[Any, float], Any] | None = None  # it, where it is no process
        self._decoder = ThreadPoolExecutor(1, "decode")
        self._computer = ThreadPoolExecutor(1, "model")
        self.batcher = Batcher(self._predict, limits.max_batch, limits.inside, self.metrics.batch.observe)
        self._starting: asyncio.Task | None = None
        self._refused = 0  # since the last line about it in the log
        self._told = -1.0

    # ------------------------------------------------------------ life
    async def start(self) -> None:
        """Load, warm and test the model. An I/O error that may pass is tried again."""
        loop = asyncio.get_running_loop()
        decoding = asyncio.ensure_future(self.decoder.start()) if self.decoder else None  # while the model is loaded
        for pause in (*self.pauses, None):
            try:
                model = await loop.run_in_executor(self._computer, self.load)
                why = await loop.run_in_executor(self._computer, self.check, model)
                self.model = model
            except Exception as error:
                why = f"the model could not be loaded ({type(error).__name__})"  # its text may name paths
                if pause is not None and isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                    await asyncio.sleep(pause)
                    continue
            break
        if decoding:
            await decoding
        self.not_ready = why

    def start_soon(self) -> None:
        """`start` in the background."""
        self._starting = asyncio.create_task(self.start())
        if self.ask_at_start:
            self._load_assistant()

    async def drain(self) -> None:
        """Answer what is inside, refuse what comes now; at most `drain_seconds`."""
        self.draining = True
        end = time.monotonic() + self.limits.drain_seconds
        while (self.inside or self.reading) and time.monotonic() < end:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Stop the workers."""
        for process in (self.decoder, self.assistant):
            if process:
                process.close()
        self._decoder.shutdown(wait=False, cancel_futures=True)
        self._computer.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether requests may come."""
        return not (self.not_ready or self.leaving or self.draining)

    # ------------------------------------------------------------ one request
    def enter(self, explain: bool = False) -> _Place:
        """Let a request's body be read, or refuse it before that, so that a refusal costs nothing."""
        if self.draining or self.not_ready:
            self.metrics.refused.labels("draining").inc()
            raise Problem("busy", self.not_ready or "The service is shutting down.", retry_after=5)
        self._refuse_if_full(explain, self.full)
        if self.reading >= self.limits.reading:
            self.metrics.refused.labels("busy").inc()
            raise Problem("busy", "Too many bodies are being read.", retry_after=1)
        self.reading += 1
        return _Place(self)

    def admit(self, place: _Place, explain: bool = False) -> None:
        """Count a request in, once its body is here: who sends slowly takes no place from those who do not."""
        self.reading -= 1
        place.give_up()
        self._refuse_if_full(explain, self.inside >= self.limits.inside)
        self.inside += 1
        self.explaining += explain
        self.metrics.inside.set(self.inside)

    @property
    def full(self) -> bool:
        """Whether there is no place for one more, though the service is ready."""
        return self.inside + self.coming >= self.limits.inside and not (self.draining or self.not_ready)

    def refused(self, route: str) -> None:
        """Count a refusal before HTTP. One line a second tells how many there were: a line each would cost more."""
        self.metrics.refused.labels("busy").inc()
        self.metrics.done(route, 503, 0.0)
        self._refused += 1
        if (now := time.monotonic()) - self._told >= 1:
            self.log.write(route=route, status=503, kind="busy", count=self._refused)
            self._told, self._refused = now, 0

    def _refuse_if_full(self, explain: bool, full: bool) -> None:
        if full or (explain and self.explaining >= self.limits.explaining):
            self.metrics.refused.labels("busy").inc()
            raise Problem("busy", "Too many requests are being worked on.", retry_after=1)

    def leave(self, explain: bool = False) -> None:
        """Count it out."""
        self.inside -= 1
        self.explaining -= explain
        self.metrics.inside.set(self.inside)
        self.metrics.waiting.set(self.batcher.waiting)

    async def read(
        self, request: Request, fields: Mapping[str, str | None]
    ) -> tuple[bytes | dict[str, Any], dict[str, str]]:
        """A JSON body, or raw modalities and the other fields of a form (lang, consent)."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded"):
            raise Problem("unsupported-type", "Send application/json or multipart/form-data.")
        charset = re.search(r"charset\s*=\s*[\"']?([^\s;\"']+)", request.headers.get("content-type", ""), re.IGNORECASE)
        if charset and charset[1].lower() not in ("utf-8", "utf8"):  # the client names the decoder, and some are slow
            raise Problem("unsupported-type", "Send UTF-8.")
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                stated = request.headers.get("content-length")
                body = await checks.read_body(request.stream(), stated, self.limits)
        except TimeoutError:
            raise Problem("too-slow", "The body did not arrive in time.") from None
        if kind == "application/json":
            return body, {}
        if kind == "application/x-www-form-urlencoded":  # a form without files
            return _split(_fields(body), fields)
        return await self._read_form(request, body, fields)

    async def _read_form(
        self, request: Request, body: bytes, fields: Mapping[str, str | None]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        async def whole() -> AsyncGenerator[bytes, None]:
            yield body

        size = self.limits.body_bytes
        parser = MultiPartParser(request.headers, whole(), max_files=2, max_fields=8, max_part_size=size)
        parser.spool_max_size = size  # in memory: the file system may be read-only
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError, ValueError):
            raise Problem("bad-request", "The form cannot be read.") from None
        taken = [name for name, key in fields.items() if key]
        files: dict[str, Any] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name not in taken:
                    told = f"Files go into the fields {' and '.join(taken)}."
                    raise Problem("invalid-input", told, name[:40])
                files[name] = await value.read()
        raw, other = _split([(name, value) for name, value in form.multi_items() if isinstance(value, str)], fields)
        return raw | files, other

    async def understand(self, given: bytes | dict[str, Any], end: float) -> tuple[list[str], Any]:
        """What is present, and what the model takes: computed in the decode worker, unless `end` has passed."""
        if self.decoder:
            return await self.decoder.submit(given, end)
        assert self.model is not None
        work = partial(understand, given, end, self.limits, self.model.prepare)
        return await asyncio.get_running_loop().run_in_executor(self._decoder, work)

    async def work(
        self, given: bytes | dict[str, Any], end: float, explain: bool
    ) -> tuple[list[str], Any, list | None]:
        """What is present, the logits and the map. Who waits for the decode worker leaves the queue at `end`."""
        try:
            async with asyncio.timeout(end - time.monotonic()):
                present, prepared = await self.understand(given, end)
        except TimeoutError:
            raise late() from None
        return present, *await self.compute(prepared, end - time.monotonic(), explain)

    # ------------------------------------------------------------ questions about pictures
    def _load_assistant(self) -> asyncio.Task:
        """The task that loads it; one that failed is not tried again before the next question."""
        if self._loading is None or (self._loading.done() and self._loading.exception()):
            self._loading = asyncio.create_task(self._load())
        return self._loading

    async def _load(self) -> None:
        if self.assistant:
            await self.assistant.start()
            return
        from mmcourse.serve import ask

        self._answer = await asyncio.get_running_loop().run_in_executor(self._computer, ask.begin, self.limits)

    async def ask(self, given: bytes | dict[str, Any], end: float) -> tuple[list[str], dict[str, Any]]:
        """What is present, and the answer to a question about a picture."""
        if self.asking >= self.limits.asking:
            self.metrics.refused.labels("busy").inc()
            raise Problem("busy", "Too many questions are being worked on.", retry_after=1)
        self.asking += 1
        try:
            loaded = self._load_assistant()
            await asyncio.wait({loaded}, timeout=end - time.monotonic())
            if not loaded.done():
                raise Problem("busy", "The assistant is being loaded.", retry_after=5)
            loaded.result()
            async with asyncio.timeout(end - time.monotonic()):
                if self.assistant:
                    return await self.assistant.submit(given, end)
                assert self._answer is not None
                work = partial(self._answer, given, end)
                return await asyncio.get_running_loop().run_in_executor(self._computer, work)
        except TimeoutError:
            raise late() from None
        finally:
            self.asking -= 1

    async def _predict(self, prepared: list[Any]) -> Any:
        assert self.model is not None
        return await asyncio.get_running_loop().run_in_executor(self._computer, self.model.predict, prepared)

    async def compute(self, prepared: Any, timeout: float, explain: bool) -> tuple[Any, list | None]:
        """Logits (3,), and the face's map where it is asked for."""
        try:
            started = time.monotonic()
            logits = await self.batcher.submit(prepared, timeout)
            if not explain or "face" not in prepared:
                return logits, None
            async with asyncio.timeout(timeout - (time.monotonic() - started)):
                rows, found = [prepared, *occluded(prepared)], []
                for first in range(0, len(rows), self.limits.max_batch):  # other requests come in between
                    found.append(await self._predict(rows[first : first + self.limits.max_batch]))
            return logits, face_map(np.concatenate(found))
        except (TooLate, TimeoutError):
            raise late() from None
        except Busy as busy:
            raise Problem("busy", "Too many requests are being worked on.", retry_after=busy.retry_after) from None

    def timeout(self, request: Request) -> float:
        """Seconds that the client gives us: its header X-Timeout-Ms, at most our own limit."""
        asked = request.headers.get("x-timeout-ms", "")
        if not asked:
            return self.limits.timeout
        if not re.fullmatch(r"[0-9]{1,6}", asked):
            raise Problem("bad-request", "X-Timeout-Ms: expected whole milliseconds.", "X-Timeout-Ms")
        return min(int(asked) / 1000, self.limits.timeout)


class _Place:
    """The place inside that is kept for a request while its body comes, for a short time."""

    def __init__(self, service: Service) -> None:
        self._service, self._held = service, True
        service.coming += 1
        self._timer = asyncio.get_running_loop().call_later(service.limits.keep_place, self.give_up)

    def give_up(self) -> None:
        """Keep it no longer."""
        if self._held:
            self._held = False
            self._service.coming -= 1
            self._timer.cancel()


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), max_num_fields=8)
    except ValueError:
        raise Problem("bad-request", "The form cannot be read.") from None


def _split(found: list[tuple[str, str]], fields: Mapping[str, str | None]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the route takes, and the other fields of a form."""
    raw: dict[str, Any] = {name: value for name, value in found if name in fields and fields[name] is None}
    return raw, {name: value[:40] for name, value in found if name not in fields}


async def unless_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`; if the client hangs up first, it is cancelled: what nobody waits for is not computed."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body was read: what comes next is the end
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        gone.cancel()
        return task.result()
    task.cancel()
    raise Problem("gone", "The client hung up.")


def ask_models() -> dict[str, str]:
    """sha256 of the assistant's models."""
    from mmcourse.serve.ask import fingerprints

    return fingerprints()


# ---------------------------------------------------------------- the answer as a page
def wants_html(request: Request) -> bool:
    """Whether the client prefers a page: a form sent without JavaScript."""
    accept = request.headers.get("accept", "")
    found = [kind.split(";")[0].strip() for kind in accept.split(",")]
    order = [kind for kind in found if kind in ("text/html", "application/json", "application/problem+json")]
    return bool(order) and order[0] == "text/html"


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    """`answer.html`, compiled once: a refusal must be cheap, also as a page."""
    path = PAGE / "answer.html"
    text = path.read_text(encoding="utf-8") if path.is_file() else BARE_ANSWER
    return jinja2.Environment(autoescape=True).from_string(text)


def render(lang: str, answer: dict[str, Any] | None, problem: dict[str, Any] | None, asked: bool = False) -> str:
    """`answer.html` with an answer or a problem, everything escaped; `asked`: to a question about a picture."""
    return _template().render(lang=lang, asked=asked, **(answer or problem or {}))


# ---------------------------------------------------------------- the app
def create_app(service: Service) -> FastAPI:
    """All routes of a service."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        if service.model is None:
            service.start_soon()
        yield
        await service.drain()
        await service.batcher.close()
        service.close()

    app = FastAPI(title="mmcourse", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(_Headers)

    async def feel(
        request: Request, route: str, given: Any, other: dict[str, str], end: float, line: dict[str, Any]
    ) -> dict[str, Any]:
        work = service.work(given, end, route == "explain")
        present, logits, shown = await unless_gone(request, work)
        body = answer(logits, present)
        assert service.model is not None
        model = {"name": service.model.name, "sha256": service.model.sha256}
        body |= {"model": model, "request_id": line["request_id"]}
        if route == "explain":
            body["face_map"] = shown
        line |= {"present": present, "model": service.model.sha256[:12]}
        service.metrics.said(present, body["label"], max(body["probabilities"].values()))
        if isinstance(given, dict):  # JSON has no field for consent
            service.review.keep(other.get("consent") == "yes", line["request_id"], given, body)
        return body

    async def handle(request: Request, route: str) -> Response:
        started = time.monotonic()
        asked = request.headers.get("x-request-id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        line: dict[str, Any] = {"request_id": request_id, "route": route, "status": 200}
        lang, entered, arrived = "en", False, started
        try:
            place = service.enter(route == "explain")
            try:
                timeout = service.timeout(request)
                fields = checks.QUESTION if route == "ask" else checks.MESSAGE
                given, other = await service.read(request, fields)
            except BaseException:
                service.reading -= 1
                place.give_up()
                raise
            service.admit(place, route == "explain")
            entered, arrived = True, time.monotonic()
            lang = other.get("lang", "en") if other.get("lang") in LANGUAGES else "en"
            line |= {"bytes": len(given) if isinstance(given, bytes) else sum(map(len, given.values()))}
            if route == "ask":
                present, body = await unless_gone(request, service.ask(given, started + timeout))
                body |= {"models": ask_models(), "request_id": request_id}
                line |= {"present": present}
            else:
                body = await feel(request, route, given, other, started + timeout, line)
            if wants_html(request):
                response: Response = HTMLResponse(render(lang, body, None, route == "ask"))
            else:
                response = JSONResponse(body)
        except Exception as error:
            problem = error if isinstance(error, Problem) else Problem("failed", "An error of ours; it was logged.")
            line |= {"status": problem.status, "kind": problem.kind}
            line["field"] = (
                problem.field if problem.field in (*checks.MODALITIES, "picture", "question", None) else "other"
            )
            if not isinstance(error, Problem):
                name = error.kind if isinstance(error, DecodeFailed) else type(error).__name__
                line["kind"] = f"failed: {name}"  # never its text: it may quote the input
            response = problem_response(request, problem, lang)
        finally:
            if entered:
                service.leave(route == "explain")
        took = time.monotonic() - started
        service.metrics.done(route, response.status_code, time.monotonic() - arrived)
        service.log.write(**line, ms=round(took * 1000, 1))
        response.headers["X-Request-ID"] = request_id
        return response

    body_schema = {"requestBody": _request_body()}

    @app.post("/v1/predict", openapi_extra=body_schema, responses=_responses())
    async def predict(request: Request) -> Response:
        """How a message of words, a face, a voice, or any of them, feels."""
        return await handle(request, "predict")

    @app.post("/v1/explain", openapi_extra=body_schema, responses=_responses())
    async def explain(request: Request) -> Response:
        """The same, and which parts of the face the answer depends on."""
        return await handle(request, "explain")

    @app.post("/v1/ask", openapi_extra={"requestBody": _question_body()}, responses=_question_responses())
    async def ask(request: Request) -> Response:
        """An answer to a question about a picture of a scene; the question is written, or spoken in English."""
        return await handle(request, "ask")

    @app.get("/v1/model.onnx")
    async def model_file(request: Request) -> Response:
        """The model itself, for the page that runs it in the browser."""
        path = getattr(service.model, "path", None)
        if path is None:
            raise HTTPException(404)
        tag = f'"{service.model.sha256}"' if service.model else ""
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    @app.get("/live")
    async def live() -> dict[str, str]:
        """The process runs and its event loop turns. It says nothing about the model: restarting would not help."""
        return {"status": "live"}

    @app.get("/ready")
    async def ready() -> Response:
        """Whether requests may come: loaded, warmed, self-test right, not shutting down."""
        if service.ready:
            return JSONResponse({"status": "ready"})
        why = service.not_ready or "shutting down"
        return JSONResponse({"status": "not ready", "why": why}, 503)

    @app.get("/version")
    async def version() -> dict[str, Any]:
        """What exactly runs here."""
        model = {"name": service.model.name, "sha256": service.model.sha256} if service.model else None
        git = os.environ.get("MMCOURSE_GIT") or None
        return {"mmcourse": __version__, "git": git, "model": model, "data_card": "data/mood/README.md"} | {
            "assistant": ask_models()
        }

    @app.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        service.metrics.waiting.set(service.batcher.waiting)
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return _static("index.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        return _static(name)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        kinds = {404: "not-found", 405: "method-not-allowed"}
        kind = kinds.get(error.status_code, "bad-request")
        service.metrics.done("other", error.status_code, 0.0)
        return problem_response(request, Problem(kind, "See /openapi.json for what there is."), "en")

    return app


def problem_response(request: Request, problem: Problem, lang: str) -> Response:
    """The problem as JSON, or as a page for a form without JavaScript."""
    headers = {"Retry-After": f"{problem.retry_after:.0f}"} if problem.retry_after else None
    if wants_html(request):
        return HTMLResponse(
            render(lang, None, problem.body(), request.url.path == "/v1/ask"), problem.status, headers=headers
        )
    return JSONResponse(problem.body(), problem.status, headers=headers, media_type="application/problem+json")


def _static(name: str) -> Response:
    """A file of the page, with the headers that the page's own table gives."""
    try:
        page = import_module("mmcourse.serve.page")
    except ImportError:
        raise HTTPException(404) from None
    found = page.find(name)
    if found is None:
        raise HTTPException(404)
    headers = {"Content-Security-Policy": page.csp(name), "Cache-Control": "no-cache"}
    return FileResponse(found, media_type=page.media_type(name), headers=headers)


class _Headers:
    """Adds the headers of safety to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                for name, value in (*HEADERS.items(), ("Content-Security-Policy", CSP)):
                    if name.lower().encode() not in there:
                        message["headers"].append((name.lower().encode(), value.encode()))
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


# ---------------------------------------------------------------- OpenAPI
def _request_body() -> dict[str, Any]:
    base64 = {"type": "string", "format": "byte"}
    picture = {"type": "object", "nullable": True, "properties": {"png_base64": base64}}
    sound = {"type": "object", "nullable": True, "properties": {"wav_base64": base64}}
    words = {"type": "string", "nullable": True, "maxLength": LIMITS.characters}
    properties = {"words": words, "face": picture, "voice": sound}
    example = {"words": "What a lovely evening!", "face": None, "voice": None}
    file = {"type": "string", "format": "binary"}
    form = {"words": {"type": "string"}, "face": file, "voice": file, "lang": {"type": "string", "enum": ["en", "zh"]}}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "properties": properties}, "example": example},
            "multipart/form-data": {"schema": {"type": "object", "properties": form}},
        },
    }


def _responses() -> dict[int | str, dict[str, Any]]:
    return _with_problems(
        {
            "label": "positive",
            "probabilities": {"negative": 0.05, "neutral": 0.05, "positive": 0.9},
            "logits": [-1.0, -1.0, 1.9],
            "present": {"words": True, "face": False, "voice": False},
            "missing": ["face", "voice"],
            "model": {"name": "model.onnx", "sha256": "…"},
            "request_id": "…",
        }
    )


def _question_body() -> dict[str, Any]:
    base64 = {"type": "string", "format": "byte"}
    properties = {
        "picture": {"type": "object", "properties": {"png_base64": base64}},
        "question": {"type": "string", "nullable": True, "maxLength": LIMITS.question_characters},
        "voice": {"type": "object", "nullable": True, "properties": {"wav_base64": base64}},
    }
    file = {"type": "string", "format": "binary"}
    form = {"picture": file, "question": {"type": "string"}, "voice": file}
    example = {"picture": {"png_base64": DOT}, "question": "Is there a red star?"}
    schema = {"type": "object", "required": ["picture"], "properties": properties}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": schema, "example": example},
            "multipart/form-data": {"schema": {"type": "object", "properties": form}},
        },
    }


def _question_responses() -> dict[int | str, dict[str, Any]]:
    thing = {"shape": "star", "score": 0.99, "box": [0.25, 0.5, 0.4, 0.65]}
    return _with_problems(
        {
            "answer": "yes",
            "question": "Is there a red star?",
            "heard": None,
            "things": [thing],
            "models": {"vlm": "…", "speech_to_text": "…", "detection": "…"},
            "request_id": "…",
        },
        501,
    )


def _with_problems(example: dict[str, Any], *more: int) -> dict[int | str, dict[str, Any]]:
    trouble = Problem("invalid-input", "Expected a sentence with at least one English word.", "words").body()
    found: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": example}}}}
    for status in (400, 408, 413, 415, 422, *more, 503, 504):
        kind = {"application/problem+json": {"example": trouble}} if status == 422 else {"application/problem+json": {}}
        found[status] = {"description": "a problem (RFC 9457)", "content": kind}
    return found
