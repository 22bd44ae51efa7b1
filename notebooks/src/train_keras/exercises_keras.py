"""A pooling layer and a training step in Keras, and the checks of four of the lesson's blanks."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    between,
    context,
    drawn_weights,
    edit,
    example,
    exercise,
    in_turn,
    one_of,
    part,
    right,
    says,
)
from mmcourse.exercise.verdict import CheckFailed


# ---------------------------------------------------------------- 4
class AttentionPooling(keras.layers.Layer):
    """x (b, t, d), mask (b, t) → (b, d): a mean with learned weights."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.supports_masking = True

    def build(self, input_shape):
        d = input_shape[-1]
        self.kernel = self.add_weight(shape=(d, self.width), name="kernel")
        self.query = self.add_weight(shape=(self.width,), name="query")

    def call(self, x, mask=None):
        hidden = ops.tanh(x @ self.kernel)  # (b, t, width)
        scores = ops.sum(hidden * self.query, axis=-1)  # (b, t)
        if mask is not None:
            scores = ops.where(mask, scores, -1e9)
        weights = ops.softmax(scores, axis=-1)  # (b, t)
        return ops.sum(weights[..., None] * x, axis=1)

    def compute_mask(self, x, mask=None):
        return None

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def use_pooling(probe, answer, width, x, mask, weights):
    """Outputs without and with a mask, gradients, and what the layer says of itself."""
    layer = answer(width)
    probe.is_layer(layer)
    values, real = probe.tensor(x), probe.tensor(mask)
    layer(values)  # makes the weights
    for parameters in probe.load_ways(layer, weights):
        yield {
            "the output without a mask": probe.output(layer(values)),
            "the output with a mask": probe.output(layer(values, mask=real)),
            **probe.gradients(lambda: layer(values, mask=real), parameters),
            "`width` in the config": int(layer.get_config().get("width", -1)),
            "whether a mask is handed on": layer.compute_mask(values, real) is not None,
            "whether it says that it supports masks": bool(layer.supports_masking),
        }


def draw_pooling(g, b, t, d, width, padding):
    x = g.normal(size=(b, t, d)).round(2)
    lengths = g.integers(1, t, (b, 1)) if padding else np.full((b, 1), t)
    mask = np.arange(t) < lengths  # (b, t)
    if padding == "left":
        mask = mask[:, ::-1].copy()
    weights = drawn_weights(g, {"attention_pooling/kernel": (d, width), "attention_pooling/query": (width,)})
    weights["attention_pooling/query"] *= 5
    return width, x, mask, weights


class HandsOn(AttentionPooling):
    """The mask of time goes on, though time is gone."""

    def compute_mask(self, x, mask=None):
        return mask


class SaysNothing(AttentionPooling):
    """Without `supports_masking`."""

    def __init__(self, width, **kwargs):
        super().__init__(width, **kwargs)
        self.supports_masking = False


class WithoutConfig(AttentionPooling):
    """As if `get_config` had not been written."""

    def get_config(self):
        config = super().get_config()
        del config["width"]
        return config


