"""Boxes and set prediction: equal to the reference library, right where the answer is known, and with every mistake
noticed that is seen in public code."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants_encoders import Mutant, mutated

from mmcourse.evaluate.detection import average_precision, precision_recall
from mmcourse.keras import boxes as keras_boxes
from mmcourse.keras import set_prediction as keras_set
from mmcourse.numpy import boxes as numpy_boxes
from mmcourse.numpy import set_prediction as numpy_set
from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, parity_cases, properties
from mmcourse.parity.compare import difference
from mmcourse.torch import boxes as torch_boxes
from mmcourse.torch import set_prediction as torch_set
from mmcourse.torch.detection import to_pixels

CASES = {case.name: case for part in ("boxes", "set_prediction") for case in parity_cases(part)}
BACKENDS = ("numpy", "torch", "keras")
FILES = {
    "numpy": (numpy_boxes, numpy_set),
    "torch": (torch_boxes, torch_set),
    "keras": (keras_boxes, keras_set),
}


def call(backend, name, *arrays, **options):
    """A function of NumPy arrays in one backend; gives NumPy arrays."""
    function = next(getattr(file, name) for file in FILES[backend] if hasattr(file, name))
    if backend == "numpy":
        found = function(*arrays, **options)
        return found[0] if name == "set_prediction_loss" else found
    if backend == "torch":
        found = function(*map(torch.as_tensor, arrays), **options)
        return tuple(map(float, found)) if isinstance(found, tuple) else found.numpy()
    from keras import ops

    found = function(*(ops.convert_to_tensor(array, dtype=array.dtype.name) for array in arrays), **options)
    return tuple(map(float, found)) if isinstance(found, tuple) else ops.convert_to_numpy(found)


def draw_boxes(rng, *shape):
    """Valid xyxy boxes in the unit square."""
    first = rng.uniform(0, 0.7, size=(*shape, 2))
    return np.concatenate([first, first + rng.uniform(0.05, 0.3, size=(*shape, 2))], axis=-1)


def draw_scene(seed=0, num_queries=6, num_objects=3, num_classes=4):
    """Logits, boxes of queries, labels, boxes of objects; boxes as cxcywh."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(num_queries, num_classes + 1)),
        numpy_boxes.xyxy_to_cxcywh(draw_boxes(rng, num_queries)),
        rng.integers(0, num_classes, size=num_objects),
        numpy_boxes.xyxy_to_cxcywh(draw_boxes(rng, num_objects)),
    )


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_properties(case):
    torch_backend = TorchBackend(case)
    inputs = case.inputs(np.random.default_rng(0))
    for backend in (torch_backend, KerasBackend(case, torch_backend, inputs)):
        properties.registered(backend, case)
        properties.learns(backend, inputs)


# ---------------------------------------------------------------- equal to the reference library
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(5))
def test_giou_is_that_of_transformers(backend, seed):
    from transformers.loss.loss_for_object_detection import box_iou, generalized_box_iou

    rng = np.random.default_rng(seed)
    a, b = draw_boxes(rng, 7), draw_boxes(rng, 5)
    want = generalized_box_iou(torch.as_tensor(a), torch.as_tensor(b)).numpy()
    assert np.abs(call(backend, "pairwise_giou", a, b) - want).max() < 1e-12
    want = box_iou(torch.as_tensor(a), torch.as_tensor(b))[0].numpy()
    assert np.abs(call(backend, "pairwise_iou", a, b) - want).max() < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(5))
