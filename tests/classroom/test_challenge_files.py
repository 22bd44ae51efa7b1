"""Files of arrays that students hand in: read as data, scored outside the sandbox, and what attackers make of them."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from mmcourse.check import challenge_inputs, save_hand_in
from mmcourse.classroom import grade as grading
from mmcourse.classroom.challenges import (
    class_inputs,
    inputs_file,
    read_arrays,
    require_same_inputs,
    score_file,
)
from mmcourse.classroom.executor import execute
from mmcourse.classroom.feedback import alike_rows, rows, write_reports
from mmcourse.classroom.grade import grade
from mmcourse.classroom.release import read_release, release
from mmcourse.classroom.untrusted import Unreadable
from mmcourse.cli import app
from mmcourse.exercise import Array, Drawn, find_challenge
from mmcourse.exercise.challenge import make_challenge

ID = "cnn.challenge"
FILE = f"{ID}.npz"
DECLARED = {"predictions": Array((1000,), "integer")}
RIGHT = np.arange(1000) % 4


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray, header: str = "") -> bytes:
    """A .npy; with another header in place of its own."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    data = buffer.getvalue()
    if header:
        length = struct.unpack("<H", data[8:10])[0]
        data = data[:8] + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + data[10 + length :]
    return data


def zipped(*entries: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def header(shape: tuple, descr: str = "<i8") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"


def bomb() -> bytes:
    """64 MB of zeros in 64 kB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("predictions.npy", "w") as file:
        for _ in range(64):
            file.write(b"\0" * (1 << 20))
    return buffer.getvalue()


def lying_bomb() -> bytes:
    """The same, while both of the archive's directories say that it unpacks to 8,000 bytes."""
    data, true, told = bomb(), struct.pack("<I", 64 << 20), struct.pack("<I", 8000)
    assert data.count(true) >= 1
    return data.replace(true, told)


def flags(*values: int) -> np.ndarray:
    """Bools of these bytes: NumPy itself would make 1 of every 255."""
    return np.array(values, np.uint8).view(bool)


class Evil:
    """Makes a folder when it is unpickled."""

    place = ""

    def __reduce__(self):
        return (os.mkdir, (self.place,))


def object_array(folder: Path) -> bytes:
    Evil.place = str(folder / "pickled")
    array = np.empty(1000, object)
    array[0] = Evil()
    buffer = io.BytesIO()
    np.savez(buffer, predictions=array)
    return buffer.getvalue()


def tensors_header(told: dict, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(told).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor_text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + b"8 bytes!"


WRONG = {  # name → (bytes, ending, what is said)
    "a zip bomb": (bomb, ".npz", "unpacks to 67,108,864 bytes; expected at most"),
    "a zip bomb with a lying directory": (lying_bomb, ".npz", ""),
    "5 MB": (lambda: npz(predictions=np.random.default_rng(0).integers(9, size=700_000)), ".npz", "larger than 4 MB"),
    "another shape": (lambda: npz(predictions=RIGHT[:5]), ".npz", "expected shape (1000,), got (5,)"),
    "another dtype": (
        lambda: npz(predictions=RIGHT * 1.0),
        ".npz",
        "expected numbers of kind integer, got dtype float64",
    ),
    "text": (lambda: npz(predictions=RIGHT.astype("U1")), ".npz", "expected numbers of kind integer"),
    "another name": (lambda: npz(labels=RIGHT), ".npz", "expected `predictions` and nothing else, got `labels`"),
    "one name more": (lambda: npz(predictions=RIGHT, x=RIGHT), ".npz", "and nothing else"),
    "a name twice": (lambda: zipped(*[("predictions.npy", npy(RIGHT))] * 2), ".npz", "and nothing else"),
    "a path as a name": (lambda: zipped(("../predictions.npy", npy(RIGHT))), ".npz", "and nothing else"),
    "a header of a larger array": (
        lambda: zipped(("predictions.npy", npy(RIGHT[:9], header((1000,))))),
        ".npz",
        "its header promises 8,000 bytes, it holds 72",
    ),
    "a header of 8 TB": (
        lambda: zipped(("predictions.npy", npy(RIGHT, header((10**12,))))),
        ".npz",
        "expected shape (1000,), got (1000000000000,)",
    ),
    "a header of objects": (
        lambda: zipped(("predictions.npy", npy(RIGHT, header((1000,), "|O")))),
        ".npz",
        "got dtype object",
    ),
    "a header with code": (
        lambda: zipped(("predictions.npy", npy(RIGHT, "__import__('os').system('true')"))),
        ".npz",
        "damaged",
    ),
    **{
        f"a header that Python's parser cannot take: {len(text)} signs {text[:4]}": (
            lambda text=text: zipped(("predictions.npy", npy(RIGHT, text))),
            ".npz",
            "damaged header",
        )
        for text in ("-" * 990 + "1", "(" * 990, "not " * 240 + "1", "-" * 60_000 + "1", "(" * 60_000)
    },
    "a header that ends within a bracket": (
        lambda: zipped(("predictions.npy", npy(RIGHT, header((1000,))[:-2]))),
        ".npz",
        "damaged",
    ),
    "a header of records": (
        lambda: zipped(("predictions.npy", npy(RIGHT, header((1000,), "<i4,<i4")))),
        ".npz",
        "expected numbers of kind integer",
    ),
    "numbers behind the array": (
        lambda: zipped(("predictions.npy", npy(RIGHT) + b"more")),
        ".npz",
        "its header promises 8,000 bytes, it holds 8,004",
    ),
    "an unusual packing": (
        lambda: zipped(("predictions.npy", npy(RIGHT)), how=zipfile.ZIP_LZMA),
        ".npz",
        "packed in an unusual way",
    ),
    "a pickle": (lambda: pickle.dumps(RIGHT), ".npz", "damaged"),
    "half a file": (lambda: npz(predictions=RIGHT)[:4000], ".npz", "damaged"),
    "a flipped byte": (
        lambda: npz(predictions=RIGHT).replace(b"\3\0\0\0\0\0\0\0", b"\7\0\0\0\0\0\0\0", 1),
        ".npz",
        "damaged",
    ),
    "nothing": (lambda: b"", ".npz", "empty (0 bytes)"),
    "a tensor of another shape": (lambda: save({"predictions": RIGHT[:5]}), ".safetensors", "expected shape (1000,)"),
    "a tensor file cut short": (lambda: save({"predictions": RIGHT})[:-8], ".safetensors", "damaged"),
    "a tensor header of 1 TB": (lambda: tensors_header({}, length=1 << 40), ".safetensors", "its header is too long"),
    "a tensor header that lies": (
        lambda: tensors_header(
            {"predictions": {"dtype": "I64", "shape": [10**15], "data_offsets": [0, 8]}}, b"8 bytes!"
        ),
        ".safetensors",
        "damaged",
    ),
    "a negative shape": (
        lambda: tensors_header({"predictions": {"dtype": "I64", "shape": [-1], "data_offsets": [0, 8]}}, b"8 bytes!"),
        ".safetensors",
        "damaged",
    ),
    "a tensor twice": (
        lambda: tensor_text(
            '{"predictions":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},'
            '"predictions":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'
        ),
        ".safetensors",
        "",
    ),
    "a tensor of a kind that NumPy lacks": (
        lambda: tensors_header(
            {"predictions": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}, b"8 bytes!"
        ),
        ".safetensors",
        "",
    ),
    "tensors that share bytes": (
        lambda: tensors_header(
            {
                "predictions": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
                "x": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
            },
            b"8 bytes!",
        ),
        ".safetensors",
        "damaged",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_such_array_is_refused(name: str):
    make, ending, words = WRONG[name]
    with pytest.raises(Unreadable) as refused:
        read_arrays(make(), ending, DECLARED)
    assert words in str(refused.value)


def test_a_pickled_object_array_is_never_unpickled(tmp_path: Path):
    data = object_array(tmp_path)
    with np.load(io.BytesIO(data), allow_pickle=True) as control:
        assert control["predictions"] is not None and (tmp_path / "pickled").exists(), "the attack itself works"
    (tmp_path / "pickled").rmdir()
    with pytest.raises(Unreadable, match="got dtype object|unpacks to"):
        read_arrays(data, ".npz", DECLARED)
    assert not (tmp_path / "pickled").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("write, ending", [(lambda a: npz(w=a), ".npz"), (lambda a: save({"w": a}), ".safetensors")])
def test_numbers_that_are_not_finite_are_refused(bad, write, ending):
    with pytest.raises(Unreadable, match="NaN or infinity"):
        read_arrays(write(np.array([1.0, bad])), ending, {"w": Array((2,), "float")})


@pytest.mark.parametrize("write, ending", [(lambda a: npz(w=a), ".npz"), (lambda a: save({"w": a}), ".safetensors")])
def test_a_true_that_counts_more_than_once_is_refused(write, ending):
    """A byte of 255 in an array of bools is True, and its sum is 255 in some of NumPy's functions."""
    declared = {"w": Array((3,), "bool")}
    assert read_arrays(write(flags(0, 1, 1)), ending, declared)["w"].tolist() == [False, True, True]
    with pytest.raises(Unreadable, match="neither True nor False"):
        read_arrays(write(flags(0, 1, 255)), ending, declared)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float16, np.uint64])
def test_a_narrow_dtype_overflows_in_no_score(dtype):
    """100 · 100 is 16 in eight bits: handed in as int8, a wrong prediction would come out near."""
    seen = []
    kind = "float" if np.dtype(dtype).kind == "f" else "integer"
    challenge = make_challenge(
        "cnn.challenge", title="T", statement=["S"], draw=lambda g: Drawn({}, None), hand_in={"w": Array((2,), kind)},
        score=lambda handed, *_: seen.append(handed["w"]) or float((handed["w"] * handed["w"]).sum()),
        to_beat=1, points_by_score={1: 1}, minutes=1,
    )  # fmt: skip
    score, _ = score_file(challenge, challenge.public(), npz(w=np.array([100, 100], dtype)), ".npz")
    assert score == 20_000 and seen[0].dtype == (np.float64 if kind == "float" else np.int64)


@pytest.mark.parametrize(
    "array", [RIGHT, RIGHT.astype("<i4"), RIGHT.astype(">i8"), RIGHT.astype("u1"), np.asfortranarray(RIGHT)]
)
def test_what_numpy_and_safetensors_write_is_read(array):
    assert np.array_equal(read_arrays(npz(predictions=array), ".npz", DECLARED)["predictions"], array)
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    assert np.array_equal(read_arrays(save({"predictions": native}), ".safetensors", DECLARED)["predictions"], array)


def test_columns_first_keep_their_order():
    w = np.arange(6.0).reshape(2, 3)
    read = read_arrays(npz(w=np.asfortranarray(w)), ".npz", {"w": Array((2, 3), "float")})
    assert np.array_equal(read["w"], w)


# ---------------------------------------------------------------- a class
@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the lesson for three students."""
    folder = tmp_path_factory.mktemp("challenge")
    (folder / "roster.csv").write_text("student\nada\nben\ncy\n", encoding="utf-8")
    (folder / "secret").write_text("a secret for tests only", encoding="utf-8")
    release(["cnn"], folder / "out", folder / "roster.csv", secret=folder / "secret")
    return folder / "out"


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of its own costs seconds, and adds nothing to most of these tests."""
    monkeypatch.setattr(grading, "execute", lambda work, tasks, *_: map(work, tasks))


@pytest.fixture
def sub(tmp_path: Path, made: Path) -> Path:
    for student in ("ada", "ben", "cy"):
        (tmp_path / "sub" / student).mkdir(parents=True)
    (tmp_path / "roster.csv").write_text("student\nada\nben\ncy\n", encoding="utf-8")
    return tmp_path / "sub"


def labels(made: Path) -> np.ndarray:
    return class_inputs(find_challenge(ID), read_release(made).key).hidden


def hand_in(student: Path, made: Path, answer: np.ndarray) -> Path:
    """As a student does it: the class's inputs beside the notebook, then `save_hand_in`."""
    inputs = f"{ID}_inputs.npz"
    (student / inputs).write_bytes((made / "students" / "ada" / inputs).read_bytes())
    return save_hand_in(ID, answer, student)


def problems_of(done, student: str) -> str:
    return " ".join(why for who, _, why in done.problems if who == student)


def graded(sub: Path, made: Path, **options):
    return grade(sub, sub.parent / "out", made, unsafe=True, **options)


def points_of(done) -> dict[str, float]:
    return {student: points for student, exercise, points, *_ in rows(done) if exercise == ID}


def test_a_release_hands_out_inputs_and_no_labels(made: Path):
    file = made / "students" / "ada" / f"{ID}_inputs.npz"
    with np.load(file, allow_pickle=False) as inputs:
        assert set(inputs.files) == {"train", "train_labels", "test"}
        own = challenge_inputs(ID, own=True)
        assert not np.array_equal(inputs["test"], own["test"]), "another draw than the learner's own"
        hidden = labels(made)
        assert all(not np.array_equal(inputs[name][:1000], hidden) for name in ("train_labels", "test"))
    assert file.read_bytes() == (made / "students" / "ben" / file.name).read_bytes()
    assert find_challenge(ID).public().inputs["test"].shape == own["test"].shape
    row = [line for line in (made / "points.csv").read_text().splitlines() if line.startswith(ID)]
    assert row == [f"{ID},07_cnn,Where is the gap?,3"]


def test_scores_become_points_and_a_page(sub: Path, made: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grading, "execute", execute)  # in workers, as an instructor grades
    hidden = labels(made)
    hand_in(sub / "ada", made, hidden)
    hand_in(sub / "ben", made, np.r_[hidden[:600], (hidden[600:] + 1) % 4])
    done = graded(sub, made)
    assert points_of(done) == {"ada": 3, "ben": 1, "cy": 0}
    assert not done.problems, "the inputs that lie beside it are no hand-in"
    record = next(record for record in done.records if record["student"] == "ben")
    (x,) = record["exercises"]
    assert x["status"] == "partial" and x["note"].startswith("accuracy 0.600; to beat: 0.5.") and x["seconds"] < 5
    write_reports(done, sub.parent / "out")
    page = (sub.parent / "out" / "feedback" / "ben.html").read_text(encoding="utf-8")
    assert "accuracy 0.600" in page and "accuracy 0.9 or more" in page and "1 of 3" in page
    assert [row[5] for row in rows(done) if row[:2] == ("cy", ID)] == ["not handed in"]
    again = graded(sub, made)
    assert again.done_now == 0 and points_of(again) == {"ada": 3, "ben": 1, "cy": 0}
    hand_in(sub / "ben", made, hidden)
    assert graded(sub, made).done_now == 1


def test_attacks_earn_nothing_and_harm_nobody(sub: Path, made: Path, tmp_path: Path):
    hidden = labels(made)
    hand_in(sub / "ada", made, hidden)
    for k, (make, ending, _) in enumerate(WRONG.values()):
        (sub / f"attack-{k}").mkdir()
        (sub / f"attack-{k}" / f"{ID}{ending}").write_bytes(make())
    (sub / "ben" / FILE).symlink_to(sub / "ada" / FILE)
    (sub / "cy" / FILE).write_bytes(object_array(tmp_path))
    done = graded(sub, made)
    earned = points_of(done)
    assert earned.pop("ada") == 3 and set(earned.values()) == {0} and len(earned) >= len(WRONG) + 2
    assert not (tmp_path / "pickled").exists()
    assert any(student == "ben" and "a link" in why for student, _, why in done.problems)


def test_without_inputs_nothing_is_graded(sub: Path, made: Path, tmp_path: Path):
    hand_in(sub / "ada", made, RIGHT)
    done = grade(sub, tmp_path / "other", unsafe=True)
    assert not done.records and "graded with --release" in done.problems[0][2]


def test_a_score_that_takes_too_long_is_ended(sub: Path, made: Path, monkeypatch: pytest.MonkeyPatch):
    def slow(challenge, *_):
        while True:
            pass

    hand_in(sub / "ada", made, RIGHT)
    monkeypatch.setattr(grading, "score_file", slow)
    monkeypatch.setattr(grading, "SCORE_SECONDS", 0.2)
    (x,) = graded(sub, made).records[0]["exercises"]
    assert x["points"] == 0 and "seconds to score" in x["note"]


def test_labels_stay_outside_of_any_process_of_a_student(sub: Path, made: Path, monkeypatch: pytest.MonkeyPatch):
    """No sandbox is started for a file of arrays."""

    def never(*_, **__):
        raise AssertionError("a session was begun")

    hand_in(sub / "ada", made, labels(made))
    monkeypatch.setattr(grading, "Session", never)
    assert points_of(graded(sub, made))["ada"] == 3


def test_submit_takes_the_file_and_refuses_what_could_not_be_graded(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "box").mkdir()
    monkeypatch.setenv("MMCOURSE_SUBMISSIONS", str(tmp_path / "box"))
    path = hand_in(tmp_path, made, RIGHT)
    (tmp_path / "box" / f"{ID}.safetensors").write_bytes(b"handed in before")
    done = CliRunner().invoke(app, ["submit", str(path)])
    assert done.exit_code == 0 and (tmp_path / "box" / FILE).read_bytes() == path.read_bytes()
    assert [file.name for file in (tmp_path / "box").iterdir()] == [FILE], "handing in again replaces"
    for name, words in ((f"{ID}_inputs.npz", "these are the inputs"), ("mine.npz", "of no challenge")):
        (tmp_path / name).write_bytes(path.read_bytes())
        done = CliRunner().invoke(app, ["submit", str(tmp_path / name)])
        assert done.exit_code != 0 and words in done.output
    path.write_bytes(bomb())
    done = CliRunner().invoke(app, ["submit", str(path)])
    assert done.exit_code != 0 and "was not handed in" in done.output
    os.remove(path)
    path.symlink_to(tmp_path / "box" / FILE)
    assert CliRunner().invoke(app, ["submit", str(path)]).exit_code != 0


@pytest.mark.parametrize(
    "name",
    ["Ada L_12345_assignsubmission_file_cnn.challenge.npz", "adal_1_2_cnn.challenge-1.npz", "cnn.challenge (2).npz"],
)
def test_names_that_platforms_and_browsers_make(name: str, sub: Path, made: Path):
    path = hand_in(sub / "ada", made, labels(made))
    path.rename(path.with_name(name))
    inputs = path.with_name(f"{ID}_inputs.npz")
    inputs.rename(path.with_name(name.replace("challenge", "challenge_inputs")))
    done = graded(sub, made)
    assert points_of(done)["ada"] == 3 and not done.problems


@pytest.mark.parametrize("name", ["rcnn.challenge.npz", "rnn.challenge.npz", "model.safetensors", "challenge.npz"])
def test_a_file_of_another_name_is_told_its_right_one(name: str, sub: Path, made: Path):
    path = hand_in(sub / "ada", made, labels(made))
    path.rename(path.with_name(name))
    done = graded(sub, made)
    assert points_of(done)["ada"] == 0 and "SLUG" not in problems_of(done, "ada")
    assert "keep the name that `save_hand_in` gave the file" in problems_of(done, "ada")


def test_too_large_files_are_told_the_limit_of_a_challenge(sub: Path, made: Path):
    (sub / "ada" / FILE).write_bytes(bytes(5 << 20))
    (sub / "ben" / FILE).write_bytes(bytes(21 << 20))
    done = graded(sub, made)
    for student in ("ada", "ben"):
        assert problems_of(done, student) == "larger than 4 MB, the most that a challenge takes"


def test_a_damaged_file_after_a_right_one_leaves_the_grade(sub: Path, made: Path):
    path = hand_in(sub / "ada", made, labels(made))
    assert points_of(graded(sub, made))["ada"] == 3
    path.write_bytes(path.read_bytes()[:200])
    done = graded(sub, made)
    assert points_of(done)["ada"] == 3 and "keeps its grade" in problems_of(done, "ada")


def test_of_two_files_the_one_that_can_be_read_counts(sub: Path, made: Path):
    path = hand_in(sub / "ada", made, labels(made))
    path.rename(path.with_name("cnn.challenge (1).npz"))
    path.write_bytes(b"the first try, cut short")
    done = graded(sub, made)
    assert points_of(done)["ada"] == 3 and problems_of(done, "ada").startswith("damaged")


def test_whose_numbers_are_equal_is_told(sub: Path, made: Path):
    """However the file is packed; a single other prediction is another answer."""
    wrong = np.r_[labels(made)[:-9], np.zeros(9, int)]
    hand_in(sub / "ada", made, wrong)
    (sub / "ben" / f"{ID}.safetensors").write_bytes(save({"predictions": wrong.astype(np.int16)}))
    hand_in(sub / "cy", made, np.r_[wrong[:-1], 1])
    done = graded(sub, made)
    assert alike_rows(done) == [("100%", "ada, ben", ID)]
    write_reports(done, sub.parent / "out")
    summary = (sub.parent / "out" / "summary.html").read_text(encoding="utf-8")
    assert "ada, ben" in summary and "accuracy 0.9" not in summary, "a score is no mistake"


def test_other_points_are_told_everywhere(sub: Path, made: Path, tmp_path: Path):
    other = tmp_path / "release"
    points = f"{ID}=6"
    release(["cnn"], other, sub.parent / "roster.csv", points, secret=made / "instructor" / "secret.txt")
    text = (other / "students" / "ada" / "07_cnn.ipynb").read_text(encoding="utf-8")
    assert "up to 6 points" in text and "up to 3 points" not in text
    steps = find_challenge(ID).steps(6)
    assert steps in text and steps.endswith(": 6.") and steps != find_challenge(ID).steps()
    right = labels(other)
    hand_in(sub / "ada", other, np.r_[right[:600], (right[600:] + 1) % 4])
    done = grade(sub, tmp_path / "results", other, unsafe=True)
    assert points_of(done)["ada"] == 2
    assert "it is worth 4 points." in done.records[0]["exercises"][0]["note"]


def test_inputs_that_would_be_drawn_otherwise_stop_the_grading(sub: Path, made: Path, tmp_path: Path):
    """Another NumPy, or an author who changed `draw`: every score would be wrong, and nobody would notice."""
    hand_in(sub / "ada", made, labels(made))
    kept = made / "instructor" / f"{ID}_inputs.npz"
    before = kept.read_bytes()
    try:
        kept.write_bytes(npz(**find_challenge(ID).public().inputs))
        with pytest.raises(ValueError, match="drawn otherwise here"):
            graded(sub, made)
        kept.unlink()
        with pytest.raises(FileNotFoundError, match="must be whole"):
            graded(sub, made)
    finally:
        kept.write_bytes(before)
    assert points_of(graded(sub, made))["ada"] == 3


def test_inputs_of_text_are_compared_too(tmp_path: Path):
    def drawn(g: np.random.Generator) -> Drawn:
        return Drawn({"captions": np.array(["a red box", "a blue disc"])[g.integers(2, size=50)]}, None)

    challenge = make_challenge(
        "cnn.challenge", title="T", statement=["S"], draw=drawn, hand_in={"w": Array((2,), "integer")},
        score=lambda *_: 1.0, to_beat=1, points_by_score={1: 1}, minutes=1,
    )  # fmt: skip
    (tmp_path / "kept.npz").write_bytes(inputs_file(challenge, "key"))
    require_same_inputs(challenge, "key", tmp_path / "kept.npz")
    with pytest.raises(ValueError, match="drawn otherwise here"):
        require_same_inputs(challenge, "another key", tmp_path / "kept.npz")


def test_a_notebook_in_the_sandbox_is_told_why_it_gets_no_inputs():
    """The import works, so that the page names the reason and not a broken package."""
    inside = Path(grading.__file__).parent / "inside"
    code = f"import sys; sys.path.append({str(inside)!r}); import worker; worker.Student(1)\n"
    code += (
        "from mmcourse.check import challenge_inputs, check, save_hand_in\nchallenge_inputs('cnn.challenge', own=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1].startswith("RuntimeError: an open challenge is not run while grading")


def test_a_bomb_is_refused_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch):
    def never(*_, **__):
        raise AssertionError("it was opened")

    data = bomb()
    monkeypatch.setattr(zipfile.ZipFile, "open", never)
    with pytest.raises(Unreadable, match="unpacks to 67,108,864 bytes"):
        read_arrays(data, ".npz", DECLARED)


@pytest.mark.parametrize(
    "attack", ["a zip bomb with a lying directory", "a header of 8 TB", "a tensor header that lies"]
)
def test_what_lies_about_its_size_takes_no_memory(attack: str):
    make, ending, _ = WRONG[attack]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            read_arrays(data, ending, DECLARED)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