pooling = exercise(
    "train_keras.4",
    AttentionPooling,
    framework="keras",
    use=use_pooling,
    title="A layer that learns what to attend to",
    points=4,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "An average over time gives each step the same weight. Your layer gives each step a score, and takes a mean "
            "with the softmax of the scores as weights. For a step $x_t$ the score is $q \\cdot \\tanh(x_t K)$."
        ),
        example("""
x = np.array([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])  # (1, 3, 2)
scores = np.array([[0.0, 2.0, 5.0]])
real = np.array([[True, True, False]])
share = np.exp(scores) * real
print("weights", (share / share.sum()).round(3))
"""),
        says(
            "**Write** `AttentionPooling(width, **kwargs)`, a `keras.layers.Layer` with `call(self, x, mask=None)` for "
            "`x` (b, t, d) and `mask` (b, t), True where a step is real. It returns (b, d).",
            mistake="Your mask is upside down",
        ),
        says(
            'Its weights are made in `build` with `self.add_weight(shape=…, name=…)`: `"kernel"` (d, width) and `"query"` '
            "(width,).",
            mistake="The tanh is missing",
        ),
        says(
            "The weights of a sample's real steps add up to 1,",
            mistake="The weights of the real steps no longer add up to 1",
        ),
        says("the softmax goes over time,", mistake="The softmax goes over the wrong axis"),
        says("padding gets no weight, wherever it is,", mistake="Padding gets a share"),
        says("and without a mask all steps are real.", mistake="Without a mask"),
        says("The layer says that it supports masks,", mistake="does not say that it can use a mask"),
        says("hands none on, for time is gone (`compute_mask`),", mistake="The mask is handed on"),
        says("and `get_config` lets it be made again: it has `width` in it.", mistake="`get_config` lacks"),
        context("Every sample has a real step."),
    ],
    hints=[
        "`ops.tanh(x @ self.kernel)` is (b, t, width); its product with `self.query`, summed over the last axis, is (b, t). "
        "Where the mask is False, put a very negative score before the softmax.",
        "`scores = ops.where(mask, scores, -1e9)`, then `ops.softmax(scores, axis=-1)[..., None] * x`, summed over axis 1. "
        '`get_config` returns `{**super().get_config(), "width": self.width}`.',
    ],
    draw=draw_pooling,
    parts=[
        part("no padding", b=2, t=3, d=2, width=one_of(2, 3), padding=""),
        part("padding", weight=2, b=3, t=5, d=3, width=in_turn(2, 4), padding="right"),
        part("padding on the left", b=2, t=4, d=2, width=3, padding="left"),
        part("one sample", b=1, t=between(2, 4), d=2, width=1, padding="right"),
    ],
    mistakes={
        "Padding gets a share: where the mask is False, put a very negative score before the softmax.": edit(
            "scores = ops.where(mask, scores, -1e9)", "scores = scores"
        ),
        "A score of 0 still gets a share of the softmax. Put a very negative number, such as -1e9, for padding.": edit(
            "ops.where(mask, scores, -1e9)", "ops.where(mask, scores, 0.0)"
        ),
        "The weights of the real steps no longer add up to 1: mask the scores before the softmax, not the weights "
        "after it.": edit(
            "scores = ops.where(mask, scores, -1e9)",
            "real = ops.cast(mask, x.dtype)",
            "weights = ops.softmax(scores, axis=-1)",
            "weights = ops.softmax(scores, axis=-1) * (1.0 if mask is None else real)",
        ),
        "Your mask is upside down: True means that a step is real.": edit(
            "ops.where(mask, scores, -1e9)", "ops.where(mask, -1e9, scores)"
        ),
        "The softmax goes over the wrong axis: each sample has one unit to spend on its steps, `axis=-1` of (b, t).": (
            "weights = ops.softmax(scores, axis=0)"
        ),
        "The tanh is missing between the kernel and the query.": "hidden = x @ self.kernel",
        "You divided by the number of steps: the weights add up to 1 already, so take the sum.": edit(
            "ops.sum(weights[..., None] * x, axis=1)", "ops.mean(weights[..., None] * x, axis=1)"
        ),
        "You weighted with the scores themselves: take their softmax.": "weights = scores",
        "Without a mask, all steps count: yours leaves some of them out.": edit(
            "if mask is not None:\n            scores",
            "if mask is None:\n            mask = ops.arange(x.shape[1]) > 0\n        if True:\n            scores",
        ),
        "The mask is handed on, though there is no time left for it to speak of: `compute_mask` returns None.": HandsOn,
        "The layer does not say that it can use a mask: set `self.supports_masking = True` in `__init__`, or Keras "
        "warns and drops it.": SaysNothing,
        "`get_config` lacks `width`: without it the layer cannot be made again from a file.": WithoutConfig,
    },
    praise="That is additive attention with one query, in a layer that saves, loads and respects padding.",
)