def test_matching_and_losses_are_those_of_transformers(backend, seed):
    """DETR's own classes on two pictures, one of them with an object less."""
    from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

    pictures = [draw_scene(2 * seed), draw_scene(2 * seed + 1, num_objects=2)]
    outputs = {
        "logits": torch.as_tensor(np.stack([logits for logits, _, _, _ in pictures])),
        "pred_boxes": torch.as_tensor(np.stack([boxes for _, boxes, _, _ in pictures])),
    }
    targets = [
        {"class_labels": torch.as_tensor(labels), "boxes": torch.as_tensor(boxes)} for _, _, labels, boxes in pictures
    ]
    matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    theirs = matcher(outputs, targets)
    matched = []
    for (logits, boxes, labels, target_boxes), (queries, objects) in zip(pictures, theirs, strict=True):
        cost = call(backend, "matching_cost", logits, boxes, labels, target_boxes)
        ours = call(backend, "hungarian_matching", cost)
        assert np.array_equal(ours[queries.numpy()], objects.numpy()) and (ours >= 0).sum() == len(queries)
        matched.append(ours)
    # a batch: the second picture's third object is padding
    labels = np.stack([pictures[0][2], np.append(pictures[1][2], 0)])
    target_boxes = np.stack([pictures[0][3], np.concatenate([pictures[1][3], np.full((1, 4), 0.5)])])
    logits, boxes = outputs["logits"].numpy(), outputs["pred_boxes"].numpy()
    found = call(backend, "set_prediction_loss", logits, boxes, labels, target_boxes, np.stack(matched))
    criterion = ImageLoss(matcher, num_classes=4, eos_coef=0.1, losses=["labels", "boxes"]).double()
    criterion.empty_weight[-1] = 0.1  # it was rounded to float32
    want = criterion(outputs, targets)
    for value, name in zip(found, ("loss_ce", "loss_bbox", "loss_giou"), strict=True):
        assert float(value) == pytest.approx(want[name].item(), abs=1e-12), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_matched_as_its_pictures_are(backend):
    rng = np.random.default_rng(0)
    cost = rng.normal(size=(4, 6, 3))
    counts = np.array([3, 1, 0, 2])
    found = call(backend, "hungarian_matching", cost, counts)
    for row, one, count in zip(found, cost, counts, strict=True):
        assert np.array_equal(row, call(backend, "hungarian_matching", one[:, :count]))
        assert sorted(row[row >= 0]) == list(range(count))


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_objects_than_queries_are_refused(backend):
    with pytest.raises(ValueError, match="at most 2, one for each query, got 3 objects"):
        call(backend, "hungarian_matching", np.zeros((2, 3)))
    found = call(backend, "hungarian_matching", np.zeros((1, 2, 3)), np.array([2]))  # the third is padding
    assert sorted(found[0]) == [0, 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_picture_without_objects(backend):
    """No matrix to match, and only the class loss remains: every query is to say "nothing"."""
    logits, boxes, _, _ = draw_scene()
    none, no_boxes = np.zeros(0, np.int64), np.zeros((0, 4))
    cost = call(backend, "matching_cost", logits, boxes, none, no_boxes)
    assert cost.shape == (6, 0)
    matched = call(backend, "hungarian_matching", cost)
    assert (matched == -1).all()
    class_loss, l1, giou = call(backend, "set_prediction_loss", logits, boxes, none, no_boxes, matched)
    want = -(logits[:, -1] - np.log(np.exp(logits).sum(axis=1))).mean()
    assert class_loss == pytest.approx(want) and l1 == giou == 0


# ---------------------------------------------------------------- checks: each raises AssertionError for a mistake
def check_known_iou(backend):
    """Halves, quarters, apart, inside, touching."""
    a = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 4, 4], [0, 0, 1, 1], [0, 0, 1, 1]], float)
    b = np.array([[1, 0, 3, 2], [1, 1, 3, 3], [2, 2, 3, 3], [1, 1, 3, 3], [1, 0, 2, 1], [0, 0, 1, 1]], float)
    want = np.array([2 / 6, 1 / 7, 0, 4 / 16, 0, 1])
    assert np.abs(call(backend, "iou", a, b) - want).max() < 1e-12
    want = np.array([2 / 6, 1 / 7 - 2 / 9, 2 / 9 - 1, 4 / 16, 0, 1])
    assert np.abs(call(backend, "giou", a, b) - want).max() < 1e-12


def check_formats(backend):
    """There and back, and a box whose numbers are known."""
    box = np.array([[3.0, 5.0, 4.0, 2.0]])
    corners = call(backend, "cxcywh_to_xyxy", box)
    assert np.array_equal(corners, [[1, 4, 5, 6]])
    assert np.array_equal(call(backend, "xyxy_to_cxcywh", corners), box)


def check_apart(backend):
    """The further apart, the lower; never below −1. IoU does not see it."""
    a = np.array([[0.0, 0, 1, 1]])
    values = [call(backend, "giou", a, a + shift)[0] for shift in (1.5, 3, 10, 100)]
    assert all(x > y for x, y in zip(values, values[1:], strict=False)) and -1 < values[-1] < -0.99
    assert [call(backend, "iou", a, a + shift)[0] for shift in (1.5, 3)] == [0, 0]


