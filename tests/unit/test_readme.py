"""The README promises only what is there."""

import re
from pathlib import Path

import pytest

from mmcourse.authoring.catalogue import lessons

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "mmcourse/classroom/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_each_link_of_a_page_leads_somewhere(page):
    targets = re.findall(r"\]\(([^)\s:#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [target for target in targets if not ((ROOT / page).parent / target).exists()]
    assert not missing, f"{page} links to {missing}"


def test_the_map_marks_exactly_the_lessons_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    numbers = re.findall(r"^\| (\d\d) \|", text, flags=re.MULTILINE)
    assert numbers == [f"{n:02d}" for n in range(30)]
    marked = re.findall(r"^\| \d\d \| \[\w+\]\(notebooks/(\w+)\.ipynb\) ✓", text, flags=re.MULTILINE)
    assert marked == [lesson.name for lesson in lessons() if lesson.source.is_file()]


def test_the_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target} is not in the Makefile"
