"""The CTC loss in three backends."""

import numpy as np

from .case import ParityCase


def sequences(blank=0, batch=3, time=7, labels=5):
    """Logits, texts (a repeated label, one label, none) and lengths, some of them shorter than the arrays."""

    def draw(rng):
        others = [label for label in range(labels) if label != blank]
        texts = rng.choice(others, (batch, 3))
        texts[0, 1] = texts[0, 0]  # a blank is needed between two equal labels
        return {
            "logits": 2 * rng.normal(size=(batch, time, labels)),
            "labels": texts.astype(np.int64),
            "input_lengths": np.array([time, time - 2, time - 1]),
            "label_lengths": np.array([3, 1, 2]),
        }

    return draw


def backward(dy, inputs, p, options):
    """NumPy's own gradient: softmax minus the share of paths that are in a label."""
    from mmcourse.numpy import ctc

    _, cache = ctc.ctc_loss(**inputs, **options)
    return {"logits": ctc.ctc_loss_backward(dy, cache)}, {}


FORMULAS = [
    ParityCase(
        "CTC loss",
        numpy="ctc.ctc_loss",
        layer="ctc.ctc_loss",
        inputs=sequences(),
        count=0,
        backward=backward,
        numpy_call=lambda f, inputs, p, options: f(**inputs)[0],
    ),
]