def check_empty_boxes(backend):
    """A box without area overlaps nothing, not even itself; never NaN."""
    point = np.array([[0.5, 0.5, 0.5, 0.5]])
    assert call(backend, "iou", point, point)[0] == 0
    assert np.isfinite(call(backend, "giou", point, point)).all()


def check_nms(backend):
    """The best stays, its copies go, what lies elsewhere stays; a chain is judged by what was kept, not by all."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [6, 0, 16, 10.0]])
    scores = np.array([0.8, 0.9, 0.3, 0.7])
    # IoU of 0 and 1: 9/11; of 1 and 3: 1/3; of 0 and 3: 1/4
    assert call(backend, "nms", boxes, scores, threshold=0.5).tolist() == [False, True, True, True]
    assert call(backend, "nms", boxes, scores, threshold=0.3).tolist() == [False, True, True, False]
    assert call(backend, "nms", boxes, scores, threshold=0.9).all()
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10.0]])  # 0–1 and 1–2: 3/7, 0–2: 1/9
    kept = call(backend, "nms", chain, np.array([0.9, 0.8, 0.7]), threshold=0.4)
    assert kept.tolist() == [True, False, True], "a box that was dropped may not drop others"
    assert call(backend, "nms", np.zeros((0, 4)), np.zeros(0)).shape == (0,)


def check_cost(backend):
    """At the object's own place with all probability on its class: −1 − 2. The class breaks the tie of two twins."""
    logits = np.array([[0.0, 30, 0], [30, 0, 0]])
    boxes = np.array([[0.5, 0.5, 0.2, 0.4]] * 2)
    cost = call(backend, "matching_cost", logits, boxes, np.array([1]), boxes[:1])
    assert np.abs(cost[:, 0] - [-3, -2]).max() < 1e-9
    far = np.array([[0.2, 0.5, 0.2, 0.4]])  # 0.3 to the left: L1 0.3, IoU 0, enclosure 0.5 × 0.4
    cost = call(backend, "matching_cost", logits[:1], far, np.array([1]), boxes[:1])
    assert abs(cost[0, 0] - (-1 + 5 * 0.3 - 2 * (0.16 / 0.2 - 1))) < 1e-9


def check_only_matched(backend):
    """The box of a query without an object costs nothing, however wrong."""
    logits, boxes, labels, target_boxes = draw_scene()
    matched = np.array([0, -1, 2, -1, 1, -1])
    want = call(backend, "set_prediction_loss", logits, boxes, labels, target_boxes, matched)
    other = boxes.copy()
    other[1] = [0.9, 0.9, 0.1, 0.1]
    found = call(backend, "set_prediction_loss", logits, other, labels, target_boxes, matched)
    assert np.allclose(found, want, atol=1e-12)


def check_nothing_weight(backend):
    """Uniform logits: ln of the number of classes for any weight. Else "nothing" counts a tenth, in the divisor too."""
    _, boxes, labels, target_boxes = draw_scene()
    matched = np.array([0, -1, 2, -1, 1, -1])
    found = call(backend, "set_prediction_loss", np.zeros((6, 5)), boxes, labels, target_boxes, matched)
    assert abs(found[0] - np.log(5)) < 1e-9
    logits = np.zeros((6, 5))
    logits[:, -1] = np.log(4)  # "nothing" has ½, each class ⅛
    found = call(backend, "set_prediction_loss", logits, boxes, labels, target_boxes, matched)
    assert abs(found[0] - (3 * np.log(8) + 0.3 * np.log(2)) / 3.3) < 1e-9


def check_divided_by_objects(backend):
    """L1 and GIoU are means over objects, not over queries or coordinates."""
    logits, _, labels, target_boxes = draw_scene()
    boxes = np.tile(target_boxes[:1], (6, 1)) * 1.0
    boxes[0] = target_boxes[0] + [0.1, 0, 0, 0]
    boxes[2], boxes[4] = target_boxes[2], target_boxes[1]
    matched = np.array([0, -1, 2, -1, 1, -1])
    _, l1, giou = call(backend, "set_prediction_loss", logits, boxes, labels, target_boxes, matched)
    assert abs(l1 - 0.1 / 3) < 1e-9
    a, b = (numpy_boxes.cxcywh_to_xyxy(x[0]) for x in (boxes, target_boxes))
    assert abs(giou - (1 - numpy_boxes.giou(a, b)) / 3) < 1e-9


