"""The smallest training that the lessons need: Keras's own `fit`."""

import keras
import numpy as np
from tqdm.auto import tqdm

from mmcourse.keras.losses import cross_entropy


def fit(model, dataset, epochs=5, learning_rate=3e-3, seed=0, progress=True):
    """Train a classifier of batch dicts with Adam.

    `dataset` (`tf_dataset`) shuffles by its own seed; `seed` is for what is drawn in training. Returns a list of
    {"loss", "accuracy"}, one an epoch, measured while training.
    """
    keras.utils.set_random_seed(seed)
    model.compile(
        keras.optimizers.Adam(learning_rate),
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
