"""Transformer: gradients, the frameworks' own blocks, and the blocks of BERT and ViT with copied weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from own_layers import check_gradient, check_torch

from mmcourse.numpy import transformer, weight_conversion
from mmcourse.parity.backends import TorchBackend
from mmcourse.parity.transformer import DIM, FORMULAS, HEADS, HIDDEN

BY_NAME = {f.name: f for f in FORMULAS}


def attention_state(p, name, theirs):
    """One attention of ours under the name of theirs."""
    return {f"{theirs}.{k}": v for k, v in weight_conversion.torch_attention(transformer.part(p, name)).items()}


def block_state(p):
    """`nn.TransformerEncoderLayer` or, if there is a cross part, `nn.TransformerDecoderLayer`."""
    state = attention_state(p, "attention", "self_attn")
    if "cross.q_proj.w" in p:
        state |= attention_state(p, "cross", "multihead_attn")
    for ours, theirs in {"up": "linear1", "down": "linear2"}.items():
        state |= {f"{theirs}.weight": p[f"{ours}.w"].T, f"{theirs}.bias": p[f"{ours}.b"]}
    for norm in {k.split(".")[0] for k in p if k.startswith("norm")}:
        state |= {f"{norm}.weight": p[f"{norm}.gamma"], f"{norm}.bias": p[f"{norm}.beta"]}
    return state


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.name)
def test_gradient_equals_central_differences(formula):
    check_gradient(formula)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_encoder_block_equals_torchs_own(pre_norm):
    theirs = torch.nn.TransformerEncoderLayer(
        DIM, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=pre_norm
    )  # fmt: skip

    def call(layer, inputs):
        return layer(inputs["x"], src_key_padding_mask=~inputs["padding_mask"])

    theirs.train()  # its fast path in evaluation cuts padded positions out of the output
    check_torch(BY_NAME[f"encoder block, {'pre' if pre_norm else 'post'}-norm"], theirs, block_state, call)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_decoder_block_equals_torchs_own(pre_norm):
    formula = BY_NAME[f"decoder block, {'pre' if pre_norm else 'post'}-norm"]

    def inputs(rng):
        drawn = formula.inputs(rng)
        return {**drawn, "memory": rng.normal(size=(2, 4, DIM))}  # theirs wants a memory of its own width

    theirs = torch.nn.TransformerDecoderLayer(
        DIM, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=pre_norm
    )  # fmt: skip

    def call(layer, inputs):
        n = inputs["x"].shape[1]
        return layer(
            inputs["x"],
            inputs["memory"],
            tgt_mask=torch.ones(n, n, dtype=torch.bool).triu(1),
            tgt_key_padding_mask=~inputs["padding_mask"],
            memory_key_padding_mask=~inputs["memory_mask"],
        )

    config = {k: v for k, v in formula.config.items() if k != "memory_dim"}
    check_torch(replace(formula, inputs=inputs, config=config), theirs, block_state, call)


def _load(module, arrays):
    state = {k: torch.tensor(np.array(v)) for k, v in arrays.items()}
    module.double().load_state_dict(state)
    module.eval()


def _random(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(0, 0.3, shape) for k, shape in shapes.items()}


def block_shapes(d, hidden):
    """Shapes of one block's parameters."""
    shapes = {f"attention.{n}.w": (d, d) for n in ("q_proj", "k_proj", "v_proj", "out_proj")}
    shapes |= {f"attention.{n}.b": (d,) for n in ("q_proj", "k_proj", "v_proj", "out_proj")}
    shapes |= {"up.w": (d, hidden), "up.b": (hidden,), "down.w": (hidden, d), "down.b": (d,)}
    return shapes | {f"norm{i}.{n}": (d,) for i in (1, 2) for n in ("gamma", "beta")}


def check_bert():
    """A layer of `BertModel` with padding, through the model's own `encoder`, random small config."""
    from transformers import BertConfig, BertModel

    d, num_heads, hidden = 16, 4, 24
    config = BertConfig(
        vocab_size=30, hidden_size=d, num_hidden_layers=1, num_attention_heads=num_heads, intermediate_size=hidden,
        max_position_embeddings=12, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False)
    p = _random(block_shapes(d, hidden))
    _load(bert.encoder.layer[0], weight_conversion.bert_block(p))
    bert.double().eval()
    ids = torch.randint(0, 30, (3, 7), generator=torch.Generator().manual_seed(0))
    mask = np.arange(7) < np.array([7, 4, 1])[:, None]
    with torch.no_grad():
        out = bert(ids, attention_mask=torch.tensor(mask).long(), output_hidden_states=True)
    x, expected = (h.numpy() for h in out.hidden_states)
    y, _ = transformer.encoder_block(x, p, num_heads, mask, pre_norm=False, eps=config.layer_norm_eps)
    np.testing.assert_allclose(y[mask], expected[mask], rtol=1e-9, atol=1e-10)
    assert np.abs(y - transformer.encoder_block(x, p, num_heads, mask, pre_norm=True)[0]).max() > 1e-2


def test_block_equals_berts():
    check_bert()