@right(pooling)
class ByMinusInfinity(keras.layers.Layer):
    """Scores by einsum; padding at minus infinity."""

    def __init__(self, width, name=None, **more):
        super().__init__(name=name, **more)
        self.width, self.supports_masking = width, True

    def build(self, shape):
        self.k = self.add_weight(name="kernel", shape=(shape[2], self.width), initializer="zeros")
        self.q = self.add_weight(name="query", shape=(self.width,))

    def call(self, x, mask=None):
        scores = ops.einsum("btw,w->bt", ops.tanh(ops.matmul(x, self.k)), self.q)
        if mask is not None:
            scores = ops.where(mask, scores, -np.inf)
        return ops.einsum("bt,btd->bd", ops.softmax(scores), x)

    def compute_mask(self, *inputs, **named):
        return None

    def get_config(self):
        config = super().get_config()
        config["width"] = self.width
        return config


# ---------------------------------------------------------------- 5
class Accumulating(keras.Model):
    """A classifier whose step adds up the gradients of several micro-batches."""

    def __init__(self, hidden, classes, parts, max_norm):
        super().__init__()
        self.hidden = keras.layers.Dense(hidden, activation="relu", name="hidden")
        self.logits = keras.layers.Dense(classes, name="logits")
        self.parts, self.max_norm = parts, max_norm

    def call(self, x):
        return self.logits(self.hidden(x))

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        size = x.shape[0] // self.parts
        total = [ops.zeros_like(v) for v in self.trainable_variables]
        losses = []
        for k in range(self.parts):
            rows = slice(k * size, (k + 1) * size)
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x[rows], y[rows], self(x[rows], training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            total = [a + g for a, g in zip(total, gradients, strict=True)]
            losses.append(loss)
        mean = [a / self.parts for a in total]
        clipped, norm = tf.clip_by_global_norm(mean, self.max_norm)
        self.optimizer.apply(clipped, self.trainable_variables)
        return {"loss": sum(losses) / self.parts, "norm": norm}


def use_step(probe, answer, hidden, classes, parts, max_norm, x, y, weights):
    """One step of plain gradient descent by `train_on_batch`, with copied weights."""
    model = answer(hidden, classes, parts, max_norm)
    probe.is_layer(model)
    model(probe.tensor(x))  # makes the weights
    loss = probe.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in probe.load_ways(model, weights):
        model.compile(probe.keras.optimizers.SGD(0.5), loss, run_eagerly=True)
        log = model.train_on_batch(probe.tensor(x), probe.tensor(y), return_dict=True)
        yield {
            "the reported loss": float(log.get("loss", -1.0)),
            "the reported norm": float(log.get("norm", -1.0)),
            "the number of optimizer steps": int(model.optimizer.iterations),
            "the weights after the step": probe.state(model),
        }


def draw_step(g, b, d, hidden, classes, parts, max_norm):
    x = (2 * g.normal(size=(b * parts, d))).round(2)
    y = np.arange(b * parts) % classes
    y = g.permutation(y).astype(np.int64)
    shapes = {
        "hidden/kernel": (d, hidden),
        "hidden/bias": (hidden,),
        "logits/kernel": (hidden, classes),
        "logits/bias": (classes,),
    }
    weights = drawn_weights(g, shapes)
    weights["logits/kernel"] *= 3
    return hidden, classes, parts, max_norm, x, y, weights


class StepForEach(Accumulating):
    """The optimizer moves after each micro-batch."""

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        size = x.shape[0] // self.parts
        losses = []
        for k in range(self.parts):
            rows = slice(k * size, (k + 1) * size)
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x[rows], y[rows], self(x[rows], training=True))
            gradients, norm = tf.clip_by_global_norm(tape.gradient(loss, self.trainable_variables), self.max_norm)
            self.optimizer.apply(gradients, self.trainable_variables)
            losses.append(loss)
        return {"loss": sum(losses) / self.parts, "norm": norm}


