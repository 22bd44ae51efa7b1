"""The table of figures and aims, the sheets of samples, and the command `mmcourse figures`."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir
from mmcourse.figures import NAMES, aims, sheets
from mmcourse.figures.aims import AIMS, Aim, read_stored, table_rows
from mmcourse.figures.sheets import Sample, collect

ASKED_FOR = {  # the keys that Part 4 was to have, lesson by lesson
    "clip": "text_to_image_r1 image_to_text_r1 zero_shot infonce_128 foils_color foils_relation foils_by_likelihood "
    "unseen_pairs",
    "captioning": "all_true grammatical nll_per_token floor",
    "vlm": "accuracy worst_kind exchanged_pictures gray_pictures language_only",
    "detection": "map ap50 phrase_accuracy",
    "speech_to_text": "wer wer_noise_10db spoken_question_loss",
    "video": "accuracy order_blind order_blind_limit offset_within_1",
    "language_model": "excess_perplexity",
    "chat": "instructions dpo_total_variation grpo_total_variation dialogue",
    "generation": "picture_right frechet modes_covered",
}


def run(*arguments: object):
    return CliRunner().invoke(app, ["figures", *map(str, arguments)])


def refusal(*arguments: object) -> str:
    """The one line on stderr of a call that leaves with 2."""
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("mmcourse: ")
    return line


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stored figures in a folder that may be changed."""
    for lesson in NAMES:
        (tmp_path / "models" / lesson).mkdir(parents=True)
        shutil.copy(data_dir() / "models" / lesson / "figures.json", tmp_path / "models" / lesson)
    monkeypatch.setattr(aims, "data_dir", lambda: tmp_path)
    return tmp_path / "models"


def change(folder: Path, lesson: str, **figures: float | None) -> None:
    path = folder / lesson / "figures.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["figures"] |= figures
    path.write_text(json.dumps(stored), encoding="utf-8")


# ---------------------------------------------------------------- aims
def test_every_figure_that_is_asked_for_is_in_the_table():
    assert set(ASKED_FOR) == set(NAMES) == {aim.lesson for aim in AIMS}
    for lesson, keys in ASKED_FOR.items():
        mine = [aim.figure for aim in AIMS if aim.lesson == lesson]
        assert set(keys.split()) <= set(mine) and len(mine) == len(set(mine)), lesson


@pytest.mark.parametrize("lesson", NAMES)
def test_every_line_has_a_stored_figure_and_its_limit(lesson: str):
    for row in read_stored(lesson):
        assert row.value is not None, row.aim.figure
        assert (row.limit is None) == (row.aim.limit is None), row.aim.figure
        assert bool(row.note) == bool(row.aim.note)
        assert row.aim.limit != 1.0 or 0 <= row.value <= 1, row.aim.figure


@pytest.mark.parametrize(
    ("aim", "value", "reached", "words"),
    [
        (Aim("x", "y", least=0.9), 0.9, True, "≥ 0.90"),
        (Aim("x", "y", least=0.9), 0.8999, False, "≥ 0.90"),
        (Aim("x", "y", most=0.06), 0.06, True, "≤ 0.06"),
        (Aim("x", "y", most=0.06), 0.061, False, "≤ 0.06"),
        (Aim("x", "y", least=0.9, most=1.1), 1.2, False, "0.90 to 1.10"),
        (Aim("x", "y", least=0.9, most=1.1), 1.0, True, "0.90 to 1.10"),
        (Aim("x", "y"), 0.5, None, "–"),
        (Aim("x", "y", least=0.9), None, None, "≥ 0.90"),
    ],
)
def test_an_aim_is_a_floor_a_ceiling_both_or_none(aim: Aim, value: float, reached: bool | None, words: str):
    assert aim.reached(value) is reached and str(aim) == words


