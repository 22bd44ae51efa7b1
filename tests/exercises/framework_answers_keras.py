"""Known right and wrong answers to the exercises in Keras, as learners write them."""

import keras
from exercise_harness import Answers
from keras import layers, ops


class Heads(keras.layers.Layer):
    """A right answer with places to go wrong."""

    def __init__(self, d_model, num_heads, **more):
        super().__init__(**more)
        self.wq, self.wk, self.wv, self.wo = (layers.Dense(d_model) for _ in range(4))
        self.h, self.d = num_heads, d_model // num_heads

    def split(self, t):
        return ops.transpose(ops.reshape(t, (-1, t.shape[1], self.h, self.d)), (0, 2, 1, 3))

    def scale(self):
        return self.d**-0.5

    def weigh(self, s):
        return ops.softmax(s)

    def join(self, y):
        return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, y.shape[2], self.h * self.d))

    def call(self, x, padding_mask, causal):
        q, k, v = self.split(self.wq(x)), self.split(self.wk(x)), self.split(self.wv(x))
        s = ops.einsum("bhid,bhjd->bhij", q, k) * self.scale()
        s = s - 1e9 * ops.cast(ops.logical_not(padding_mask), s.dtype)[:, None, None]
        if causal:
            s = s - 1e9 * ops.triu(ops.ones_like(s[0, 0]), 1)
        return self.wo(self.join(ops.matmul(self.weigh(s), v)))


class Plain(Heads):
    """Heads one after the other."""

    def call(self, x, padding_mask, causal):
        return super().call(ops.identity(1)[0, 0] * x, padding_mask=padding_mask, causal=causal)


def heads(**methods):
    return type("Heads", (Heads,), methods)


ANSWERS = {
    "attention.5": Answers(
        right=[Heads, Plain],
        wrong=[
            (heads(scale=lambda self: 1.0), "not divided by anything"),
            (heads(scale=lambda self: (self.d * self.h) ** -0.5), "root of d_model"),
            (heads(weigh=lambda self, s: ops.softmax(s, axis=-2)), "over the queries"),
            (heads(weigh=lambda self, s: ops.stop_gradient(ops.softmax(s))), "No gradient reaches queries"),
            (heads(join=lambda self, y: ops.reshape(y, (-1, y.shape[2], self.h * self.d))), "without moving the heads"),
        ],
        skip={"*": "the answer is a class and gets its inputs through a probe"},
    ),
}
