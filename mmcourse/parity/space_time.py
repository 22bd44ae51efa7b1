"""3-D and (2+1)-D convolution, attention along time and within frames in NumPy, PyTorch and Keras."""

from mmcourse.numpy import space_time

from .case import ParityCase


def videos(t, h, w, c):
    """Inputs: two videos."""
    return lambda rng: {"x": rng.normal(size=(2, t, h, w, c))}


def channels_first(layer, inputs):
    """Call a PyTorch layer on videos (b, t, h, w, c): in and out through (b, c, t, h, w)."""
    return layer(inputs["x"].movedim(-1, 1)).movedim(1, -1)


def conv3d_backward(dy, inputs, p, options):
    """NumPy's own gradients of the 3-D convolution."""
    _, cache = space_time.conv3d(**inputs, **p, **options)
    dx, dw, db = space_time.conv3d_backward(dy, cache)
    return {"x": dx}, {"w": dw, "b": db}


def conv3d_formula(name, kernel_size, in_channels, out_channels, size=(5, 4, 4), **options):
    """One setting of conv3d."""
    kt, kh, kw = kernel_size
    t, h, w = size
    return ParityCase(
        f"3-D convolution, {name}",
        numpy="space_time.conv3d",
        layer="space_time.Conv3d",
        config={"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size, **options},
        options=options,
        inputs=videos(t, h, w, in_channels),
        count=kt * kh * kw * in_channels * out_channels + out_channels,
        numpy_call=lambda f, inputs, p, options: f(**inputs, **p, **options)[0],
        backward=conv3d_backward,
        torch_call=channels_first,
    )


def conv2plus1d_backward(dy, inputs, p, options):
    """NumPy's own gradients of (2+1)D."""
    _, cache = space_time.conv2plus1d(**inputs, p=p, **options)
    dx, dp = space_time.conv2plus1d_backward(dy, cache)
    return {"x": dx}, dp


def attention_backward(dy, inputs, p, options):
    """NumPy's own gradients of attention along time."""
    _, cache = space_time.temporal_attention(**inputs, p=p, **options)
    dx, dp = space_time.temporal_attention_backward(dy, cache)
    return {"x": dx}, dp


def within_frames_backward(dy, inputs, p, options):
    """NumPy's own gradients of attention within frames."""
    _, cache = space_time.spatial_attention(**inputs, p=p, **options)
    dx, dp = space_time.spatial_attention_backward(dy, cache)
    return {"x": dx}, dp


MID = 3
FORMULAS = [
    conv3d_formula("plain", (2, 3, 3), 1, 2),
    conv3d_formula("channels", (3, 2, 1), 3, 2),
    conv3d_formula("stride and padding", (3, 3, 3), 2, 2, stride=(2, 1, 2), padding=(1, 0, 1)),
    ParityCase(
        "(2+1)D convolution",
        numpy="space_time.conv2plus1d",
        layer="space_time.Conv2Plus1d",
        config={"in_channels": 2, "out_channels": 2, "kernel_size": 3, "stride": (2, 1, 1), "mid": MID},
        options={"stride": (2, 1, 1)},
        inputs=videos(4, 4, 3, 2),
        count=9 * 2 * MID + MID + 3 * MID * 2 + 2,
        numpy_call=lambda f, inputs, p, options: f(**inputs, p=p, **options)[0],
        backward=conv2plus1d_backward,
        torch_call=channels_first,
    ),
    ParityCase(
        "attention along time",
        numpy="space_time.temporal_attention",
        layer="space_time.TemporalAttention",
        config={"dim": 8, "num_heads": 2},
        options={"num_heads": 2},
        inputs=lambda rng: {"x": rng.normal(size=(2, 4, 3, 8))},
        count=4 * (8 * 8 + 8),
        numpy_call=lambda f, inputs, p, options: f(**inputs, p=p, **options)[0],
        backward=attention_backward,
    ),
    ParityCase(
        "attention within frames",
        numpy="space_time.spatial_attention",
        layer="space_time.SpatialAttention",
        config={"dim": 8, "num_heads": 2},
        options={"num_heads": 2},
        inputs=lambda rng: {"x": rng.normal(size=(2, 4, 3, 8))},
        count=4 * (8 * 8 + 8),
        numpy_call=lambda f, inputs, p, options: f(**inputs, p=p, **options)[0],
        backward=within_frames_backward,
    ),
]
