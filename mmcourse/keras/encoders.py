"""Small encoders, from a modality's features to a vector, and the classifier that fuses them.

``encoder(x, padding_mask)`` gives (b, width). ``encoder.forward_features(x, padding_mask)`` gives the sequence before
pooling, (b, t, step_width), and its mask, for methods that attend.
"""

from collections.abc import Sequence
from typing import Any

import keras
from jaxtyping import Bool, Float, Integer, Shaped
from keras import ops

from mmcourse.keras.fusion.sums import register
from mmcourse.keras.masks import all_real, masked_mean


class Encoder(keras.layers.Layer):
    """What the encoders share: the numbers they were made with, which is also what is saved."""

    def __init__(self, width: int, step_width: int, config: dict[str, Any], **kwargs):
        super().__init__(**kwargs)
        self.width, self.step_width, self.config = width, step_width, config

    def linear(self, dim: int, width: int) -> Any:
        """A linear map whose weights are made at once, in this layer's precision."""
        dense = keras.layers.Dense(width, dtype=self.dtype_policy)
        dense.build((None, dim))
        return dense

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), **self.config}


@register
class TextEncoder(Encoder):
    """Mean of the real words' vectors → relu(W·+b) → linear. ids, padding_mask: (b, t) → (b, width)."""

    def __init__(self, vocabulary: int, width: int, **kwargs):
        super().__init__(width, width, {"vocabulary": vocabulary, "width": width}, **kwargs)

    def build(self, input_shape):
        self.embedding = keras.layers.Embedding(
            self.config["vocabulary"], self.width, embeddings_initializer="random_normal", dtype=self.dtype_policy
        )
        self.embedding.build(None)
        self.hidden, self.out = (self.linear(self.width, self.width) for _ in range(2))

    def forward_features(
        self, ids: Integer[Any, "batch time"], padding_mask: Bool[Any, "batch time"] | None = None
    ) -> tuple[Float[Any, "batch time {self.width}"], Bool[Any, "batch time"]]:
        return self.embedding(ids), all_real(ids) if padding_mask is None else padding_mask

    def call(
        self, ids: Integer[Any, "batch time"], padding_mask: Bool[Any, "batch time"] | None = None
    ) -> Float[Any, "batch {self.width}"]:
        return self.out(ops.relu(self.hidden(masked_mean(*self.forward_features(ids, padding_mask)))))


def stack_frames(
    x: Float[Any, "batch time n"], mask: Bool[Any, "batch time"], size: int = 2
) -> tuple[Float[Any, "batch steps {size}*n"], Bool[Any, "batch steps"]]:
    """Every `size` frames in a row as one step: (b, t, n) → (b, ⌈t/size⌉, size·n), real where its first frame is."""
    x = ops.where(mask[..., None], x, 0)
    fill = -ops.shape(x)[1] % size
    x, mask = ops.pad(x, ((0, 0), (0, fill), (0, 0))), ops.pad(mask, ((0, 0), (0, fill)))
    return ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1] // size, size * x.shape[-1])), mask[:, ::size]


def statistics_pooling(
    steps: Float[Any, "batch time channels"], mask: Bool[Any, "batch time"]
) -> Float[Any, "batch 2*channels+1"]:
    """Mean and standard deviation over the real steps, and how many there are, (n − 50)/10: (b, t, c) → (b, 2c + 1)."""
    mean = masked_mean(steps, mask)
    deviation = ops.sqrt(masked_mean(ops.square(steps - mean[:, None]), mask) + 1e-5)
    length = (ops.sum(ops.cast(mask, steps.dtype), 1, keepdims=True) - 50) / 10
    return ops.concatenate([mean, deviation, length], -1)


@register
class AudioEncoder(Encoder):
    """Two frames at a time → relu → mean, spread, length → MLP. x: log-mel (b, t, bands) → (b, width)."""

    def __init__(self, bands: int, width: int, channels: int = 32, **kwargs):
        super().__init__(width, channels, {"bands": bands, "width": width, "channels": channels}, **kwargs)

    def build(self, input_shape):
        self.frames = self.linear(2 * self.config["bands"], self.step_width)
        self.hidden = self.linear(2 * self.step_width + 1, self.width)
        self.out = self.linear(self.width, self.width)

    def forward_features(
        self, x: Float[Any, "batch time bands"], padding_mask: Bool[Any, "batch time"] | None = None
    ) -> tuple[Float[Any, "batch steps {self.step_width}"], Bool[Any, "batch steps"]]:
        frames, mask = stack_frames(x, all_real(x) if padding_mask is None else padding_mask)
        return ops.relu(self.frames(frames)), mask

    def call(
        self, x: Float[Any, "batch time bands"], padding_mask: Bool[Any, "batch time"] | None = None
    ) -> Float[Any, "batch {self.width}"]:
        return self.out(ops.relu(self.hidden(statistics_pooling(*self.forward_features(x, padding_mask)))))


