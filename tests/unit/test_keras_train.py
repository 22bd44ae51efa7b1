"""Keras's training: the recipe's formulas, clear errors, and runs that go on after SIGKILL."""

import json
import os
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

from mmcourse.datasets import load
from mmcourse.keras.encoders import FaceEncoder, MultimodalClassifier, WordsEncoder
from mmcourse.keras.fusion import Concatenate, ModalityDropout
from mmcourse.training import keras as train

OPTIONS = {"epochs": 4, "patience": 3, "ema": 0.8, "clip": 1.0, "seed": 5, "progress": False}


def model(seed=0):
    """Small, and with random draws in training."""
    keras.utils.set_random_seed(seed)
    encoders = {"face": FaceEncoder(6, channels=(4, 4)), "words": WordsEncoder(600, 6)}
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
        assert len(json.loads(file.metadata()["notes"])["history"]) == 1


def test_a_folder_is_not_mixed_up(tmp_path):
    train.fit(model(), flow(), epochs=1, folder=tmp_path, progress=False)
    again = {"epochs": 1, "folder": tmp_path, "progress": False}
    with pytest.raises(ValueError, match="holds a run"):
        train.fit(model(), flow(), **again)
    with pytest.raises(ValueError, match="epochs: 1 there, 2 now"):
        train.fit(model(), flow(), resume=True, **{**again, "epochs": 2})
    other = MultimodalClassifier({"words": WordsEncoder(600, 6)}, Concatenate([6], 8), 3)
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
        progress = train.ProgressBar.on_train_batch_end
        def counted(self, batch, logs=None):
            global steps
            progress(self, batch, logs)
            steps -= 1
            steps or die()
        train.ProgressBar.on_train_batch_end = counted
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
