"""The detector: shapes, queries, matching, non-maximum suppression, phrases, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmcourse.torch import detection
from mmcourse.torch.boxes import xyxy_to_cxcywh
from mmcourse.torch.clip import CLIP
from mmcourse.torch.detection import CLASSES, NOTHING, Detector, dense_matching, grid_centers, select, to_pixels
from mmcourse.torch.set_prediction import hungarian_matching, matching_cost, set_prediction_loss

SMALL = {"dim": 16, "num_heads": 2, "hidden": 16}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
PHRASES = ["the red star", "the small thing left of the blue box", "a large circle"]


@pytest.fixture(scope="module")
def model() -> Detector:
    torch.manual_seed(0)
    return Detector(**SMALL).eval()


@pytest.mark.parametrize("options", [{}, {"fine": False}, {"queries": "learned", "num_queries": 8, "num_layers": 2}])
def test_each_query_has_a_class_and_a_box(options: dict):
    torch.manual_seed(0)
    model = Detector(**SMALL, **options).eval()
    logits, boxes = model(torch.rand(2, 3, 64, 64))
    number = options.get("num_queries", 64)
    assert logits.shape == (2, number, len(CLASSES) + 1) and boxes.shape == (2, number, 4)
    assert (boxes[..., 2:] > 0).all()
    if "queries" not in options:  # relative to its own place: at the start each is near it
        assert (boxes[..., :2] - model.centers).abs().max() < 0.25
    (logits.sum() + boxes.sum()).backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("phrases."):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_centers_go_row_by_row():
    """As the grid does: position 1 is right of position 0, position 8 below it."""
    centers = grid_centers()
    assert centers.shape == (64, 2)
    assert centers[0].tolist() == [1 / 16, 1 / 16] and centers[1].tolist() == [3 / 16, 1 / 16]
    assert centers[8].tolist() == [1 / 16, 3 / 16] and centers[-1].tolist() == [15 / 16, 15 / 16]


def test_the_tower_is_that_of_clip():
    torch.manual_seed(0)
    clip, model = CLIP(dim=16, num_heads=2, hidden=16), Detector(**SMALL)
    model.look_from(clip)
    model.eval()
    clip.eval()
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.vision.pyramid(x)[2], clip.vision(x))
    half, quarter, grid = model.vision.pyramid(x)
    assert half.shape == (2, 32, 32, 32) and quarter.shape == (2, 96, 16, 16) and grid.shape == (2, 64, 16)
    ids = torch.tensor([[2, 50, 60, 3]])
    real = torch.ones(1, 4, dtype=torch.bool)
    ours, theirs = (tower.forward_features(ids, real) for tower in (model.phrases.text, clip.text))
    assert torch.equal(ours, theirs)


def test_equal_learned_queries_stay_equal():
    """Without different vectors, no query could ever say something else than the others."""
    model = Detector(**SMALL, queries="learned", num_queries=4).eval()
    with torch.no_grad():
        model.query_vectors[:] = model.query_vectors[0]
    logits, boxes = model(torch.rand(1, 3, 64, 64))
    assert torch.allclose(logits[:, :1].expand_as(logits), logits, atol=1e-6)
    assert torch.allclose(boxes[:, :1].expand_as(boxes), boxes, atol=1e-6)


def test_order_of_learned_queries_does_not_matter():
    model = Detector(**SMALL, queries="learned", num_queries=5, num_layers=2).eval()
    x = torch.rand(1, 3, 64, 64)
    logits, boxes = model(x)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        model.query_vectors.copy_(model.query_vectors[order].clone())
    again, boxes_again = model(x)
    assert torch.allclose(again, logits[:, order], atol=1e-6) and torch.allclose(
        boxes_again, boxes[:, order], atol=1e-6
    )


def test_detections_are_sorted_whole_and_inside(model: Detector):
    for found in model.detect(IMAGES, threshold=0.0):
        assert len(found) == 64 and found.boxes.shape == (64, 4)
        assert (np.diff(found.scores) <= 0).all() and found.labels.max() < len(CLASSES)
        assert (found.boxes == np.round(found.boxes)).all() and found.boxes.min() >= 0 and found.boxes.max() <= 64
    unrounded = model.detect(IMAGES, threshold=0.0, whole_pixels=False)
    assert any((found.boxes != np.round(found.boxes)).any() for found in unrounded)
    assert all(len(found) == 0 for found in model.detect(IMAGES, threshold=1.0))
    assert model.detect(IMAGES[:0]) == []


def test_pictures_do_not_depend_on_the_batch(model: Detector):
    together = model.detect(IMAGES, threshold=0.0, whole_pixels=False)
    for image, found in zip(IMAGES, together, strict=True):
        alone = model.detect(image, threshold=0.0, whole_pixels=False)[0]
        assert np.abs(alone.scores - found.scores).max() < 1e-5
    boxes, p = model.find(IMAGES, PHRASES, whole_pixels=False)
    for image, phrase, box, share in zip(IMAGES, PHRASES, boxes, p, strict=True):
        alone, p_alone = model.find(image, [phrase], whole_pixels=False)
        assert np.abs(alone[0] - box).max() < 1e-3 and abs(p_alone[0] - share) < 1e-5


def test_suppression_is_within_a_class():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [30, 30, 40, 40.0]])
    labels, p = torch.tensor([1, 1, 2, 1]), torch.tensor([0.6, 0.9, 0.8, 0.55])
    found = select(boxes, labels, p, 0.5, 0.5)
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.55]) and found.labels.tolist() == [1, 2, 1]
    assert len(select(boxes, labels, p, 0.5, None)) == 4
    assert len(select(boxes, labels, p, 0.85, 0.5)) == 1


def test_pixels():
    boxes = torch.tensor([[0.5, 0.5, 0.25, 0.5], [0.0, 0.5, 0.5, 0.1]])
    assert to_pixels(boxes)[0].tolist() == [24, 16, 40, 48]
    assert to_pixels(boxes)[1, 0] == 0  # not outside


def test_dense_matching_is_one_to_many():
    """Every position inside; where two objects overlap, the smaller; a tiny one between all centers is not lost."""
    corners = torch.tensor([[[0, 0, 32, 32], [8, 8, 16, 16], [39, 39, 41, 41], [0, 0, 64, 64.0]]])
    matched = dense_matching(xyxy_to_cxcywh(corners / 64), torch.tensor([3]))[0].reshape(8, 8)
    assert (matched[:4, :4] == 0).sum() == 15 and matched[1, 1] == 1
    assert (matched == 2).sum() >= 1 and (matched == 3).sum() == 0
    assert (matched == -1).sum() == 64 - 16 - (matched == 2).sum()
    assert (dense_matching(xyxy_to_cxcywh(corners / 64))[0] == 3).any()  # all four are real


def test_a_few_steps_of_training_find_the_object():
    """One picture by heart: the matched query ends at the object, and its class is the most probable."""
    torch.manual_seed(0)
    model = Detector(dim=32, num_heads=2, hidden=32, text_layers=0)
    x = torch.rand(4, 3, 64, 64)
    boxes = xyxy_to_cxcywh(torch.tensor([[[8, 8, 24, 24], [40, 30, 60, 50.0]]]).expand(4, -1, -1) / 64)
    labels = torch.tensor([[1, 4]]).expand(4, -1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = None
    for _ in range(40):
        logits, found = model(x)
        with torch.no_grad():
            matched = hungarian_matching(matching_cost(logits, found, labels, boxes))
        parts = set_prediction_loss(logits, found, labels, boxes, matched)
        loss = parts[0] + 5 * parts[1] + 2 * parts[2]
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 4
    rows = matched >= 0
    assert (logits[rows].argmax(dim=-1) != NOTHING).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.detect(np.zeros((1, 32, 32, 3), np.uint8)), r"images: expected \(b, 64, 64, 3\)"),
        (lambda m: m.find(IMAGES, PHRASES[:1]), "phrases: expected one for each of 3 pictures, got 1"),
        (lambda m: m.find(IMAGES[:1], "the red star"), "phrases: .*got one string"),
        (lambda m: m.find(IMAGES[:1], ["the red zebra"]), r"phrases\[0\]: the vocabulary has no 'zebra'"),
        (lambda m: m.find(IMAGES[:1], [" "]), r"phrases\[0\]: expected a sentence"),
        (lambda m: m.detect(IMAGES, threshold=50), "threshold: expected a probability from 0 to 1, got 50"),
        (lambda m: m.detect(IMAGES, nms_threshold=2), "nms_threshold: expected None or an IoU"),
        (lambda m: Detector(queries="anchors"), "queries: expected one of grid, learned"),
        (lambda m: Detector(num_queries=8), "num_queries: the grid has 64, got 8; queries='learned' takes any"),
        (lambda m: Detector(queries="learned", num_queries=0), "num_queries: expected 1 or more, got 0"),
        (lambda m: Detector(**SMALL, text_layers=0).eval().find(IMAGES, PHRASES), "made without phrases"),
    ],
)
def test_what_does_not_fit_is_named(model: Detector, call, message: str):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_more_objects_than_queries_are_named():
    model = Detector(**SMALL, queries="learned", num_queries=2)
    logits, found = model(torch.rand(1, 3, 64, 64))
    labels, boxes = torch.zeros(1, 3, dtype=torch.long), torch.full((1, 3, 4), 0.3)
    with pytest.raises(ValueError, match="at most 2, one for each query, got 3 objects"):
        hungarian_matching(matching_cost(logits, found, labels, boxes))


def test_saved_and_loaded(model: Detector, tmp_path: Path):
    model.save_pretrained(tmp_path)
    again = Detector.from_pretrained(tmp_path)
    assert again.config == model.config
    for ours, theirs in zip(model.detect(IMAGES, 0.0), again.detect(IMAGES, 0.0), strict=True):
        assert np.abs(ours.scores - theirs.scores).max() < 0.01
    with pytest.raises(FileNotFoundError, match="config.json is missing"):
        Detector.from_pretrained(tmp_path / "nowhere")


def test_phrases_are_not_a_way_to_change_the_boxes(model: Detector):
    """The phrase's loss reaches queries and words, but neither class nor box."""
    queries = model.encode_image(torch.rand(2, 3, 64, 64))
    ids = torch.tensor([[2, 50, 60, 3], [2, 50, 3, 0]])
    model.zero_grad()
    scores = model.phrase_scores(queries, ids, ids != 0)
    assert scores.shape == (2, 64)
    (-scores.log_softmax(dim=-1)[:, 5]).sum().backward()
    assert all(p.grad is None for p in model.to_box.parameters())
    assert all(p.grad is None for p in model.to_class.parameters())
    assert model.phrases.geometry[0].weight.grad.abs().sum() > 0
    assert model.vision.stem[0][0].weight.grad.abs().sum() > 0
    assert detection.ROLES == ("subject", "relation", "anchor")
