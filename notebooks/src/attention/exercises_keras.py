"""Multi-head attention as a Keras layer."""

import keras
import numpy as np
from keras import ops

from mmcourse.exercise import context, drawn_weights, edit, exercise, in_turn, one_of, part, right, says


class MultiHeadAttention(keras.Layer):
    """Self-attention with several heads: x (b, n, d_model) → (b, n, d_model)."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = keras.layers.Dense(d_model, name="q_proj")
        self.k_proj = keras.layers.Dense(d_model, name="k_proj")
        self.v_proj = keras.layers.Dense(d_model, name="v_proj")
        self.out_proj = keras.layers.Dense(d_model, name="out_proj")

    def call(self, x, padding_mask, causal):
        b, n, d_model = x.shape
        d_head = d_model // self.num_heads
        shape = (b, n, self.num_heads, d_head)
        q = ops.transpose(ops.reshape(self.q_proj(x), shape), (0, 2, 1, 3))  # (b, num_heads, n, d_head)
        k = ops.transpose(ops.reshape(self.k_proj(x), shape), (0, 2, 1, 3))
        v = ops.transpose(ops.reshape(self.v_proj(x), shape), (0, 2, 1, 3))
        scores = q @ ops.transpose(k, (0, 1, 3, 2)) / d_head**0.5  # (b, num_heads, n, n)
        real = padding_mask[:, None, None, :]  # columns are keys
        past = ops.tril(ops.ones((n, n), dtype="bool"))
        allowed = ops.logical_and(real, past) if causal else real
        masked = ops.where(allowed, scores, -1e9)
        weights = ops.softmax(masked, axis=-1)
        heads = weights @ v  # (b, num_heads, n, d_head)
        joined = ops.reshape(ops.transpose(heads, (0, 2, 1, 3)), (b, n, d_model))
        return self.out_proj(joined)


def use_attention(probe, answer, d_model, num_heads, x, padding_mask, causal, weights):
    """Output and gradients with copied weights."""
    layer = answer(d_model, num_heads)
    words, real = probe.tensor(x), probe.tensor(padding_mask)
    probe.is_layer(layer)
    layer(words, padding_mask=real, causal=causal)  # makes the weights
    for parameters in probe.load_ways(layer, weights):
        out = probe.output(layer(words, padding_mask=real, causal=causal))
        yield {"the output": out, **probe.gradients(lambda: layer(words, padding_mask=real, causal=causal), parameters)}


def draw_attention(g, b, n, num_heads, d_head, causal, padded):
    d_model = num_heads * d_head
    x = g.normal(size=(b, n, d_model)).round(2)
    lengths = g.integers(1, n, b) if padded else np.full(b, n)
    lengths[0] = n  # one sample without padding
    padding_mask = np.arange(n) < lengths[:, None]  # (b, n), padding on the right
    shapes = {}
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes[f"{name}/kernel"] = (d_model, d_model)
        shapes[f"{name}/bias"] = (d_model,)
    return d_model, num_heads, x, padding_mask, bool(causal), drawn_weights(g, shapes)


class OneLayerForAll(MultiHeadAttention):
    """Queries, keys and values from one layer that is three times as wide."""

    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.qkv = keras.layers.Dense(3 * d_model)

    def call(self, x, padding_mask, causal):
        return self.out_proj(self.qkv(x)[..., : x.shape[-1]])


layer = exercise(
    "attention.5",
    MultiHeadAttention,
    framework="keras",
    use=use_attention,
    title="Multi-head attention in Keras",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        says(
            "**Write** the same as a `keras.Layer`: `MultiHeadAttention(d_model, num_heads)` with "
            "`call(self, x, padding_mask, causal)`,",
            mistake="The output layer is missing",
        ),
        says("and four `Dense(d_model)` layers with biases, whose names are yours.", mistake="no bias"),
        context("Use `keras.ops`, so that it runs on every backend."),
        says(
            "Queries, keys and values are each cut into `num_heads` pieces of neighboring features;",
            mistake="straight to (b, num_heads, n, d_head)",
        ),
        says("scores are divided by the root of a head's width.", mistake="root of d_model"),
        says("`padding_mask` (b, n) is True where a word is real,", mistake="`padding_mask` has no effect"),
        says("and with `causal=True` no query attends to a later word.", mistake="`causal` has no effect"),
        says(
            "It returns (b, n, d_model), the heads side by side, through the output layer.",
            mistake="without moving the heads back",
        ),
        says("Gradients must reach every layer.", mistake="No gradient reaches queries and keys"),
        context(
            "The check copies weights into your layers, in any order that fits, and compares outputs and gradients. "
            "Padding stands on the right, and every sample has a real word."
        ),
    ],
    hints=[
        "`ops.transpose(ops.reshape(q, (b, n, num_heads, d_head)), (0, 2, 1, 3))` is (b, num_heads, n, d_head).",
        "`ops.where(allowed, scores, -1e9)` before `ops.softmax(scores, axis=-1)`; then transpose and reshape back.",
    ],
    draw=draw_attention,
    parts=[
        part("one head", b=2, n=3, num_heads=1, d_head=4, causal=False, padded=False),
        part("several heads", b=2, n=4, num_heads=one_of(2, 3), d_head=one_of(2, 3), causal=False, padded=False),
        part("padding", b=3, n=5, num_heads=2, d_head=one_of(2, 3), causal=False, padded=True),
        part("causal", b=2, n=4, num_heads=2, d_head=3, causal=True, padded=False),
        part("padding and causal", weight=2, b=in_turn(3, 1), n=5, num_heads=2, d_head=2, causal=True, padded=True),
    ],
    own={"b": 1, "n": 2, "num_heads": 2, "d_head": 1, "causal": False, "padded": False},
    own_says="Sizes, input and masks of your own: d_model, num_heads, x, padding_mask, causal",
    mistakes={
        "Queries, keys and values come from one wide layer. That works as well, but here weights are copied in: make "
        "four layers of d_model units.": OneLayerForAll,
        "Your Dense layers have no bias.": edit("Dense(d_model, ", "Dense(d_model, use_bias=False, "),
        "Queries, keys and values share one layer. Each needs a layer of its own.": edit(
            "self.k_proj(x)", "self.q_proj(x)", "self.v_proj(x)", "self.q_proj(x)"
        ),
        "You reshaped straight to (b, num_heads, n, d_head), which mixes words with features. First (b, n, num_heads, "
        "d_head), then the transpose.": edit(
            "_proj(x), shape), (0, 2, 1, 3))", "_proj(x), (b, self.num_heads, n, d_head)), (0, 1, 2, 3))"
        ),
        "You divided by the root of d_model. Each head's keys have d_model / num_heads numbers: divide by the root of "
        "that.": edit("d_head**0.5", "d_model**0.5"),
        "The scores are not divided by anything: use the root of a head's width.": edit(" / d_head**0.5", ""),
        "You divided by a head's width itself, not by its root.": edit("d_head**0.5", "d_head"),
        "`padding_mask` has no effect: padding gets attention.": "real = ops.ones((1, 1, 1, n), dtype='bool')",
        "Your padding mask is upside down: True is real in this course.": (
            "real = ops.logical_not(padding_mask)[:, None, None, :]"
        ),
        "You masked rows, those of padded queries. Padding must not be attended *to*: mask columns, the keys.": (
            "real = padding_mask[:, None, :, None]"
        ),
        "`causal` has no effect: words attend to later words.": "allowed = real",
        "Your causal mask is the other triangle: it closes the past.": (
            "past = ops.triu(ops.ones((n, n), dtype='bool'))"
        ),
        "You closed the future even where `causal` is False.": "allowed = ops.logical_and(real, past)",
        "You set masked scores to 0, but e to the 0 is 1: they still get attention. Use a very negative number.": edit(
            "-1e9", "0.0"
        ),
        "Your softmax goes over the queries. Each query spends one unit among the keys: the last axis.": (
            "weights = ops.softmax(masked, axis=-2)"
        ),
        "You took the softmax twice.": "weights = ops.softmax(ops.softmax(masked, axis=-1), axis=-1)",
        "You reshaped without moving the heads back: transpose first, or words are mixed.": (
            "joined = ops.reshape(heads, (b, n, d_model))"
        ),
        "The output layer is missing: the heads side by side are not the result yet.": "return joined",
        "No gradient reaches queries and keys: the weights were stopped.": edit(
            "weights @ v", "ops.stop_gradient(weights) @ v"
        ),
    },
    praise="The same mathematics, and the same numbers, in the other framework.",
)


@right(layer)
class ByEinsum(keras.Layer):
    """Other names, another order of layers, einsum."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.output_layer = keras.layers.Dense(d_model)
        self.three = [keras.layers.Dense(d_model) for _ in range(3)]
        self.h = num_heads

    def call(self, x, padding_mask, causal):
        n = x.shape[1]
        v, k, q = (ops.reshape(each(x), (-1, n, self.h, x.shape[-1] // self.h)) for each in self.three)
        scores = ops.einsum("bihd,bjhd->bhij", q, k) / ops.sqrt(1.0 * q.shape[-1])
        scores += ops.where(padding_mask, 0.0, -1e9)[:, None, None, :]
        if causal:
            scores += ops.triu(ops.full((n, n), -1e9), 1)
        mixed = ops.einsum("bhij,bjhd->bihd", ops.softmax(scores), v)
        return self.output_layer(ops.reshape(mixed, (-1, n, x.shape[-1])))


@right(layer)
class ByBuild(keras.Layer):
    """Layers made in `build`, in another order of calls."""

    def __init__(self, d_model, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.width, self.num_heads = d_model, num_heads

    def build(self, shape, *_):
        self.k = keras.layers.Dense(self.width)
        self.v = keras.layers.Dense(self.width)
        self.q = keras.layers.Dense(self.width)
        self.mix = keras.layers.Dense(self.width)

    def call(self, x, padding_mask, causal):
        heads = []
        d = self.width // self.num_heads
        k, v, q = self.k(x), self.v(x), self.q(x)
        n = x.shape[1]
        for h in range(self.num_heads):
            piece = slice(h * d, (h + 1) * d)
            scores = ops.matmul(q[..., piece], ops.swapaxes(k[..., piece], 1, 2)) / d**0.5
            scores = ops.where(padding_mask[:, None, :], scores, -1e9)
            if causal:
                scores = ops.where(ops.tril(ops.ones((n, n))) > 0, scores, -1e9)
            heads.append(ops.matmul(ops.softmax(scores), v[..., piece]))
        return self.mix(ops.concatenate(heads, axis=-1))