def check_own_size():
    """A box in parts of the picture's own size comes back; in parts of a padded size it would be smaller."""
    box = torch.tensor([[0.375, 0.375, 0.375, 0.375]])  # 12 to 36 of 64, center and size
    assert to_pixels(box)[0].tolist() == [12, 12, 36, 36]
    padded = numpy_boxes.iou(np.array([12.0, 12, 36, 36]), np.array([9.0, 9, 27, 27]))  # 48 pixels, padded to 64
    assert abs(padded - 1 / 3) < 1e-12


def check_all_recalls():
    """One of two objects is found: 51 of 101 recalls are reached. With 11 recalls it would be 6/11."""
    found = average_precision(*precision_recall([0.9], [True], 2))
    assert abs(found - 51 / 101) < 1e-12
    assert abs(average_precision(np.ones(1), np.array([0.5]), np.linspace(0, 1, 11)) - 6 / 11) < 1e-12


CHECKS = [check_known_iou, check_formats, check_apart, check_empty_boxes, check_nms, check_cost, check_only_matched]
CHECKS += [check_nothing_weight, check_divided_by_objects]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_known_answers(check, backend):
    check(backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_centers_given_as_corners_are_noticed(backend):
    """Most cxcywh boxes are no xyxy boxes: right of the left only for large ones near the corner. And NaN is no box."""
    for wrong in ([0.5, 0.5, 0.2, 0.2], [0, 0, np.nan, 1]):
        boxes = np.array([[0, 0, 1, 1], wrong])
        module = FILES[backend][0]
        given_boxes = torch.as_tensor(boxes) if backend == "torch" else boxes
        with pytest.raises(ValueError, match=r"a: expected \(left, top, right, bottom\).*cxcywh_to_xyxy"):
            module.check_xyxy("a", given_boxes)
        if backend != "keras":  # there a compiled function has no values to check
            with pytest.raises(ValueError, match=r"expected \(left, top, right, bottom\)"):
                call(backend, "giou", boxes, boxes)
            with pytest.raises(ValueError, match=r"expected \(left, top, right, bottom\)"):
                call(backend, "iou", boxes[:1], boxes)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(0, 4))
def test_hungarian_is_never_worse_than_any_other(seed, num_queries, num_objects):
    """As cheap as the best of all permutations, and never dearer than greedy; permuting queries permutes the answer."""
    if num_objects > num_queries:
        return
    rng = np.random.default_rng(seed)
    cost = rng.normal(size=(num_queries, num_objects))

    def total(matched):
        rows = np.flatnonzero(matched >= 0)
        assert sorted(matched[rows]) == list(range(num_objects))
        return cost[rows, matched[rows]].sum()

    best = total(numpy_set.all_permutations_matching(cost))
    found = numpy_set.hungarian_matching(cost)
    assert total(found) == pytest.approx(best)
    assert total(numpy_set.greedy_matching(cost)) >= best - 1e-12
    order = rng.permutation(num_queries)
    assert np.array_equal(numpy_set.hungarian_matching(cost[order]), found[order])


def test_greedy_is_sometimes_worse():
    """It takes the cheapest pair, and pays for it with the other."""
    cost = np.array([[1.0, 2.0], [2.0, 9.0]])
    assert numpy_set.greedy_matching(cost).tolist() == [0, 1]  # 1 + 9
    assert numpy_set.hungarian_matching(cost).tolist() == [1, 0]  # 2 + 2
    assert numpy_set.all_permutations_matching(cost).tolist() == [1, 0]


def test_too_many_ways_or_objects_are_refused():
    with pytest.raises(ValueError, match="64 queries and 4 objects can be matched in 15,249,024 ways"):
        numpy_set.all_permutations_matching(np.zeros((64, 4)))
    for matching in (numpy_set.all_permutations_matching, numpy_set.greedy_matching):
        with pytest.raises(ValueError, match="at least as many queries as objects, got 2 for 3"):
            matching(np.zeros((2, 3)))


def test_equal_queries_stay_equal():
    """Two queries with the same vectors get the same gradient but for the matching: it alone tells them apart."""
    logits, boxes, labels, target_boxes = draw_scene(num_objects=1)
    logits[1], boxes[1] = logits[0], boxes[0]
    unmatched = np.full(6, -1)
    unmatched[3] = 0
    _, cache = numpy_set.set_prediction_loss(logits, boxes, labels, target_boxes, unmatched)
    dlogits, dboxes = numpy_set.set_prediction_loss_backward((1.0, 1.0, 1.0), cache)
    assert np.array_equal(dlogits[0], dlogits[1]) and np.array_equal(dboxes[0], dboxes[1])


