"""The pages of the service in a real browser: with mouse, keyboard, camera and microphone, and without each of them."""

import base64
import io

import numpy as np
import pytest
import soundfile
from fake_service import FakeService
from page_rules import broken_rules, overflow
from page_visits import SENTENCE, answered, give, png, press, some_face, tab_to, wav
from playwright.sync_api import expect

from mmcourse.datasets.mood import voices, words
from mmcourse.messages import encode
from mmcourse.preprocess import audio, image
from mmcourse.serve.page import make_pages

pytestmark = pytest.mark.xdist_group("browser")
PAGES = [("index", "en"), ("index", "zh"), ("browser", "en"), ("browser", "zh")]


@pytest.fixture(scope="module")
def running_fake():
    fake = FakeService()
    with fake.running() as fake.url:
        yield fake


@pytest.fixture
def service(running_fake):
    """A service whose `received` and `refuse` a test may use; its address is `url`."""
    running_fake.received.clear()
    running_fake.refuse = None
    return running_fake


# ---------------------------------------------------------------- what a reader does
def test_without_a_mouse_all_three_are_given_and_the_answer_is_read(visit, service):
    page = visit()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    tab_to(page, "words")
    page.keyboard.type(SENTENCE)
    tab_to(page, "open-drawing")
    page.keyboard.press("Enter")
    expect(page.locator("#sheet")).to_be_focused()
    before = sheet_pixels(page)
    press(page, "ArrowLeft", 3)
    assert (sheet_pixels(page) == before).all(), "the pen is up"
    page.keyboard.press(" ")
    press(page, "ArrowRight", 6)
    expect(page.locator("#pen")).to_have_text("Pen down, column 20, row 23 of 32.")
    page.keyboard.press(" ")
    drawn = sheet_pixels(page)
    changed = np.argwhere((drawn != before).any(-1))
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert right - left > 50 and bottom - top < 24, "a line from left to right"
    press(page, "ArrowUp", 40)  # at the edge the pen stays on the sheet
    expect(page.locator("#pen")).to_have_text("Pen up, column 20, row 1 of 32.")
    assert (sheet_pixels(page) == drawn).all()
    tab_to(page, "record")
    page.keyboard.press("Enter")
    expect(page.locator("#record")).to_have_text("Stop")
    expect(page.locator("#record")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("() => document.getElementById('level').value > 0", timeout=10_000)
    page.wait_for_timeout(700)
    page.keyboard.press("Enter")
    expect(page.locator("#recording")).to_contain_text("as 16 kHz WAV", timeout=10_000)
    tab_to(page, "ask")
    page.keyboard.press("Enter")
    assert answered(page).startswith("Answer: ")
    assert page.locator("#missing").inner_text() == "Nothing was missing."

    sent = service.received[-1]
    assert sent["words"] == SENTENCE and sent["types"]["face"] == "image/png" and sent["types"]["voice"] == "audio/wav"
    assert (image.read(sent["face"]) == drawn).all(), "the service got what was drawn"
    recorded, rate = soundfile.read(io.BytesIO(sent["voice"]), dtype="int16")
    told = soundfile.info(io.BytesIO(sent["voice"]))
    assert (rate, told.channels, told.subtype) == (16000, 1, "PCM_16")
    assert 0.5 * rate < len(recorded) < 15 * rate and np.abs(recorded).max() > 1000, "a sound, and not silence"


def sheet_pixels(page) -> np.ndarray:
    """The sheet as uint8 (256, 256, 3)."""
    url = page.evaluate("() => document.getElementById('sheet').toDataURL()")
    return image.read(base64.b64decode(url.split(",")[1]))


def test_the_answer_says_what_the_service_said(visit, service):
    page = visit()
    page.fill("#words", SENTENCE)
    give(page, "face", png(some_face()), "me.png", "image/png")
    expect(page.locator("#picture-name")).to_have_text("Your picture: the middle square of me.png")
    page.click("#ask")
    text = answered(page)
    answer = service.answer({"words": SENTENCE, "face": png(some_face())})
    assert text == f"Answer: {answer['label']}, {100 * max(answer['probabilities'].values()):.1f} %."
    for name, share in answer["probabilities"].items():
        row = page.locator(f"#row-{name}")
        assert row.locator("span").inner_text() == f"{100 * share:.1f} %"
        assert abs(row.locator("meter").evaluate("m => m.value") - share) < 1e-6
    assert page.locator("#used").inner_text() == "The model used: words, face."
    assert page.locator("#missing").inner_text() == "Missing: voice. The model answered without."
    expect(page.locator("#heat-text")).to_have_text(
        "The picture as the model sees it. It looks most at the bottom."  # the fake's map grows downwards
    )
    heat = page.locator("#heat").evaluate("c => [...c.getContext('2d').getImageData(250, 250, 1, 1).data]")
    assert heat[0] > 200 > heat[2], "the map's color where the map is highest"
    assert page.locator("#fingerprint").text_content() == answer["model"]["sha256"]
    page.uncheck("#explain")
    page.click("#ask")
    page.wait_for_function("() => document.getElementById('map').hidden")
    page.click("#remove-face")
    page.fill("#words", "  ")
    page.click("#ask")
    expect(page.locator("#problem")).to_have_text("Give at least one of the three: words, a face or a voice.")
    assert len(service.received) == 2, "an empty message is not sent"


def test_the_camera_takes_a_picture(visit, service):
    page = visit()
    page.click("#open-camera")
    page.wait_for_function("() => document.getElementById('video').videoWidth > 0", timeout=10_000)
    expect(page.locator("#take")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#picture-name")).to_have_text("Your picture: the middle square of the camera")
    expect(page.locator("#camera")).to_be_hidden()
    assert page.evaluate("() => document.getElementById('video').srcObject") is None, "the camera is off"
    page.click("#ask")
    answered(page)
    taken = image.read(service.received[-1]["face"])
    assert taken.shape == (256, 256, 3) and len(np.unique(taken.reshape(-1, 3), axis=0)) > 3


def test_a_pointer_draws_and_undo_takes_it_back(visit):
    page = visit(width=320)
    page.click("#open-drawing")
    before, box = sheet_pixels(page), page.locator("#sheet").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.7)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.8, steps=5)
    page.mouse.up()
    changed = np.argwhere((sheet_pixels(page) != before).any(-1))
    assert np.abs(changed.mean(0) / 256 - [0.75, 0.5]).max() < 0.02, "the line is where the pointer was"
    page.click("#undo")
    assert (sheet_pixels(page) == before).all()
    page.click("#fresh-sheet")
    assert (sheet_pixels(page) == 255).all()
    page.check("input[value=dark]")
    page.locator("#sheet").click()
    assert sheet_pixels(page)[128, 128].tolist() == [0x26, 0x20, 0x1E]
    page.click("#close-drawing")
    expect(page.locator("#open-drawing")).to_be_focused()
    expect(page.locator("#picture-name")).to_have_text("Your picture: the middle square of the drawing")