def check_vit():
    """`ViTModel`, from pixels to the last hidden state, random small config; the torch backend's, then NumPy's."""
    from transformers import ViTConfig, ViTModel

    import mmcourse.torch.transformer as ours

    shape = {"num_layers": 2, "dim": 16, "num_heads": 4, "hidden": 24}
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=12, patch_size=4,
        num_channels=3, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    vit = ViTModel(config, add_pooling_layer=False)
    formula = replace(
        BY_NAME["vision transformer"],
        config={"image_size": 12, "patch_size": 4, "channels": 3, **shape, "eps": config.layer_norm_eps},
    )
    backend = TorchBackend(formula)
    p = backend.weights
    _load(vit, weight_conversion.vit(p, 4))
    image = np.random.default_rng(1).normal(size=(2, 12, 12, 3))
    pixels = torch.tensor(weight_conversion.channels_first(image))
    with torch.no_grad():
        expected = vit(pixels).last_hidden_state.numpy()
        torch_y = backend.layer(pixels).numpy()
    assert isinstance(backend.layer, ours.VisionTransformer)
    np.testing.assert_allclose(torch_y, expected, rtol=1e-9, atol=1e-10)
    numpy_y, _ = transformer.vision_transformer(image, p, 4, 4, config.layer_norm_eps)
    np.testing.assert_allclose(numpy_y, expected, rtol=1e-9, atol=1e-10)


def test_vit_equals_transformers():
    check_vit()


def _decoder(x, memory, **options):
    backend = TorchBackend(BY_NAME["decoder, post-norm"])
    return transformer.decoder(x, memory, backend.weights, HEADS, pre_norm=False, **options)[0]


def check_decoder_does_not_leak():
    """Changing a later token changes no earlier output of the stack; changing the memory changes all."""
    rng = np.random.default_rng(2)
    x, memory = rng.normal(size=(2, 6, DIM)), rng.normal(size=(2, 4, 3))
    y = _decoder(x, memory)
    for t in range(1, 6):
        other = x.copy()
        other[:, t:] *= -2
        y2 = _decoder(other, memory)
        np.testing.assert_array_equal(y2[:, :t], y[:, :t])
        assert np.abs(y2 - y)[:, t].min() > 0
    assert np.abs(_decoder(x, memory + rng.normal(size=memory.shape)) - y).min(-1).min() > 0


def test_decoder_does_not_leak():
    check_decoder_does_not_leak()


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_causal_encoder_does_not_leak_in_the_other_backends(backend):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 5, DIM)).astype("float32")
    other = x.copy()
    other[:, 3:] *= -2  # not += 1, which the layer norm takes away
    if backend == "torch":
        from mmcourse.torch.transformer import Encoder

        layer = Encoder(2, DIM, HEADS).eval()
        y, y2 = (layer(torch.tensor(a), causal=True).detach().numpy() for a in (x, other))
    else:
        from mmcourse.keras.transformer import Encoder

        layer = Encoder(2, DIM, HEADS)
        y, y2 = (layer(a, causal=True).numpy() for a in (x, other))
    np.testing.assert_allclose(y[:, :3], y2[:, :3], atol=1e-6)
    assert np.abs(y - y2)[:, 3:].max() > 1e-3


def test_encoder_without_positions_is_permutation_equivariant():
    rng = np.random.default_rng(4)
    backend = TorchBackend(BY_NAME["encoder, pre-norm"])
    x, order = rng.normal(size=(2, 6, DIM)), rng.permutation(6)
    y, y2 = (transformer.encoder(a, backend.weights, HEADS)[0] for a in (x, x[:, order]))
    np.testing.assert_allclose(y[:, order], y2, atol=1e-12)


def test_fully_padded_sample_stays_finite():
    rng = np.random.default_rng(5)
    backend = TorchBackend(BY_NAME["encoder, pre-norm"])
    x, mask = rng.normal(size=(2, 3, DIM)), np.array([[False] * 3, [True] * 3])
    y, cache = transformer.encoder(x, backend.weights, HEADS, mask)
    dx, dp = transformer.encoder_backward(np.ones_like(y), cache)
    assert all(np.isfinite(a).all() for a in (y, dx, *dp.values()))


def test_patches_go_back_and_match_the_convolution_view():
    rng = np.random.default_rng(6)
    image = rng.normal(size=(2, 4, 6, 3))
    cut = transformer.patchify(image, 2)
    assert cut.shape == (2, 6, 12)
    np.testing.assert_array_equal(cut[:, 1], image[:, :2, 2:4].reshape(2, -1))
    np.testing.assert_array_equal(transformer.patches_backward(cut, image.shape, 2), image)
    from mmcourse.numpy.convolution import conv2d

    w = rng.normal(size=(12, 5))
    y, _ = conv2d(image, w.reshape(2, 2, 3, 5), stride=2)
    np.testing.assert_allclose(y.reshape(2, 6, 5), cut @ w, atol=1e-12)


def test_images_that_cannot_be_cut_are_named():
    import mmcourse.keras.transformer as k
    import mmcourse.torch.transformer as t

    with pytest.raises(ValueError, match="5×4 cannot be cut into 2×2 patches"):
        transformer.patchify(np.zeros((1, 5, 4, 1)), 2)
    with pytest.raises(ValueError, match="5×4 cannot be cut"):
        t.patchify(torch.zeros(1, 1, 5, 4), 2)
    with pytest.raises(ValueError, match="5×4 cannot be cut"):
        k.patchify(np.zeros((1, 5, 4, 1)), 2)


def test_keras_layers_are_saved_and_loaded(tmp_path):
    """A model of ours goes through the .keras file, with its config and weights."""
    import keras

    from mmcourse.keras.recurrent import GRU
    from mmcourse.keras.transformer import Encoder, VisionTransformer

    x, image = keras.Input((5, 6)), keras.Input((8, 8, 1))
    h = Encoder(1, 6, 2)(GRU(6, 6)(x)[0])
    v = VisionTransformer(8, 4, 1, 1, 6, 2)(image)
    model = keras.Model([x, image], keras.ops.concatenate([h, v], 1))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    rng = np.random.default_rng(7)
    data = [rng.normal(size=(2, 5, 6)).astype("float32"), rng.normal(size=(2, 8, 8, 1)).astype("float32")]
    np.testing.assert_allclose(again.predict(data, verbose=0), model.predict(data, verbose=0), atol=1e-6)
