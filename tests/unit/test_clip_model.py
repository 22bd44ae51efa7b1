"""The shipped CLIP: small, as good as its figures say, and clear about input that it cannot take."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir, load, vocabulary
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import chinese, english
from mmcourse.figures import clip as clip_figures
from mmcourse.figures import figures
from mmcourse.torch.clip import CLIP, prepare_images, tokenize, trained_pieces, unknown_words
from mmcourse.torch.contrastive import contrastive_loss
from mmcourse.training.torch.muon import Muon, orthogonalize

FOLDER = data_dir() / "models" / "clip"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model() -> CLIP:
    return CLIP.from_pretrained("clip")


def test_the_shipped_model_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card
    for name in ("text_to_image_r1", "image_to_text_r1", "zero_shot", "infonce_128", "foils_color", "foils_relation"):
        assert f"{STORED['figures'][name]:.3f}" in card, name
        assert f"{STORED['limits'][name]:.3f}" in card, name
    assert f"**{STORED['figures']['foils_by_likelihood']:.3f}**" in card


def test_figures_of_100_scenes_are_those_of_the_stored_model(model: CLIP):
    """Fewer candidates make retrieval easier, so a part is compared with the same part of the stored run."""
    found = figures("clip", 100)
    for name, value in STORED["figures_100"].items():
        assert found[name] == pytest.approx(value, abs=0.01), name


def test_limits_are_those_that_were_stored():
    found = clip_figures.limits(200)
    assert found["text_to_image_r1"] > 0.95 and 0 <= found["infonce_128"] < 0.05
    assert STORED["limits"]["text_to_image_r1"] == pytest.approx(0.954, abs=0.001)
    assert STORED["limits"]["infonce_128"] == pytest.approx(0.0084, abs=0.0005)
    reached = STORED["figures"]
    assert reached["text_to_image_r1"] < STORED["limits"]["text_to_image_r1"] + 0.01


def test_where_retrieval_falls_short():
    found = clip_figures.by_statement(200)
    assert sum(row["n"] for kind, row in found.items() if kind != "all") == found["all"]["n"] == 200
    assert found["all"]["reached"] == pytest.approx(clip_figures.compute(200)["text_to_image_r1"], abs=0.006)
    assert found["all"]["exact"] == pytest.approx(clip_figures.limits(200)["text_to_image_r1"])
    for kind, row in found.items():
        assert row["relations unknown"] <= row["exact"] + 1e-9, kind
        assert kind in ("all", "relation") or row["relations unknown"] == row["exact"], kind
    stored = STORED["by_statement"]
    assert stored["all"]["reached"] == pytest.approx(STORED["figures"]["text_to_image_r1"], abs=0.002)
    with pytest.raises(ValueError, match="hello"):
        clip_figures.statement_kind("hello")


def test_command_prints_the_same_figures():
    result = CliRunner().invoke(app, ["figures", "clip", "-n", "100", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == figures("clip", 100)
    assert CliRunner().invoke(app, ["figures", "clip", "-n", "7"]).exit_code != 0
    result = CliRunner().invoke(app, ["figures", "cnn"])
    assert result.exit_code != 0 and "expected some of clip" in " ".join(result.output.split())


def test_recall_shares_ties():
    assert clip_figures.recall_at_1(np.zeros((4, 4))) == 0.25
    assert clip_figures.recall_at_1(np.eye(3)) == 1.0


def test_grid_of_features_has_one_vector_per_eight_pixels(model: CLIP):
    """What a thing changes in the grid lies where the thing is."""
    images = np.full((2, 64, 64, 3), 128, np.uint8)
    images[1, 40:48, 8:16] = (214, 38, 40)
    with torch.no_grad():
        grid = model.vision(prepare_images(images))
    assert grid.shape == (2, 64, 128)
    change = (grid[1] - grid[0]).square().sum(dim=1).reshape(8, 8)
    row, column = divmod(int(change.argmax()), 8)
    assert abs(row - 5) <= 1 and abs(column - 1) <= 1


def test_a_cut_out_uses_its_part_of_the_positions(model: CLIP):
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, last = model.vision(pixels), model.vision(pixels, (4, 4))
    assert first.shape == last.shape == (2, 16, 128)
    assert not torch.allclose(first, last)


def test_floats_and_bytes_are_the_same_picture(model: CLIP):
    test = load("scenes", "test", n=3)
    raw = np.stack([test[i]["image"] for i in range(3)])
    ready = np.asarray(test.features()["image"])
    assert torch.allclose(model.encode_image(raw), model.encode_image(ready), atol=1e-6)
    assert torch.allclose(model.encode_image(raw).norm(dim=1), torch.ones(3), atol=1e-6)


def test_a_text_alone_is_as_in_a_batch(model: CLIP):
    texts = ["a red star", "There is a small blue circle, a huge green cross and a white box.", "一个红色的圆形"]
    together = model.encode_text(texts)
    alone = torch.cat([model.encode_text([text]) for text in texts])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(model.encode_text(["A RED star!"]), model.encode_text(["a red star"]), atol=1e-5)


def test_saved_model_comes_back(model: CLIP, tmp_path: Path):
    model.save_pretrained(tmp_path)
    again = CLIP.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert (tmp_path / "model.safetensors").read_bytes() == (FOLDER / "model.safetensors").read_bytes()


def broken(tmp_path: Path, model: CLIP) -> Path:
    model.save_pretrained(tmp_path)
    return tmp_path


def test_damaged_or_foreign_files_are_named(model: CLIP, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"config.json is missing: expected a shipped model's name"):
        CLIP.from_pretrained(tmp_path / "nothing")
    folder = broken(tmp_path, model)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if name != "text.out.weight"}, folder / "model.safetensors"
    )
    with pytest.raises(ValueError, match=r"(?s)model.safetensors: .*text.out.weight"):
        CLIP.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match=r"model.safetensors"):
        CLIP.from_pretrained(folder)
    (folder / "config.json").write_text('{"dim": 128}', encoding="utf-8")
    with pytest.raises(ValueError, match="config.json: expected what save_pretrained writes"):
        CLIP.from_pretrained(folder)
    folder = broken(tmp_path, model)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["vocabulary"]["sha256"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="another vocabulary"):
        CLIP.from_pretrained(folder)


def test_words_that_were_added_later_do_not_refuse_an_old_model(model: CLIP, tmp_path: Path, monkeypatch):
    folder = broken(tmp_path, model)
    pieces = list(vocabulary.pieces())
    pieces[pieces.index("<spare_977>")] = "zebra"
    monkeypatch.setattr(vocabulary, "pieces", lambda: tuple(pieces))
    assert CLIP.from_pretrained(folder).config["vocabulary_size"] == len(pieces)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32, 3), np.uint8), r"images: expected \(b, 64, 64, 3\), got \(2, 32, 32, 3\)"),
        (np.zeros((64, 64), np.uint8), "images: expected"),
        (np.zeros((1, 64, 64, 3), np.int64), "uint8 from 0 to 255 or floats"),
        (np.full((1, 64, 64, 3), 200.0), "divide by 255"),
        (np.full((1, 64, 64, 3), np.nan), "floats from 0 to 1"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(images: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        prepare_images(images)


@pytest.mark.parametrize(
    ("texts", "message"),
    [("a red star", "one string"), (["red", " "], r"texts\[1\]"), (["..."], r"texts\[0\]"), ([3], r"texts\[0\]")],
)
def test_texts_that_do_not_fit_are_refused(texts, message: str):
    with pytest.raises(ValueError, match=message):
        tokenize(texts)


def test_a_text_that_is_too_long_is_refused(model: CLIP):
    with pytest.raises(ValueError, match="at most 80 pieces"):
        model.encode_text(["red " * 100])


def test_no_pictures_give_no_vectors(model: CLIP):
    assert model.encode_image(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, 256)


@pytest.mark.parametrize(
    ("sentence", "strange"),
    [
        ("A small RED cross, to the left of a box!", []),
        ("a fluffy zebra and a fluffy star", ["fluffy", "zebra"]),
        ("一个黄色的圆形在左边", []),
        ("一个黄色的猫在左边", ["猫"]),
    ],
)
def test_words_that_training_never_had_are_named(sentence, strange):
    assert unknown_words(sentence) == strange


def test_every_word_of_new_captions_is_known():
    scenes = [world.make(5, index) for index in range(400)]
    assert all(not unknown_words(say(scene)) for scene in scenes for say in (english, chinese))
    assert vocabulary.id_of("<0x41>") not in trained_pieces()


def test_temperature_is_clipped():
    model = CLIP(dim=16, out_dim=16, num_layers=1)
    with torch.no_grad():
        model.log_scale.fill_(9.0)
    model.clip_log_scale()
    assert model.log_scale.item() == pytest.approx(math.log(100))


def test_an_untrained_model_knows_nothing_and_a_few_steps_teach_it():
    """First loss ln b, and the same batch is learned in 30 steps by the two optimizers of the long run."""
    torch.manual_seed(0)
    train = load("scenes", "train", n=16)
    model = CLIP(dim=32, out_dim=32, num_layers=1)
    images = prepare_images(np.stack([train[i]["image"] for i in range(16)]))
    ids, padding_mask = tokenize([train[i]["words"] for i in range(16)])
    matrices = [p for name, p in model.named_parameters() if p.ndim > 1 and "embedding" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim < 2 or "embedding" in name]
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=3e-3)]
    losses = []
    for _ in range(30):
        loss = contrastive_loss(*model(images, ids, padding_mask), model.log_scale)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(16)) < 1.0
    assert losses[-1] < 0.3


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5), (1, 7)])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, int]):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(matrix)
    values = torch.linalg.svdvals(found)
    assert found.shape == shape and values.min() > 0.5 and values.max() < 1.3
    assert (found * (u @ v)).sum() / found.norm() / (u @ v).norm() > 0.97  # the direction of the nearest orthogonal one


def test_muon_equals_pytorchs_own():
    """Where PyTorch has a Muon, for a square matrix: equal up to the precision of its bfloat16 iteration."""
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no torch.optim.Muon")
    start = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizers = [Muon([ours], lr=0.02, weight_decay=0.1)]
    optimizers.append(torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95))
    for step in range(4):
        gradient = torch.randn(6, 6, generator=torch.Generator().manual_seed(10 + step))
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=0.02 * 4 * 0.05)


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match=r"expected matrices and kernels, got shape \(3,\)"):
        Muon([torch.nn.Parameter(torch.zeros(3))])
