"""The captioner: its cache changes nothing, its decoding is as it says, and it is clear about input it cannot take."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmcourse.datasets import load, vocabulary
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import english
from mmcourse.figures import captioning as captioning_figures
from mmcourse.torch.captioner import Captioner, encode_captions
from mmcourse.torch.clip import CLIP, prepare_images
from mmcourse.torch.decoding import KVCache, token_cross_entropy

CAPTION = "A small red star is to the left of a huge blue box, and a disc that is green and tiny."


@pytest.fixture(scope="module")
def model() -> Captioner:
    torch.manual_seed(0)
    found = Captioner(dim=32, num_layers=2, num_heads=4, hidden=48, vision_dim=32)
    for parameter in found.parameters():  # nothing is 0, so nothing is hidden
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.2)
    torch.nn.init.normal_(found.embedding.weight, std=0.5)
    return found.eval()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    test = load("scenes", "test", n=6)
    return np.stack([test[i]["image"] for i in range(6)])


# ---------------------------------------------------------------- the cache
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_logits_with_and_without_the_cache_are_equal(pictures: np.ndarray, dtype: torch.dtype, tolerance: float):
    """At every step, one piece or several at once, and after rows were exchanged."""
    torch.manual_seed(1)
    model = Captioner(dim=32, num_layers=3, num_heads=4, hidden=48, vision_dim=32).to(dtype).eval()
    images = prepare_images(pictures).to(dtype)
    ids = torch.randint(3, 900, (6, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(images, ids)  # (6, 40, vocabulary)
        for cuts in (range(0, 41), (0, 1, 7, 8, 30, 40)):
            cache = model.start_cache(model.encode_image(images))
            for start, end in zip(cuts, list(cuts)[1:], strict=False):
                assert cache.length == start
                found = model.step(ids[:, start:end], cache)
                assert (found - whole[:, end - 1]).abs().max() <= tolerance, f"position {end - 1}"
        cache = model.start_cache(model.encode_image(images))
        model.step(ids[:, :20], cache)
        order = torch.tensor([5, 0, 0, 2])
        cache.select(order)
        found = model.step(ids[order, 20:21], cache)
        assert (found - whole[order, 20]).abs().max() <= tolerance


def test_a_piece_sees_no_later_one_and_every_piece_sees_the_picture(model: Captioner, pictures: np.ndarray):
    images = prepare_images(pictures[:2])
    ids, _ = encode_captions([CAPTION])
    changed = ids.clone()
    changed[0, 9:] = vocabulary.id_of("cross")
    with torch.no_grad():
        first, second = model(images[:1], ids), model(images[:1], changed)
        assert torch.equal(first[:, :9], second[:, :9]) and not torch.allclose(first[:, 9], second[:, 9])
        other = model(images[1:], ids)
    assert ((first - other).abs().amax(dim=(0, 2)) > 1e-4).all()


def test_several_texts_share_a_picture(model: Captioner, pictures: np.ndarray):
    """Three texts in a row for each of two pictures: as each text with its own copy."""
    grid = model.encode_image(prepare_images(pictures[:2])).detach()
    ids = torch.randint(3, 900, (6, 12), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        shared = model.hidden_states(ids, model.start_cache(grid))
        copied = model.hidden_states(ids, model.start_cache(grid.repeat_interleave(3, dim=0)))
    assert torch.allclose(shared, copied, atol=1e-5)


def test_the_cache_saves_operations_and_more_of_them_for_longer_texts(model: Captioner):
    """Counted, not timed: with the cache a piece costs about the same each time, without it the whole text again."""
    grid = torch.zeros(1, 64, 32)
    found = {}
    for length in (8, 32):
        ids = torch.full((1, length), vocabulary.BOS)
        with torch.no_grad():
            with FlopCounterMode(display=False) as with_cache:
                cache = model.start_cache(grid)
                for t in range(length):
                    model.step(ids[:, t : t + 1], cache)
            with FlopCounterMode(display=False) as without:
                context = model.start_cache(grid).context
                for t in range(length):
                    model.step(ids[:, : t + 1], KVCache(context))
        found[length] = without.get_total_flops() / with_cache.get_total_flops()
    assert 1 < found[8] < found[32] and found[32] > 2


def test_the_speed_of_the_cache_is_measured_by_length():
    found = captioning_figures.cache_speedup((2, 4), batch=1)
    assert set(found) == {2, 4} and all(value > 0 for value in found.values())


# ---------------------------------------------------------------- likelihood and captions
def test_log_likelihood_is_the_loss_and_padding_adds_nothing(model: Captioner, pictures: np.ndarray):
    captions = ["A red star.", CAPTION, "A disc in the middle."]
    together = model.log_likelihood(pictures[:3], captions)
    alone = torch.cat([model.log_likelihood(pictures[i : i + 1], [captions[i]]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-4) and (together < 0).all()
    ids, real = encode_captions(captions)
    with torch.no_grad():
        loss = token_cross_entropy(model(prepare_images(pictures[:3]), ids), ids, real)
    assert loss.item() == pytest.approx(-together.sum().item() / int(real[:, 1:].sum()), rel=1e-5)


def test_greedy_is_the_most_likely_piece_each_time(model: Captioner, pictures: np.ndarray):
    written = model.caption(pictures[:2], max_length=8)
    images = prepare_images(pictures[:2])
    ids = torch.full((2, 1), vocabulary.BOS)
    with torch.no_grad():
        for _ in range(8):
            ids = torch.cat([ids, model(images, ids)[:, -1:].argmax(dim=-1)], dim=1)
    assert written == [vocabulary.decode(row) for row in ids.numpy()]
    assert model.caption(pictures[:2], "beam", num_beams=1, max_length=8) == written


def test_beam_search_finds_what_is_at_least_as_likely(model: Captioner, pictures: np.ndarray):
    """Scores are log p of what was written, as teacher forcing gives it."""
    from mmcourse.torch.decoding import beam_search, greedy

    images = prepare_images(pictures)
    prompt = torch.full((6, 1), vocabulary.BOS)

    def log_p(ids):
        whole = torch.cat([prompt, ids], dim=1)
        with torch.no_grad():
            table = model(images, whole[:, :-1]).log_softmax(dim=-1)
        found = table.gather(2, whole[:, 1:, None])[..., 0]
        ended = (ids == vocabulary.EOS).cumsum(dim=1) - (ids == vocabulary.EOS).long()  # behind the end
        return (found * (ended == 0)).sum(dim=1)

    beams, scores = beam_search(model.step, model.start_cache(model.encode_image(images)), prompt, 6, num_beams=8)
    assert torch.allclose(scores[:, 0], log_p(beams[:, 0]), atol=1e-4)
    assert torch.allclose(scores[:, 7], log_p(beams[:, 7]), atol=1e-4)
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    plain = greedy(model.step, model.start_cache(model.encode_image(images)), prompt, 6)
    assert (scores[:, 0] >= log_p(plain) - 1e-4).all()


def test_samples_come_again_with_their_seed_and_are_sharp_at_a_low_temperature(model: Captioner, pictures: np.ndarray):
    options = {"max_length": 6, "temperature": 0.8, "top_p": 0.9}
    first, again, other = (model.caption(pictures, "sample", seed=seed, **options) for seed in (0, 0, 1))
    assert first == again != other
    greedy = model.caption(pictures, max_length=6)
    assert model.caption(pictures, "sample", temperature=1e-3, seed=0, max_length=6) == greedy
    assert model.caption(pictures, "sample", top_k=1, seed=0, max_length=6) == greedy
    assert len(model.caption(pictures, "sample", max_length=1)) == 6


def test_batches_do_not_change_a_caption(model: Captioner, pictures: np.ndarray):
    for method in ("greedy", "beam"):
        together = model.caption(pictures, method, max_length=6)
        assert model.caption(pictures, method, max_length=6, batch_size=4) == together
        assert model.caption(pictures[0], method, max_length=6) == together[:1]
    assert model.caption(np.zeros((0, 64, 64, 3), np.uint8)) == []


def test_attention_maps_sum_to_one_and_are_those_of_the_model(model: Captioner, pictures: np.ndarray):
    maps = model.cross_attention(pictures[0], CAPTION)
    ids, _ = encode_captions([CAPTION])
    assert maps.shape == (2, 4, ids.shape[1] - 1, 8, 8)
    assert torch.allclose(maps.sum(dim=(3, 4)), torch.ones(maps.shape[:3]), atol=1e-5)


def test_the_tower_starts_as_the_one_of_clip():
    clip = CLIP.from_pretrained("clip")
    model = Captioner(dim=32, num_layers=1)
    model.look_from(clip)
    for name, value in clip.vision.state_dict().items():
        assert torch.equal(model.vision.state_dict()[name], value), name
    with torch.no_grad():
        model.vision.positions += 1
    assert not torch.equal(model.vision.positions, clip.vision.positions)  # a copy of its own


# ---------------------------------------------------------------- truth
def test_truth_of_captions_is_counted_by_the_grammar():
    scenes = [world.make(20_003, index) for index in range(60)]
    captions = [english(scene) for scene in scenes]
    found = captioning_figures.truth_of(captions, scenes)
    assert found["all_true"] == found["grammatical"] == found["statements"] == 1.0
    assert found["relations"] == pytest.approx(0.45, abs=0.15)
    shifted = captioning_figures.truth_of(captions[1:] + captions[:1], scenes)
    assert shifted["all_true"] < 0.05 and shifted["grammatical"] == 1.0
    babble = captioning_figures.truth_of(["red star a a"] * 60, scenes)
    assert babble["all_true"] == babble["grammatical"] == babble["statements"] == babble["relations"] == 0


@pytest.mark.parametrize(
    ("caption", "statements"),
    [
        ("A small red star is left of a blue box.", 3 + 2 + 1),
        ("Look at a star that is red and small in the middle on a plain background.", 3 + 1 + 1),
        ("There are two things: a red star and a tiny blue box.", 2 + 3 + 1),
        ("red star", 0),
    ],
)
def test_statements_are_counted(caption: str, statements: int):
    from mmcourse.datasets.scenes.truth import parse

    assert captioning_figures.num_statements(parse(caption)) == statements


def test_floors_are_the_exact_ones():
    found = captioning_figures.floors()
    assert found["floor"] == pytest.approx(0.7191, abs=1e-4)
    assert found["floor_order_known"] == pytest.approx(0.6615, abs=1e-4)


# ---------------------------------------------------------------- learning
def test_an_untrained_model_knows_nothing_and_a_few_steps_teach_it(pictures: np.ndarray):
    torch.manual_seed(0)
    model = Captioner(dim=32, num_layers=1, hidden=32, vision_dim=32)
    images = prepare_images(pictures)
    ids, real = encode_captions([english(world.make(20_003, index)) for index in range(6)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = token_cross_entropy(model(images, ids), ids, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(len(vocabulary.pieces()))) < 0.5
    assert losses[-1] < 2.0


# ---------------------------------------------------------------- files
def test_saved_model_comes_back(model: Captioner, pictures: np.ndarray, tmp_path: Path):
    model.save_pretrained(tmp_path)
    again = Captioner.from_pretrained(tmp_path)
    assert again.config == model.config and not again.training
    for name, value in model.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], rtol=1e-3, atol=1e-4), name
    again.save_pretrained(tmp_path / "second")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_damaged_or_foreign_files_are_named(model: Captioner, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"config.json is missing: expected a shipped model's name"):
        Captioner.from_pretrained(tmp_path / "nothing")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "dim": 64}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"(?s)model.safetensors: .*size mismatch"):
        Captioner.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="config.json: made for another model than Captioner"):
        Captioner.from_pretrained("clip")


# ---------------------------------------------------------------- input that does not fit
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method: expected one of greedy, beam, sample, got 'best'"),
        ({"max_length": 0}, "max_length: expected 1 or more, got 0"),
        ({"max_length": 64}, "max_length: this model writes up to 63 pieces, got 64"),
        ({"method": "beam", "num_beams": 0}, "num_beams: expected 1 or more, got 0"),
        ({"method": "beam", "alpha": -1.0}, "alpha: expected 0"),
        ({"method": "sample", "temperature": 0.0}, "temperature: expected above 0"),
        ({"method": "sample", "top_p": math.nan}, "top_p: expected above 0"),
        ({"method": "sample", "top_k": 0}, "top_k: expected 1 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(model: Captioner, pictures: np.ndarray, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        model.caption(pictures[:1], **options)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32, 3), np.uint8), r"images: expected \(b, 64, 64, 3\), got \(2, 32, 32, 3\)"),
        (np.full((1, 64, 64, 3), np.nan), "floats from 0 to 1"),
        (np.full((1, 64, 64, 3), 200.0), "divide by 255"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(model: Captioner, images: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        model.caption(images)
    with pytest.raises(ValueError, match=message):
        model.log_likelihood(images, ["A red star."] * len(images))


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (["A red star.", ""], r"texts\[1\]: it is empty"),
        (["A red star.", "A purple zebra."], r"captions\[1\]: the vocabulary has no 'zebra.'"),
        ("A red star.", "expected a list of strings, got one string"),
        (["A red star."], "captions: expected one for each of 2 pictures, got 1"),
        ([" ".join(["red"] * 80), "A red star."], "ids: at most 64 pieces, got 81"),
    ],
)
def test_captions_that_do_not_fit_are_refused(model: Captioner, pictures: np.ndarray, captions, message: str):
    with pytest.raises(ValueError, match=message):
        model.log_likelihood(pictures[:2], captions)


def test_weights_that_are_nan_are_named(pictures: np.ndarray):
    torch.manual_seed(0)
    model = Captioner(dim=16, num_layers=1, hidden=16, vision_dim=16)
    with torch.no_grad():
        model.norm.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="logits: NaN in row 0"):
        model.caption(pictures[:1])


def test_an_empty_cache_has_no_length():
    assert KVCache().length == 0 and KVCache().context == []
