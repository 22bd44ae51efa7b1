"""The service in this process: twelve bad requests and their exact answers, hostile uploads, limits, metrics, logs."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import threading

import numpy as np
import pytest

pytest.importorskip("fastapi")

from hostile_uploads import PICTURES, SOUNDS, exif_bomb, png, wav
from prometheus_client.parser import text_string_to_metric_families
from service_harness import Toy, run, running

from mmcourse.serve import limits as checks
from mmcourse.serve.app import Service
from mmcourse.serve.limits import Limits
from mmcourse.serve.metrics import Metrics
from mmcourse.serve.problems import KINDS, Problem
from mmcourse.serve.records import Log, ReviewSample

FACE = png(np.full((40, 30, 3), 200, np.uint8))
VOICE = wav(0.2 * np.sin(np.arange(16_000) / 9))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def problem(kind: str, detail: str, field: str | None = None) -> dict:
    status, title = KINDS[kind]
    return {"type": f"/problems/{kind}", "title": title, "status": status, "detail": detail, "field": field}


BAD = {  # name: (arguments of the request, what must come back)
    "no JSON": ({"content": b"{words", "headers": {"content-type": "application/json"}}, "bad-request", None),
    "NaN": ({"content": b'{"words": NaN}', "headers": {"content-type": "application/json"}}, "bad-request", None),
    "a list": ({"json": ["What a lovely film"]}, "invalid-input", None),
    "nested": ({"content": b"[" * 99, "headers": {"content-type": "application/json"}}, "bad-request", None),
    "unknown field": ({"json": {"word": "lovely"}}, "invalid-input", "word"),
    "nothing": ({"json": {"words": None}}, "invalid-input", None),
    "words are a number": ({"json": {"words": 7}}, "invalid-input", "words"),
    "no English word": ({"json": {"words": "…!?"}}, "invalid-input", "words"),
    "a novel": ({"json": {"words": "lovely " * 400}}, "too-large", "words"),
    "no base64": ({"json": {"face": {"png_base64": "§§"}}}, "invalid-input", "face.png_base64"),
    "a text as a form": ({"content": b"lovely", "headers": {"content-type": "text/plain"}}, "unsupported-type", None),
    "no deadline": ({"json": {"words": "a"}, "headers": {"x-timeout-ms": "soon"}}, "bad-request", "X-Timeout-Ms"),
}


@pytest.mark.parametrize("name", BAD)
def test_twelve_bad_requests_get_twelve_exact_answers(name: str):
    arguments, kind, field = BAD[name]

    async def main():
        async with running() as (service, client, log):
            answer = await client.post("/v1/predict", **arguments)
            body = answer.json()
            assert body == problem(kind, body["detail"], field) and body["detail"].endswith(".")
            assert answer.status_code == body["status"]
            assert answer.headers["content-type"] == "application/problem+json"
            assert service.inside == 0 and service.model.batches == []

    run(main)


def test_the_exact_words_of_some():
    with pytest.raises(Problem) as raised:
        checks.decode({"words": "…"})
    assert raised.value.body() == problem(
        "invalid-input", "Expected a sentence with at least one English word.", "words"
    )
    with pytest.raises(Problem, match="at most 8 deep"):
        checks.parse_json(b'{"words": ' + b"[" * 9)
    assert checks.depth(rb'{"a": "[[[[\"[["}') == 1


@pytest.mark.parametrize("name", PICTURES)
def test_hostile_pictures(name: str):
    data, status = PICTURES[name]

    async def main():
        async with running() as (_, client, _):
            for arguments in (
                {"files": {"face": ("face.png", data, "image/png")}},
                {"json": {"face": {"png_base64": b64(data)}}},
            ):
                answer = await client.post("/v1/predict", **arguments)
                assert (answer.status_code, answer.json()["field"]) == (status, "face"), answer.text

    run(main)


@pytest.mark.parametrize("name", SOUNDS)
def test_hostile_sounds(name: str):
    data, status = SOUNDS[name]

    async def main():
        async with running() as (_, client, _):
            answer = await client.post("/v1/predict", files={"voice": ("a.wav", data, "audio/wav")})
            assert (answer.status_code, answer.json()["field"]) == (status, "voice"), answer.text

    run(main)


def test_fifty_hostile_uploads_leave_no_memory_behind():
    psutil = pytest.importorskip("psutil")
    files = [*((f, "face") for f in (x[0] for x in PICTURES.values())), *((x[0], "voice") for x in SOUNDS.values())]

    async def main():
        async with running() as (_, client, _):
            for data, field in files:  # what is imported lazily is imported now
                await client.post("/v1/predict", files={field: ("x", data)})
            before = psutil.Process().memory_info().rss
            for _ in range(3):
                for data, field in files:
                    await client.post("/v1/predict", files={field: ("x", data)})
            assert psutil.Process().memory_info().rss - before < 20e6

    run(main)


def test_metadata_that_lies_does_not_matter():
    async def main():
        async with running() as (_, client, _):
            answer = await client.post("/v1/predict", files={"face": ("x", exif_bomb())})
            assert answer.status_code in (200, 422)

    run(main)


def test_a_body_is_counted_while_it_arrives_whatever_its_length_is_said_to_be():
    read = 0

    async def body():
        nonlocal read
        for _ in range(1000):
            read += 100_000
            yield bytes(100_000)

    async def main():
        async with running() as (_, client, _):
            answer = await client.post("/v1/predict", content=body(), headers={"content-type": "application/json"})
            assert answer.status_code == 413

    run(main)
    assert read <= 2_200_000
    limits = Limits()
    with pytest.raises(Problem, match="2,000,000 bytes"):
        asyncio.run(checks.read_body(None, "2000001", limits))


def test_a_body_that_never_ends_is_given_up():
    async def body():
        yield b"{"
        await asyncio.sleep(30)

    async def main():
        async with running(limits=Limits(body_seconds=0.1)) as (_, client, _):
            answer = await client.post("/v1/predict", content=body(), headers={"content-type": "application/json"})
            assert answer.status_code == 408

    run(main)


def test_seven_subsets_answer_and_say_what_was_there_in_both_forms():
    parts = {
        "words": (("words", None), "What a lovely film"),
        "face": (("png_base64",), FACE),
        "voice": (("wav_base64",), VOICE),
    }

    async def main():
        async with running() as (_, client, _):
            for mask in range(1, 8):
                names = [name for k, name in enumerate(parts) if mask >> k & 1]
                body = {}
                for name in names:
                    (key, *_), value = parts[name]
                    body[name] = value if name == "words" else {key: b64(value)}
                first = (await client.post("/v1/predict", json=body)).json()
                files = {name: (name, parts[name][1]) for name in names if name != "words"}
                data = {"words": "What a lovely film"} if "words" in names else {}
                second = (await client.post("/v1/predict", data=data, files=files or {"face": ("", b"")})).json()
                for found in (first, second):
                    assert found["present"] == {name: name in names for name in parts}
                    assert found["missing"] == [name for name in parts if name not in names]
                assert first["logits"] == second["logits"]
                assert sum(first["probabilities"].values()) == pytest.approx(1)

    run(main)


def test_a_form_without_javascript_gets_a_page_and_nothing_unescaped():
    headers = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    async def main():
        async with running() as (_, client, _):
            answer = await client.post("/v1/predict", data={"words": "lovely", "lang": "zh"}, headers=headers)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
            form = {"words": ("x", b"<script>alert(1)</script>")}
            bad = await client.post("/v1/predict", files=form, headers=headers)
            assert bad.status_code == 422 and "<script>" not in bad.text
            other = {"accept": "application/json, text/html"}
            assert (await client.post("/v1/predict", json={"words": "a"}, headers=other)).json()["label"]

    run(main)


def test_an_explanation_has_a_map_in_0_to_1_and_none_without_a_face():
    async def main():
        async with running() as (service, client, _):
            files = {"face": ("x", png(np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)))}
            found = (await client.post("/v1/explain", files=files)).json()["face_map"]
            assert np.shape(found) == (8, 8) and np.min(found) >= 0 and np.max(found) <= 1
            cells = service.model.batches[1:]
            assert sum(cells) == 65 and max(cells) == service.limits.max_batch, "others are answered in between"
            answer = (await client.post("/v1/explain", json={"words": "lovely"})).json()
            assert answer["face_map"] is None and answer["label"]

    run(main)


def test_the_door_refuses_the_65th_and_liveness_answers_meanwhile():
    limits = Limits(inside=4, max_batch=1)

    async def main():
        async with running(Toy(0.05), limits) as (service, client, _):
            asked = [asyncio.create_task(client.post("/v1/predict", json={"words": "a"})) for _ in range(12)]
            await asyncio.sleep(0.02)
            assert (await client.get("/live")).status_code == 200 and service.inside == 4
            answers = await asyncio.gather(*asked)
            codes = sorted(answer.status_code for answer in answers)
            assert codes == [200] * 4 + [503] * 8
            refused = next(answer for answer in answers if answer.status_code == 503)
            assert refused.headers["retry-after"] == "1" and refused.json()["type"] == "/problems/busy"

    run(main)


def test_a_deadline_is_kept_and_late_work_is_not_done():
    async def main():
        async with running(Toy(0.2), Limits(max_batch=1)) as (service, client, _):
            first = asyncio.create_task(client.post("/v1/predict", json={"words": "a"}))
            await asyncio.sleep(0.05)
            hurry = {"x-timeout-ms": "50"}
            late = await client.post("/v1/predict", json={"words": "b"}, headers=hurry)
            assert late.status_code == 504 and (await first).status_code == 200
            assert (await client.post("/v1/predict", json={"words": "c"})).status_code == 200
            assert service.model.batches == [1, 1], "the late one was not computed"

    run(main)


def test_a_failure_is_500_without_its_text_and_only_for_the_one_that_caused_it():
    async def main():
        async with running(Toy(0.05)) as (_, client, log):
            words = ["good", "break", "fine"]
            answers = await asyncio.gather(*[client.post("/v1/predict", json={"words": w}) for w in words])
            assert [answer.status_code for answer in answers] == [200, 500, 200]
            assert "secret" not in answers[1].text + log.getvalue()

    run(main)


def test_ready_only_when_loaded_and_right_and_not_leaving():
    async def main():
        service = Service(Toy, check=lambda model: "the self-test differs by 3", log=Log(io.StringIO()))
        assert not service.ready
        await service.start()
        assert not service.ready and service.not_ready == "the self-test differs by 3"
        with pytest.raises(Problem, match="self-test"):
            service.enter()
        async with running() as (service, client, _):
            assert (await client.get("/ready")).status_code == 200
            service.leaving = True
            assert (await client.get("/ready")).status_code == 503
            assert (await client.post("/v1/predict", json={"words": "a"})).status_code == 200, "still answered"
            assert (await client.get("/live")).status_code == 200, "no reason to be restarted"
            await service.drain()
            assert (await client.post("/v1/predict", json={"words": "a"})).status_code == 503

    run(main)


def test_a_model_that_cannot_be_loaded_is_said():
    async def main():
        def broken():
            raise FileNotFoundError("no such file")

        service = Service(broken, log=Log(io.StringIO()))
        await service.start()
        assert "FileNotFoundError" in service.not_ready and "no such file" not in service.not_ready

    run(main)


def test_a_passing_error_of_loading_is_tried_again():
    async def main():
        tries = []

        def load():
            tries.append(1)
            if len(tries) < 3:
                raise OSError("the disk is away")
            return Toy()

        service = Service(load, log=Log(io.StringIO()), check=lambda model: "")
        service.pauses = (0.0, 0.0)
        await service.start()
        assert service.ready and len(tries) == 3
        service.close()

    run(main)


def test_who_waits_for_the_decoder_leaves_at_the_deadline_and_is_not_decoded():
    async def main():
        async with running() as (service, client, _):
            free = threading.Event()
            service._decoder.submit(free.wait)
            asked = client.post("/v1/predict", data={"words": "a"}, headers={"x-timeout-ms": "50"})
            late = await asyncio.wait_for(asked, 20)  # while the worker is still busy
            assert late.status_code == 504 and service.inside == 0
            free.set()
            assert (await client.post("/v1/predict", data={"words": "b"})).status_code == 200
            assert service.model.batches == [1]

    run(main)


def test_draining_waits_for_who_is_inside():
    async def main():
        async with running(Toy(0.1)) as (service, client, _):
            asked = [asyncio.create_task(client.post("/v1/predict", json={"words": "a"})) for _ in range(6)]
            await asyncio.sleep(0.05)
            await service.drain()
            assert service.inside == 0
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 6

    run(main)


# ---------------------------------------------------------------- metrics, logs, headers, schema
def test_metrics_stay_below_a_hundred_series_whatever_comes():
    async def main():
        async with running() as (_, client, _):
            for k in range(30):
                await client.get(f"/nothing/{k}")
                await client.post("/v1/predict", json={f"f{k}": k}, headers={"x-request-id": f"r{k}"})
            await client.post("/v1/predict", json={"words": "lovely"})
            for name, (data, _) in {**PICTURES, **SOUNDS}.items():
                await client.post("/v1/predict", files={"face": (name, data)})
            text = (await client.get("/metrics")).text
            found = {f.name: f for f in text_string_to_metric_families(text)}
            series = [s for f in found.values() for s in f.samples if not s.name.endswith("_created")]
            assert len(series) < 100
            codes = {s.labels["code"] for s in found["mmcourse_requests"].samples if s.name.endswith("_total")}
            assert {"200", "404", "413", "415", "422"} <= codes
            values = {s.name: s.value for s in series if not s.labels}
            assert 1 <= values["mmcourse_answered_total"] < values["mmcourse_seconds_count"], "the client's faults"
            assert values["mmcourse_inside"] == values["mmcourse_waiting"] == 0.0

    run(main)


def test_even_all_codes_on_all_routes_stay_below_a_hundred():
    metrics = Metrics()
    for route in ("predict", "explain", "x", "y"):
        for code in range(200, 600):
            metrics.done(route, code, 0.01)
    assert len(re.findall(r"^mmcourse(?!.*_created).*\d$", metrics.page().decode(), re.MULTILINE)) < 100


def test_logs_hold_no_content():
    secret = "Marguerite adored the wonderful wedding"

    async def main():
        async with running() as (_, client, log):
            body = {"words": secret, "face": {"png_base64": b64(FACE)}}
            answer = await client.post("/v1/predict", json=body, headers={"x-request-id": "abc-1"})
            assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-1"
            strange = {"x-request-id": "Marguerite <b>"}
            await client.post("/v1/predict", json={"Marguerite": secret}, headers=strange)
            await client.post("/v1/predict", files={"Marguerite": ("Marguerite.png", FACE)})
            lines = [json.loads(line) for line in log.getvalue().splitlines()]
            assert len(lines) == 3 and lines[0]["request_id"] == "abc-1" and lines[0]["present"] == ["words", "face"]
            assert "arguerite" not in log.getvalue() and b64(FACE)[:20] not in log.getvalue()

    run(main)
    with pytest.raises(ValueError, match="may not be logged"):
        Log(io.StringIO()).write(words="x")


def test_review_needs_consent_and_forgets_after_thirty_days(tmp_path):
    days = [0.0]
    review = ReviewSample(tmp_path / "review", share=1.0, clock=lambda: 1e9 + 86_400 * days[0])

    async def main():
        async with running(review=review) as (_, client, _):
            await client.post("/v1/predict", data={"words": "lovely"})
            assert not list(review.folder.iterdir())
            files = {"face": ("x", FACE)}
            kept = await client.post("/v1/predict", data={"words": "lovely", "consent": "yes"}, files=files)
            (home,) = review.folder.iterdir()
            assert home.name != kept.json()["request_id"], "a client could choose another's"
            assert sorted(p.name for p in home.iterdir()) == ["answer.json", "face", "words"]
            assert home.stat().st_mode & 0o077 == 0

    run(main)
    days[0] = 29
    assert review.delete_old() == 0
    days[0] = 31
    assert review.delete_old() == 1 and not list(review.folder.iterdir())
    assert ReviewSample().keep(True, "x", {}, {}) is False


def test_every_answer_has_the_headers_of_safety_and_no_other_origin_is_let_in():
    async def main():
        async with running() as (_, client, _):
            for path in ("/live", "/nothing", "/metrics"):
                headers = (await client.get(path, headers={"origin": "https://other.example"})).headers
                assert "default-src 'self'" in headers["content-security-policy"]
                assert "unsafe" not in headers["content-security-policy"]
                assert headers["x-content-type-options"] == "nosniff" and "access-control-allow-origin" not in headers

    run(main)


def test_the_schema_has_both_forms_and_examples():
    async def main():
        async with running() as (_, client, _):
            schema = (await client.get("/openapi.json")).json()
            post = schema["paths"]["/v1/predict"]["post"]
            assert set(post["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
            example = post["requestBody"]["content"]["application/json"]["example"]
            assert (await client.post("/v1/predict", json=example)).status_code == 200
            assert {"413", "415", "422", "503", "504"} <= set(post["responses"])
            assert (await client.get("/v1/predict")).status_code == 405
            assert (await client.get("/static/..%2Fapp.py")).status_code == 404

    run(main)