def test_limits_are_taken_from_what_is_computed():
    found = {"nll_per_token": 0.8, "floor": 0.7, "all_true": float("nan"), "grammatical": None, "statements": True}
    by_name = {row.aim.figure: row for row in table_rows("captioning", found)}
    assert by_name["nll_per_token"].limit == 0.7 and by_name["nll_per_token"].reached is False
    assert all(by_name[name].value is None for name in ("all_true", "grammatical", "statements"))
    (first, *_) = table_rows("clip", {"text_to_image_r1": 0.9}, {"text_to_image_r1": 0.95})
    assert (first.value, first.limit, first.reached) == (0.9, 0.95, True)


# ---------------------------------------------------------------- the command
def test_without_a_lesson_all_stored_figures_are_held_against_their_aims():
    done = run()
    assert done.exit_code == 0 and "stored beside the weights" in done.stdout.splitlines()[0]
    assert "--recompute computes them anew" in done.stdout
    assert all(lesson in done.stdout for lesson in NAMES) and all(aim.figure in done.stdout for aim in AIMS)
    rows = json.loads(run("--json").stdout)["figures"]
    assert [(row["lesson"], row["figure"]) for row in rows] == [(aim.lesson, aim.figure) for aim in AIMS]
    aimed = [row for row in rows if row["aim"]]
    assert f"{sum(row['reached'] for row in aimed)} of {len(aimed)} aims are reached." in done.stdout


