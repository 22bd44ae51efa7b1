"""The smallest training that the lessons need: Keras's own `fit`."""

import keras
import numpy as np
from tqdm.auto import tqdm

from mmcourse.keras.losses import cross_entropy


def warmup_cosine(learning_rate, total, warmup=0.3):
    """Learning rate by step: up in a straight line, then down to 0 along a cosine."""
    up = round(warmup * total)
    return keras.optimizers.schedules.CosineDecay(0.0, total - up, warmup_target=learning_rate, warmup_steps=up)


def fit(model, dataset, epochs=10, learning_rate=1e-2, weight_decay=0.3, seed=0, progress=True):
    """Train a classifier of batch dicts with AdamW, warm-up and cosine.

    `dataset` (`tf_dataset`) shuffles by its own seed; `seed` is for what is drawn in training. Returns a list of
    {"loss", "accuracy"}, one an epoch, measured while training.
    """
    keras.utils.set_random_seed(seed)
    model.compile(
        keras.optimizers.AdamW(warmup_cosine(learning_rate, epochs * len(dataset)), weight_decay, epsilon=1e-8),
        loss=lambda labels, logits: cross_entropy(logits, labels),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    with tqdm(total=epochs, disable=not progress, unit="epoch") as bar:
        told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: bar.update())
        history = model.fit(with_labels(dataset), epochs=epochs, shuffle=False, verbose=0, callbacks=[told]).history
    return [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]


def with_labels(dataset):
    """Batches as (inputs, labels), which `fit` wants."""
    return dataset.map(lambda batch: ({k: v for k, v in batch.items() if k != "label"}, batch["label"]))


def predict(model, dataset):
    """Logits of every sample in the dataset's order, as a NumPy array (n, classes)."""
    return np.concatenate([np.asarray(model(batch, training=False)) for batch, _ in with_labels(dataset)])
