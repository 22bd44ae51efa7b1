"""The real model in the real service: parity with the notebook, and a process that starts, answers and drains."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

import httpx
from hostile_uploads import png, wav

from mmcourse.datasets import load
from mmcourse.serve.app import Service, create_app
from mmcourse.serve.limits import Limits
from mmcourse.serve.model import OnnxModel, self_test, synthetic_message
from mmcourse.serve.records import Log

MODALITIES = ("words", "face", "voice")


def form(sample, names=MODALITIES) -> dict:
    """A message of `mood` as the JSON form of a request; 32-bit floats, so that the sound arrives as it was."""
    made = {
        "words": lambda: sample["words"],
        "face": lambda: {"png_base64": base64.b64encode(png(np.asarray(sample["face"]))).decode()},
        "voice": lambda: {"wav_base64": base64.b64encode(wav(np.asarray(sample["voice"]), subtype="FLOAT")).decode()},
    }
    return {name: made[name]() for name in names}


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    return OnnxModel()


def test_two_hundred_answers_over_http_are_the_notebooks(model):
    """Bytes in, logits out, in any order and any mix of batches: against PyTorch, one by one."""
    torch = pytest.importorskip("torch")
    from mmcourse.pretrained import load_trimodal

    data = load("mood", "test").subset(np.arange(200))
    batches = data.torch_loader(batch_size=1)
    eager = load_trimodal()
    with torch.no_grad():
        expected = np.concatenate([eager(batch).numpy() for batch in batches])

    async def main():
        service = Service(lambda: model, Limits(timeout=100), log=Log(io.StringIO()))
        await service.start()
        assert service.ready, service.not_ready
        found = np.zeros((200, 3))
        gate = asyncio.Semaphore(20)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=create_app(service)), base_url="http://x") as c:

            async def ask(i):
                async with gate:
                    answer = await c.post("/v1/predict", json=form(data[int(i)]))
                    assert answer.status_code == 200, answer.text
                    found[i] = answer.json()["logits"]

            await asyncio.gather(*[ask(i) for i in np.random.default_rng(0).permutation(200)])
        sizes = service.metrics.batch._sum.get(), [bucket.get() for bucket in service.metrics.batch._buckets]
        assert sizes[0] == 200 and sum(sizes[1][1:]) > 0, "some batches held several"
        service.close()
        return found

    found = asyncio.run(asyncio.wait_for(main(), 120))
    assert np.abs(found - expected).max() <= 1e-5


def test_a_message_in_a_batch_is_answered_as_if_it_were_alone(model):
    data = load("mood", "test")
    rng = np.random.default_rng(1)
    prepared = []
    for i in range(40):
        names = rng.permutation(MODALITIES)[: rng.integers(1, 4)]
        prepared.append(model.prepare({name: data[i][name] for name in names}))
    together = model.predict(prepared)
    alone = np.concatenate([model.predict([features]) for features in prepared])
    assert np.abs(together - alone).max() <= 1e-5


def test_the_stored_figures_of_missing_parts(model):
    """What stands in for a missing part is worth it: near each subset's ceiling, where zeros are worse than chance."""
    from mmcourse.serve import make_stand_ins

    path = make_stand_ins.HERE / "stand_ins.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["zeros"]["words"] < 1 / 3 < 0.6 < stored["stand-ins"]["words"]
    for subset, ceiling in stored["ceiling"].items():
        assert ceiling - 0.1 < stored["stand-ins"][subset] < ceiling + 0.03
        assert stored["stand-ins"][subset] > stored["zeros"][subset]
    rows = np.arange(100)
    test = load("mood", "test")
    again = make_stand_ins.accuracies(model, make_stand_ins.features(test, rows), np.asarray(test.labels[:100]))
    assert all(abs(again[subset] - stored["stand-ins"][subset]) < 0.15 for subset in again)


def test_the_self_test_refuses_another_model_and_a_wrong_answer(model, tmp_path):
    assert self_test(model) == ""
    stored = tmp_path / "stored.json"
    stored.write_text(json.dumps({"0" * 64: [0, 0, 0]}))
    assert "no answer is stored" in self_test(model, stored)
    stored.write_text(json.dumps({model.sha256: [0, 0, 0]}))
    assert "differs by" in self_test(model, stored)
    assert synthetic_message()["face"].shape == (32, 32, 3)


# ---------------------------------------------------------------- a process of its own
@contextmanager
def serving(*options: str, code: str = ""):
    """(process, address) of `mmcourse serve` on a free port."""
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "mmcourse", "serve"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("Serving on http://127.0.0.1:"), line + process.stderr.read()
        yield process, line.split()[2]
    finally:
        process.kill()
        process.wait()


async def become_ready(client: httpx.AsyncClient) -> list[int]:
    """Statuses of /ready until it is."""
    seen: list[int] = []
    for _ in range(600):
        seen.append((await client.get("/ready")).status_code)
        if seen[-1] == 200:
            return seen
        await asyncio.sleep(0.1)
    raise AssertionError("never ready")


def test_a_process_starts_answers_and_loses_nothing_when_it_ends():
    async def main(process, address):
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            assert (await client.get("/live")).status_code == 200
            await become_ready(client)
            version = (await client.get("/version")).json()
            assert version["model"]["name"] == "model.onnx" and len(version["model"]["sha256"]) == 64
            file = await client.get("/v1/model.onnx")
            tag = f'"{version["model"]["sha256"]}"'
            assert file.headers["etag"] == tag and len(file.content) > 100_000
            again = await client.get("/v1/model.onnx", headers={"if-none-match": tag})
            assert again.status_code == 304
            asked = [asyncio.create_task(client.post("/v1/predict", json={"words": "lovely"})) for _ in range(30)]
            while not all(task.done() for task in asked[:3]):
                await asyncio.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            codes = [answer.status_code for answer in await asyncio.gather(*asked)]
            assert codes == [200] * 30, codes
            await asyncio.sleep(0.05)
            try:  # still open for a while, and not ready
                assert (await client.get("/ready")).status_code == 503
            except httpx.ConnectError:
                pass
        assert process.wait(timeout=20) == 0
        for line in process.stderr.read().splitlines():
            assert set(json.loads(line)) <= {"time", "request_id", "route", "status", "ms", "bytes", "present", "model"}

    with serving("--settle", "2") as (process, address):
        asyncio.run(asyncio.wait_for(main(process, address), 90))


def test_a_missing_model_file_is_alive_and_never_ready():
    async def main(address):
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            for _ in range(100):
                answer = await client.get("/ready")
                assert answer.status_code == 503
                if "FileNotFoundError" in answer.json()["why"]:
                    break
                await asyncio.sleep(0.1)
            assert "FileNotFoundError" in answer.json()["why"]
            assert (await client.get("/live")).status_code == 200
            assert (await client.post("/v1/predict", json={"words": "lovely"})).status_code == 503

    with serving("--model", "no_such.onnx") as (_, address):
        asyncio.run(asyncio.wait_for(main(address), 60))


def test_serving_imports_no_training_framework_and_the_command_line_no_server():
    code = "import sys\nfrom mmcourse.serve.server import serve\nfrom mmcourse.serve.model import *\n"
    code += "from mmcourse.serve.model import OnnxModel, self_test\nassert not self_test(OnnxModel())\n"
    code += "print([m for m in ('torch', 'tensorflow', 'keras', 'matplotlib', 'sklearn') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    code = "import sys, mmcourse.cli, mmcourse.serve.drift, mmcourse.serve.rollout\n"
    code += "print([m for m in ('fastapi', 'uvicorn', 'starlette', 'onnxruntime') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