def test_it_is_quick_and_loads_no_framework():
    code = (
        "import sys; from typer.testing import CliRunner; from mmcourse.cli import app\n"
        "assert CliRunner().invoke(app, ['figures', '--json']).exit_code == 0\n"
        "print(sorted({'torch', 'keras', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_several_lessons_in_the_order_asked():
    rows = json.loads(run("video", "clip", "video", "--json").stdout)["figures"]
    assert list(dict.fromkeys(row["lesson"] for row in rows)) == ["video", "clip"]


def test_a_figure_that_misses_its_aim_is_shown_as_missed(copied: Path):
    change(copied, "video", accuracy=0.5, offset_within_1=None)
    change(copied, "chat", dpo_total_variation=0.2)
    done = run("video", "chat")
    assert done.exit_code == 0
    line = next(line for line in done.stdout.splitlines() if " accuracy " in line)
    assert line.split() == ["video", "accuracy", "0.5000", "≥", "0.95", "1.0000", "no"]
    assert "4 of 7" not in done.stdout and "3 of 6 aims are reached. Not reached:" in done.stdout
    assert "  video accuracy, 0.5000, aim ≥ 0.95" in done.stdout
    assert "  chat dpo_total_variation, 0.2000, aim ≤ 0.05" in done.stdout
    assert "not measured" in next(line for line in done.stdout.splitlines() if " offset_within_1 " in line)


def test_an_unknown_lesson_is_named_and_the_known_ones_listed():
    for arguments in (("nope",), ("clip", "nope"), ("nope", "--json"), ("attention", "--recompute")):
        line = refusal(*arguments)
        assert ("'attention'" if "attention" in arguments else "'nope'") in line
        assert all(lesson in line for lesson in NAMES)


def test_a_damaged_or_missing_file_is_named(copied: Path):
    (copied / "vlm" / "figures.json").write_text("{", encoding="utf-8")
    assert "vlm" in refusal() and "computes them anew" in refusal()
    (copied / "vlm" / "figures.json").write_text('{"figures": 3}', encoding="utf-8")
    assert "no figures in it" in refusal()
    (copied / "vlm" / "figures.json").unlink()
    assert "figures.json" in refusal("clip", "vlm")
    assert run("clip", "chat").exit_code == 0


def test_recomputed_figures_are_told_from_stored_ones(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def fake(lesson: str, n: int) -> dict:
        asked.append((lesson, n))
        return {"accuracy": 0.25, "order_blind_limit": 0.5}

    monkeypatch.setattr(aims, "figures", fake)
    done = run("video", "vlm", "-n", 100)
    assert asked == [("video", 100), ("vlm", 100)] and "computed anew, on 100 samples" in done.stdout
    asked.clear()
    assert json.loads(run("video", "vlm", "--recompute", "--json").stdout)["figures"][0]["value"] == 0.25
    assert asked == [("video", 1000), ("vlm", 1000)]
    monkeypatch.undo()
    assert "expected 100 or more, got 5" in refusal("-n", 5)
    assert "expected 100 or more, got 5" in refusal("video", "-n", 5)


# ---------------------------------------------------------------- sheets
def samples(rights: list[bool]) -> list[Sample]:
    box = ((4, 4, 20, 20), "star 0.90", True), ((4, 4, 20, 20), "star 0.70", True), ((40, 50, 60, 63), "cross", False)
    pixels = np.full((64, 64, 3), 120, np.uint8)
    return [Sample(i, pixels, right, [f"said: {i}", "true: a red star"], box) for i, right in enumerate(rights)]


def test_the_first_ones_are_kept_whatever_they_show():
    found = collect(samples([True, False, True, True, False, True, False]), each=2)
    assert [one.index for one in found.right] == [0, 2] and [one.index for one in found.wrong] == [1, 4]
    assert found.looked == 5  # the sixth is not needed
    found = collect(samples([True] * 6), each=2)
    assert [one.index for one in found.right] == [0, 1] and found.wrong == [] and found.looked == 6


@pytest.mark.parametrize(("rights", "words"), [([True, False] * 2, "by index"), ([True] * 4, "none, and no more")])
def test_a_sheet_says_how_many_there_are_in_how_many(monkeypatch: pytest.MonkeyPatch, rights: list[bool], words: str):
    monkeypatch.setitem(sheets.LESSONS, "detection", (lambda n: iter(samples(rights[:n])), 4))
    png, summary = sheets.draw_sheet("detection", each=2)
    assert words in summary and "of 4 looked at" in summary
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.width > 1000 and image.height > 300


def test_a_sheet_of_the_shipped_detector(tmp_path: Path):
    path = tmp_path / "sheet.png"
    done = run("detection", "--sheet", path, "-n", 20)
    assert done.exit_code == 0, done.output
    assert "of 20 looked at" in done.stdout and str(path) in done.stdout
    with Image.open(path) as image:
        assert image.width > 1000
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]  # nothing half-written stays


@pytest.mark.parametrize("lesson", sheets.LESSONS)
def test_every_lesson_gives_samples(lesson: str):
    function, _ = sheets.LESSONS[lesson]
    found = list(function(6))
    assert len(found) >= 6 and any(one.right for one in found)
    for one in found:
        assert one.picture.dtype == np.uint8 and one.picture.ndim == 3 and len(one.lines) >= 2
        assert not any("\n" in line for line in one.lines)
    assert function.__doc__


def test_samples_are_right_where_the_figures_say_so():
    """The captions of the sheet are true as often as `truth_of` says."""
    from mmcourse.figures.captioning import truth_of
    from mmcourse.figures.scenes import draw_scenes

    scenes, _ = draw_scenes(30)
    found = list(sheets.captioning(30))
    said = [one.lines[0].removeprefix("said: ") for one in found]
    assert np.mean([one.right for one in found]) == pytest.approx(truth_of(said, scenes)["all_true"])


def test_a_sheet_that_cannot_be_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(sheets, "draw_sheet", never)
    good = tmp_path / "a.png"
    for lessons in ((), ("chat",), ("clip", "vlm"), ("nope",)):
        assert "expected one lesson of clip, captioning" in refusal(*lessons, "--sheet", good)
    assert "must end with .png" in refusal("clip", "--sheet", tmp_path / "a.jpg")
    assert "there is no folder" in refusal("clip", "--sheet", tmp_path / "no" / "a.png")
    (tmp_path / "b.png").mkdir()
    assert "that is a folder" in refusal("clip", "--sheet", tmp_path / "b.png")
    assert "-n only" in refusal("clip", "--sheet", good, "--json")
    monkeypatch.undo()
    assert "n: expected 1 or more, got 0" in refusal("clip", "--sheet", good, "-n", 0)
    assert not good.exists()
