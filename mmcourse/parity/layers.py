"""Linear map, embedding, activations, convolution, pooling and normalization in NumPy, PyTorch and Keras."""

from mmcourse.numpy import convolution, layers, norm

from .case import ParityCase


def first(f, inputs, p, options):
    """Output without the cache."""
    return f(**inputs, **p, **options)[0]


def weighted(forward, backward):
    """Backward of a layer whose gradients come as dx, then one for each parameter in the order of p."""

    def run(dy, inputs, p, options):
        _, cache = forward(**inputs, **p, **options)
        dx, *grads = backward(dy, cache)
        return {"x": dx}, dict(zip(p, grads, strict=True))

    return run


def plain(forward, backward):
    """Backward of a function without parameters."""

    def run(dy, inputs, p, options):
        return {"x": backward(dy, forward(**inputs, **options)[1])}, {}

    return run


def channels_first(layer, inputs, **options):
    """Call a PyTorch layer on images (b, h, w, c): in and out through (b, c, h, w)."""
    return layer(inputs["x"].movedim(-1, 1), **options).movedim(1, -1)


def images(h, w, c):
    """Inputs: three images."""
    return lambda rng: {"x": rng.normal(size=(3, h, w, c))}


def vectors(rng):
    """Inputs: (4, 3, 6)."""
    return {"x": rng.normal(size=(4, 3, 6))}


def convolution_formula(name, kernel_size, in_channels, out_channels, size=(7, 6), **options):
    """One setting of conv2d."""
    kh, kw = kernel_size
    h, w = size
    return ParityCase(
        f"convolution, {name}",
        numpy="convolution.conv2d",
        layer="convolution.Conv2d",
        config={"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size, **options},
        options=options,
        inputs=images(h, w, in_channels),
        count=kh * kw * in_channels * out_channels + out_channels,
        numpy_call=first,
        backward=weighted(convolution.conv2d, convolution.conv2d_backward),
        torch_call=channels_first,
    )


def pool_formula(name, kind, size, stride):
    """One setting of a pooling function."""
    options = {"size": size, "stride": stride}
    return ParityCase(
        name,
        numpy=f"convolution.{kind}",
        layer=f"convolution.{kind}",
        options=options,
        inputs=images(6, 7, 2),
        count=0,
        numpy_call=first,
        backward=plain(getattr(convolution, kind), getattr(convolution, f"{kind}_backward")),
        torch_call=lambda f, inputs: channels_first(f, inputs, **options),
        keras_call=lambda f, inputs: f(**inputs, **options),
    )


def activation_formula(name, kind, **options):
    """relu or gelu."""
    return ParityCase(
        name,
        numpy=f"layers.{kind}",
        layer=f"layers.{kind}",
        options=options,
        inputs=vectors,
        count=0,
        numpy_call=first,
        backward=plain(getattr(layers, kind), getattr(layers, f"{kind}_backward")),
        torch_call=lambda f, inputs: f(**inputs, **options),
        keras_call=lambda f, inputs: f(**inputs, **options),
    )


def batch_norm_formula(training):
    """Batch norm with the statistics of the batch, or with the running ones."""

    def forward(x, gamma, beta, mean, var):
        return norm.batch_norm(x, gamma, beta, (mean, var), training)

    def backward(dy, inputs, p, options):
        dx, dgamma, dbeta = norm.batch_norm_backward(dy, forward(**inputs, **p)[1])
        return {"x": dx}, {"gamma": dgamma, "beta": dbeta}

    return ParityCase(
        f"batch norm, {'training' if training else 'evaluation'}",
        numpy="norm.batch_norm",
        layer="norm.BatchNorm",
        config={"dim": 3},
        inputs=images(4, 3, 3),
        count=2 * 3,
        numpy_call=lambda f, inputs, p, options: forward(**inputs, **p)[0],
        backward=backward,
        torch_call=lambda layer, inputs: channels_first(layer.train(training), inputs),
        keras_call=lambda layer, inputs: layer(**inputs, training=training),
        tags=frozenset({"mixes"} if training else ()),
    )


FORMULAS = [
    ParityCase(
        "linear map",
        numpy="layers.linear",
        layer="layers.Linear",
        config={"dim": 6, "width": 5},
        inputs=vectors,
        count=6 * 5 + 5,
        numpy_call=first,
        backward=weighted(layers.linear, layers.linear_backward),
    ),
    ParityCase(
        "embedding",
        numpy="layers.embedding",
        layer="layers.Embedding",
        config={"count": 7, "dim": 4},
        inputs=lambda rng: {"ids": rng.integers(0, 7, (3, 5))},
        count=7 * 4,
        numpy_call=lambda f, inputs, p, options: f(inputs["ids"], p["w"])[0],
        backward=lambda dy, inputs, p, options: (
            {},
            {"w": layers.embedding_backward(dy, layers.embedding(inputs["ids"], p["w"])[1])},
        ),
    ),
    activation_formula("relu", "relu"),
    activation_formula("gelu, exact", "gelu", approximate=False),
    activation_formula("gelu, tanh", "gelu", approximate=True),
    convolution_formula("plain", (3, 3), 1, 2),
    convolution_formula("channels", (3, 2), 3, 4),
    convolution_formula("stride and padding", (3, 3), 2, 3, stride=(2, 1), padding=(1, 2)),
    convolution_formula("dilation", (2, 3), 2, 2, dilation=(3, 2)),
    convolution_formula("one-sided padding", (3, 3), 2, 2, (6, 6), stride=2, padding=((0, 1), (0, 1))),
    pool_formula("max pooling", "max_pool2d", 2, None),
    pool_formula("max pooling, overlapping", "max_pool2d", (3, 2), (2, 1)),
    pool_formula("mean pooling", "avg_pool2d", 2, None),
    pool_formula("mean pooling, overlapping", "avg_pool2d", (3, 2), (2, 1)),
    batch_norm_formula(training=True),
    batch_norm_formula(training=False),
    ParityCase(
        "layer norm",
        numpy="norm.layer_norm",
        layer="norm.LayerNorm",
        config={"dim": 6},
        inputs=vectors,
        count=2 * 6,
        numpy_call=first,
        backward=weighted(norm.layer_norm, norm.layer_norm_backward),
    ),
]