stepping = exercise(
    "train_keras.5",
    Accumulating,
    framework="keras",
    use=use_step,
    title="A large batch in small pieces",
    points=4,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "A batch of 256 does not fit into the memory of your card, one of 64 does. **Gradient accumulation** computes "
            "the gradient of the large batch in pieces, micro-batches, and moves once. Keras's `fit` needs only another "
            "`train_step` for that. This is the model:"
        ),
        example("""
class Plain(keras.Model):
    def __init__(self, hidden, classes):
        super().__init__()
        self.hidden = keras.layers.Dense(hidden, activation="relu")
        self.logits = keras.layers.Dense(classes)

    def call(self, x):
        return self.logits(self.hidden(x))


keras.utils.set_random_seed(0)
print(Plain(8, 3)(np.ones((4, 5), "float32")).shape)
"""),
        says(
            "**Write** `Accumulating(hidden, classes, parts, max_norm)`, a `keras.Model` with these layers and this `call`, "
            "and with a `train_step(self, data)`. Take `data` apart with `keras.utils.unpack_x_y_sample_weight(data)`, as in the "
            "lesson; there are no sample weights. The step cuts the batch into `parts` micro-batches of "
            "equal size (the batch size is a multiple of `parts`),",
            mistake="only of the first micro-batch",
        ),
        says("adds up their gradients", mistake="Only the last micro-batch's gradient"),
        says(
            "and divides by `parts`, so that the result is the gradient of the whole batch's mean loss.",
            mistake="You added the gradients up, but did not divide",
        ),
        says(
            "If the norm of that gradient (of all weights together) is above `max_norm`, it is shortened to `max_norm`;",
            mistake="Nothing is clipped",
        ),
        says("if not, it stays as it is.", mistake="A short gradient was stretched"),
        says("Then the optimizer moves, once.", mistake="The optimizer moved after each micro-batch"),
        says(
            'Return a dict: `"loss"`, the mean loss of the whole batch,',
            mistake="The reported loss is that of the last micro-batch",
        ),
        says('and `"norm"`, the norm before clipping.', mistake="The reported norm is the one after clipping"),
        context("Use `self.compute_loss(x, y, y_pred)` and `self.optimizer`, which `compile` has set."),
    ],
    hints=[
        "The lesson's `Watched` has one tape. Yours has one in a loop over slices of x and y; after the loop come the "
        "division, the clipping and the optimizer.",
        "`tf.clip_by_global_norm(gradients, max_norm)` returns the clipped list and the norm before. "
        "`self.optimizer.apply(gradients, self.trainable_variables)`.",
    ],
    draw=draw_step,
    parts=[
        part(
            "a gradient that is clipped",
            weight=2,
            b=3,
            d=3,
            hidden=4,
            classes=3,
            parts=in_turn(2, 3),
            max_norm=one_of(0.1, 0.2),
        ),
        part("a short gradient", b=2, d=2, hidden=3, classes=2, parts=in_turn(2, 4), max_norm=100.0),
        part("a single part", b=4, d=2, hidden=3, classes=3, parts=1, max_norm=one_of(0.1, 100.0)),
    ],
    atol=1e-5,
    mistakes={
        "You added the gradients up, but did not divide: the mean loss of the whole batch has their mean as gradient.": (
            "mean = total"
        ),
        "Only the last micro-batch's gradient is used: add them all up.": [
            edit("[a + g for a, g in zip(total, gradients, strict=True)]", "gradients"),
            edit(
                "[a + g for a, g in zip(total, gradients, strict=True)]",
                "gradients",
                "[a / self.parts for a in total]",
                "total",
            ),
        ],
        "The gradient is only of the first micro-batch: take another slice each time.": ("rows = slice(0, size)"),
        "The optimizer moved after each micro-batch: accumulate first, then move once.": StepForEach,
        "Nothing is clipped: shorten the gradient to `max_norm` where it is longer.": (
            "clipped, norm = mean, tf.linalg.global_norm(mean)"
        ),
        "Each weight was clipped by itself, which turns the direction. The norm is that of all weights together.": (
            "clipped, norm = [tf.clip_by_norm(g, self.max_norm) for g in mean], tf.linalg.global_norm(mean)"
        ),
        "A short gradient was stretched: clip only where the norm is above `max_norm`.": (
            "clipped, norm = [g * self.max_norm / tf.linalg.global_norm(mean) for g in mean], tf.linalg.global_norm(mean)"
        ),
        "You clipped each micro-batch's gradient before adding. Add first, then clip the mean.": edit(
            "gradients = tape.gradient(loss, self.trainable_variables)",
            "gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, self.trainable_variables), self.max_norm)",
        ),
        "The reported loss is that of the last micro-batch: return the mean over all.": edit(
            "sum(losses) / self.parts", "loss"
        ),
        "The reported loss is a sum: divide by `parts`.": edit("sum(losses) / self.parts", "sum(losses)"),
        "The reported norm is the one after clipping: the norm before tells more.": edit(
            '"norm": norm', '"norm": tf.linalg.global_norm(clipped)'
        ),
        "The optimizer never moved: hand it the gradients with `self.optimizer.apply`.": edit(
            "self.optimizer.apply(clipped, self.trainable_variables)", "self.optimizer.build(self.trainable_variables)"
        ),
    },
    praise="The step is that of the large batch, in the memory of a small one. (Batch normalization would tell them apart.)",
)


