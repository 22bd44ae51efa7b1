"""A sentence encoder in Keras, whose masks are to be mended."""

import keras
import numpy as np
from keras import ops

from mmcourse.exercise import context, drawn_weights, edit, example, exercise, in_turn, one_of, part, right, says


class SentenceEncoder(keras.Layer):
    """Word vectors (b, n, d_model) and their mask (b, n) → one vector per sentence (b, d_model)."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        d_head = d_model // num_heads
        self.attention = keras.layers.MultiHeadAttention(num_heads, key_dim=d_head)

    def call(self, x, padding_mask):
        mask = padding_mask[:, None, :]  # (b, 1, n): the last axis is that of the keys
        y = self.attention(x, x, attention_mask=mask)
        x = x + y  # residual connection
        real = ops.cast(padding_mask, x.dtype)[:, :, None]  # (b, n, 1)
        total = ops.sum(x * real, axis=1)
        return total / ops.sum(real, axis=1)


def use_encoder(probe, answer, d_model, num_heads, x, padding_mask, weights):
    """Output and gradients with copied weights."""
    layer = answer(d_model, num_heads)
    words, real = probe.tensor(x), probe.tensor(padding_mask)
    probe.is_layer(layer)
    layer(words, real)  # makes the weights
    for parameters in probe.load_ways(layer, weights):
        yield {
            "the output": probe.output(layer(words, real)),
            **probe.gradients(lambda: layer(words, real), parameters),
        }


def draw_sentences(g, b, n, num_heads, d_head, padding):
    d_model = num_heads * d_head
    x = g.normal(size=(b, n, d_model)).round(2)
    lengths = g.integers(1, n, (b, 1)) if padding else np.full((b, 1), n)
    padding_mask = np.arange(n) < lengths  # (b, n)
    if padding == "left":
        padding_mask = padding_mask[:, ::-1].copy()
    shapes = {}
    for name in ("query", "key", "value"):
        shapes[f"{name}/kernel"] = (d_model, num_heads, d_head)
        shapes[f"{name}/bias"] = (num_heads, d_head)
    shapes["attention_output/kernel"] = (num_heads, d_head, d_model)
    shapes["attention_output/bias"] = (d_model,)
    return d_model, num_heads, x, padding_mask, drawn_weights(g, shapes)


class WideHeads(SentenceEncoder):
    """Each head as wide as the model."""

    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.attention = keras.layers.MultiHeadAttention(num_heads, key_dim=d_model)


encoder = exercise(
    "attention.5",
    SentenceEncoder,
    framework="keras",
    use=use_encoder,
    title="An encoder whose masks are wrong",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "The layer below turns the words of a sentence into one vector. It runs, it trains, and its padding leaks: "
            "a padded sentence does not get the vector that it gets alone. Its heads are too wide as well."
        ),
        example("""
class BrokenEncoder(keras.Layer):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(num_heads, key_dim=d_model)

    def call(self, x, padding_mask):
        mask = padding_mask[:, :, None]
        mixed = self.attention(x, x, attention_mask=mask)
        return ops.mean(x + mixed, axis=1)


