"""The painter: captions in, pictures out; guidance at its ends; an average of words; saved and loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmcourse.torch.generation import FiLMBlock, Painter, UNet, from_pictures, to_pictures


@pytest.fixture(scope="module")
def model() -> Painter:
    torch.manual_seed(0)
    model = Painter(channels=(8, 16), dim=16)
    with torch.no_grad():  # blocks pass on their input at the start, so that captions would have no effect
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def test_shapes_and_range(model: Painter):
    pictures = model.paint(["a green star", "an azure disc", "a disc that is blue"], num_steps=3)
    assert pictures.shape == (3, 16, 16, 3) and pictures.dtype == np.uint8
    assert UNet(1, (8, 16), 4)(torch.zeros(2, 1, 8, 8), torch.zeros(2, 4)).shape == (2, 1, 8, 8)


def test_a_block_passes_on_its_input_at_the_start():
    block, x = FiLMBlock(8, 8, 4), torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x, torch.ones(2, 4)), x)


def test_guidance_at_its_ends(model: Painter):
    captions, noise = ["a green star"] * 2, torch.zeros(2, 3, 16, 16)
    free = model.paint([""] * 2, 1.0, 3, noise=noise)
    forgotten = model.paint(captions, 0.0, 3, noise=noise).astype(int)
    assert abs(forgotten - free).max() <= 1, "0 forgets the caption"
    by_caption = model.paint(captions, 1.0, 3, noise=noise)
    almost = model.paint(captions, 1.0 + 1e-6, 3, noise=noise).astype(int)
    assert abs(almost - by_caption).max() <= 1 and (by_caption != free).any()


def test_captions_are_read_apart_and_in_batches(model: Painter):
    captions = ["a green star", "an azure disc", "", "a box in red"]
    together = model.encode(captions)
    for row, caption in zip(together, captions, strict=True):
        assert torch.allclose(row, model.encode([caption])[0], atol=1e-6)
    assert torch.allclose(model.encode(["A green STAR."]), together[:1])
    by_one = model.paint(captions, 2.0, 3, batch_size=1).astype(int)
    assert abs(by_one - model.paint(captions, 2.0, 3)).max() <= 1


def test_unknown_words_and_one_string_are_refused(model: Painter):
    with pytest.raises(ValueError, match="this model has no word 'elephant'; it has"):
        model.encode(["a red elephant"])
    with pytest.raises(ValueError, match="expected a list of captions"):
        model.encode("a red star")


def test_pictures_go_there_and_back():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    assert (to_pictures(from_pictures(pictures)) == pictures).all()
    assert to_pictures(torch.full((1, 3, 1, 1), 1.7)).ravel().tolist() == [255] * 3


def test_saved_model_comes_back(model: Painter, tmp_path: Path):
    model.save_pretrained(tmp_path)
    again = Painter.from_pretrained(tmp_path)
    assert again.words == model.words and not again.training
    with pytest.raises(FileNotFoundError):
        Painter.from_pretrained(tmp_path / "nowhere")
