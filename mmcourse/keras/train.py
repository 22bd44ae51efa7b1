"""Training with Keras's own `compile` and `fit`: the recipe of `mmcourse.torch.train`, step for step."""

import keras
import numpy as np
from keras import ops
from tqdm.auto import tqdm

from mmcourse.keras.checkpoint import Run
from mmcourse.keras.losses import cross_entropy

__all__ = ["AdamW", "cross_entropy", "fit", "optimiser", "predict", "warmup_cosine"]


def warmup_cosine(learning_rate, total, warmup=0.3):
    """Learning rate by step: up in a straight line, then down to 0 along a cosine."""
    up = round(warmup * total)
    start, top = np.float64(0.0), np.float64(learning_rate)  # plain numbers would become float32, in float64 runs too
    return keras.optimizers.schedules.CosineDecay(start, total - up, warmup_target=top, warmup_steps=up)


@keras.saving.register_keras_serializable("mmcourse")
class AdamW(keras.optimizers.AdamW):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1) with decoupled decay, as PyTorch has it.

    Keras's own differs twice. It takes the shorter form of their section 2, where ε counts 1/√(1 − β₂ᵗ) times, 32 times
    at step 1. And where a word comes twice in a batch, v gets the sum of the squares of its gradients, and the clipping
    norm too; here it is the square of their sum.
    """

    def apply(self, grads, trainable_variables=None):
        """A gradient that is a list of rows becomes a whole table, in which equal rows have been added up."""
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        pairs = zip(grads, variables, strict=True)
        super().apply(
            [g if g is None else ops.add(ops.zeros_like(v), ops.cast(g, v.dtype)) for g, v in pairs],
            trainable_variables,
        )

    def update_step(self, gradient, variable, learning_rate):
        """w ← w − rate · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). The decay has been applied before."""
        step = ops.cast(self.iterations + 1, variable.dtype)
        at, moments = self._get_variable_index(variable), []
        for kept, beta, new in (
            (self._momentums[at], self.beta_1, gradient),
            (self._velocities[at], self.beta_2, ops.square(gradient)),
        ):
            kept.assign(beta * kept + (1 - beta) * new)
            power = ops.power(ops.convert_to_tensor(beta, variable.dtype), step)
            moments.append(kept / (1 - power))
        mean, square = moments
        variable.assign_sub(ops.cast(learning_rate, variable.dtype) * mean / (ops.sqrt(square) + self.epsilon))


def optimiser(model, learning_rate, weight_decay, clip=None, ema=None):
    """AdamW of the recipe: ε = 1e-8, and only matrices, kernels and embeddings decay. The model must be built."""
    averaging = {} if ema is None else {"use_ema": True, "ema_momentum": ema}
    adamw = AdamW(learning_rate, weight_decay, epsilon=1e-8, global_clipnorm=clip, **averaging)
    adamw.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return adamw


def steps(dataset, name):
    """Number of batches; none, or not known, is an error."""
    count = int(dataset.cardinality())
    if count < 1:
        what = {0: "an empty dataset", -1: "one without end", -2: "one whose length is unknown"}[count]
        raise ValueError(
            f"{name}: expected a dataset with a known number of batches, got {what}; "
            "take Dataset.tf_dataset, or tell it with tf.data.experimental.assert_cardinality"
        )
    return count


class Progress(keras.callbacks.Callback):
    """A bar over all steps of the run, with loss and accuracy of the epoch so far."""

    def __init__(self, total, done, shown):
        super().__init__()
        self.bar = tqdm(total=total, initial=done, disable=not shown, unit="step")

    def on_train_batch_end(self, batch, logs=None):
        """One step on."""
        self.bar.set_postfix({k: f"{float(logs[k]):.3f}" for k in ("loss", "accuracy")}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        """The bar stays as it is."""
        self.bar.close()


def fit(
    model, dataset, epochs=10, learning_rate=1e-2, weight_decay=0.3, seed=0, progress=True,
    *, validation=None, warmup=0.3, clip=None, ema=None, patience=None, folder=None, resume=False,
):  # fmt: skip
    """Train a classifier of batch dicts with AdamW, warm-up and cosine, by `compile` and `fit`.

    `dataset` (`tf_dataset`) shuffles by its own seed and the epoch; `seed` is for what random layers draw. Returns a
    list of {"loss", "accuracy"}, one an epoch, measured while training, with {"val_loss", "val_accuracy"} where there
    is validation.

    Parameters
    ----------
    validation : a dataset, measured after each epoch; warmup : share of the steps in which the rate rises
    clip : largest common norm of all gradients
    ema : momentum of a running mean of the weights, which validation sees and the model has in the end
    patience : stop after so many epochs without a lower validation loss, and take the best epoch's weights
    folder : for `last.safetensors` (to go on from), `best.keras` (lowest validation loss) and TensorBoard
    resume : go on from the folder's last epoch if there is one; the result is that of a run never stopped

    Raises
    ------
    ValueError
        An empty dataset, patience without validation, a checkpoint that does not belong here.
    FloatingPointError
        The loss is not finite.
    """
    total = epochs * steps(dataset, "dataset")
    if patience is not None and validation is None:
        raise ValueError("patience: early stopping watches the validation loss; give validation=dataset too")
    if not model.built:
        model(next(iter(dataset))[0])
    model.compile(
        optimiser(model, warmup_cosine(learning_rate, total, warmup), weight_decay, clip, ema),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    for i, state in enumerate(v for v in model.variables if v.name == "seed_generator_state"):
        state.assign([seed, 1_000_000 * i])  # (seed, how often drawn); layers start far apart
    settings = {"epochs": epochs, "learning_rate": learning_rate, "weight_decay": weight_decay, "seed": seed}
    settings |= {"warmup": warmup, "clip": clip, "ema": ema, "patience": patience, "steps": total}
    stopping = patience and keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    run = Run([dataset, validation], settings, folder, stopping)
    run.open(model, resume)
    done = epochs if run.finished() else len(run.history)
    callbacks = [Progress(total, done * total // epochs, progress), *([stopping] if stopping else [])]
    if folder:
        callbacks.append(keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False))
    model.fit(
        dataset,
        validation_data=None if validation is None else (steps(validation, "validation"), validation)[1],
        epochs=epochs,
        initial_epoch=done,
        shuffle=False,  # the dataset does it
        verbose=0,
        callbacks=[*callbacks, run],
    )
    return run.history


def predict(model, dataset):
    """Logits of every sample in the dataset's order, as a NumPy array (n, classes)."""
    return np.concatenate([np.asarray(model(batch, training=False)) for batch, _ in dataset])
