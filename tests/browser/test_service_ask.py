"""The page for questions about pictures: a form without scripts, in both languages, and what comes back."""

import numpy as np
import pytest
from page_rules import broken_rules, overflow
from page_visits import give, png, wav
from playwright.sync_api import expect
from running_app import running

from mmcourse.serve import ask
from mmcourse.serve import limits as checks
from mmcourse.serve.app import Service, create_app
from mmcourse.serve.page import make_pages

pytestmark = pytest.mark.xdist_group("browser")
THINGS = [{"shape": "star", "score": 0.9, "box": [0.25, 0.5, 0.375, 0.625]}]


def stand_in(limits):
    """In place of the assistant: the real limits, a fixed answer."""

    def answer(given, end):
        asked = checks.decode_question(given, limits)
        heard = "is there a star" if "voice" in asked else None
        question = asked.get("question", "Is there a star?")
        return sorted(asked), {"answer": "yes", "question": question, "heard": heard, "things": THINGS}

    return answer


class Nothing:
    """A model that is never asked."""

    name, sha256 = "nothing", "0" * 64

    def prepare(self, message):
        return message

    def predict(self, prepared):
        return np.zeros((len(prepared), 3), np.float32)


@pytest.fixture(scope="module")
def service():
    """The service with a stand-in for the assistant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ask, "begin", stand_in)
        made = Service(Nothing, check=lambda model: "")
        with running(create_app(made), lifespan="on") as made.url:
            yield made


@pytest.mark.parametrize("lang", make_pages.LANGUAGES)
def test_a_question_is_answered_by_a_page_without_scripts(visit, service, lang):
    page = visit("ask", lang, java_script_enabled=False, width=320)
    assert broken_rules(page) == [] and overflow(page) == {"scrolls": False, "cut": []}
    give(page, "picture", png(np.full((64, 64, 3), 200, np.uint8)), "scene.png", "image/png")
    page.fill("#question", "Is there a <b>star</b>?")
    page.click("#ask")
    verdict = {"en": "Answer: yes", "zh": "回答：yes"}[lang]
    expect(page.locator("#verdict")).to_have_text(verdict)
    assert "Is there a <b>star</b>?" in page.locator("main").inner_text(), "text, and not HTML"
    assert "25–38 %" in page.locator("tbody").inner_text()
    assert broken_rules(page) == [] and overflow(page) == {"scrolls": False, "cut": []}
    page.click("main > p a")
    expect(page.locator("#question")).to_be_visible()
    give(page, "picture", png(np.full((64, 64, 3), 200, np.uint8)), "scene.png", "image/png")
    give(page, "voice", wav(np.zeros(16_000)), "a.wav", "audio/wav")
    page.click("#ask")
    expect(page.locator("#verdict")).to_have_text(verdict)
    page.click("main > p a")
    give(page, "picture", b"GIF89a", "scene.png", "image/png")
    page.fill("#question", "Why?")
    page.click("#ask")
    expect(page.locator(".problem")).to_contain_text("PNG, JPEG or WebP")
    assert page.evaluate("() => document.documentElement.lang") == lang and broken_rules(page) == []


@pytest.mark.parametrize("lang", make_pages.LANGUAGES)
def test_rules_hold_in_light_and_dark_and_by_keyboard(visit, lang):
    page = visit("ask", lang, java_script_enabled=False)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert broken_rules(page) == [], scheme
    page.locator(".skip").focus()
    ids = []
    while (not ids or ids[-1] != "ask") and len(ids) < 20:
        page.keyboard.press("Tab")
        ids.append(page.evaluate("() => document.activeElement.id"))
    assert [name for name in ids if name] == ["picture", "question", "voice", "ask"]
