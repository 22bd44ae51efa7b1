"""Training with Keras's own `compile` and `fit`: the recipe of `mmcourse.training.torch`, step for step.

A task is a function ``loss_fn(model, batch) -> loss, metrics, count``, as in PyTorch: the mean loss of the batch (a
scalar tensor), a dict with the sum of each metric over it, and the number of samples. The batch is a dict: what the
dataset's x holds, and "target".
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm.auto import tqdm

from mmcourse.keras.losses import cross_entropy
from mmcourse.training.classes import check_known_classes
from mmcourse.training.keras.checkpoint import TrainingCheckpoint
from mmcourse.training.keras.loader import check_pairs, class_counts, dataset_fingerprint, num_batches, to_batch
from mmcourse.training.keras.optim import create_optimizer, warmup_cosine
from mmcourse.training.settings import check_settings


def classification(model, batch):
    """Cross-entropy of class numbers `batch["target"]`, and how many predictions are correct.

    The model gives logits (b, classes). `fit` without `loss_fn` trains on the same, by Keras's own loss and metric.
    """
    logits, target = model({k: v for k, v in batch.items() if k != "target"}), batch["target"]
    loss = cross_entropy(logits, target)
    correct = ops.cast(ops.argmax(logits, -1), "int64") == ops.cast(target, "int64")
    return loss, {"accuracy": ops.sum(ops.cast(correct, loss.dtype))}, ops.size(target)


class LossModel(keras.Model):
    """A model together with a loss function, as Keras's `fit` trains it. Its variables are the model's.

    `example` is a batch: by it the model is built, and the metrics' names are found.

    Raises
    ------
    ValueError
        `loss_fn` returns something else than (loss, metrics, count).
    """

    def __init__(self, model, loss_fn, example):
        super().__init__(dtype=model.dtype_policy)
        self.autocast = False  # the model inside does it: targets stay as they are
        self.inner, self.loss_fn = model, loss_fn
        self.built = True  # nothing to build but the model inside
        returned = loss_fn(model, example)
        if not isinstance(returned, tuple) or len(returned) != 3:
            got = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
            raise ValueError(f"loss_fn: expected it to return (loss, metrics, count), got {got}")
        loss, metrics, count = returned
        if np.ndim(loss):
            raise ValueError(f"loss_fn: expected the loss as a scalar, the mean over the batch, got {np.shape(loss)}")
        if not isinstance(metrics, dict) or "loss" in metrics or any(np.ndim(value) for value in metrics.values()):
            raise ValueError(
                "loss_fn: expected metrics as a dict of single numbers, sums over the batch, without 'loss'"
            )
        if np.ndim(count) or not int(count) == float(count) >= 1:
            raise ValueError(f"loss_fn: expected as count the number of samples, 1 or more, got {count!r}")
        self.means = {name: keras.metrics.Mean(name=name) for name in ("loss", *metrics)}

    @property
    def metrics(self):
        """Loss and metrics of the epoch so far."""
        return list(self.means.values())

    def call(self, batch, training=False):
        """Loss, metrics and count; layers inside learn from Keras whether they train."""
        return self.loss_fn(self.inner, batch)

    def train_step(self, data):
        """Forward, backward, update."""
        with tf.GradientTape() as tape:
            loss, metrics, count = self(to_batch(*data), training=True)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights, strict=True))
        return self.update_means(loss, metrics, count)

    def test_step(self, data):
        """Forward only."""
        return self.update_means(*self(to_batch(*data), training=False))

    def update_means(self, loss, metrics, count):
        """Add a batch to the epoch's means; returns them by name."""
        count = ops.cast(count, loss.dtype)
        self.means["loss"].update_state(loss, sample_weight=count)
        for name, total in metrics.items():
            self.means[name].update_state(ops.cast(total, loss.dtype) / count, sample_weight=count)
        return {name: mean.result() for name, mean in self.means.items()}


