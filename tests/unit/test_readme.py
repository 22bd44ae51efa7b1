"""The README promises only what is there."""

import re
from pathlib import Path

import pytest

from mmcourse.authoring.catalogue import course_map, lessons

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "mmcourse/classroom/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_each_link_of_a_page_leads_somewhere(page):
    targets = re.findall(r"\]\(([^)\s:#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [target for target in targets if not ((ROOT / page).parent / target).exists()]
    assert not missing, f"{page} links to {missing}"


def test_the_map_marks_exactly_the_lessons_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\d\d) \| (?:\[(\w+)\]\(notebooks/(\w+)\.ipynb\) ✓|(\w+)) \| (.+) \|$", text, flags=re.MULTILINE
    )
    shown = [(number, linked or planned, teaches) for number, linked, _, planned, teaches in rows]
    assert shown == [(entry.number, entry.slug, entry.teaches) for entry in course_map()]
    written = [lesson.name for lesson in lessons() if lesson.source.is_file()]
    assert [name for _, _, name, _, _ in rows if name] == written


def test_the_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target} is not in the Makefile"


def test_the_start_section_says_what_the_course_asks_for():
    """Versions, extras and files that the section names are the course's own."""
    import tomllib

    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Start")[1].split("## The map")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14" and "Python 3.11, 3.12 or 3.13" in text
    for group in re.findall(r'-e "\.\[([\w,]+)\]"', text):
        assert set(group.split(",")) <= set(project["optional-dependencies"])
    for file in ("constraints.txt", "environment.yml", "mmcourse/__main__.py"):
        assert (ROOT / file).is_file()
    assert "pip install mmcourse" not in text, "a name that is not ours yet"
