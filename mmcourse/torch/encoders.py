"""Small encoders, from a modality's features to a vector, and the classifier that fuses them.

``encoder(x, padding_mask)`` gives (b, width). ``encoder.forward_features(x, padding_mask)`` gives the sequence before
pooling, (b, t, step_width), and its mask, for methods that attend.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor, nn

from mmcourse.torch.masks import all_real, masked_mean


class TextEncoder(nn.Module):
    """Mean of the real words' vectors → relu(W·+b) → linear. ids, padding_mask: (b, t) → (b, width)."""

    def __init__(self, vocabulary: int, width: int):
        super().__init__()
        self.width = self.step_width = width
        self.embedding = nn.Embedding(vocabulary, width)
        self.hidden, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward_features(
        self, ids: Integer[Tensor, "batch time"], padding_mask: Bool[Tensor, "batch time"] | None = None
    ) -> tuple[Float[Tensor, "batch time {self.width}"], Bool[Tensor, "batch time"]]:
        return self.embedding(ids), all_real(ids) if padding_mask is None else padding_mask

    def forward(
        self, ids: Integer[Tensor, "batch time"], padding_mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch {self.width}"]:
        return self.out(self.hidden(masked_mean(*self.forward_features(ids, padding_mask))).relu())


def stack_frames(
    x: Float[Tensor, "batch time n"], mask: Bool[Tensor, "batch time"], size: int = 2
) -> tuple[Float[Tensor, "batch steps {size}*n"], Bool[Tensor, "batch steps"]]:
    """Every `size` frames in a row as one step: (b, t, n) → (b, ⌈t/size⌉, size·n), real where its first frame is."""
    fill = -x.shape[1] % size
    x = nn.functional.pad(x.masked_fill(~mask[..., None], 0), (0, 0, 0, fill))
    return x.unflatten(1, (-1, size)).flatten(2), nn.functional.pad(mask, (0, fill))[:, ::size]


def statistics_pooling(
    steps: Float[Tensor, "batch time channels"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch 2*channels+1"]:
    """Mean and standard deviation over the real steps, and how many there are, (n − 50)/10: (b, t, c) → (b, 2c + 1)."""
    mean = masked_mean(steps, mask)
    deviation = (masked_mean((steps - mean[:, None]).square(), mask) + 1e-5).sqrt()
    return torch.cat([mean, deviation, (mask.sum(1, keepdim=True).to(mean) - 50) / 10], -1)


class AudioEncoder(nn.Module):
    """Two frames at a time → relu → mean, spread, length → MLP. x: log-mel (b, t, bands) → (b, width)."""

    def __init__(self, bands: int, width: int, channels: int = 32):
        super().__init__()
        self.width, self.step_width = width, channels
        self.frames = nn.Linear(2 * bands, channels)
        self.hidden, self.out = nn.Linear(2 * channels + 1, width), nn.Linear(width, width)

    def forward_features(
        self, x: Float[Tensor, "batch time bands"], padding_mask: Bool[Tensor, "batch time"] | None = None
    ) -> tuple[Float[Tensor, "batch steps {self.step_width}"], Bool[Tensor, "batch steps"]]:
        frames, mask = stack_frames(x, all_real(x) if padding_mask is None else padding_mask)
        return self.frames(frames).relu(), mask

    def forward(
        self, x: Float[Tensor, "batch time bands"], padding_mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch {self.width}"]:
        return self.out(self.hidden(statistics_pooling(*self.forward_features(x, padding_mask))).relu())


class ImageEncoder(nn.Module):
    """Two 3×3 convolutions, stride 2, relu → patches side by side → linear. x: (b, colors, h, w) → (b, width)."""

    def __init__(self, width: int, size: int = 32, colors: int = 3, channels: Sequence[int] = (16, 32)):
        super().__init__()
        self.width, self.step_width = width, channels[1]
        pairs = (colors, channels[0]), channels
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, stride=2, padding=1) for pair in pairs)
        self.out = nn.Linear((-(-size // 4)) ** 2 * channels[1], width)

    def forward_features(
        self, x: Float[Tensor, "batch colors height width"], padding_mask: None = None
    ) -> tuple[Float[Tensor, "batch steps {self.step_width}"], Bool[Tensor, "batch steps"]]:
        x = 4 * (x - 0.5)  # from [0, 1] to about mean 0 and variance 1
        for convolution in self.convolutions:
            x = convolution(x).relu()
        patches = x.flatten(2).transpose(1, 2)  # (b, h/4·w/4, c): the order of channels-last
        return patches, all_real(patches)

    def forward(
        self, x: Float[Tensor, "batch colors height width"], padding_mask: None = None
    ) -> Float[Tensor, "batch {self.width}"]:
        return self.out(self.forward_features(x)[0].flatten(1))


def read_batch(
    batch: dict[str, Any], names: list[str]
) -> tuple[list[Shaped[Tensor, "batch ..."]], list[Bool[Tensor, "batch _"] | None], Bool[Tensor, "batch modalities"]]:
    """Inputs, padding masks (or None) and modality mask (b, M) of the modalities `names`, read by name.

    Raises
    ------
    ValueError
        The batch has no such entry, or it lacks a modality.
    """
    for key in ("inputs", "padding_mask", "modality_mask"):
        if key not in batch:
            raise ValueError(
                f"batch: expected the keys inputs, padding_mask and modality_mask, got {', '.join(map(str, batch))}"
            )
    for key in ("inputs", "modality_mask"):
        if missing := [name for name in names if name not in batch[key]]:
            raise ValueError(f"batch[{key!r}]: expected {', '.join(names)}; {', '.join(missing)} missing")
    inputs = [batch["inputs"][name] for name in names]
    padding_masks = [batch["padding_mask"].get(name) for name in names]
    modality_mask = torch.stack([batch["modality_mask"][name] for name in names], 1)  # (b, M)
    return inputs, padding_masks, modality_mask


class MultimodalClassifier(nn.Module):
    """An encoder per modality, a fusion method, a linear head: a batch dict → logits (b, classes).

    `encoders`: dict by modality, some or all of the data set's; `fusion`: a method whose `dims` are their widths in
    sorted order (their `step_width`s for a method that takes sequences); `dropout`: a ModalityDropout or None.
    """

    def __init__(self, encoders, fusion, classes, dropout=None):
        super().__init__()
        self.names = sorted(encoders)
        self.encoders = nn.ModuleDict({name: encoders[name] for name in self.names})
        self.fusion, self.dropout = fusion, dropout
        self.head = nn.Identity() if fusion.gives_logits else nn.Linear(fusion.width, classes)
        if dropout is not None and fusion.takes_sequences:
            raise ValueError(
                "dropout: null tokens stand for vectors; give no dropout with a method that takes sequences"
            )

    def forward(self, batch: dict[str, Any]) -> Float[Tensor, "batch classes"]:
        inputs, padding_masks, modality_mask = read_batch(batch, self.names)
        pairs = zip(self.names, inputs, padding_masks, strict=True)
        if self.fusion.takes_sequences:
            steps = [self.encoders[name].forward_features(x, mask) for name, x, mask in pairs]
            return self.head(self.fusion(*map(list, zip(*steps, strict=True)), modality_mask))
        xs = [self.encoders[name](x, mask) for name, x, mask in pairs]
        if self.dropout is not None:
            xs, modality_mask = self.dropout(xs, modality_mask), None
        return self.head(self.fusion(xs, modality_mask))
