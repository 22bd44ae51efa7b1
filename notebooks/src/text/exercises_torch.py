"""A weighted mean of word vectors as a PyTorch module, and the check of the lesson's masked mean."""

import torch

from mmcourse.check.blanks import blank


# ---------------------------------------------------------------- blanks of the lesson
def draw_means():
    g = torch.Generator().manual_seed(0)
    masks = ([[True, True, False], [True, False, False]], [[True]], [[False, True, True, False]])
    found = []
    for mask, width in zip(masks, (2, 3, 4), strict=True):
        mask = torch.tensor(mask)
        found.append((torch.randn(*mask.shape, width, generator=g), mask))
    return found


@blank(
    "text.blank.5",
    title="The mean of real tokens",
    inputs=draw_means,
    mistakes=[
        (lambda vectors, mask: vectors.mean(dim=1), "Padding counts too: the mask has no effect."),
        (
            lambda vectors, mask: (vectors * mask[:, :, None]).mean(dim=1),
            "Padding adds nothing now, but you still divide by the whole length: divide by the number of real tokens.",
        ),
        (
            lambda vectors, mask: (vectors * mask[:, :, None]).sum(dim=1),
            "This is the sum of the real tokens: divide by their number.",
        ),
        (
            lambda vectors, mask: vectors.sum(dim=1) / mask.sum(dim=1, keepdim=True),
            "You divide by the number of real tokens, but padding is still in the sum.",
        ),
        (
            lambda vectors, mask: (vectors * ~mask[:, :, None]).sum(dim=1) / (~mask).sum(dim=1, keepdim=True).clamp(1),
            "This is the mean of the padding: True is a real token.",
        ),
        (
            lambda vectors, mask: vectors[mask].mean(dim=0, keepdim=True).expand(len(vectors), -1),
            "One mean for the whole batch: each sentence needs its own.",
        ),
    ],
    what="The mean",
    atol=1e-5,
)
def masked_mean(vectors, mask):
    real = vectors * mask[:, :, None]  # (b, n, d), padding is 0
    total = real.sum(dim=1)  # (b, d)
    return total / mask.sum(dim=1, keepdim=True)
