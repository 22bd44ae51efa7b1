"""Known right and wrong answers to the exercises in Keras, as learners write them."""

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


ANSWERS = {
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