def test_giou_has_a_slope_where_iou_has_none():
    a = torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[3.0, 0, 4, 1]], dtype=torch.float64)
    torch_boxes.iou(a, b).sum().backward()
    assert (a.grad == 0).all()
    a.grad = None
    torch_boxes.giou(a, b).sum().backward()
    assert a.grad[0, 2] > 0  # moving the right side to the right brings it nearer


@pytest.mark.parametrize("b", [[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2], [0, 0, 1, 1], [0.5, 0.5, 1, 3]])
def test_gradient_where_sides_are_equal(b):
    """Where two sides meet, NumPy takes PyTorch's slope: the mean of both."""
    a = np.array([[0.0, 0, 2, 2]])
    b = np.array([b], float)
    tensors = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    torch_boxes.giou(*tensors).sum().backward()
    for ours, theirs in zip(numpy_boxes.giou_backward(np.ones(1), a, b), tensors, strict=True):
        assert np.abs(ours - theirs.grad.numpy()).max() < 1e-12


# ---------------------------------------------------------------- mutants
def gradient_agrees(name, backend="numpy"):
    """A backend against PyTorch: values and gradients."""

    def check():
        case = CASES[name]
        rng, reference = np.random.default_rng(0), TorchBackend(case)
        inputs = case.inputs(rng)
        other = (
            NumpyBackend(case, reference.weights, reference.trainable)
            if backend == "numpy"
            else KerasBackend(case, reference, inputs)
        )
        y, y2 = reference.forward(inputs), other.forward(inputs)
        assert difference(y2, y) < 1e-10, "values differ"
        target = {"": rng.normal(size=y[""].shape)}
        for a, b in zip(reference.gradients(inputs, target), other.gradients(inputs, target), strict=True):
            assert difference(b, a) < 1e-9, "gradients differ"

    return check


def on(check, backend):
    return lambda: check(backend)


