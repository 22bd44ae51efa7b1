"""A whole Keras model given PyTorch's weights says the same as PyTorch's."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("keras")

import torch

import mmcourse.keras.encoders as keras_encoders
import mmcourse.keras.fusion as keras_fusion
import mmcourse.torch.encoders as torch_encoders
import mmcourse.torch.fusion as torch_fusion
from mmcourse.parity import copy_weights


def model(encoders, fusion):
    """Two encoders that hold lists and embeddings, and a fusion method that holds lists of lists."""
    parts = {"face": encoders.ImageEncoder(6, size=8), "words": encoders.TextEncoder(9, 6)}
    return encoders.MultimodalClassifier(parts, fusion.GatedUnit([6, 6], 5), 3)


def batch(rng, b=4):
    there = np.ones(b, bool)
    return {
        "inputs": {"face": rng.random((b, 8, 8, 3), dtype=np.float32), "words": rng.integers(1, 9, (b, 5))},
        "padding_mask": {"words": np.ones((b, 5), bool)},
        "modality_mask": {"face": there, "words": there},
    }


def tensors(b):
    nested = {key: {name: torch.from_numpy(v) for name, v in part.items()} for key, part in b.items()}
    nested["inputs"]["face"] = nested["inputs"]["face"].permute(0, 3, 1, 2)
    return nested


def test_a_copied_model_says_the_same():
    ours, theirs = model(torch_encoders, torch_fusion), model(keras_encoders, keras_fusion)
    b = batch(np.random.default_rng(0))
    assert np.abs(np.array(theirs(b)) - ours(tensors(b)).detach().numpy()).max() > 1e-3
    assert copy_weights(ours, theirs) == sum(p.numel() for p in ours.parameters())
    np.testing.assert_allclose(np.array(theirs(b)), ours(tensors(b)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_layer_without_weights_yet_is_named():
    with pytest.raises(ValueError, match="call it on a batch first"):
        copy_weights(torch_fusion.GatedUnit([2, 2], 3), keras_fusion.GatedUnit([2, 2], 3))