def test_what_is_sent_is_the_last_line_that_was_drawn(visit, service):
    """A picture takes its time to be encoded: an older one neither replaces a newer one nor is sent in its place."""
    page = visit()
    page.locator("#open-drawing").press("Enter")
    page.evaluate("""() => {
        const press = (key) => sheet.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        const sheet = document.getElementById("sheet");
        ["ArrowLeft", " ", ..."ArrowRight,".repeat(9).split(",").slice(0, 9), "ArrowUp", " "].forEach(press);
        document.getElementById("message").requestSubmit();
    }""")
    answered(page)
    assert (image.read(service.received[-1]["face"]) == sheet_pixels(page)).all()


def test_large_files_are_made_smaller_before_they_are_sent(visit, service):
    page = visit()
    noise = np.random.default_rng(0).integers(0, 256, (900, 700, 3), dtype=np.uint8)
    give(page, "face", png(noise), "large.png", "image/png")
    wave = np.random.default_rng(1).uniform(-0.5, 0.5, (48000 * 10, 2))
    give(page, "voice", wav(wave, 48000), "long.wav", "audio/wav")
    page.click("#ask")
    answered(page)
    sent = service.received[-1]
    assert image.read(sent["face"]).shape == (512, 512, 3)
    assert soundfile.info(io.BytesIO(sent["voice"])).samplerate == 16000 and len(sent["voice"]) == 44 + 2 * 160_000
    give(page, "voice", wav(np.zeros((48000 * 16, 1)), 48000), "too-long.wav", "audio/wav")
    page.click("#ask")
    expect(page.locator("#voice-problem")).to_have_text("That sound is longer than 15 seconds. Choose a shorter one.")