def _mutants():
    numpy_file, torch_file, keras_file = (f"mmcourse.{backend}.boxes" for backend in BACKENDS)
    numpy_loss, torch_loss, keras_loss = (f"mmcourse.{backend}.set_prediction" for backend in BACKENDS)
    clamp = "overlap = np.maximum(corner_max - corner_min, 0)  # without"
    yield Mutant(
        "no clamp", numpy_file, clamp, "overlap = corner_max - corner_min  # without", on(check_apart, "numpy")
    )
    clamp = "overlap = (corner_max - corner_min).clamp(min=0)  # without"
    yield Mutant(
        "no clamp", torch_file, clamp, "overlap = corner_max - corner_min  # without", on(check_apart, "torch")
    )
    clamp = "overlap = ops.relu(corner_max - corner_min)\n    intersection"
    unclamped = "overlap = corner_max - corner_min\n    intersection"
    yield Mutant("no clamp in GIoU", keras_file, clamp, unclamped, on(check_apart, "keras"))
    yield Mutant(
        "enclosing box from the intersection",
        torch_file,
        "enclosing_size = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])",
        "enclosing_size = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])",
        on(check_known_iou, "torch"),
    )
    yield Mutant(
        "union counts the intersection twice",
        keras_file,
        "union = box_area(a) + box_area(b) - intersection\n    return",
        "union = box_area(a) + box_area(b)\n    return",
        on(check_known_iou, "keras"),
    )
    yield Mutant(
        "centers to corners without halves",
        numpy_file,
        "[center - size / 2, center + size / 2]",
        "[center, center + size]",
        on(check_formats, "numpy"),
    )
    yield Mutant(
        "centers given where corners are meant",
        torch_loss,
        "giou_cost = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))",
        "giou_cost = -pairwise_giou(boxes.sort(dim=-1).values, target_boxes.sort(dim=-1).values)",
        on(check_cost, "torch"),
    )
    yield Mutant(
        "centers given where corners are meant",
        keras_loss,
        "giou_cost = -pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))",
        "giou_cost = -pairwise_giou(boxes, target_boxes)",
        on(check_cost, "keras"),
    )
    yield Mutant(
        "division by an area of 0",
        numpy_file,
        "return intersection / np.maximum(union, SMALLEST_AREA)\n",
        "return intersection / union\n",
        on(check_empty_boxes, "numpy"),
    )
    yield Mutant(
        "gradient of the enclosing box forgotten",
        numpy_file,
        "denclosing = -dy * union / enclosing**2",
        "denclosing = 0 * dy",
        gradient_agrees("generalized IoU"),
    )
    yield Mutant(
        "gradient flows through an empty intersection",
        numpy_file,
        "overlap[..., ::-1] * (overlap > 0)",
        "overlap[..., ::-1] + (overlap <= 0)",
        gradient_agrees("generalized IoU of boxes apart"),
    )
    yield Mutant(
        "dropped boxes drop others",
        numpy_file,
        "if keep[i]:",
        "if True:",
        on(check_nms, "numpy"),
    )
    yield Mutant(
        "the worst box first",
        torch_file,
        "torch.argsort(scores, descending=True, stable=True)",
        "torch.argsort(scores, stable=True)",
        on(check_nms, "torch"),
    )
    yield Mutant(
        "log-probability in the cost",
        torch_loss,
        "p = logits.softmax(dim=-1)",
        "p = logits.log_softmax(dim=-1)",
        on(check_cost, "torch"),
    )
    yield Mutant(
        "no class cost",
        numpy_loss,
        "return w_class * class_cost + w_l1 * l1_cost + w_giou * giou_cost",
        "return w_l1 * l1_cost + w_giou * giou_cost - 1",
        on(check_cost, "numpy"),
    )
    yield Mutant(
        "sign of GIoU in the cost",
        keras_loss,
        "giou_cost = -pairwise_giou(",
        "giou_cost = pairwise_giou(",
        on(check_cost, "keras"),
    )
    yield Mutant(
        "boxes of unmatched queries count",
        keras_loss,
        "giou_loss = ops.sum(is_found * (1 - overlap)) / count",
        "giou_loss = ops.sum(1 - overlap) / count",
        on(check_only_matched, "keras"),
    )
    yield Mutant(
        "nothing weighs as much as an object",
        torch_loss,
        "torch.full_like(logits[..., 0], no_object_weight)",
        "torch.full_like(logits[..., 0], 1.0)",
        on(check_nothing_weight, "torch"),
    )
    yield Mutant(
        "divided by the number of queries",
        numpy_loss,
        "class_weight = class_weight / class_weight.sum()",
        "class_weight = class_weight / class_weight.size",
        on(check_nothing_weight, "numpy"),
    )
    yield Mutant(
        "nothing is class 0",
        torch_loss,
        "nothing = torch.full_like(matched, logits.shape[-1] - 1)",
        "nothing = torch.full_like(matched, 0)",
        on(check_nothing_weight, "torch"),
    )
    yield Mutant(
        "L1 averaged over coordinates",
        torch_loss,
        "l1_loss = (boxes - wanted_boxes).abs().sum(dim=-1)",
        "l1_loss = (boxes - wanted_boxes).abs().mean(dim=-1)",
        on(check_divided_by_objects, "torch"),
    )
    yield Mutant(
        "gradient of L1 for unmatched queries",
        numpy_loss,
        "dboxes = np.zeros((*found.shape, 4), log_p.dtype)",
        "dboxes = np.ones((*found.shape, 4), log_p.dtype)",
        gradient_agrees("set prediction loss"),
    )
    yield Mutant(
        "boxes as parts of a padded size",
        "mmcourse.torch.detection",
        "corners = (SIDE * cxcywh_to_xyxy(boxes))",
        "corners = ((SIDE + 16) * cxcywh_to_xyxy(boxes))",
        check_own_size,
    )
    yield Mutant(
        "11 recalls instead of 101",
        "mmcourse.evaluate.detection",
        "recalls: np.ndarray = RECALLS)",
        "recalls: np.ndarray = np.linspace(0, 1, 11))",
        check_all_recalls,
    )


MUTANTS = list(_mutants())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.removeprefix('mmcourse.')}: {m.name}")
def test_mutant_is_killed(mutant):
    mutant.check()  # passes as long as nothing is wrong
    with mutated(mutant), pytest.raises(AssertionError):
        mutant.check()


def test_every_backend_has_mutants():
    assert {mutant.module.split(".")[1] for mutant in MUTANTS} >= set(BACKENDS)
    assert "mmcourse.numpy.boxes" in sys.modules
