"""Keras's training: the recipe's formulas, clear errors, and runs that go on after SIGKILL."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("keras")

import keras
import tensorflow as tf
from safetensors import safe_open
from safetensors.numpy import save

from mmcourse.datasets import load
from mmcourse.keras.encoders import ImageEncoder, MultimodalClassifier, TextEncoder
from mmcourse.keras.fusion import Concatenate, ModalityDropout
from mmcourse.training import files
from mmcourse.training import keras as train
from mmcourse.training.keras import checkpoint

OPTIONS = {"epochs": 4, "patience": 3, "ema": 0.8, "clip": 1.0, "seed": 5, "progress": False}


def model(seed=0):
    """Small, and with random draws in training."""
    keras.utils.set_random_seed(seed)
    encoders = {"face": ImageEncoder(6, channels=(4, 4)), "words": TextEncoder(600, 6)}
    net = MultimodalClassifier(encoders, Concatenate([6, 6], 8), 3, dropout=ModalityDropout([6, 6], 0.3))
    net.build(None)
    return net


def flow(split="train", n=80, seed=3):
    return load("mood", split).subset(np.arange(n)).tf_dataset(16, seed=seed)


def weights(net):
    return [w.numpy() for w in net.weights]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# ---------------------------------------------------------------- the recipe
def test_the_rate_rises_in_a_line_and_falls_in_a_cosine():
    rate = train.warmup_cosine(0.02, 20, warmup=0.25)
    rates = [float(rate(step)) for step in range(21)]
    np.testing.assert_allclose(rates[:6], np.linspace(0, 0.02, 6), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rates[5:], 0.01 + 0.01 * np.cos(np.pi * np.arange(16) / 15), rtol=1e-12, atol=1e-15)
    assert float(train.warmup_cosine(0.02, 20, warmup=0.0)(0)) == pytest.approx(0.02)


def test_adamw_is_pytorchs_even_where_a_word_comes_twice():
    torch = pytest.importorskip("torch")
    start = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    ids = np.array([0, 2, 2, 2, 1])
    table, theirs = keras.layers.Embedding(4, 3), torch.nn.Embedding(4, 3)
    table.build(None)
    table.embeddings.assign(start)
    theirs.weight.data = torch.tensor(start)
    ours = train.AdamW(0.05, 0.1, epsilon=1e-3)
    adamw = torch.optim.AdamW(theirs.parameters(), 0.05, eps=1e-3, weight_decay=0.1)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(ids) ** 2) * 1e-3
        ours.apply(tape.gradient(loss, [table.embeddings.value]), [table.embeddings])
        adamw.zero_grad()
        (theirs(torch.tensor(ids)) ** 2).sum().mul(1e-3).backward()
        adamw.step()
    np.testing.assert_allclose(table.embeddings.numpy(), theirs.weight.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_vectors_do_not_decay():
    net = model()
    train.fit(net, flow(n=16), epochs=1, progress=False)
    before = [v.numpy() for v in net.trainable_variables]
    adamw = train.create_optimizer(net, 0.1, weight_decay=0.5)
    adamw.apply([np.zeros(v.shape, "float32") for v in net.trainable_variables], net.trainable_variables)
    for old, new in zip(before, net.trainable_variables, strict=True):
        np.testing.assert_allclose(new.numpy(), old * (0.95 if old.ndim > 1 else 1), rtol=1e-6)


def test_validation_and_the_end_have_the_averaged_weights():
    net, validation = model(), flow("validation", 48)
    history = train.fit(net, flow(), epochs=2, ema=0.9, validation=validation, progress=False)
    assert list(history[0]) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert net.evaluate(validation, verbose=0)[0] == pytest.approx(history[-1]["val_loss"], rel=1e-6)
    plain = model()
    train.fit(plain, flow(), epochs=2, progress=False)
    assert not same(weights(net), weights(plain))


def test_early_stopping_puts_the_best_epoch_back():
    net, validation = model(), flow("validation", 48)
    options = {"epochs": 12, "patience": 2, "learning_rate": 0.2, "weight_decay": 0.0, "progress": False}
    history = train.fit(net, flow(n=32), validation=validation, **options)
    losses = [epoch["val_loss"] for epoch in history]
    assert len(history) == np.argmin(losses) + 3 < 12
    assert net.evaluate(validation, verbose=0)[0] == pytest.approx(min(losses), rel=1e-5)


def test_a_run_repeats_itself_whatever_was_drawn_before():
    runs = []
    for peeks in (0, 2):
        net, data = model(), flow()
        for _ in range(peeks):
            next(iter(data))
            keras.random.normal((3,))
        history = train.fit(net, data, epochs=2, progress=False)
        runs.append((history, weights(net)))
    assert runs[0][0] == runs[1][0] and same(runs[0][1], runs[1][1])


# ---------------------------------------------------------------- what goes wrong, in words
def test_no_data_is_said():
    with pytest.raises(ValueError, match="empty"):
        flow(n=0)
    nothing = flow().take(0)
    with pytest.raises(ValueError, match="dataset: .* an empty dataset"):
        train.fit(model(), nothing)
    with pytest.raises(ValueError, match="validation: .* an empty dataset"):
        train.fit(model(), flow(), validation=nothing)
    with pytest.raises(ValueError, match="without end"):
        train.fit(model(), flow().repeat())


def test_a_loss_that_is_no_number_names_step_rate_and_remedy(tmp_path):
    def spoil_from(first, net, data):
        data.set_epoch = lambda epoch: net.head.bias.assign([np.nan if epoch >= first else 0.0] * 3)
        return net, data

    with pytest.raises(FloatingPointError, match=r"nan at step 1, learning rate 0\. No checkpoint.*clip"):
        train.fit(*spoil_from(0, model(), flow()), epochs=2, progress=False)
    with pytest.raises(FloatingPointError, match="nan at step 6, .*last good state is in"):
        train.fit(*spoil_from(1, model(), flow()), epochs=2, folder=tmp_path, progress=False)
    with safe_open(tmp_path / "last.safetensors", "np") as file:
        assert len(json.loads(file.metadata()["metadata"])["history"]) == 1


def test_a_folder_is_not_mixed_up(tmp_path):
    train.fit(model(), flow(), epochs=1, folder=tmp_path, progress=False)
    again = {"epochs": 1, "folder": tmp_path, "progress": False}
    with pytest.raises(ValueError, match="holds a run"):
        train.fit(model(), flow(), **again)
    with pytest.raises(ValueError, match="epochs: 1 there, 2 now"):
        train.fit(model(), flow(), resume=True, **{**again, "epochs": 2})
    other = MultimodalClassifier({"words": TextEncoder(600, 6)}, Concatenate([6], 8), 3)
    with pytest.raises(ValueError, match="another model .*variables there"):
        train.fit(other, flow(), resume=True, **again)
    with pytest.raises(ValueError, match="give folder"):
        train.fit(model(), flow(), resume=True)
    with pytest.raises(ValueError, match="patience: .*validation"):
        train.fit(model(), flow(), patience=1)
    file = tmp_path / "last.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut or damaged"):
        train.fit(model(), flow(), resume=True, **again)


@pytest.mark.parametrize(
    "options",
    [
        {"warmup": 100},
        {"clip": 0},
        {"clip": -1.0},
        {"ema": 1.0},
        {"epochs": 0},
        {"learning_rate": np.nan},
        {"folder": ""},
    ],
    ids=str,
)
def test_settings_are_refused_before_the_first_step(options):
    net = model()
    before = weights(net)
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected "):
        train.fit(net, flow(n=16), progress=False, **options)
    assert same(before, weights(net))


def test_numbers_out_of_numpy_and_edges(tmp_path):
    options = {"epochs": np.int64(2), "learning_rate": np.float32(0.01), "warmup": 1, "patience": 0, "progress": False}
    history = train.fit(model(), flow(n=32), validation=flow("validation", 48), folder=tmp_path, **options)
    assert 1 <= len(history) <= 2 and all(np.isfinite(h["loss"]) for h in history)


def pairs(x, target, size=8):
    return tf.data.Dataset.from_tensor_slices(({"inputs": {"x": x}}, target)).batch(size)


class Small(keras.Model):
    def __init__(self, width=2):
        super().__init__()
        self.out = keras.layers.Dense(width)

    def call(self, batch):
        return self.out(batch["inputs"]["x"])


X = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.arange(32) % 3, "target: class 2 occurs, but the model gives logits for 2 classes only"),
        (np.arange(32) % 2 - 1, "dataset: expected class numbers from 0, got -1"),
        (np.arange(32) / 32, "dataset: expected class numbers as target, got float"),
    ],
)
def test_targets_that_are_no_classes_of_the_model(target, message):
    with pytest.raises(ValueError, match=message):
        train.fit(Small(), pairs(X, target), progress=False)


def test_datasets_of_another_form():
    with pytest.raises(ValueError, match=r"dataset: expected pairs \(x, target\)"):
        train.fit(Small(), pairs(X, np.arange(32) % 2).map(lambda x, y: x), progress=False)
    with pytest.raises(ValueError, match="no sample of class 1 .8 times., which validation has"):
        zeros, validation = np.zeros(32, int), pairs(X[:16], np.arange(16) % 2)
        train.fit(Small(), pairs(X, zeros), validation=validation, progress=False)
    for measure in (train.predict, train.evaluate):
        with pytest.raises(ValueError, match="empty dataset"):
            measure(Small(), pairs(X, np.arange(32) % 2).take(0))


# ---------------------------------------------------------------- any task
def squared_error(model, batch):
    errors = keras.ops.square(model(batch) - batch["target"])  # (b, 1)
    return keras.ops.mean(errors), {"absolute error": keras.ops.sum(keras.ops.sqrt(errors))}, keras.ops.shape(errors)[0]


def test_regression():
    target = X @ np.array([[1.0], [-2.0], [0.5]], "float32") + 1
    net, data = Small(1), pairs(X, target)
    options = {"loss_fn": squared_error, "learning_rate": 0.1, "weight_decay": 0.0, "progress": False}
    history = train.fit(net, data, 30, validation=data, **options)
    assert list(history[0]) == ["loss", "absolute error", "val_loss", "val_absolute error"]
    assert history[-1]["loss"] < 0.05 < history[0]["loss"]
    assert train.evaluate(net, data, squared_error)["val_loss"] == pytest.approx(history[-1]["val_loss"], rel=1e-4)
    assert train.predict(net, data).shape == (32, 1)


class Towers(keras.Model):
    """Two encoders into one space; dropout, so that it matters whether layers know that they train."""

    def __init__(self):
        super().__init__()
        self.image, self.text, self.drop = (
            keras.layers.Dense(4),
            keras.layers.Dense(4),
            keras.layers.Dropout(0.1, seed=1),
        )

    def call(self, batch):
        x = batch["inputs"]
        return [
            keras.ops.normalize(self.drop(layer(x[m]))) for m, layer in (("image", self.image), ("text", self.text))
        ]


def contrastive(model, batch):
    """InfoNCE both ways (Radford et al. 2021, arXiv 2103.00020): each image's own text is its class."""
    image, text = model(batch)
    logits = image @ keras.ops.transpose(text) / 0.1  # (b, b)
    own = keras.ops.arange(keras.ops.shape(logits)[0])
    logs = [keras.losses.sparse_categorical_crossentropy(own, a, True) for a in (logits, keras.ops.transpose(logits))]
    hits = keras.ops.cast(keras.ops.equal(keras.ops.argmax(logits, 1), keras.ops.cast(own, "int64")), "float32")
    return keras.ops.mean(logs[0] + logs[1]) / 2, {"recall@1": keras.ops.sum(hits)}, keras.ops.shape(logits)[0]


