"""A PyTorch module that mirrors pictures, boxes and masks alike."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, edit, example, exercise, one_of, part, says


class RandomMirror(nn.Module):
    """Pictures (b, c, h, w), boxes (b, n, 4) and masks (b, h, w), each sample mirrored with probability p."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, pictures, boxes, masks):
        if not self.training:
            return pictures, boxes, masks
        coin = torch.rand(len(pictures), device=pictures.device) < self.p  # (b,)
        width = pictures.shape[-1]
        left, top, right, bottom = boxes.unbind(-1)  # each (b, n)
        mirrored = torch.stack([width - right, top, width - left, bottom], dim=-1)
        pictures = torch.where(coin[:, None, None, None], pictures.flip(-1), pictures)
        boxes = torch.where(coin[:, None, None], mirrored, boxes)
        masks = torch.where(coin[:, None, None], masks.flip(-1), masks)
        return pictures, boxes, masks


def use_mirror(probe, answer, p, training, pictures, boxes, masks):
    """What a certain coin gives (p of 0 or 1, or not training); else which samples agree in themselves."""
    module = answer(p)
    probe.is_module(module)
    module.train(training)
    probe.seed(0)
    given = [probe.tensor(array) for array in (pictures, boxes, masks)]
    before = [tensor.clone() for tensor in given]
    names = ["pictures", "boxes", "masks"]

    def called():
        out = module(*given)
        if not isinstance(out, (tuple, list)) or len(out) != 3:
            raise probe.Problem("Return three things: pictures, boxes, masks.")
        for name, tensor, start in zip(names, out, before, strict=True):
            if not isinstance(tensor, probe.torch.Tensor):
                raise probe.Problem(f"The {name} are a {type(tensor).__name__}: return tensors.")
            if tensor.shape != start.shape:
                have, want = tuple(tensor.shape), tuple(start.shape)
                raise probe.Problem(f"The {name} have shape {have}; it should stay {want}.")
            if tensor.dtype != start.dtype:
                raise probe.Problem(f"The {name} became {tensor.dtype}; their type should stay {start.dtype}.")
        return out

    if not training or p in (0.0, 1.0):
        out = called()
        yield {
            **{f"the {name}": probe.array(tensor) for name, tensor in zip(names, out, strict=True)},
            "whether the inputs were changed": any(
                not probe.torch.equal(a, b) for a, b in zip(given, before, strict=True)
            ),
        }
        return

    width = before[0].shape[-1]
    left, top, right, bottom = before[1].unbind(-1)
    turned_boxes = probe.torch.stack([width - right, top, width - left, bottom], -1)
    turned = [before[0].flip(-1), turned_boxes, before[2].flip(-1)]
    mixed, shares, unlike = 0, [], 0
    for _ in range(60):
        out = called()
        coins = []
        for i in range(len(pictures)):
            kinds = []
            for tensor, start, other in zip(out, before, turned, strict=True):
                same, mirrored = probe.torch.equal(tensor[i], start[i]), probe.torch.equal(tensor[i], other[i])
                kinds.append(1 if mirrored else 0 if same else -1)
            mixed += len(set(kinds)) > 1 or -1 in kinds
            coins.append(kinds[0] == 1)
        shares.extend(coins)
        unlike += len(set(coins)) > 1
    share = sum(shares) / len(shares)
    yield {
        "samples of which only a part was mirrored": mixed,
        "a coin for each sample": bool(unlike),
        "the share of mirrored samples fits p": bool(abs(share - p) < 0.15),
    }


