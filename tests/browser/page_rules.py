"""Rules of accessibility that a machine can check, run inside a page: what breaks them."""

from pathlib import Path

RULES = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
OVERFLOW = """
() => {
  const wide = document.documentElement.clientWidth;
  const cut = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.matches(".skip"))
    .filter((e) => { const box = e.getBoundingClientRect(); return box.right > wide + 0.5 || box.left < -0.5; });
  return { scrolls: document.documentElement.scrollWidth > wide, cut: cut.map((e) => e.outerHTML.slice(0, 80)) };
}
"""


def broken_rules(page) -> list[str]:
    """What of the page breaks a rule; fails where nothing was measured."""
    result = page.evaluate(RULES)
    assert result["measured"] > 3, "texts are seen"
    return result["found"]


def overflow(page) -> dict:
    """Whether the page must be scrolled sideways, and what sticks out."""
    return page.evaluate(OVERFLOW)
