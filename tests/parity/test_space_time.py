"""3-D and (2+1)-D convolution and attention along time: the definition, the frameworks' own layers, mistakes."""

import keras
import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated
from torch import nn
from torch.nn import functional as F

from mmcourse.keras import space_time as keras_space_time
from mmcourse.numpy import space_time
from mmcourse.numpy.attention import multi_head_attention
from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, parity_cases
from mmcourse.parity.compare import difference
from mmcourse.torch import space_time as torch_space_time

CASES = {case.name: case for case in parity_cases("space_time")}
SETTINGS = [
    {"stride": 1, "padding": 0},
    {"stride": (2, 1, 2), "padding": (1, 0, 1)},
    {"stride": (1, 2, 2), "padding": 1},
]


def drawn(seed=0, size=(5, 6, 5), in_channels=2, out_channels=3, kernel=(3, 2, 3)):
    """A video, a kernel and a bias in NumPy's layout."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *size, in_channels))
    return x, rng.normal(size=(*kernel, in_channels, out_channels)), rng.normal(size=out_channels)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_loop_is_pytorchs_and_ours(settings):
    x, w, b = drawn()
    loop = space_time.conv3d_loop(x, w, b, **settings)
    ours, _ = space_time.conv3d(x, w, b, **settings)
    theirs = F.conv3d(
        torch.from_numpy(x).movedim(-1, 1), torch.from_numpy(w).permute(4, 3, 0, 1, 2), torch.from_numpy(b), **settings
    )
    assert ours == pytest.approx(loop, abs=1e-12)
    assert theirs.movedim(1, -1).numpy() == pytest.approx(loop, abs=1e-12)


@pytest.mark.parametrize("strides, padding", [(1, "valid"), ((2, 1, 1), "valid"), (1, "same")])
def test_the_loop_is_keras_own(strides, padding):
    x, w, b = drawn(kernel=(3, 3, 3))
    layer = keras.layers.Conv3D(3, 3, strides=strides, padding=padding, dtype="float64")
    layer.build(x.shape)
    layer.set_weights([w, b])
    loop = space_time.conv3d_loop(x, w, b, stride=strides, padding=1 if padding == "same" else 0)
    assert np.asarray(layer(x)) == pytest.approx(loop, abs=1e-10)


def test_a_kernel_of_one_frame_is_a_2d_convolution_of_each_frame():
    x, w, b = drawn(kernel=(1, 3, 3))
    from mmcourse.numpy.convolution import conv2d

    frames = np.stack([conv2d(x[:, t], w[0], b)[0] for t in range(x.shape[1])], axis=1)
    assert space_time.conv3d(x, w, b)[0] == pytest.approx(frames, abs=1e-12)


def test_a_product_of_kernels_is_two_convolutions():
    """What factors into space and time is computed by one after the other; most 3-D kernels do not factor."""
    x, _, _ = drawn(in_channels=1)
    rng = np.random.default_rng(1)
    space, time = rng.normal(size=(1, 3, 3, 1, 1)), rng.normal(size=(3, 1, 1, 1, 1))
    both = space_time.conv3d(x, time * space)[0]
    one_by_one = space_time.conv3d(space_time.conv3d(x, space)[0], time)[0]
    assert both == pytest.approx(one_by_one, abs=1e-12)


@pytest.mark.parametrize("in_channels, out_channels", [(3, 16), (16, 32), (64, 64)])
def test_mid_channels_keep_the_number_of_weights(in_channels, out_channels):
    own = {
        module.mid_channels(in_channels, out_channels) for module in (space_time, torch_space_time, keras_space_time)
    }
    (mid,) = own
    weights = 9 * in_channels * mid + 3 * mid * out_channels
    full = 27 * in_channels * out_channels
    assert weights <= full < weights + 9 * in_channels + 3 * out_channels


def check_order_blind(module=space_time):
    """Attention along time without positions: frames in another order give the same outputs in that order."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 5, 3, 8))
    p = {f"attention.{n}.{k}": rng.normal(size=(8, 8) if k == "w" else 8) for n in NAMES for k in "wb"}
    order = rng.permutation(5)
    y, _ = module.temporal_attention(x, p, 2)
    assert module.temporal_attention(x[:, order], p, 2)[0] == pytest.approx(y[:, order], abs=1e-12)


NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")


def check_positions_apart():
    """No position of a frame sees another one; no film of a batch sees another film."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 4, 3, 8))
    p = {f"attention.{n}.{k}": rng.normal(size=(8, 8) if k == "w" else 8) for n in NAMES for k in "wb"}
    y, _ = space_time.temporal_attention(x, p, 2)
    other = x.copy()
    other[1, :, 2] += 1.0
    changed = np.abs(space_time.temporal_attention(other, p, 2)[0] - y).max(axis=(1, 3)) > 1e-9
    assert changed.tolist() == [[False, False, False], [False, False, True]]
    rows, _ = multi_head_attention(x[0, :, 1][None], None, {k.removeprefix("attention."): v for k, v in p.items()}, 2)
    assert y[0, :, 1] == pytest.approx(rows[0], abs=1e-12)


def test_attention_along_time():
    check_order_blind()
    check_positions_apart()


def check_frame_by_frame():
    """Attention within frames is that of each frame alone, whatever the other frames and films are."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 4, 3, 8))
    p = {f"attention.{n}.{k}": rng.normal(size=(8, 8) if k == "w" else 8) for n in NAMES for k in "wb"}
    y, cache = space_time.spatial_attention(x, p, 2)
    for film, t in np.ndindex(2, 4):
        alone, _ = space_time.spatial_attention(x[film : film + 1, t : t + 1], p, 2)
        assert y[film, t] == pytest.approx(alone[0, 0], abs=1e-12)
    assert cache["weights"].shape[-2:] == (3, 3), "positions × positions of one frame"


