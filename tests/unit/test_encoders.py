"""The classifier of batch dicts: any subset of modalities, missing ones, padding, saving, and that it learns."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from mmcourse.keras import encoders as keras_encoders
from mmcourse.keras import fusion as keras_fusion
from mmcourse.keras.losses import cross_entropy as keras_cross_entropy
from mmcourse.torch import encoders, fusion
from mmcourse.torch.losses import cross_entropy
from mmcourse.training import keras as keras_train
from mmcourse.training import torch as train

NAMES = ["face", "voice", "words"]
METHODS = sorted(fusion.METHODS)


def make_batch(size=6, seed=0):
    """A batch as the data sets give it; the label can be read from the words."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=size)
    lengths = rng.integers(1, 9, size)
    return {
        "inputs": {
            "face": rng.random((size, 12, 12, 3), np.float32),
            "voice": rng.normal(size=(size, 8, 5)).astype(np.float32),
            "words": np.where(rng.random((size, 4)) < 0.7, 2 + label[:, None], 5),
        },
        "padding_mask": {"voice": np.arange(8) < lengths[:, None], "words": np.ones((size, 4), bool)},
        "modality_mask": {name: np.ones(size, bool) for name in NAMES},
        "target": label,
    }


def tensors(batch):
    """For PyTorch, channels first."""
    if isinstance(batch, dict):
        return {k: tensors(v) for k, v in batch.items()}
    return torch.from_numpy(batch.transpose(0, 3, 1, 2) if batch.ndim == 4 else batch)


def model(backend, method="concatenate", names=NAMES, dropout=None):
    """A small classifier in either framework, from the same start each time: by bad luck every relu can be off."""
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    backends = {"torch": (encoders, fusion), "keras": (keras_encoders, keras_fusion)}
    e, f = backends[backend]
    made = {"face": e.ImageEncoder(6, size=12), "voice": e.AudioEncoder(5, 6), "words": e.TextEncoder(6, 6)}
    kind = f.METHODS[method]
    chosen = {name: made[name] for name in names}
    dims = [chosen[n].step_width if kind.takes_sequences else chosen[n].width for n in sorted(chosen)]
    return e.MultimodalClassifier(chosen, kind(dims, 3 if kind.gives_logits else 8), 3, dropout)


def logits(backend, net, batch):
    """Of either framework, as an array."""
    if backend == "torch":
        with torch.no_grad():
            return net.eval()(tensors(batch)).numpy()
    return np.array(net(batch, training=False))


BACKENDS = pytest.mark.parametrize("backend", ["torch", "keras"])


@BACKENDS
@pytest.mark.parametrize("method", METHODS)
def test_every_method_in_the_classifier(backend, method):
    batch, net = make_batch(), model(backend, method)
    whole = logits(backend, net, batch)
    assert whole.shape == (6, 3) and np.isfinite(whole).all()
    voice = np.pad(batch["inputs"]["voice"], ((0, 0), (0, 7), (0, 0)), constant_values=9)
    longer = {**batch, "inputs": {**batch["inputs"], "voice": voice}}
    longer["padding_mask"] = {
        **batch["padding_mask"],
        "voice": np.pad(batch["padding_mask"]["voice"], ((0, 0), (0, 7))),
    }
    np.testing.assert_allclose(logits(backend, net, longer), whole, atol=1e-5)
    batch["modality_mask"]["voice"][0] = False
    some = logits(backend, net, batch)
    assert np.isfinite(some).all() and (np.abs(some[0] - whole[0]).max() > 1e-7) == (
        method != "FiLM"
    )  # starts at γ = 1
    np.testing.assert_allclose(some[1:], whole[1:], atol=1e-5)


@BACKENDS
def test_a_subset_of_modalities_reads_its_own_presence(backend):
    batch, net = make_batch(), model(backend, names=["words", "face"])
    before = logits(backend, net, batch)
    batch["modality_mask"]["voice"][:] = False  # which it does not use
    np.testing.assert_array_equal(logits(backend, net, batch), before)
    batch["modality_mask"]["words"][:] = False
    assert np.abs(logits(backend, net, batch) - before).max() > 1e-7