def draw_mirror(g, p, training, b, n, c=3, h=None):
    h = h or int(g.integers(3, 6))
    w = int(g.choice([size for size in range(4, 8) if size != h])) if h > 2 else 4
    pictures = g.integers(0, 100, (b, c, h, w)) / 100
    pictures = pictures.astype(np.float32)
    corner = g.integers(0, (w // 2, h - 1), (b, n, 2))
    boxes = np.concatenate([corner, corner + 1], axis=-1)
    masks = np.zeros((b, h, w), dtype=bool)
    masks[:, 0, 0] = True
    masks[:, 1:, 1:3] = g.random((b, h - 1, 2)) < 0.5
    return float(p), training, pictures, boxes, masks


mirror_module = exercise(
    "images.4",
    RandomMirror,
    framework="torch",
    use=use_mirror,
    title="One coin for picture, boxes and mask",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "A detector learns from pictures, boxes around the objects, and masks that say which pixels belong to them. "
            "An augmentation must treat all three alike."
        ),
        context("**Write** the class `RandomMirror(p)`, an `nn.Module`."),
        context("**Inputs.**"),
        says(
            "`forward(pictures, boxes, masks)` takes float pictures (b, c, h, w) and mirrors left and right: the *last* axis.",
            mistake="upside down",
        ),
        says(
            "Boxes (b, n, 4) are whole numbers (left, top, right, bottom), counted in pixels from the left and the top; ",
            mistake="one pixel too far left",
        ),
        says("left must stay smaller than right.", mistake="inside out"),
        says("Masks (b, h, w) are bool and mirrored too.", mistake="masks stayed"),
        says(
            "Return all three; types and shapes stay.",
            ignored=edit("masks.flip(-1), masks)", "masks.flip(-1), masks).float()"),
        ),
        context("**Chance.**"),
        says("Each sample of the batch is mirrored with probability `p`,", mistake="probability 1 - p"),
        says("each with a coin of its own:", mistake="one coin for the whole batch"),
        says("picture, boxes and mask of one sample share that coin.", mistake="coins of their own"),
        says("In `eval()` mode nothing changes.", mistake="eval"),
        says("The tensors that came in stay as they are.", mistake="You changed the tensors"),
        example("""
pictures = torch.arange(8.0).reshape(2, 1, 1, 4)
boxes = torch.tensor([[[0, 0, 1, 1]], [[2, 0, 4, 1]]])
masks = pictures[:, 0] % 4 < 1
print("pictures", tuple(pictures.shape), "boxes", tuple(boxes.shape), "masks", tuple(masks.shape))
"""),
        context("Mirrored, the first picture is 3, 2, 1, 0, its box (3, 0, 4, 1), and its mask True at the right end."),
    ],
    hints=[
        "Draw the coins first, once: how many do you need, and which shape must they have to decide about a whole picture? "
        "What tells a module whether it is in training mode?",
        "`coin = torch.rand(b) < p`, then `torch.where(coin[:, None, None, None], mirrored, pictures)`; `self.training`.",
    ],
    draw=draw_mirror,
    parts=[
        part("always mirrored", weight=2, p=1.0, training=True, b=between(2, 3), n=2),
        part("never mirrored", p=0.0, training=True, b=2, n=1),
        part("eval mode", p=1.0, training=False, b=2, n=1),
        part("a coin", weight=2, p=one_of(0.3, 0.7), training=True, b=4, n=1),
        part("one channel, many boxes", p=1.0, training=True, b=1, n=between(3, 5), c=1),
        part("no boxes", p=1.0, training=True, b=2, n=0),
    ],
    own={"p": 1.0, "training": True, "b": 1, "n": 1, "c": 1, "h": 2},
    own_says="A batch of your own to mirror by hand: p, training, pictures, boxes, masks",
    mistakes={
        "The boxes stayed where they were: they point at empty ground in the mirrored pictures.": (
            "boxes = torch.where(coin[:, None, None], boxes, boxes)"
        ),
        "The masks stayed as they were: they mark the wrong pixels of the mirrored pictures.": (
            "masks = torch.where(coin[:, None, None], masks, masks)"
        ),
        "The pictures stayed as they were, and boxes and masks were mirrored.": (
            "pictures = torch.where(coin[:, None, None, None], pictures, pictures)"
        ),
        "Your boxes are inside out: the old *right* edge becomes the new left one.": (
            "mirrored = torch.stack([width - left, top, width - right, bottom], dim=-1)"
        ),
        "Your boxes are one pixel too far left. `right` lies behind the last pixel, so the new left is w - right.": (
            "mirrored = torch.stack([width - 1 - right, top, width - 1 - left, bottom], dim=-1)"
        ),
        "You mirrored the boxes with the height of the picture: its width is the last axis.": (
            "width = pictures.shape[-2]"
        ),
        "The pictures are upside down. Left and right are the last axis of (b, c, h, w).": edit(
            "pictures.flip(-1)", "pictures.flip(-2)"
        ),
        "In `eval()` mode something changes: augmentation is for training only. Ask `self.training`.": edit(
            "if not self.training:\n            return pictures, boxes, masks\n        ", ""
        ),
        "Nothing is mirrored in training mode: your test of `self.training` is the wrong way round.": edit(
            "if not self.training", "if self.training"
        ),
        "You mirror with probability 1 - p: `torch.rand` is below p with probability p.": edit("< self.p", ">= self.p"),
        "There is one coin for the whole batch. Each sample needs its own.": edit(
            "torch.rand(len(pictures),", "torch.rand(1,"
        ),
        "Picture, boxes and mask have coins of their own, so some samples are mirrored in part. Draw once per sample.": edit(
            "boxes = torch.where(coin", "coin = torch.rand(len(pictures)) < self.p\n        boxes = torch.where(coin"
        ),
        "`p` has no effect: your module mirrors with a probability of its own.": edit("< self.p", "< 0.5"),
        "Every sample is mirrored, whatever p is.": edit("< self.p", "< 2"),
        "You changed the tensors that came in. Make new ones (`flip` and `torch.where` do).": edit(
            "        pictures = torch.where(coin[:, None, None, None], pictures.flip(-1), pictures)",
            "        pictures[coin] = pictures[coin].flip(-1)",
        ),
    },
    praise="One coin for each sample, and all three agree. torchvision's `v2` transforms keep the same promise.",
)