class ProgressBar(keras.callbacks.Callback):
    """A bar over all steps of the run, with loss and metrics of the epoch so far."""

    def __init__(self, total, done):
        super().__init__()
        self.bar = tqdm(total=total, initial=done, unit="step")

    def on_train_batch_end(self, batch, logs=None):
        """One step on."""
        self.bar.set_postfix({name: f"{float(value):.3f}" for name, value in logs.items()}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        """The bar stays as it is."""
        self.bar.close()


def fit(
    model, dataset, epochs=10, learning_rate=1e-2, weight_decay=0.3, seed=0, progress=True,
    *, loss_fn=classification, validation=None, warmup=0.3, clip=None, ema=None, patience=None,
    folder=None, resume=False,
):  # fmt: skip
    """Train a model with AdamW, warm-up and cosine, by `compile` and `fit`, for any task.

    `dataset` shuffles by its own seed and the epoch; `seed` is for what random layers draw.

    Parameters
    ----------
    model : takes the x of the dataset's pairs
    dataset : pairs (x, target), as `Dataset.tf_dataset` gives them
    loss_fn : (model, batch) → mean loss of the batch, {metric: its sum over the batch}, number of samples. By default
        `classification`, the cross-entropy of the target
    validation : a dataset, measured after each epoch
    warmup : share of the steps, from 0 to 1, in which the learning rate rises
    clip : largest common norm of all gradients
    ema : momentum of a running mean of the weights, which validation sees and the model has in the end
    patience : stop after so many epochs without a lower validation loss (0 as 1), and take the best epoch's weights
    folder : for `last.safetensors` (to go on from), `best.keras` (lowest validation loss) and TensorBoard
    resume : go on from the folder's last epoch if there is one; the result is that of a run never stopped (on as many
        threads: sums in another order round otherwise)

    Returns
    -------
    A list of {"loss", "accuracy"}, one per epoch, measured while training, with {"val_loss", "val_accuracy"} where
    there is validation; under `loss_fn`'s own names for other metrics.

    Raises
    ------
    ValueError
        A setting out of range; an empty dataset; targets that are no classes of this model, or that only validation
        has; a checkpoint that does not belong here, or a dataset with which going on would not be exact. All before
        the first step.
    FloatingPointError
        The loss is not finite.
    """
    datasets = {"dataset": dataset, "validation": validation}
    for name, data in datasets.items():
        if data is not None:
            num_batches(data, name)
            check_pairs(data, name)
    settings = check_settings(
        num_batches=num_batches(dataset, "dataset"), has_validation=validation is not None, epochs=epochs,
        learning_rate=learning_rate, weight_decay=weight_decay, seed=seed, warmup=warmup, clip=clip, ema=ema,
        patience=patience, folder=folder, resume=resume, progress=progress,
    )  # fmt: skip
    x, target = next(iter(dataset))
    if loss_fn is classification:
        check_targets(model(x), datasets)
    trainer = model if loss_fn is classification else LossModel(model, loss_fn, to_batch(x, target))
    total = settings.epochs * num_batches(dataset, "dataset")
    schedule = warmup_cosine(settings.learning_rate, total, settings.warmup)
    trainer.compile(
        create_optimizer(model, schedule, settings.weight_decay, settings.clip, settings.ema),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if trainer is model else None,
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if trainer is model else None,
    )
    for i, state in enumerate(v for v in model.variables if v.name == "seed_generator_state"):
        state.assign([settings.seed, 1_000_000 * i])  # (seed, how often drawn); layers start far apart
    recorded = {}
    if settings.folder:
        recorded = settings.recorded(**{name: dataset_fingerprint(data, name) for name, data in datasets.items()})
    stopping = None
    if settings.patience is not None:
        patience = max(settings.patience, 1)
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    checkpoint = TrainingCheckpoint(model, list(datasets.values()), recorded, settings, stopping)
    checkpoint.open(trainer)
    done = settings.epochs if checkpoint.finished() else len(checkpoint.history)
    callbacks: list[keras.callbacks.Callback] = []
    if settings.progress:
        callbacks.append(ProgressBar(total, done * total // settings.epochs))
    if stopping:
        callbacks.append(stopping)
    if settings.folder:
        callbacks.append(keras.callbacks.TensorBoard(settings.folder / "tensorboard", write_graph=False))
    trainer.fit(
        dataset,
        validation_data=validation,
        epochs=settings.epochs,
        initial_epoch=done,
        shuffle=False,  # the dataset does it
        verbose=0,
        callbacks=[*callbacks, checkpoint],
    )
    return checkpoint.history


def check_targets(logits, datasets):
    """Raise ValueError unless all targets are class numbers that the model can name, and training shows them all."""
    known = class_counts(datasets["dataset"], "dataset")
    asked = {} if datasets["validation"] is None else class_counts(datasets["validation"], "validation")
    check_known_classes("dataset", known, asked)
    classes = logits.shape[-1] if len(logits.shape) > 1 else 1
    if known and max(known) >= classes:
        raise ValueError(
            f"target: class {max(known)} occurs, but the model gives logits for {classes} classes only "
            f"(0 to {classes - 1}); make its last layer wider, or correct the labels"
        )


def predict(model, dataset):
    """Logits of every sample in the dataset's order, as a NumPy array (n, classes).

    Raises
    ------
    ValueError
        An empty dataset.
    """
    logits = []
    for element in dataset:
        x = element[0] if isinstance(element, tuple) else element
        logits.append(np.asarray(model(x, training=False)))
    if not logits:
        raise ValueError("dataset: expected batches, got an empty dataset; is the split, or the subset of it, empty?")
    return np.concatenate(logits)


def evaluate(model, dataset, loss_fn=classification):
    """Mean loss and metrics over a dataset: {"val_loss", "val_accuracy"}.

    Raises
    ------
    ValueError
        An empty dataset.
    """
    num_samples = 0
    sums: dict = {}  # by name
    for x, target in dataset:
        loss, metrics, count = loss_fn(model, to_batch(x, target))
        num_samples += int(count)
        for name, value in {"loss": loss * float(count), **metrics}.items():
            sums[name] = sums.get(name, 0) + float(value)
    if not num_samples:
        raise ValueError("dataset: expected batches, got an empty dataset; is the split, or the subset of it, empty?")
    return {f"val_{name}": total / num_samples for name, total in sums.items()}
