"""Questions about pictures: answers over HTTP are the notebook's, bad ones are told, and PyTorch stays outside."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time

import numpy as np
import pytest

pytest.importorskip("fastapi")

from hostile_uploads import png, wav
from service_harness import run, running

from mmcourse.serve import ask
from mmcourse.serve.decoder import Decoder
from mmcourse.serve.limits import LIMITS, Limits
from mmcourse.serve.problems import Problem


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def scene(number: int) -> np.ndarray:
    """A test scene, uint8 (64, 64, 3)."""
    from mmcourse.datasets.scenes import world
    from mmcourse.datasets.scenes.drawing import draw

    return draw(world.make(75, number))


QUESTIONS = (
    "Is there a red star?",
    "How many circles are there?",
    "Is there a blue square?",
    "How many stars are there?",
)


def test_twenty_answers_over_http_are_the_notebooks_in_both_forms_and_spoken():
    pytest.importorskip("torch")
    from mmcourse.datasets.scenes import spoken
    from mmcourse.torch.detection import CLASSES, Detector
    from mmcourse.torch.speech_to_text import Recognizer, as_question
    from mmcourse.torch.vlm import VLM

    pictures = np.stack([scene(number) for number in range(20)])
    asked = [QUESTIONS[number % 4] for number in range(20)]
    expected = VLM.from_pretrained("vlm").answer(pictures, asked)
    found = Detector.from_pretrained("detection").detect(pictures, nms_threshold=0.5)
    waves = [spoken.say(asked[k].lower().rstrip("?"), spoken.full_voices("test")[k]) for k in range(2)]
    heard = Recognizer.from_pretrained("speech_to_text").transcribe(waves)
    by_voice = [VLM.from_pretrained("vlm").answer(pictures[k], as_question(heard[k]))[0] for k in range(2)]

    async def main():
        async with running(limits=Limits(timeout=100)) as (service, client, log):
            for number in range(20):
                file = png(pictures[number])
                if number % 2:
                    answer = await client.post(
                        "/v1/ask", files={"picture": ("a.png", file)}, data={"question": asked[number]}
                    )
                else:
                    body = {"picture": {"png_base64": b64(file)}, "question": asked[number]}
                    answer = await client.post("/v1/ask", json=body)
                assert answer.status_code == 200, answer.text
                told = answer.json()
                assert (told["answer"], told["question"], told["heard"]) == (expected[number], asked[number], None)
                assert [thing["shape"] for thing in told["things"]] == [CLASSES[k] for k in found[number].labels]
                boxes = np.array([thing["box"] for thing in told["things"]]).reshape(-1, 4) * 64
                assert np.abs(boxes - found[number].boxes).max() <= 1, "alone or in a batch of twenty"
            for k in range(2):
                files = {"picture": ("a.png", png(pictures[k])), "voice": ("a.wav", wav(waves[k], subtype="FLOAT"))}
                told = (await client.post("/v1/ask", files=files)).json()
                assert (told["heard"], told["answer"]) == (heard[k], by_voice[k])
                assert set(told["models"]) == set(ask.MODELS) and all(len(v) == 64 for v in told["models"].values())
            version = (await client.get("/version")).json()
            assert version["assistant"] == told["models"]
            assert "red star" not in log.getvalue() and json.loads(log.getvalue().splitlines()[0])["route"] == "ask"
            assert 'mmcourse_requests_total{code="200",route="ask"} 22.0' in service.metrics.page().decode()
            assert service.inside == service.asking == service.reading == 0

    run(main)


def test_a_question_is_written_as_the_model_learned_it():
    assert ask.as_written(" what color is the star") == "What colour is the star?"
    assert [ask.as_written(each) for each in QUESTIONS] == list(QUESTIONS)


PICTURE = {"png_base64": b64(png(np.full((64, 64, 3), 200, np.uint8)))}
BAD = {
    "no picture": ({"question": "Is there a star?"}, "invalid-input", "picture"),
    "no question": ({"picture": PICTURE}, "invalid-input", "question"),
    "two questions": (
        {"picture": PICTURE, "question": "Why?", "voice": {"wav_base64": "AAAA"}},
        "invalid-input",
        "question",
    ),
    "a number": ({"picture": PICTURE, "question": 3}, "invalid-input", "question"),
    "a novel": ({"picture": PICTURE, "question": "why " * 200}, "too-large", "question"),
    "half a pair": ({"picture": PICTURE, "question": "\ud800"}, "invalid-input", "question"),
    "no picture file": ({"picture": {"png_base64": b64(b"GIF89a")}, "question": "Why?"}, "unsupported-type", "picture"),
    "a face": ({"face": PICTURE}, "invalid-input", "face"),
    "no sound": ({"picture": PICTURE, "voice": {"wav_base64": b64(b"RIFF")}}, "unsupported-type", "voice"),
}


def echo(limits):
    """In place of the assistant: says what was asked, after the limits."""
    from mmcourse.serve import limits as checks

    def answer(given, end):
        raw = checks.parse_json(given, limits, checks.QUESTION) if isinstance(given, bytes) else given
        asked = checks.decode_question(raw, limits)
        if asked.get("question") == "Wait!":
            time.sleep(0.3)
        return sorted(asked), {"answer": asked.get("question"), "question": "", "heard": None, "things": []}

    return answer


@pytest.mark.parametrize("name", BAD)
def test_bad_questions_get_exact_answers(name: str, monkeypatch):
    body, kind, field = BAD[name]
    monkeypatch.setattr(ask, "begin", echo)

    async def main():
        async with running() as (service, client, _):
            content = json.dumps(body).encode()
            answer = await client.post("/v1/ask", content=content, headers={"content-type": "application/json"})
            told = answer.json()
            assert (told["type"], told["field"]) == (f"/problems/{kind}", field), told
            assert answer.headers["content-type"] == "application/problem+json" and service.asking == 0

    run(main)


def test_unknown_words_and_silence_are_told_without_the_models_own_words():
    pytest.importorskip("torch")
    answer = ask.begin(LIMITS)
    soon = time.monotonic() + 60
    with pytest.raises(Problem, match="does not know the word 'dinosaur") as raised:
        answer({"picture": png(scene(0)), "question": "Is there a dinosaur?"}, soon)
    assert (raised.value.kind, raised.value.field) == ("invalid-input", "question")
    with pytest.raises(Problem, match="understood|know|long") as raised:
        answer({"picture": png(scene(0)), "voice": wav(np.zeros(8_000))}, soon)
    assert raised.value.field == "voice"
    with pytest.raises(Problem, match="deadline"):
        answer({"picture": png(scene(0)), "question": "Is there a star?"}, 0.0)


def test_deadline_crowd_and_what_is_not_installed(monkeypatch):
    loads = []

    def begin(limits):
        loads.append(1)
        if len(loads) == 1:
            raise Problem("not-installed", "The weights of the assistant are not here.")
        return echo(limits)

    monkeypatch.setattr(ask, "begin", begin)

    async def main():
        async with running(limits=Limits(asking=2)) as (service, client, _):
            body = {"picture": PICTURE, "question": "Wait!"}
            missing = await client.post("/v1/ask", json=body)
            assert missing.status_code == 501 and missing.json()["type"] == "/problems/not-installed"
            assert (await client.post("/v1/predict", json={"words": "lovely"})).status_code == 200
            late = await client.post("/v1/ask", json=body, headers={"x-timeout-ms": "60"})
            assert late.status_code == 504
            many = await asyncio.gather(*[client.post("/v1/ask", json=body) for _ in range(4)])
            assert sorted(each.status_code for each in many) == [200, 200, 503, 503]
            assert len(loads) == 2 and service.asking == service.inside == 0

    run(main)


def test_a_process_of_its_own_answers_and_the_service_has_no_torch():
    pytest.importorskip("torch")

    async def main():
        assistant = Decoder(LIMITS, "mmcourse.serve.ask")
        async with running(limits=Limits(timeout=55)) as (service, client, _):
            service.assistant = assistant
            body = {"picture": {"png_base64": b64(png(scene(3)))}, "question": "Is there a red star?"}
            hurry = await client.post("/v1/ask", json=body, headers={"x-timeout-ms": "20"})
            assert (hurry.status_code, hurry.headers["retry-after"]) == (503, "5"), "it is being loaded"
            answer = await client.post("/v1/ask", json=body)
            assert answer.status_code == 200 and answer.json()["answer"] in ("yes", "no")
            maps = f"/proc/{assistant._process.pid}/maps"
            if os.path.exists(maps):
                assert "libtorch" in open(maps).read()

    run(main)


def test_fingerprints_need_no_torch():
    code = "import sys; from mmcourse.serve import ask; ask.fingerprints(); assert 'torch' not in sys.modules"
    import subprocess

    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_schema_tells_of_questions():
    async def main():
        async with running() as (_, client, _):
            post = (await client.get("/openapi.json")).json()["paths"]["/v1/ask"]["post"]
            assert set(post["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
            assert {"501", "422", "503", "504"} <= set(post["responses"])
            example = post["requestBody"]["content"]["application/json"]["example"]
            from mmcourse.serve import limits as checks

            raw = checks.parse_json(json.dumps(example).encode(), LIMITS, checks.QUESTION)
            assert checks.decode_question(raw)["picture"].shape == (1, 1, 3)

    run(main)
