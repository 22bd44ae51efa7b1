"""Requests that are small and cost much: each is refused, or costs what its size says."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys

import pytest
from PIL import Image
from service_harness import Toy, run, running

from mmcourse.serve import limits as checks
from mmcourse.serve.limits import LIMITS, Limits
from mmcourse.serve.metrics import Metrics
from mmcourse.serve.problems import Problem


def jpeg_of_scans(count: int) -> bytes:
    """A JPEG file with as many markers of a scan as asked for."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    data = out.getvalue()
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return data[:-2] + scan * (count - data.count(b"\xff\xda")) + data[-2:]


@pytest.mark.parametrize("charset", ["punycode", '"utf-7"', "Idna"])
def test_the_client_does_not_choose_the_decoder_of_a_form(charset: str):
    async def main():
        async with running() as (service, client, _):
            form = b'--b\r\nContent-Disposition: form-data; name="words"\r\n\r\n' + b"x" * 99 + b"-" + b"a" * 99
            headers = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
            answer = await client.post("/v1/predict", content=form + b"\r\n--b--\r\n", headers=headers)
            assert answer.status_code == 415 and service.reading == 0
            headers["content-type"] = "multipart/form-data; boundary=b; charset=utf-8"
            answer = await client.post("/v1/predict", content=form + b"\r\n--b--\r\n", headers=headers)
            assert answer.status_code == 200

    run(main)


def test_a_jpeg_of_many_scans_is_not_decoded():
    with pytest.raises(Problem, match="scans"):
        checks.decode({"face": jpeg_of_scans(LIMITS.picture_scans + 1)})
    assert checks.decode({"face": jpeg_of_scans(1)})["face"].shape == (16, 16, 3)


def test_half_a_surrogate_pair_as_a_name_is_a_bad_request():
    async def main():
        async with running() as (_, client, log):
            headers = {"content-type": "application/json"}
            answer = await client.post("/v1/predict", content=b'{"\\ud800": 1}', headers=headers)
            assert answer.status_code == 422 and answer.json()["field"] is None
            assert '"status": 422' in log.getvalue()

    run(main)


def test_a_long_string_takes_no_hundredfold_memory():
    """The peak of a process of its own, in MB, before and after a string of 1.9 MB is looked at."""
    code = (
        "import resource; from mmcourse.serve.limits import depth; depth(b'[]');"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000;"
        "data = b'{\"face\": {\"png_base64\": \"' + b'A' * 1_900_000 + b'\"}}'; before = peak();"
        "assert depth(data) == 2; print(peak() - before)"
    )
    grown = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 40


def test_who_sends_slowly_takes_no_place():
    async def main():
        async with running(limits=Limits(inside=2, reading=5, keep_place=0.01)) as (service, client, _):
            gate = asyncio.Event()

            async def slowly():
                yield b'{"words": '
                await gate.wait()
                yield b'"lovely"}'

            headers = {"content-type": "application/json"}
            slow = []
            for _ in "1234":
                slow.append(asyncio.ensure_future(client.post("/v1/predict", content=slowly(), headers=headers)))
                await asyncio.sleep(0.05)
            assert service.reading == 4 and service.inside == 0
            assert (await client.post("/v1/predict", json={"words": "lovely"})).status_code == 200
            gate.set()
            found = [answer.status_code for answer in await asyncio.gather(*slow)]
            assert set(found) <= {200, 503} and 200 in found
            assert service.reading == service.inside == 0

    run(main)


def test_bodies_that_are_being_read_are_counted_too():
    async def main():
        async with running(limits=Limits(reading=1)) as (service, client, _):
            service.reading = 1
            answer = await client.post("/v1/predict", json={"words": "lovely"})
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            service.reading = 0
            bad = {"x-timeout-ms": "soon"}
            assert (await client.post("/v1/predict", json={"words": "a"}, headers=bad)).status_code == 400
            assert service.reading == 0

    run(main)


def test_few_explanations_at_once():
    async def main():
        async with running(limits=Limits(explaining=1)) as (service, client, _):
            service.explaining = 1
            assert (await client.post("/v1/explain", json={"words": "lovely"})).status_code == 503
            assert (await client.post("/v1/predict", json={"words": "lovely"})).status_code == 200
            service.explaining = 0
            assert (await client.post("/v1/explain", json={"words": "lovely"})).status_code == 200
            assert service.explaining == 0

    run(main)


def test_what_is_decoded_too_late_is_not_decoded():
    async def main():
        async with running(Toy()) as (service, _, _):
            with pytest.raises(Problem, match="deadline"):
                await service.understand({"words": "lovely"}, end=0.0)

    run(main)


def test_a_clients_fault_is_neither_good_nor_bad():
    metrics = Metrics()
    for code, seconds in ((200, 0.01), (200, 9.0), (408, 5.0), (422, 0.001), (503, 0.001)):
        metrics.done("predict", code, seconds)
    values = {s.name: s.value for family in metrics.registry.collect() for s in family.samples if not s.labels}
    assert values["mmcourse_answered_total"] == 3 and values["mmcourse_good_total"] == 1