@right(stepping)
class BySplitting(keras.Model):
    """`tf.split`, and a loss that is divided before its gradient."""

    def __init__(self, hidden, classes, parts, max_norm, **kwargs):
        super().__init__(**kwargs)
        self.body = keras.Sequential([keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(classes)])
        self.settings = parts, max_norm

    def call(self, x):
        return self.body(x)

    def train_step(self, data):
        parts, max_norm = self.settings
        weights = self.trainable_weights
        gradient, reported = None, 0.0
        for x, y in zip(tf.split(data[0], parts), tf.split(data[1], parts), strict=True):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x)) / parts
            found = tape.gradient(loss, weights)
            gradient = found if gradient is None else [tf.add(a, b) for a, b in zip(gradient, found, strict=True)]
            reported += loss
        norm = tf.linalg.global_norm(gradient)
        factor = tf.minimum(1.0, max_norm / norm)
        self.optimizer.apply_gradients(zip([factor * g for g in gradient], weights, strict=True))
        return {"norm": norm, "loss": reported}


# ---------------------------------------------------------------- the lesson's blanks
def _tried(function, *args):
    """What it returns; an error of the reader's own code as `CheckFailed`."""
    try:
        return function(*args)
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"It ended with {type(error).__name__}: {str(error).splitlines()[0][:160]}") from None


def _model_and_batch():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    )
    g = np.random.default_rng(0)
    x, y = g.normal(size=(6, 3)).astype("float32"), np.arange(6) % 2
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    return model, keras.losses.SparseCategoricalCrossentropy(from_logits=True), optimizer, x, y


def _same(ours, theirs):
    return all(np.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


def judge_step(answer, ours):
    """One step on a small model with dropout: the loss, and each weight."""
    wanted = _model_and_batch()
    right_loss = ours(*wanted)
    made = _model_and_batch()
    before = made[0].get_weights()
    loss = _tried(answer, *made)
    after = made[0].get_weights()
    if loss is None:
        raise CheckFailed("Your step returns nothing: return the loss.")
    if _same(before, after):
        raise CheckFailed("The weights did not move: hand the gradients to the optimizer, `optimizer.apply(…)`.")
    quiet = _model_and_batch()
    without_dropout = float(quiet[1](quiet[4], quiet[0](quiet[3], training=False)))
    if np.isclose(float(loss), without_dropout, atol=1e-6):
        raise CheckFailed("Predict with `training=True`: else dropout and batch normalization act as in prediction.")
    still = [np.allclose(a, b) for a, b in zip(before, after, strict=True)]
    if any(still):
        raise CheckFailed("Some weights did not move: take the gradients of all `model.trainable_variables`.")
    if not _same(after, wanted[0].get_weights()):
        raise CheckFailed("The weights moved, but not as the optimizer moves them for this loss.")
    if np.shape(loss) != () or not np.isclose(float(loss), float(right_loss), atol=1e-5):
        raise CheckFailed("The step is right. Return the loss, one number.")


def _step(training=True, apply=True, give_back=True, some=slice(None), uphill=1.0):
    def step(model, loss_fn, optimizer, x, y):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=training))
        gradients = tape.gradient(loss, model.trainable_variables)
        if apply:
            pairs = list(zip([uphill * g for g in gradients], model.trainable_variables, strict=True))[some]
            for gradient, variable in pairs:
                variable.assign_sub(0.1 * gradient)
        return loss if give_back else None

    return step


