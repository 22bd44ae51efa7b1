"""The pages and the real service: what a reader is told equals what the model says in Python, also in the browser."""

import itertools
import json
import time

import httpx
import numpy as np
import pytest
from page_rules import broken_rules
from page_visits import SENTENCE, answered, give, png, some_face, wav
from playwright.sync_api import expect
from running_app import running

from mmcourse.datasets import load
from mmcourse.datasets.mood import voices
from mmcourse.preprocess import audio, image
from mmcourse.serve import page as pages
from mmcourse.serve.app import Service, create_app
from mmcourse.serve.model import CLASSES, OnnxModel
from mmcourse.serve.page import vendor

pytestmark = pytest.mark.xdist_group("browser")
SUBSETS = [s for size in (3, 2, 1) for s in itertools.combinations(("words", "face", "voice"), size)]


@pytest.fixture(scope="module")
def service(request):
    """The service with one of its two models, ready."""
    made = Service(lambda: OnnxModel(getattr(request, "param", "model.onnx")))
    with running(create_app(made), lifespan="on") as made.url:
        end = time.monotonic() + 30
        while not made.ready and time.monotonic() < end:
            time.sleep(0.05)
        assert made.ready, made.not_ready
        yield made


def logits(service, message: dict) -> np.ndarray:
    """The model's answer in Python to {"words": str, "face": bytes, "voice": bytes}, those that are there."""
    read = {
        "words": lambda value: value,
        "face": image.read,
        "voice": lambda value: audio.read(value, sample_rate=16000)[0],
    }
    decoded = {name: read[name](value) for name, value in message.items()}
    return service.model.predict([service.model.prepare(decoded)])[0]


def enter(page, sample: dict, subset: tuple[str, ...], rate: int) -> dict:
    """Give the page these parts of a sample as files; what the files hold."""
    message: dict = {}
    if "words" in subset:
        message["words"] = sample["words"]
        page.fill("#words", sample["words"])
    if "face" in subset:
        message["face"] = png(image.resize(np.asarray(sample["face"]), (80, 97)))
        give(page, "face", message["face"], "me.png", "image/png")
        expect(page.locator("#picture")).to_be_visible()
    if "voice" in subset:
        message["voice"] = wav(audio.resample(np.asarray(sample["voice"]), 16000, rate), rate)
        give(page, "voice", message["voice"], "me.wav", "audio/wav")
    return message


def test_headers_are_the_pages_own(service):
    for path, name in (("/", "index.html"), ("/static/browser.html", "browser.html"), ("/static/form.js", "form.js")):
        reply = httpx.get(service.url + path, headers={"Origin": "http://elsewhere.example"})
        assert reply.status_code == 200 and reply.headers["content-type"] == pages.media_type(name)
        assert reply.headers["content-security-policy"] == pages.csp(name)
        assert reply.headers["permissions-policy"] == pages.PERMISSIONS
        assert "access-control-allow-origin" not in reply.headers
    for name in ("answer.html", "vendor.py", "%2e%2e%2fapp.py"):
        assert httpx.get(f"{service.url}/static/{name}").status_code == 404


def test_the_page_says_what_the_model_says(visit, service):
    page, sample = visit(), load("mood", "test")[3]
    message = enter(page, sample, ("words", "face", "voice"), 48000)
    with page.expect_response("**/v1/explain") as told:
        page.click("#ask")
    first = answered(page)
    answer, expected = told.value.json(), logits(service, message)
    assert np.abs(np.array(answer["logits"]) - expected).max() <= 1e-5
    assert first == f"Answer: {answer['label']}, {100 * max(answer['probabilities'].values()):.1f} %."
    assert page.locator("#missing").inner_text() == "Nothing was missing."
    assert np.array(answer["face_map"]).shape == (8, 8)
    expect(page.locator("#heat")).to_be_visible()
    assert page.locator("#heat-text").inner_text().startswith("The picture as the model sees it. It looks most at the ")
    assert page.locator("#fingerprint").text_content() == service.model.sha256


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_form_without_javascript_is_answered(visit, service, lang):
    page = visit("index", lang, java_script_enabled=False)
    page.fill("#words", SENTENCE)
    page.click("#ask")  # the two file fields are sent, too, with nothing in them
    probability = np.exp(logits(service, {"words": SENTENCE}).astype(float))
    share = f"{100 * (probability / probability.sum()).max():.1f} %"
    assert share in page.locator("#verdict").inner_text()
    assert page.evaluate("() => document.documentElement.lang") == lang
    assert broken_rules(page) == []
    page.goto(service.url)
    page.fill("#words", "1234")
    page.click("#ask")
    expect(page.locator(".problem")).to_have_text("words: Expected a sentence with at least one English word.")


@pytest.mark.parametrize(
    ("field", "data", "problem"),
    [
        ("voice", b"no sound", "Expected a sound: WAV or FLAC."),
        ("voice", wav(np.zeros(100)), "Expected at least 0.1 seconds of sound."),
    ],
    ids=["no sound", "too short"],
)
def test_what_the_service_refuses_is_said_beside_the_field(visit, service, field, data, problem):
    page = visit()
    give(page, field, data, "a.wav", "audio/wav")
    page.click("#ask")
    expect(page.locator(f"#{field}-problem")).to_have_text(problem)


def test_a_flac_file_and_a_jpeg_are_taken(visit, service):
    page = visit()
    give(page, "voice", wav(voices.waves("test")[0], format="FLAC"), "a.flac", "audio/flac")
    give(page, "face", png(some_face(), "JPEG", quality=90), "me.jpg", "image/jpeg")
    expect(page.locator("#picture")).to_be_visible()
    page.click("#ask")
    answered(page)
    assert page.locator("#used").inner_text() == "The model used: face, voice."


@pytest.mark.parametrize("service", ["model.onnx", "model.int8.onnx"], indirect=True)
def test_the_browser_answers_as_the_service_does(visit, service):
    """Whole messages and all six subsets, in which training messages' parts take the place of what is missing."""
    try:
        vendor.fetch()
    except (vendor.FetchError, OSError) as error:
        pytest.skip(f"onnxruntime-web is needed for this test: {error}")
    page, messages, differences = visit("browser"), load("mood", "test"), {}
    for k, subset in enumerate(SUBSETS):
        page.reload()
        expect(page.locator("#open-camera")).to_be_visible()
        message = enter(page, messages[7 * k], subset, (16000, 44100, 48000)[k % 3])
        page.click("#ask")
        answered(page)
        found = np.array(json.loads(page.locator("#answer").get_attribute("data-logits")))
        expected = logits(service, message)
        differences[subset] = float(np.abs(found - expected).max())
        assert page.locator("tr.best").get_attribute("id") == f"row-{CLASSES[expected.argmax()]}"
    assert page.locator("#fingerprint").text_content() == service.model.sha256
    assert max(differences.values()) <= 1e-4, differences
    page.check("#compare")
    page.click("#ask")
    expect(page.locator("#comparison")).to_contain_text("The service says the same", timeout=20_000)
