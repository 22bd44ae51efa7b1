"""The same experiment in both frameworks: equal weights and batches give the same curve, step for step."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("keras")

import keras
import torch

import mmcourse.keras.encoders as keras_encoders
import mmcourse.keras.fusion as keras_fusion
import mmcourse.torch.encoders as torch_encoders
import mmcourse.torch.fusion as torch_fusion
from mmcourse.datasets import load
from mmcourse.parity import copy_weights
from mmcourse.training import keras as keras_train
from mmcourse.training.torch import train as torch_train

SAMPLES, BATCH, EPOCHS = 400, 64, 8  # 7 batches an epoch, the last of 16


def model(encoders, fusion):
    parts = {"face": encoders.ImageEncoder(8), "voice": encoders.AudioEncoder(40, 8, 8)}
    parts["words"] = encoders.TextEncoder(600, 8)
    return encoders.MultimodalClassifier(parts, fusion.Concatenate([8] * 3, 16), 3)


def doubled(module, args):
    inputs = {name: x.double() if x.is_floating_point() else x for name, x in args[0]["inputs"].items()}
    return ({**args[0], "inputs": inputs},)


def use(precision):
    """`floatx` alone is not enough: Keras keeps the policy that the process's first layer was made with."""
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)


@pytest.fixture(params=["float64", "float32"])
def pair(request):
    """The two models, equal in every number, in that precision."""
    use(request.param)
    torch.manual_seed(0)
    ours, theirs = model(torch_encoders, torch_fusion), model(keras_encoders, keras_fusion)
    if request.param == "float64":
        ours.double().register_forward_pre_hook(doubled)
    theirs.build(None)
    copy_weights(ours, theirs)
    yield request.param, ours, theirs
    use("float32")


def losses_of_steps(monkeypatch, pair, **options):
    """Train both; the loss of every step in each, and both histories."""
    _, ours, theirs = pair
    data, validation = (
        load("mood", "train").subset(np.arange(SAMPLES)),
        load("mood", "validation").subset(np.arange(64)),
    )
    steps = {"torch": [], "keras": []}
    loss = torch_train.cross_entropy

    def kept(logits, labels):
        value = loss(logits, labels)
        if torch.is_grad_enabled():
            steps["torch"].append(value.item())
        return value

    class Each(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.before = [v.numpy() for v in self.model.metrics[0].variables]

        def on_train_batch_end(self, batch, logs=None):
            total, count = (v.numpy() - b for v, b in zip(self.model.metrics[0].variables, self.before, strict=True))
            steps["keras"].append(total / count)

    monkeypatch.setattr(torch_train, "cross_entropy", kept)
    fit = keras.Model.fit
    monkeypatch.setattr(
        keras.Model, "fit", lambda *args, callbacks, **more: fit(*args, callbacks=[Each(), *callbacks], **more)
    )
    options = {"epochs": EPOCHS, "progress": False, **options}
    histories = [
        torch_train.fit(ours, data.torch_loader(BATCH, 4), validation=validation.torch_loader(32), **options),
        # at fixed length, which adds padded steps that must not matter
        keras_train.fit(
            theirs, data.tf_dataset(BATCH, 4, fixed_length=True), validation=validation.tf_dataset(32), **options
        ),
    ]
    return np.array(steps["torch"]), np.array(steps["keras"]), histories


def test_curves_agree(monkeypatch, pair):
    ours, theirs, (history, keras_history) = losses_of_steps(monkeypatch, pair)
    gap = np.abs(ours - theirs)
    assert len(gap) == len(theirs) == EPOCHS * 7
    assert ours[0] == pytest.approx(np.log(3), abs=0.3) and history[-1]["accuracy"] > 0.6, "it learns"
    if pair[0] == "float64":
        assert gap[:50].max() < 1e-6
        for a, b in zip(history, keras_history, strict=True):
            assert a == pytest.approx(b, abs=1e-6)
    else:
        assert gap[:5].max() < 1e-5 and gap.max() < 0.1  # it drifts, as any two orders of adding up do


@pytest.mark.parametrize("pair", ["float64"], indirect=True)
def test_curves_agree_with_clipping_and_averaging(monkeypatch, pair):
    options = {"clip": 0.25, "ema": 0.9, "epochs": 3, "learning_rate": 3e-2, "weight_decay": 0.1}
    ours, theirs, (history, keras_history) = losses_of_steps(monkeypatch, pair, **options)
    assert np.abs(ours - theirs).max() < 1e-6
    for a, b in zip(history, keras_history, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