broken = BrokenEncoder(4, 2)
sentences = np.random.default_rng(0).normal(size=(1, 5, 4)).astype("float32")
is_real = np.array([[True, True, True, False, False]])
alone = broken(sentences[:, :3], is_real[:, :3])
print("padded, as if alone:", np.allclose(broken(sentences, is_real), alone, atol=1e-5))
"""),
        says(
            "**Write** it right: `SentenceEncoder(d_model, num_heads)`, a `keras.Layer` with `call(self, x, "
            "padding_mask)`, for `x` (b, n, d_model) and `padding_mask` (b, n), True where a word is real. It returns "
            "(b, d_model).",
            mistake="Your mask is upside down",
        ),
        says(
            "It uses one `keras.layers.MultiHeadAttention` with biases, for self-attention;",
            mistake="has no biases",
        ),
        says("each head is `d_model / num_heads` wide;", mistake="Each head is as wide as the model"),
        says("no query attends to padding, wherever it is,", mistake="Padding is attended to"),
        says("while later words are open;", mistake="closed the future"),
        says("`x` is added to what attention brings;", mistake="The residual connection is missing"),
        says("and the average goes over the real words only.", mistake="Your average counts the padding"),
        says("Gradients must reach every weight.", mistake="No gradient reaches the attention"),
        context("Every sentence has a real word."),
    ],
    hints=[
        "Two places use the mask. Which axis of the weights (b, heads, queries, keys) does padding close? And by which "
        "number does the average divide?",
        "`key_dim` is the width of *one* head. `padding_mask[:, None, :]`; then `ops.cast`, `ops.sum` and `[:, :, None]`.",
    ],
    draw=draw_sentences,
    parts=[
        part("no padding", b=2, n=3, num_heads=2, d_head=one_of(2, 3), padding=""),
        part("padding", weight=2, b=3, n=5, num_heads=in_turn(2, 3), d_head=2, padding="right"),
        part("padding on the left", b=1, n=4, num_heads=2, d_head=3, padding="left"),
    ],
    mistakes={
        "The attention layer has no biases: leave `use_bias` as it is.": edit(
            "key_dim=d_head", "key_dim=d_head, use_bias=False"
        ),
        "Each head is as wide as the model: `key_dim` is the width of *one* head, d_model / num_heads.": WideHeads,
        "You gave the width first, as in PyTorch. Keras's layer takes the number of heads first, then the width of one "
        "head.": edit("(num_heads, key_dim=d_head)", "(d_model, num_heads)"),
        "Padding is attended to: the mask must be handed to the attention layer, and close *keys*, the last axis of "
        "(b, queries, keys). Closing the rows of padded queries changes nothing for real words.": [
            "mask = padding_mask[:, :, None]",
            "y = self.attention(x, x)",
        ],
        "Your mask is upside down: True means *may attend* in Keras.": (
            "mask = ops.logical_not(padding_mask)[:, None, :]"
        ),
        "Your average counts the padding: add up the real words only, and divide by their number.": (
            "real = ops.ones_like(x[:, :, :1])"
        ),
        "You left the padding out of the sum, but divided by the length with padding.": ("return total / x.shape[1]"),
        "You divided by the number of real words in the whole batch. Each sentence has its own: sum the mask over axis "
        "1 only.": "return total / ops.sum(real)",
        "You took only the number of real words from the mask, as if padding were always on the right. Use the mask "
        "itself.": edit(
            "mask = padding_mask[:, None, :]",
            "count = ops.sum(ops.cast(padding_mask, 'int32'), axis=1, keepdims=True)\n"
            "        padding_mask = ops.arange(x.shape[1])[None] < count\n"
            "        mask = padding_mask[:, None, :]",
        ),
        "You averaged `x` over all positions, and only what attention brings over the real words. Add first, then average "
        "the sum.": edit(
            "x = x + y",
            "x, y = y, x",
            "return total / ops.sum(real, axis=1)",
            "return total / ops.sum(real, axis=1) + ops.mean(y, axis=1)",
        ),
        "This is the sum of the real words: divide it by their number.": "return total",
        "The residual connection is missing: add `x` to what attention brings.": "x = y",
        "The sum is of `x` alone: what attention brings is lost.": "x = x + 0 * y",
        "You closed the future. This is an encoder: later words are open.": (
            "y = self.attention(x, x, attention_mask=mask, use_causal_mask=True)"
        ),
        "No gradient reaches the attention: its output was stopped.": "x = x + ops.stop_gradient(y)",
    },
    praise="Two masks, one for attention and one for the average. Forgetting the second is the commoner mistake.",
)


@right(encoder)
class ByPooling(keras.Layer):
    """Keras's own masked pooling; the mask as `key_mask`."""

    def __init__(self, d_model, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.mix = keras.layers.MultiHeadAttention(num_heads, d_model // num_heads)
        self.pool = keras.layers.GlobalAveragePooling1D()

    def call(self, x, padding_mask):
        return self.pool(x + self.mix(x, x, key_mask=padding_mask), mask=padding_mask)


@right(encoder)
class ByWeights(keras.Layer):
    """The average as a product with the weights of the words."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.add = keras.layers.Add()
        self.mix = keras.layers.MultiHeadAttention(key_dim=d_model // num_heads, num_heads=num_heads)

    def call(self, x, padding_mask):
        n = x.shape[1]
        mask = ops.repeat(padding_mask[:, None, :], n, axis=1)
        h = self.add([x, self.mix(query=x, value=x, key=x, attention_mask=mask)])
        share = ops.cast(padding_mask, "float32")
        share = share / ops.sum(share, axis=1, keepdims=True)
        return ops.einsum("bn,bnd->bd", share, h)
