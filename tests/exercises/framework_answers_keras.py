"""Known right and wrong answers to the exercises in Keras, as learners write them."""

import keras
import tensorflow as tf
from exercise_harness import Answers
from keras import layers, ops


class Encoder(layers.Layer):
    """A right answer with places to go wrong."""

    per_head = True

    def __init__(self, d_model, num_heads, **more):
        super().__init__(**more)
        width = d_model // num_heads if self.per_head else d_model
        self.att = layers.MultiHeadAttention(num_heads, width)

    def mask(self, m):
        return ops.expand_dims(m, 1)

    def mix(self, x, m):
        return layers.add([x, self.att(x, x, attention_mask=self.mask(m))])

    def pool(self, h, m):
        return ops.sum(ops.where(m[..., None], h, 0.0), 1) / ops.sum(ops.cast(m, "float32"), 1, keepdims=True)

    def call(self, x, padding_mask):
        return self.pool(self.mix(x, padding_mask), padding_mask)


class OneByOne(Encoder):
    """Each sentence alone, cut to its words: no mask is needed at all."""

    def call(self, x, padding_mask):
        made = []
        for words, real in zip(x, padding_mask, strict=True):
            words = ops.take(words, ops.nonzero(real)[0], axis=0)[None]
            made.append(ops.mean(words + self.att(words, words), axis=1))
        return ops.concatenate(made)


def encoder(**parts):
    return type("Encoder", (Encoder,), parts)


# ---------------------------------------------------------------- train_keras.4
class Pool(layers.Layer):
    """A right answer with places to go wrong."""

    def __init__(self, width, **more):
        super().__init__(**more)
        self.width = width
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.width), name="kernel")
        self.query = self.add_weight(shape=(self.width,), name="query")

    def score(self, x):
        return ops.tensordot(ops.tanh(ops.matmul(x, self.kernel)), self.query, 1)

    def hide(self, scores, mask):
        return scores if mask is None else scores - 1e9 * (1 - ops.cast(mask, "float32"))

    def share(self, scores, mask):
        return ops.softmax(self.hide(scores, mask), -1)

    def call(self, x, mask=None):
        return ops.einsum("bt,btd->bd", self.share(self.score(x), mask), x)

    def compute_mask(self, x, mask=None):
        return None

    def get_config(self):
        return dict(super().get_config(), width=self.width)


class PoolByLoop(Pool):
    """The exponentials by hand."""

    def share(self, scores, mask):
        e = ops.exp(scores - ops.max(scores, 1, keepdims=True))
        if mask is not None:
            e = e * ops.cast(mask, e.dtype)
        return e / ops.sum(e, 1, keepdims=True)


def pool(**parts):
    return type("Pool", (Pool,), parts)


def zero_scores(self, scores, mask):
    return scores if mask is None else scores * ops.cast(mask, "float32")


def masked_late(self, scores, mask):
    weights = ops.softmax(scores, -1)
    return weights if mask is None else weights * ops.cast(mask, "float32")