# ---------------------------------------------------------------- what may be missing
def test_with_camera_and_microphone_refused_the_rest_still_works(visit):
    page = visit(allow=())
    page.click("#record")
    expect(page.locator("#voice-problem")).to_contain_text("No microphone")
    assert page.locator("#record").inner_text() == "Record"
    page.click("#open-camera")
    expect(page.locator("#face-problem")).to_contain_text("No camera")
    give(page, "voice", wav(voices.waves("test")[0]), "a.wav", "audio/wav")
    expect(page.locator("#voice-problem")).to_be_hidden()
    page.click("#ask")
    answered(page)
    assert page.locator("#used").inner_text() == "The model used: voice."


@pytest.mark.parametrize(
    ("lang", "verdict", "again"), [("en", "Answer: ", "/"), ("zh", "回答：", "/static/index.zh.html")]
)
def test_without_javascript_a_form_is_answered_by_a_page(visit, service, lang, verdict, again):
    page = visit("index", lang, java_script_enabled=False)
    assert page.locator("button:visible").count() == 1, "what needs scripts is not shown"
    page.fill("#words", SENTENCE)
    give(page, "face", png(some_face()), "me.png", "image/png")
    page.click("#ask")
    expected = service.answer({"words": SENTENCE, "face": png(some_face())})
    text = page.locator("#verdict").inner_text()
    assert text.startswith(verdict) and f"{100 * max(expected['probabilities'].values()):.1f} %" in text
    assert page.evaluate("() => document.documentElement.lang") == lang
    assert broken_rules(page) == [] and overflow(page) == {"scrolls": False, "cut": []}
    assert page.locator("main > p a").get_attribute("href") == again
    service.refuse = {"title": "Bad words", "status": 422, "detail": "<b>No</b> English word.", "field": "words"}
    page.goto(service.url + make_pages.link("index", lang))
    page.fill("#words", "1234")
    page.click("#ask")
    assert page.locator(".problem").inner_text().endswith(": <b>No</b> English word."), "text, and not HTML"
    assert broken_rules(page) == []


def test_the_second_page_says_that_it_needs_javascript(visit):
    page = visit("browser", java_script_enabled=False)
    expect(page.get_by_text("it needs JavaScript")).to_be_visible()
    expect(visit("browser").get_by_text("it needs JavaScript")).to_be_hidden()
    expect(page.locator("form")).to_be_hidden()


@pytest.mark.parametrize(("field", "status"), [("words", 422), ("face", 415), ("voice", 413)])
def test_the_services_problem_is_said_beside_its_field(visit, service, field, status):
    page = visit()
    page.fill("#words", SENTENCE)
    service.refuse = {"title": "No", "status": status, "detail": "This cannot be read.", "field": field}
    page.click("#ask")
    expect(page.locator(f"#{field}-problem")).to_have_text("This cannot be read.")
    expect(page.locator(f"#{field}")).to_be_focused()
    expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#answer")).to_be_hidden()
    service.refuse = None
    page.click("#ask")
    answered(page)
    expect(page.locator(f"#{field}-problem")).to_be_hidden()
    assert page.locator(f"#{field}").get_attribute("aria-invalid") is None