def test_contrastive_learning_and_its_exact_resumption(tmp_path):
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(64, 4))
    inputs = {"image": meaning @ rng.normal(size=(4, 6)), "text": meaning @ rng.normal(size=(4, 5))}
    inputs = {name: x.astype("float32") for name, x in inputs.items()}
    data = tf.data.Dataset.from_tensor_slices(({"inputs": inputs}, np.zeros(64))).batch(16)

    def towers():
        keras.utils.set_random_seed(0)
        return Towers()

    options = {"loss_fn": contrastive, "learning_rate": 0.05, "ema": 0.5, "progress": False}
    net = towers()
    history = train.fit(net, data, 8, folder=tmp_path / "whole", **options)
    assert history[-1]["recall@1"] > 0.3 > 0.1 > history[0]["recall@1"]
    data_that_stops = data.map(lambda x, y: (x, y))
    data_that_stops.set_epoch = lambda epoch: (_ for _ in ()).throw(InterruptedError) if epoch == 5 else None
    with pytest.raises(InterruptedError):
        train.fit(towers(), data_that_stops, 8, folder=tmp_path / "cut", **options)
    again = towers()
    assert train.fit(again, data, 8, folder=tmp_path / "cut", resume=True, **options) == history
    assert same(weights(net), weights(again)) and (tmp_path / "cut" / "last.safetensors").is_file()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda loss: loss, r"return \(loss, metrics, count\), got"),
        (lambda loss: (loss, {}), "got 2 values"),
        (lambda loss: (loss[None], {}, 4), r"a scalar, the mean over the batch, got \(1,\)"),
        (lambda loss: (loss, {}, 0), "the number of samples, 1 or more"),
        (lambda loss: (loss, {"loss": loss}, 4), "without 'loss'"),
    ],
)
def test_a_loss_function_of_another_form(returned, message):
    def loss_fn(model, batch):
        return returned(keras.ops.mean(keras.ops.square(model(batch))))

    with pytest.raises(ValueError, match=f"loss_fn: expected .*{message}"):
        train.fit(Small(), pairs(X, np.zeros(32)), progress=False, loss_fn=loss_fn)