@register
class ImageEncoder(Encoder):
    """Two 3×3 convolutions, stride 2, relu → patches side by side → linear. x: (b, h, w, colors) → (b, width)."""

    def __init__(self, width: int, size: int = 32, colors: int = 3, channels: Sequence[int] = (16, 32), **kwargs):
        config = {"width": width, "size": size, "colors": colors, "channels": list(channels)}
        super().__init__(width, channels[1], config, **kwargs)
        self.patches = (-(-size // 4)) ** 2

    def build(self, input_shape):
        self.convolutions = []
        dim = self.config["colors"]
        for channels in self.config["channels"]:
            convolution = keras.layers.Conv2D(channels, 3, strides=2, dtype=self.dtype_policy)
            convolution.build((None, None, None, dim))
            self.convolutions.append(convolution)
            dim = channels
        self.out = self.linear(self.patches * dim, self.width)

    def forward_features(
        self, x: Float[Any, "batch height width colors"], padding_mask: None = None
    ) -> tuple[Float[Any, "batch steps {self.step_width}"], Bool[Any, "batch steps"]]:
        x = 4 * (x - 0.5)  # from [0, 1] to about mean 0 and variance 1
        for convolution in self.convolutions:
            x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # all sides, as PyTorch: "same" leaves out left and top
            x = ops.relu(convolution(x))
        patches = ops.reshape(x, (-1, self.patches, self.step_width))
        return patches, all_real(patches)

    def call(
        self, x: Float[Any, "batch height width colors"], padding_mask: None = None
    ) -> Float[Any, "batch {self.width}"]:
        return self.out(ops.reshape(self.forward_features(x)[0], (-1, self.patches * self.step_width)))


def read_batch(
    batch: dict[str, Any], names: list[str]
) -> tuple[list[Shaped[Any, "batch ..."]], list[Bool[Any, "batch _"] | None], Bool[Any, "batch modalities"]]:
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
    modality_mask = ops.stack([batch["modality_mask"][name] for name in names], 1)  # (b, M)
    return inputs, padding_masks, modality_mask


@register
class MultimodalClassifier(keras.Model):
    """An encoder per modality, a fusion method, a linear head: a batch dict → logits (b, classes).

    `encoders`: dict by modality, some or all of the data set's; `fusion`: a method whose `dims` are their widths in
    sorted order (their `step_width`s for a method that takes sequences); `dropout`: a ModalityDropout or None.
    """

    def __init__(self, encoders, fusion, classes, dropout=None, **kwargs):
        super().__init__(**kwargs)
        self.names, self.classes = sorted(encoders), classes
        self.encoders = {name: encoders[name] for name in self.names}
        self.fusion, self.dropout = fusion, dropout
        self.head = None if fusion.gives_logits else keras.layers.Dense(classes, dtype=self.dtype_policy)
        if dropout is not None and fusion.takes_sequences:
            raise ValueError(
                "dropout: null tokens stand for vectors; give no dropout with a method that takes sequences"
            )

    def build(self, input_shape=None):
        for layer in (*self.encoders.values(), self.fusion, self.dropout):
            if layer is not None and not layer.built:
                layer.build(None)  # their widths are known
        if self.head is not None:
            self.head.build((None, self.fusion.width))

    def call(self, batch: dict[str, Any], training: bool = False) -> Float[Any, "batch classes"]:
        fused = self.fuse(batch, training)
        return fused if self.head is None else self.head(fused)

    def fuse(self, batch: dict[str, Any], training: bool = False) -> Float[Any, "batch width"]:
        """The fused vector (b, width)."""
        inputs, padding_masks, modality_mask = read_batch(batch, self.names)
        pairs = zip(self.names, inputs, padding_masks, strict=True)
        if self.fusion.takes_sequences:
            steps = [self.encoders[name].forward_features(x, mask) for name, x, mask in pairs]
            return self.fusion(*map(list, zip(*steps, strict=True)), modality_mask)
        xs = [self.encoders[name](x, mask) for name, x, mask in pairs]
        if self.dropout is not None:
            xs, modality_mask = self.dropout(xs, modality_mask, training=training), None
        return self.fusion(xs, modality_mask)

    def get_config(self):
        """What `from_config` needs."""
        parts = {"encoders": self.encoders, "fusion": self.fusion, "dropout": self.dropout}
        parts = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        return {**super().get_config(), **parts, "classes": self.classes}

    @classmethod
    def from_config(cls, config):
        """The model with fresh weights."""
        parts = {k: keras.saving.deserialize_keras_object(config[k]) for k in ("encoders", "fusion", "dropout")}
        return cls(**{**config, **parts})