def _none_returned(model, loss_fn, optimizer, x, y):
    made = _step()(model, loss_fn, optimizer, x, y)
    assert made is not None


@blank(
    "train_keras.blank.1",
    title="A training step",
    judge=judge_step,
    mistakes=[
        (_none_returned, "returns nothing"),
        (_step(apply=False), "The weights did not move"),
        (_step(training=False), "Predict with `training=True`"),
        (_step(some=slice(2)), "Some weights did not move"),
        (_step(uphill=-1.0), "not as the optimizer moves them"),
    ],
)
def train_step_of_lesson(model, loss_fn, optimizer, x, y):
    with tf.GradientTape() as tape:
        loss = loss_fn(y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return loss


class LessonMeanAndSpread(keras.layers.Layer):
    """The course's version of blank 2."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, mask=None):
        real = ops.cast(mask, x.dtype)[..., None]
        count = ops.sum(real, axis=1)
        mean = ops.sum(x * real, axis=1) / count
        variance = ops.sum(real * (x - mean[:, None]) ** 2, axis=1) / count
        return ops.concatenate([mean, ops.sqrt(variance + 1e-5)], axis=-1)

    def compute_mask(self, x, mask=None):
        return None


LessonMeanAndSpread.__name__ = LessonMeanAndSpread.__qualname__ = "MeanAndSpread"


class NoMask(LessonMeanAndSpread):
    """Padding counts everywhere."""

    def call(self, x, mask=None):
        return ops.concatenate([ops.mean(x, axis=1), ops.sqrt(ops.var(x, axis=1) + 1e-5)], axis=-1)


class WrongCount(LessonMeanAndSpread):
    """Padding is left out of the sum, not of the number."""

    def call(self, x, mask=None):
        real = ops.cast(mask, x.dtype)[..., None]
        mean = ops.mean(x * real, axis=1)
        return ops.concatenate([mean, ops.sqrt(ops.mean(real * (x - mean[:, None]) ** 2, axis=1) + 1e-5)], axis=-1)


class SpreadOverPadding(LessonMeanAndSpread):
    """The mean is right; the deviations of padding count in the spread."""

    def call(self, x, mask=None):
        real = ops.cast(mask, x.dtype)[..., None]
        count = ops.sum(real, axis=1)
        mean = ops.sum(x * real, axis=1) / count
        variance = ops.sum((x * real - mean[:, None]) ** 2, axis=1) / count
        return ops.concatenate([mean, ops.sqrt(variance + 1e-5)], axis=-1)


class NoRoot(LessonMeanAndSpread):
    """The variance itself."""

    def call(self, x, mask=None):
        mean, spread = ops.split(super().call(x, mask), 2, axis=-1)
        return ops.concatenate([mean, spread**2], axis=-1)


class OtherWay(LessonMeanAndSpread):
    """First the spread, then the mean."""

    def call(self, x, mask=None):
        mean, spread = ops.split(super().call(x, mask), 2, axis=-1)
        return ops.concatenate([spread, mean], axis=-1)


def judge_layer(answer, ours):
    """Outputs on batches with and without padding."""
    g = np.random.default_rng(1)
    layer = _tried(answer)
    for case, lengths in (("without padding", (4, 4)), ("with padding", (4, 2, 1))):
        x = g.normal(2, 1, size=(len(lengths), 4, 3)).astype("float32")
        mask = np.arange(4) < np.array(lengths)[:, None]
        x[~mask] = 7.0  # padding need not be zeros
        wanted = np.asarray(ours()(x, mask=mask))
        made = np.asarray(_tried(lambda x=x, mask=mask: layer(x, mask=mask)))
        if made.shape != wanted.shape:
            raise CheckFailed(f"The output has the shape {made.shape} {case}; expected {wanted.shape}.")
        if np.allclose(made, wanted, atol=1e-4):
            continue
        for kind, message in LAYER_HINTS:
            if np.allclose(made, np.asarray(kind()(x, mask=mask)), atol=1e-4):
                raise CheckFailed(message)
        if np.allclose(made[:, :3], wanted[:, :3], atol=1e-4):
            raise CheckFailed(f"The mean is right {case}, the standard deviation is not.")
        raise CheckFailed(f"The output is not right {case}.")


LAYER_HINTS = (
    (NoMask, "Padding counts in your mean: multiply by the mask, and divide by the number of real steps."),
    (WrongCount, "You divided by the length with padding: divide by the number of real steps."),
    (
        SpreadOverPadding,
        "The mean is right, but padding counts in the spread: multiply the squared deviations by the mask.",
    ),
    (NoRoot, "That is the variance: take its root."),
    (OtherWay, "Both are right, in the wrong order: first the mean, then the standard deviation."),
)


@blank(
    "train_keras.blank.2",
    title="Mean and spread under a mask",
    value=True,
    judge=judge_layer,
    mistakes=[((lambda kind=kind: kind), message[:40]) for kind, message in LAYER_HINTS],
)
def mean_and_spread():
    return LessonMeanAndSpread


def judge_pipeline(answer, ours):
    """Two epochs of a small set: sizes, each sample once, a new order, shuffled far, prefetched."""
    x, y = {"a": np.arange(60.0).reshape(20, 3), "b": np.arange(20)}, np.arange(20)
    dataset = _tried(answer, x, y, 8, 3)
    if not isinstance(dataset, tf.data.Dataset):
        raise CheckFailed(f"A `tf.data.Dataset` was expected; got {type(dataset).__name__}.")
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise CheckFailed("Each element should be a pair (x, y), as `fit` wants it.")
    epochs = []
    for _ in range(2):
        batches = list(dataset)
        if not batches or any(batch[1].shape.rank != 1 for batch in batches):
            raise CheckFailed("The batches are missing: `.batch(batch_size)`.")
        if max(len(batch[1]) for batch in batches) != 8:
            raise CheckFailed("The batches have another size than `batch_size`.")
        for inputs, target in batches:
            if not np.array_equal(inputs["b"], target):
                raise CheckFailed("Inputs and labels no longer belong together: slice them as a pair, `((x, y))`.")
        epochs.append(np.concatenate([target for _, target in batches]))
    if sorted(epochs[0]) != list(range(20)):
        raise CheckFailed("An epoch does not hold each sample once.")
    blocks = [set(epoch[i : i + 8]) == set(range(i, min(i + 8, 20))) for epoch in epochs for i in (0, 8, 16)]
    if all(np.array_equal(epoch, np.arange(20)) for epoch in epochs):
        raise CheckFailed("Nothing is shuffled.")
    if all(blocks[:1]) or any(
        np.array_equal(epochs[0][i : i + 8], np.arange(epochs[0][i], epochs[0][i] + 8)) for i in (0, 8)
    ):
        raise CheckFailed("Whole batches are shuffled: shuffle samples, before `batch`.")
    if np.array_equal(*epochs):
        raise CheckFailed("The second epoch has the order of the first: the cache comes before the shuffle.")
    again = np.concatenate([target for _, target in answer(x, y, 8, 3)])
    other = np.concatenate([target for _, target in answer(x, y, 8, 4)])
    if not np.array_equal(again, epochs[0]) or np.array_equal(again, other):
        raise CheckFailed("The seed has no effect: hand it to `shuffle`.")
    first = [min(list(answer(x, y, 8, seed))[0][1].numpy()[:1]) for seed in range(6)]
    if max(first) < 8:
        raise CheckFailed(
            "The buffer is too small: an epoch always begins with early samples. Shuffle over all of them."
        )
    if "Prefetch" not in type(dataset).__name__:
        raise CheckFailed("The last stage should prefetch: `.prefetch(tf.data.AUTOTUNE)`.")


def _pipeline(*stages, buffer=None, seeded=True):
    def pipeline(x, y, batch_size, seed=0):
        made = tf.data.Dataset.from_tensor_slices((x, y))
        for stage in stages:
            if stage == "shuffle":
                made = made.shuffle(buffer or len(y), seed=seed if seeded else 5)
            elif stage == "batch":
                made = made.batch(batch_size)
            else:
                made = made.cache() if stage == "cache" else made.prefetch(tf.data.AUTOTUNE)
        return made

    return pipeline


@blank(
    "train_keras.blank.3",
    title="The pipeline for training",
    judge=judge_pipeline,
    mistakes=[
        (_pipeline("cache", "batch", "prefetch"), "Nothing is shuffled"),
        (_pipeline("cache", "shuffle", "prefetch"), "The batches are missing"),
        (_pipeline("cache", "batch", "shuffle", "prefetch"), "Whole batches are shuffled"),
        (_pipeline("shuffle", "cache", "batch", "prefetch"), "has the order of the first"),
        (_pipeline("cache", "shuffle", "batch", "prefetch", buffer=3), "The buffer is too small"),
        (_pipeline("cache", "shuffle", "batch", "prefetch", seeded=False), "The seed has no effect"),
        (_pipeline("cache", "shuffle", "batch"), "should prefetch"),
    ],
)
def make_pipeline_of_lesson(x, y, batch_size, seed=0):
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).cache()
    return dataset.shuffle(len(y), seed=seed).batch(batch_size).prefetch(tf.data.AUTOTUNE)


class LessonStopAtGoal(keras.callbacks.Callback):
    """The course's version of blank 4."""

    def __init__(self, goal):
        super().__init__()
        self.goal = goal

    def on_epoch_end(self, epoch, logs=None):
        if (logs or {}).get("val_accuracy", 0.0) >= self.goal:
            self.model.stop_training = True


class AlwaysStops(LessonStopAtGoal):
    """At once."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


class WrongMetric(LessonStopAtGoal):
    """The training accuracy."""

    def on_epoch_end(self, epoch, logs=None):
        if (logs or {}).get("accuracy", 0.0) >= self.goal:
            self.model.stop_training = True


class OnlyAbove(LessonStopAtGoal):
    """Equal is not enough."""

    def on_epoch_end(self, epoch, logs=None):
        if (logs or {}).get("val_accuracy", 0.0) > self.goal:
            self.model.stop_training = True


class NeverStops(LessonStopAtGoal):
    """Sets the attribute on itself."""

    def on_epoch_end(self, epoch, logs=None):
        if (logs or {}).get("val_accuracy", 0.0) >= self.goal:
            self.stop_training = True


def judge_callback(answer, ours):
    """What it does to a model, by the logs of an epoch."""
    cases = (
        ({"accuracy": 0.5, "val_accuracy": 0.9}, 0.8, True, "The goal was reached, and training went on: set `self.model.stop_training`."),
        ({"accuracy": 0.5, "val_accuracy": 0.8}, 0.8, True, "A validation accuracy equal to the goal has reached it: `>=`."),
        ({"accuracy": 0.9, "val_accuracy": 0.7}, 0.8, False, "It stopped below the goal. Look at `logs[\"val_accuracy\"]` only."),
        ({"accuracy": 0.9}, 0.8, False, "It stopped though there was no validation accuracy."),
        (None, 0.8, False, "It stopped though there were no logs."),
    )  # fmt: skip
    for logs, goal, stops, message in cases:
        callback = _tried(answer, goal)
        model = SimpleNamespace(stop_training=False)
        callback.set_model(model)
        _tried(callback.on_epoch_end, 0, logs)
        if model.stop_training is not stops:
            raise CheckFailed(message)


@blank(
    "train_keras.blank.4",
    title="A callback of your own",
    value=True,
    judge=judge_callback,
    mistakes=[
        (lambda: AlwaysStops, "It stopped below the goal"),
        (lambda: WrongMetric, "and training went on"),
        (lambda: OnlyAbove, "equal to the goal"),
        (lambda: NeverStops, "and training went on"),
    ],
)
def stop_at_goal():
    return LessonStopAtGoal
