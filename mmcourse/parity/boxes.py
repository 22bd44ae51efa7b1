"""Overlaps of boxes in three backends."""

from .case import ParityCase


def corners(rng, *shape):
    """Valid xyxy boxes of about the same place, so that most overlap."""
    import numpy as np

    first = rng.uniform(0, 0.5, size=(*shape, 2))
    return np.concatenate([first, first + rng.uniform(0.2, 0.6, size=(*shape, 2))], axis=-1)


def plain(f, inputs, p, options):
    """These functions of NumPy have no weights."""
    return f(**inputs)


def giou_backward(dy, inputs, p, options):
    """NumPy's own gradient."""
    from mmcourse.numpy import boxes

    return dict(zip(("a", "b"), boxes.giou_backward(dy, **inputs), strict=True)), {}


def case(title, name, draw, backward=None):
    """One function of boxes."""
    return ParityCase(
        title,
        numpy=f"boxes.{name}",
        layer=f"boxes.{name}",
        inputs=draw,
        count=0,
        backward=backward,
        numpy_call=plain,
    )


FORMULAS = [
    case("centers to corners", "cxcywh_to_xyxy", lambda rng: {"boxes": rng.normal(size=(3, 4))}),
    case("corners to centers", "xyxy_to_cxcywh", lambda rng: {"boxes": rng.normal(size=(3, 4))}),
    case("intersection over union", "iou", lambda rng: {"a": corners(rng, 5), "b": corners(rng, 5)}),
    case("generalized IoU", "giou", lambda rng: {"a": corners(rng, 5), "b": corners(rng, 5)}, giou_backward),
    case(
        "generalized IoU of boxes apart",
        "giou",
        lambda rng: {"a": corners(rng, 5), "b": corners(rng, 5) + 1.5},
        giou_backward,
    ),
    case("all generalized IoUs", "pairwise_giou", lambda rng: {"a": corners(rng, 2, 4), "b": corners(rng, 2, 3)}),
]