# ---------------------------------------------------------------- other data, other files
@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A finished run of one epoch, to be copied and spoilt."""
    folder = tmp_path_factory.mktemp("small")
    train.fit(Small(), pairs(X, np.arange(32) % 2), 1, folder=folder, progress=False)
    return folder


def go_on(folder, data=None, **options):
    net = Small()
    data = pairs(X, np.arange(32) % 2) if data is None else data
    return train.fit(net, data, 1, folder=folder, resume=True, progress=False, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pairs(X, (np.arange(32) + 1) % 2), "dataset.checksum: .* the data are not the same"),
        (pairs(X + 1e-6, np.arange(32) % 2), "dataset.checksum: .* the data are not the same"),
        (pairs(X, np.arange(32) % 2, 16), "dataset.batches: 4 there, 2 now"),
    ],
)
def test_other_data_are_refused(small_run, data, message):
    with pytest.raises(ValueError, match=message):
        go_on(small_run, data)
    assert len(go_on(small_run)) == 1


def test_other_labels_or_batches_of_our_data_sets_are_refused(tmp_path):
    ds = load("mood", "train").subset(np.arange(32))
    train.fit(model(), ds.tf_dataset(16, seed=3), 1, folder=tmp_path, progress=False)
    other = load("mood", "train").subset(np.arange(32) + 1)
    for data, message in (
        (ds.tf_dataset(8, seed=3), "dataset.batch_size: 16 there, 8 now"),
        (ds.tf_dataset(16, seed=4), "dataset.seed: 3 there, 4 now"),
        (other.tf_dataset(16, seed=3), "dataset.checksum"),
    ):
        with pytest.raises(ValueError, match=message):
            train.fit(model(), data, 1, folder=tmp_path, resume=True, progress=False)


def test_a_dataset_whose_order_cannot_be_restored_is_refused(tmp_path):
    rows = tf.data.Dataset.from_tensor_slices(({"inputs": {"x": X}}, np.arange(32) % 2))

    def shuffled():
        return rows.shuffle(32, seed=3).batch(8)

    train.fit(Small(), shuffled(), 1, folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match="going on is not exact, because dataset gives other batches at each reading"):
        go_on(tmp_path, shuffled())
    fixed = rows.shuffle(32, seed=3, reshuffle_each_iteration=False).batch(8)
    train.fit(Small(), fixed, 1, folder=tmp_path / "fixed", progress=False)
    assert len(go_on(tmp_path / "fixed", fixed)) == 1


@pytest.mark.parametrize("how", ["cut", "flipped", "text", "empty", "first edition", "history", "rng", "deep"])
def test_a_file_that_fit_did_not_write(small_run, tmp_path, how):
    path = tmp_path / "last.safetensors"
    data = bytearray((small_run / "last.safetensors").read_bytes())
    path.write_bytes(data)
    arrays, metadata = checkpoint.read_checkpoint(path)
    message = "damaged"
    if how in ("cut", "text", "empty"):
        path.write_bytes({"cut": data[:-9], "text": b"not a checkpoint", "empty": b""}[how])
    elif how == "flipped":
        data[-9] ^= 1
        path.write_bytes(data)
    else:
        text = {
            "first edition": json.dumps({}),
            "history": json.dumps({**metadata, "history": [{"loss": 1.0}] * 5}),
            "rng": json.dumps({**metadata, "rng": {"numpy": "[]"}}),
            "deep": "[" * 100_000,
        }[how]
        message = "first edition" if how == "first edition" else "malformed checkpoint"
        header = {
            "format": files.FORMAT,
            "metadata": text,
            "checksum": files.checksum(checkpoint._buffers(arrays), text),
        }
        path.write_bytes(save(arrays, {"notes": text} if how == "first edition" else header))
    with pytest.raises(ValueError, match=message):
        go_on(tmp_path)


def test_a_full_disk_keeps_the_last_good_checkpoint(small_run, tmp_path):
    net = model()
    train.fit(net, flow(n=32), 1, folder=tmp_path, progress=False)
    good = (tmp_path / "last.safetensors").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, hard))  # a real write fails in the middle
    try:
        with pytest.raises(OSError, match="not written .* is kept. Free some space") as told:
            checkpoint.write_checkpoint(tmp_path / "last.safetensors", net, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.value.errno == errno.EFBIG and (tmp_path / "last.safetensors").read_bytes() == good
    assert not list(tmp_path.glob(".*.part"))


# ---------------------------------------------------------------- files
def test_a_model_survives_keras_and_saved_model_files(tmp_path):
    net, data = model(), flow()
    train.fit(net, data, epochs=1, validation=flow("validation", 32), folder=tmp_path, progress=False)
    expected = train.predict(net, flow(seed=None))
    loaded = keras.saving.load_model(tmp_path / "best.keras")  # safe mode: nothing of ours needs more
    np.testing.assert_allclose(train.predict(loaded, flow(seed=None)), expected, atol=1e-6)
    inputs = flow(seed=None)
    net.export(tmp_path / "saved", input_signature=[inputs.element_spec[0]], verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    logits = np.concatenate([served.serve(batch).numpy() for batch, _ in inputs])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert list((tmp_path / "tensorboard").rglob("events*"))


# ---------------------------------------------------------------- killed, and gone on
CHILD = """
    import os, signal, stat, sys
    sys.path.insert(0, {here!r})
    import test_keras_train as t
    import mmcourse.io
    from mmcourse.training.keras import train

    steps, saves = {steps}, {saves}
    die = lambda: os.kill(os.getpid(), signal.SIGKILL)
    if saves:  # in the midst of writing a checkpoint
        sync = os.fsync
        def fsync(file):
            global saves
            if not stat.S_ISREG(os.fstat(file).st_mode):  # the folder, after the renaming
                return
            if os.readlink(f"/proc/self/fd/{{file}}").endswith(".keras"):
                return
            saves -= 1
            os.ftruncate(file, 4000) if not saves else sync(file)
            not saves and die()
        os.fsync = fsync
    else:
        checked = train.TrainingCheckpoint.on_train_batch_end
        def counted(self, batch, logs=None):
            global steps
            checked(self, batch, logs)
            steps -= 1
            steps or die()
        train.TrainingCheckpoint.on_train_batch_end = counted
    t.run({folder!r}, resume=True)
"""


def run(folder, **options):
    """One run: 5 batches an epoch."""
    net = model()
    history = train.fit(net, flow(), validation=flow("validation", 48), folder=folder, **OPTIONS, **options)
    return history, weights(net)


def test_killed_three_times_it_ends_at_the_same_weights(tmp_path):
    undisturbed = run(tmp_path / "whole")
    rng = np.random.default_rng(11)
    kills = [(int(rng.integers(6, 10)), 0), (int(rng.integers(2, 10)), 0), (0, 1)]  # (after steps, at a save)
    for steps, saves in kills:
        code = CHILD.format(here=os.path.dirname(__file__), folder=str(tmp_path / "killed"), steps=steps, saves=saves)
        child = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
        assert child.returncode == -signal.SIGKILL, child.stderr[-2000:]
    history, end = run(tmp_path / "killed", resume=True)
    assert history == undisturbed[0] and same(end, undisturbed[1])
    assert run(tmp_path / "killed", resume=True)[0] == history, "a finished run has nothing left to do"