@BACKENDS
@pytest.mark.parametrize("key", ["index", "id", "a", "zebra"])
def test_an_extra_key_never_moves_a_mask(backend, key):
    batch, net = make_batch(), model(backend, names=["words", "face"])
    batch["modality_mask"]["words"][:3] = False
    before = logits(backend, net, batch)
    numbers = np.arange(6)
    more = {**batch, key: numbers, "inputs": {**batch["inputs"], key: numbers}}
    more["modality_mask"] = {key: numbers < 2, **batch["modality_mask"]}
    np.testing.assert_array_equal(logits(backend, net, more), before)


@BACKENDS
def test_a_batch_that_lacks_something_says_what(backend):
    batch, net = make_batch(), model(backend)
    for key in ("inputs", "padding_mask", "modality_mask"):
        with pytest.raises(ValueError, match="batch: expected the keys inputs, padding_mask and modality_mask, got"):
            logits(backend, net, {k: v for k, v in batch.items() if k != key})
    for key in ("inputs", "modality_mask"):
        less = {name: value for name, value in batch[key].items() if name != "voice"}
        with pytest.raises(ValueError, match=f"batch.'{key}'.: expected face, voice, words; voice missing"):
            logits(backend, net, {**batch, key: less})


@BACKENDS
def test_ignorance_costs_ln_c(backend):
    net, batch = model(backend), make_batch()
    logits(backend, net, batch)
    if backend == "torch":
        torch.nn.init.zeros_(net.head.weight), torch.nn.init.zeros_(net.head.bias)
        loss = cross_entropy(net(tensors(batch)), torch.from_numpy(batch["target"])).item()
    else:
        net.head.set_weights([np.zeros_like(w) for w in net.head.get_weights()])
        loss = float(keras_cross_entropy(net(batch), batch["target"]))
    assert loss == pytest.approx(math.log(3), rel=1e-5)


@BACKENDS
def test_dropout_and_sequences_do_not_mix(backend):
    drop = (fusion if backend == "torch" else keras_fusion).ModalityDropout([6, 6, 6], rate=0.5)
    net, batch = model(backend, dropout=drop), make_batch()
    assert np.isfinite(logits(backend, net, batch)).all()
    with pytest.raises(ValueError, match="dropout"):
        model(backend, "bottleneck", dropout=drop)


def test_torch_fit_learns_and_repeats_itself():
    batches = [tensors(make_batch(32, seed)) for seed in range(8)]
    histories = []
    for _ in range(2):
        torch.manual_seed(0)
        net = model("torch", dropout=fusion.ModalityDropout([6] * 3, 0.1))
        state = torch.get_rng_state()
        histories.append(train.fit(net, batches, epochs=6, learning_rate=1e-2, progress=False))
        assert torch.equal(state, torch.get_rng_state()), "fit moves the generator that others use"
    assert histories[0] == histories[1] and histories[0][-1]["accuracy"] > 0.9 > histories[0][0]["accuracy"]
    scores = train.predict(net, batches)
    right = scores.argmax(1) == np.concatenate([b["target"] for b in batches])
    assert scores.shape == (256, 3) and right.mean() > 0.9


def test_keras_fit_learns_and_the_model_survives_a_file(tmp_path):
    batches = [make_batch(32, seed) for seed in range(8)]

    def spec(value):
        return (
            {k: spec(v) for k, v in value.items()}
            if isinstance(value, dict)
            else tf.TensorSpec(value.shape, value.dtype)
        )

    pairs = [({k: v for k, v in b.items() if k != "target"}, b["target"]) for b in batches]
    signature = tuple(spec(part) for part in pairs[0])
    data = tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=signature)
    data = data.apply(tf.data.experimental.assert_cardinality(len(batches)))
    keras.utils.set_random_seed(0)
    net = model("keras")
    history = keras_train.fit(net, data, epochs=6, learning_rate=1e-2, progress=False)
    assert history[-1]["accuracy"] > 0.9 > history[0]["accuracy"]
    scores = keras_train.predict(net, data)
    assert (scores.argmax(1) == np.concatenate([b["target"] for b in batches])).mean() > 0.9
    net.save_weights(tmp_path / "net.weights.h5")
    again = keras_encoders.MultimodalClassifier.from_config(net.get_config())
    again(batches[0])
    again.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_allclose(keras_train.predict(again, data), scores, atol=1e-6)