def test_a_busy_or_silent_service_and_a_file_that_is_no_picture_are_told(visit, service):
    page = visit()
    page.fill("#words", SENTENCE)
    service.refuse = {"title": "Busy", "status": 503, "detail": "The queue is full."}
    page.click("#ask")
    expect(page.locator("#problem")).to_have_text("The service is busy. Try again in a moment.")
    give(page, "face", b"no picture", "x.png", "image/png")
    expect(page.locator("#face-problem")).to_have_text("This file is not a picture that the browser can read.")
    page.route("**/v1/predict", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.click("#ask")
    expect(page.locator("#problem")).to_have_text("The service could not answer (502).")
    expect(page.locator("#ask")).not_to_have_attribute("aria-disabled", "true")


# ---------------------------------------------------------------- how it looks and is read
@pytest.mark.parametrize(("name", "lang"), PAGES)
def test_rules_of_accessibility_hold_in_light_and_dark(visit, name, lang):
    page = visit(name, lang)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert broken_rules(page) == [], scheme
        page.evaluate("() => document.querySelectorAll('[hidden]').forEach((part) => { part.hidden = false; })")
        page.evaluate(
            "() => document.querySelectorAll('canvas[role=img]').forEach((c) => c.setAttribute('aria-label', 'x'))"
        )
        page.evaluate(
            "() => document.querySelectorAll('.problem, #verdict').forEach((part) => { part.textContent = 'x'; })"
        )
        assert broken_rules(page) == [], f"{scheme}, with everything shown"


def test_the_rules_notice_what_breaks_them(visit):
    page = visit()
    page.evaluate("""() => {
        document.querySelector('label[for=words]').remove();
        document.querySelector('h1').outerHTML = '<h3>x</h3>';
        const pale = document.createElement('p'); pale.textContent = 'pale'; pale.id = 'words';
        document.body.append(pale);
        const sheet = new CSSStyleSheet(); sheet.replaceSync('body > p { color: #999; }');
        document.adoptedStyleSheets = [sheet];
    }""")
    text = "\n".join(broken_rules(page))
    assert "no name: <textarea" in text and "not one h1" in text and "level 3 is skipped" in text
    assert "used twice" in text and "contrast 2." in text


@pytest.mark.parametrize(("name", "lang"), PAGES)
def test_at_320_pixels_nothing_is_cut(visit, name, lang):
    page = visit(name, lang, width=320)
    assert overflow(page) == {"scrolls": False, "cut": []}
    page.click("#open-drawing")
    page.fill("#words", "Supercalifragilisticexpialidocious" * 3)
    if name == "index":
        page.click("#ask")
        answered(page)
        page.locator("summary").click()
    assert overflow(page) == {"scrolls": False, "cut": []}


@pytest.mark.parametrize(("name", "lang"), PAGES)
def test_the_focus_goes_down_the_page_and_is_seen(visit, name, lang):
    page = visit(name, lang)
    assert page.evaluate("() => document.documentElement.lang") == lang
    page.locator("#open-drawing").press("Enter")  # by keyboard, so that rings are shown
    page.locator(".skip").focus()
    tops, ids = [], []
    for _ in range(40):
        told = page.evaluate("""() => {
            const e = document.activeElement, style = getComputedStyle(e);
            const name = e.id || e.className || e.name || e.textContent;
            return [name, e.getBoundingClientRect().top + scrollY, style.outlineStyle, parseFloat(style.outlineWidth)];
        }""")
        ids.append(told[0])
        tops.append(told[1])
        assert told[2] != "none" and told[3] >= 2, f"no ring around {told[0]}"
        if told[0] == "ask":
            break
        page.keyboard.press("Tab")
    assert ids[0] == "skip" and ids[-1] == "ask" and len(ids) >= 15
    inside = [top for name, top in zip(ids, tops, strict=True) if name != "skip"]
    assert all(later >= earlier - 12 for earlier, later in zip(inside, inside[1:], strict=False)), "in reading order"


# ---------------------------------------------------------------- the same numbers as in Python
def in_page(page, file: str, code: str, *values):
    """Run `code`, a function of the module `file` and of values, in the page."""
    return page.evaluate(f"async (values) => ({code})(await import('/static/{file}'), ...values)", list(values))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_is_the_courses(visit, rate):
    wave = np.random.default_rng(rate).standard_normal(1000) * 0.2
    code = "(module, wave, rate) => [...module.resample(wave, rate, 16000)]"
    found = np.array(in_page(visit(), "resample.js", code, wave.tolist(), rate))
    expected = audio.resample(wave, rate, 16000)
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-9


def test_what_a_microphone_hears_above_8_khz_does_not_come_back_as_another_tone(visit):
    time = np.arange(4800) / 48000
    code = "(module, wave) => [...module.resample(wave, 48000, 16000)]"
    high = in_page(visit(), "resample.js", code, np.sin(2 * np.pi * 11000 * time).tolist())
    assert np.abs(high[100:-100]).max() < 0.01, "kept without a filter, it would be a loud tone of 5 kHz"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_files_are_read_as_the_course_reads_them(visit, subtype):
    page = visit()
    wave = np.random.default_rng(0).uniform(-0.9, 0.9, (300, 2))
    for data in (wav(wave, 22050, subtype=subtype), wav(wave, 22050, format="WAVEX", subtype=subtype)):
        code = """(module, bytes) => {
            const { wave, rate } = module.readWav(Uint8Array.from(bytes).buffer);
            return [[...wave], rate];
        }"""
        found, rate = in_page(page, "wav.js", code, list(data))
        assert rate == 22050 and np.abs(np.array(found) - audio.read(data)[0]).max() < 1e-6
        if subtype == "PCM_16":
            code = "(module, wave) => [...new Uint8Array(module.writeWav(Float64Array.from(wave), 16000))]"
            written = bytes(in_page(page, "wav.js", code, found))
            read, rate = audio.read(written)
            assert rate == 16000 and np.abs(read - np.array(found)).max() < 1 / 32768
    code = "(module) => [module.readWav(new ArrayBuffer(60)), module.readWav(new ArrayBuffer(3))]"
    assert in_page(page, "wav.js", code) == [None, None]


def test_features_are_the_courses(visit):
    page, settings = visit(), make_pages.preprocessing()
    for sentence in (SENTENCE, "It's WONDERFUL, isn't it? naïve zebra", "'"):
        code = "(module, sentence, vocabulary) => module.wordNumbers(sentence, vocabulary)"
        assert in_page(page, "features.js", code, sentence, settings["words"]) == words.encode(sentence).tolist()
    for size in ((32, 32), (20, 31), (100, 75)):
        face = some_face(size)
        rgba = np.concatenate([face, np.full((*size, 1), 255, np.uint8)], axis=2)
        code = "(module, data, height, width) => [...module.squareFace({data, width, height}, 32)]"
        found = in_page(page, "features.js", code, rgba.ravel().tolist(), *size)
        assert (np.array(found).reshape(32, 32, 3) == (encode("face", face) * 255).round()).all(), size
    for wave in (
        voices.waves("test")[5],
        np.random.default_rng(1).uniform(-1, 1, 1700).astype(np.float32),
        np.zeros(2000),
    ):
        code = "(module, wave, settings) => [...module.voiceFrames(wave, settings)]"
        found = in_page(page, "features.js", code, np.asarray(wave, float).tolist(), settings["voice"])
        expected = voices.encode(np.asarray(wave, np.float32))
        assert np.abs(np.array(found).reshape(expected.shape) - expected).max() < 2e-4


def test_without_the_runtime_the_second_page_says_what_to_do(visit, monkeypatch, tmp_path):
    monkeypatch.setenv("MMCOURSE_WEB", str(tmp_path))
    page = visit("browser")
    page.fill("#words", SENTENCE)
    page.click("#ask")
    expect(page.locator("#problem")).to_contain_text("python -m mmcourse.serve.page")