TOKEN_BACKENDS = {
    "numpy": (space_time, np.asarray),
    "torch": (torch_space_time, torch.from_numpy),
    "keras": (keras_space_time, keras.ops.convert_to_tensor),
}


def check_one_class_token(backend="numpy"):
    """A film has one class token, however many frames it has; its other tokens are those of the frames, in order."""
    module, array = TOKEN_BACKENDS[backend]
    rng = np.random.default_rng(6)
    token = rng.normal(size=8)
    for t in (1, 2, 5):
        x = rng.normal(size=(2, t, 3, 8))
        y = np.asarray(module.add_class_token(array(x), array(token)))
        assert y.shape == (2, 1 + 3 * t, 8)
        assert y[:, 0] == pytest.approx(np.stack([token, token]))
        assert y[:, 1:].reshape(x.shape) == pytest.approx(x)


def test_attention_within_frames_is_frame_by_frame():
    check_frame_by_frame()


@pytest.mark.parametrize("backend", TOKEN_BACKENDS)
def test_a_film_has_one_class_token(backend):
    check_one_class_token(backend)


def test_attention_along_time_is_that_of_timesformer():
    """Divided attention of transformers' own layer: its rows are (film, position), in the order (position, frame)."""
    from transformers import TimesformerConfig
    from transformers.models.timesformer.modeling_timesformer import TimesformerLayer

    torch.manual_seed(0)
    t, side, d = 4, 2, 8
    config = TimesformerConfig(
        hidden_size=d, num_attention_heads=2, intermediate_size=16, num_frames=t, image_size=side, patch_size=1,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    theirs = TimesformerLayer(config, 0).double().eval()
    ours = torch_space_time.TemporalAttention(d, 2).double()
    qkv, out = theirs.temporal_attention.attention.qkv, theirs.temporal_attention.output.dense
    for number, name in enumerate(("q_proj", "k_proj", "v_proj")):
        linear = getattr(ours.attention, name)
        linear.weight.data = qkv.weight.data.view(3, d, d)[number].clone()
        linear.bias.data = qkv.bias.data.view(3, d)[number].clone()
    ours.attention.out_proj.load_state_dict(out.state_dict())
    x = torch.randn(2, t, side * side, d, dtype=torch.float64)
    seen = {}
    theirs.temporal_dense.register_forward_hook(lambda module, inputs, output: seen.update(y=inputs[0]))
    tokens = torch.cat([torch.zeros(2, 1, d, dtype=torch.float64), x.transpose(1, 2).reshape(2, -1, d)], dim=1)
    with torch.no_grad():
        theirs(tokens)
        want = ours(theirs.temporal_layernorm(x))
    got = seen["y"].reshape(2, side * side, t, d).transpose(1, 2)
    assert torch.allclose(got, want, atol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match=r"expected \(b, t, h, w, 2\)"):
        space_time.conv3d(np.zeros((1, 3, 3, 3, 1)), np.zeros((1, 1, 1, 2, 1)))
    with pytest.raises(ValueError, match=r"expected \(b, 2, t, h, w\)"):
        torch_space_time.conv3d(torch.zeros(1, 1, 3, 3, 3), torch.zeros(1, 2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"expected \(b, t, h, w, 2\)"):
        keras_space_time.conv3d(np.zeros((1, 3, 3, 3, 1)), np.zeros((1, 1, 1, 2, 1)))


# ---------------------------------------------------------------- mistakes
def check_case(name, backend="numpy"):
    """Outputs and gradients are those of PyTorch's own layer, for convolutions, or of the other backend."""
    case = CASES[name]
    torch_backend = TorchBackend(case)
    inputs = case.inputs(np.random.default_rng(0))
    if backend == "keras":
        other = KerasBackend(case, torch_backend, inputs)
    else:
        other = NumpyBackend(case, torch_backend.weights, torch_backend.trainable)
    y, y2 = torch_backend.forward(inputs), other.forward(inputs)
    assert y[""].shape == y2[""].shape
    target = {"": np.zeros(y[""].shape)}
    pairs = zip((y, *torch_backend.gradients(inputs, target)), (y2, *other.gradients(inputs, target)), strict=True)
    for a, b in pairs:
        assert difference(a, b) < 1e-10


def check_torch():
    """Our own PyTorch layer is `nn.Conv3d`."""
    torch.manual_seed(0)
    theirs = nn.Conv3d(2, 3, (3, 2, 2), (2, 1, 1), (1, 0, 0)).double()
    x = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    ours = torch_space_time.conv3d(x, theirs.weight, theirs.bias, (2, 1, 1), (1, 0, 0))
    assert ours.shape == theirs(x).shape and torch.allclose(ours, theirs(x), atol=1e-10)


def check_still():
    """A film that does not change gives the same output in every frame, also with several films in a batch."""
    rng = np.random.default_rng(4)
    frame = rng.normal(size=(2, 1, 3, 8))
    p = {f"attention.{n}.{k}": rng.normal(size=(8, 8) if k == "w" else 8) for n in NAMES for k in "wb"}
    y, _ = space_time.temporal_attention(frame.repeat(4, axis=1), p, 2)
    assert y == pytest.approx(y[:, :1].repeat(4, axis=1), abs=1e-12)


def test_our_pytorch_layer_is_pytorchs():
    check_torch()


NUMPY, TORCH, KERAS = "mmcourse.numpy.space_time", "mmcourse.torch.space_time", "mmcourse.keras.space_time"
STRIDED = "3-D convolution, stride and padding"
MUTANTS = [
    Mutant(
        "reshaped across time without a transpose",
        NUMPY,
        "rows = x.transpose(0, 2, 1, 3).reshape(b * n, t, d)",
        "rows = x.reshape(b * n, t, d)",
        check_still,
    ),
    Mutant(
        "films of a batch mixed",
        NUMPY,
        "rows = x.transpose(0, 2, 1, 3).reshape(b * n, t, d)",
        "rows = x.transpose(2, 0, 1, 3).reshape(b * n, t, d)",
        check_positions_apart,
    ),
    Mutant(
        "reshaped back without a transpose",
        TORCH,
        "reshape(b, n, t, d).transpose(1, 2)",
        "reshape(b, t, n, d)",
        lambda: check_case("attention along time"),
    ),
    Mutant(
        "reshaped back without a transpose",
        KERAS,
        "return ops.transpose(y, (0, 2, 1, 3))",
        "return ops.reshape(y, (-1, t, n, d))",
        lambda: check_case("attention along time", "keras"),
    ),
    Mutant(
        "the kernel runs backwards in time",
        NUMPY,
        "frames = padded[:, k : k + (ot - 1) * st + 1 : st]",
        "frames = padded[:, len(w) - 1 - k : len(w) - 1 - k + (ot - 1) * st + 1 : st]",
        lambda: check_case(STRIDED),
    ),
    Mutant(
        "no stride in time",
        TORCH,
        "frames_first[:, k : k + (ot - 1) * st + 1 : st]",
        "frames_first[:, k : k + ot]",
        check_torch,
    ),
    Mutant(
        "time is not padded",
        KERAS,
        "padded = ops.pad(x, ((0, 0), (pt, pt), (0, 0), (0, 0), (0, 0)))",
        "padded = x",
        lambda: check_case(STRIDED, "keras"),
    ),
    Mutant(
        "the bias is added for each frame of the kernel",
        NUMPY,
        "w[k], stride=tuple(space)",
        "w[k], b, stride=tuple(space)",
        lambda: check_case(STRIDED),
    ),
    Mutant(
        "space only, and yet it attends over all frames",
        NUMPY,
        "multi_head_attention(x.reshape(b * t, n, d), None",
        "multi_head_attention(x.reshape(b, t * n, d), None",
        check_frame_by_frame,
    ),
    Mutant(
        "space only, and yet it attends over all frames",
        TORCH,
        "frames = x.flatten(0, 1)  # (b·t, n, d)\n        return self.attention(frames).unflatten(0, x.shape[:2])",
        "return self.attention(x.flatten(1, 2)).unflatten(1, x.shape[1:3])",
        lambda: check_case("attention within frames"),
    ),
    Mutant(
        "space only, and yet it attends over all frames",
        KERAS,
        "frames = ops.reshape(x, (-1, n, d))",
        "frames = ops.reshape(x, (-1, t * n, d))",
        lambda: check_case("attention within frames", "keras"),
    ),
    Mutant(
        "a class token for each frame",
        NUMPY,
        "first = np.broadcast_to(token, (b, 1, d))",
        "first = np.broadcast_to(token, (b, t, d))",
        check_one_class_token,
    ),
    Mutant(
        "a class token for each frame",
        TORCH,
        "token.expand(len(x), 1, -1)",
        "token.expand(len(x), x.shape[1], -1)",
        lambda: check_one_class_token("torch"),
    ),
    Mutant(
        "a class token for each frame",
        KERAS,
        "ops.broadcast_to(token, (b, 1, d))",
        "ops.broadcast_to(token, (b, t, d))",
        lambda: check_one_class_token("keras"),
    ),
    Mutant("no ReLU between space and time", NUMPY, "np.maximum(h, 0)", "h", lambda: check_case("(2+1)D convolution")),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.module.split('.')[1]}: {m.name}")
def test_mistakes_are_noticed(mutant):
    mutant.check()
    with mutated(mutant), pytest.raises((AssertionError, ValueError)):
        mutant.check()