# ---------------------------------------------------------------- train_keras.5
class Pieces(keras.Model):
    """A right answer with places to go wrong."""

    def __init__(self, hidden, classes, parts, max_norm):
        super().__init__()
        self.one, self.two = layers.Dense(hidden, "relu"), layers.Dense(classes)
        self.parts, self.max_norm = parts, max_norm

    def call(self, x):
        return self.two(self.one(x))

    def one_part(self, x, y):
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        return loss, tape.gradient(loss, self.trainable_variables)

    def join(self, found):
        return [sum(gradients) / self.parts for gradients in zip(*found, strict=True)]

    def clip(self, gradients):
        return tf.clip_by_global_norm(gradients, self.max_norm)

    def report(self, losses, norm, clipped):
        return {"loss": sum(losses) / len(losses), "norm": norm}

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        size = len(x) // self.parts
        made = [self.one_part(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
        clipped, norm = self.clip(self.join([gradients for _, gradients in made]))
        self.optimizer.apply(clipped, self.trainable_variables)
        return self.report([loss for loss, _ in made], norm, clipped)


class WholeBatch(Pieces):
    """Rows k, k + parts, …: other pieces, the same sum."""

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        made = [self.one_part(x[k :: self.parts], y[k :: self.parts]) for k in range(self.parts)]
        clipped, norm = self.clip(self.join([gradients for _, gradients in made]))
        self.optimizer.apply(clipped, self.trainable_variables)
        return self.report([loss for loss, _ in made], norm, clipped)


def pieces(**parts):
    return type("Pieces", (Pieces,), parts)


def stretched(self, gradients):
    norm = tf.linalg.global_norm(gradients)
    return [g / norm * self.max_norm for g in gradients], norm


class Doors(layers.Layer):
    """A right answer with places to go wrong."""

    squash, bend, bias = "sigmoid", "tanh", False

    def __init__(self, m, k, **more):
        super().__init__(**more)
        self.a = [layers.Dense(k, self.bend, use_bias=self.bias) for _ in range(m)]
        self.b = [layers.Dense(k, self.squash, use_bias=self.bias) for _ in range(m)]

    def clean(self, x, here):
        return ops.where(here, x, 0.0)

    def seen(self, xs, kept):
        return ops.concatenate(kept, 1)

    def join(self, z, h):
        return layers.add([layers.multiply([p, q]) for p, q in zip(z, h, strict=True)])

    def call(self, xs, there):
        kept = [self.clean(x, there[:, m : m + 1]) for m, x in enumerate(xs)]
        everything = self.seen(xs, kept)
        z, h = [f(everything) for f in self.b], [f(x) for f, x in zip(self.a, kept, strict=True)]
        return self.join(z, h)


class DoorsByHand(Doors):
    """The activations outside the layers."""

    squash = bend = None

    def join(self, z, h):
        return sum(ops.sigmoid(p) * ops.tanh(q) for p, q in zip(z, h, strict=True))


def doors(**parts):
    return type("Doors", (Doors,), parts)


ANSWERS = {
    "fusion.6": Answers(
        right=[Doors, DoorsByHand],
        wrong=[
            (doors(squash=None), "lacks its sigmoid"),
            (doors(bend=None), "lack their tanh"),
            (doors(bend="sigmoid"), "not the sigmoid"),
            (doors(bias=True), "other shapes than asked for"),
            (doors(clean=lambda self, x, here: x), "mask has no effect"),
            (doors(clean=lambda self, x, here: x * ops.cast(here, x.dtype)), "NaN comes through"),
            (doors(seen=lambda self, xs, kept: ops.concatenate(xs, 1)), "gates still see"),
            (doors(join=lambda self, z, h: Doors.join(self, z, h) / len(z)), "mean over the modalities"),
        ],
        skip={"*": "the answer is a class and gets its inputs through a probe"},
    ),
    "train_keras.4": Answers(
        right=[Pool, PoolByLoop],
        wrong=[
            (pool(hide=lambda self, scores, mask: scores), "Padding gets a share"),
            (pool(hide=zero_scores), "A score of 0 still gets a share"),
            (pool(share=masked_late), "no longer add up to 1"),
            (pool(score=lambda self, x: ops.tensordot(ops.matmul(x, self.kernel), self.query, 1)), "tanh is missing"),
            (pool(compute_mask=lambda self, x, mask=None: mask), "handed on"),
            (pool(get_config=lambda self: layers.Layer.get_config(self)), "lacks `width`"),
        ],
        skip={"*": "the answer is a class and gets its inputs through a probe"},
    ),
    "train_keras.5": Answers(
        right=[Pieces, WholeBatch],
        wrong=[
            (pieces(join=lambda self, found: [sum(g) for g in zip(*found, strict=True)]), "did not divide"),
            (pieces(join=lambda self, found: found[-1]), "Only the last micro-batch"),
            (pieces(clip=lambda self, g: (g, tf.linalg.global_norm(g))), "Nothing is clipped"),
            (pieces(clip=stretched), "A short gradient was stretched"),
            (
                pieces(report=lambda self, losses, norm, clipped: {"loss": losses[-1], "norm": norm}),
                "that of the last micro-batch",
            ),
            (
                pieces(
                    report=lambda self, losses, norm, clipped: {
                        "loss": sum(losses) / len(losses),
                        "norm": tf.linalg.global_norm(clipped),
                    }
                ),
                "the one after clipping",
            ),
        ],
        skip={"*": "the answer is a class and gets its inputs through a probe"},
    ),
    "attention.5": Answers(
        right=[Encoder, OneByOne],
        wrong=[
            (encoder(mask=lambda self, m: ops.expand_dims(m, 2)), "Padding is attended to"),
            (encoder(mask=lambda self, m: ops.logical_not(m)[:, None]), "upside down"),
            (encoder(pool=lambda self, h, m: ops.mean(h, 1)), "counts the padding"),
            (encoder(pool=lambda self, h, m: ops.mean(ops.where(m[..., None], h, 0.0), 1)), "length with padding"),
            (encoder(mix=lambda self, x, m: self.att(x, x, attention_mask=self.mask(m))), "residual connection"),
            (encoder(per_head=False), "as wide as the model"),
        ],
        skip={"*": "the answer is a class and gets its inputs through a probe"},
    ),
}
