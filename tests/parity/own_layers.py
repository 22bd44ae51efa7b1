"""Our layers against the frameworks' own with copied weights: forward, gradients, five steps of SGD.

`convert` turns our parameters into theirs. It only moves numbers about, so it turns our gradients into theirs as well.
"""

import numpy as np

from mmcourse.numpy import weight_conversion
from mmcourse.parity.backends import KerasBackend, NumpyBackend, TorchBackend
from mmcourse.parity.case import flatten
from mmcourse.parity.compare import RATE, STEPS, difference

TIGHT = 1e-10


def nothing(p):
    """For layers without weights."""
    return {}


def torch_state(p):
    """Linear, Conv2d or norm: weight and bias."""
    if "gamma" in p:
        return {"weight": p["gamma"], "bias": p["beta"]}
    w = p["w"]
    return {"weight": weight_conversion.kernel_to_torch(w) if w.ndim == 4 else w.T, "bias": p["b"]}


def in_order(p):
    """Keras keeps kernel and bias, or γ and β, as we do."""
    return [p[k] for k in ("w", "b", "gamma", "beta") if k in p]


def check_gradient(formula, limit=1e-6):
    """NumPy's backward pass against central differences, relative to the largest gradient."""
    torch = TorchBackend(formula)
    backend = NumpyBackend(formula, torch.weights, torch.trainable)
    rng = np.random.default_rng(1)
    inputs = formula.inputs(rng)
    (y,) = backend.forward(inputs).values()
    target = {"": rng.normal(size=y.shape)}
    for ours, slopes in zip(
        backend.gradients(inputs, target), backend.central_differences(inputs, target), strict=True
    ):
        assert difference(ours, slopes) <= limit


def _task(formula, backend):
    rng = np.random.default_rng(2)
    inputs = formula.inputs(rng)
    y = backend.forward(inputs)[""]
    return inputs, y, {"": rng.normal(size=y.shape)}


def _assert_close(ours, theirs, what):
    ours = {k: np.asarray(v) for k, v in ours.items()}
    gap = difference(ours, theirs)
    assert gap <= TIGHT, f"{what} differs by {gap:.1e}"


def check_torch(formula, theirs, convert=nothing, call=lambda layer, inputs: layer(inputs["x"]), frozen=()):
    """Our PyTorch module against PyTorch's own; `frozen` names its parameters that must not learn."""
    import torch

    backend = TorchBackend(formula)
    inputs, y, target = _task(formula, backend)
    named = {}
    if isinstance(theirs, torch.nn.Module):
        theirs.double()
        state = {k: torch.tensor(np.array(v)) for k, v in convert(backend.weights).items()}
        theirs.load_state_dict({**theirs.state_dict(), **state})
        for name in frozen:
            theirs.get_parameter(name).requires_grad_(False)
        named = {k: v for k, v in theirs.named_parameters() if v.requires_grad}

    def loss(tensors):
        return 0.5 * (call(theirs, tensors) - torch.tensor(target[""])).square().mean()

    _assert_close({"y": y}, {"y": call(theirs, backend.tensors(inputs)).detach().numpy()}, "forward")
    tensors = backend.tensors(inputs, gradient=True)
    xs = {k: v for k, v in flatten(tensors).items() if getattr(v, "requires_grad", False)}
    slopes = torch.autograd.grad(loss(tensors), [*xs.values(), *named.values()])
    slopes = dict(zip([*xs, *named], (s.numpy() for s in slopes), strict=True))
    dx, dp = backend.gradients(inputs, target)
    ours = {**dx, **{k: v for k, v in convert(dp).items() if k in named}}
    _assert_close(ours, slopes, "gradient")
    if named:
        optim = torch.optim.SGD(named.values(), lr=RATE)
        for _ in range(STEPS):
            optim.zero_grad()
            loss(backend.tensors(inputs)).backward()
            optim.step()
        ours = convert(backend.steps(inputs, target, "sgd", RATE, STEPS))
        ours = {k: v for k, v in ours.items() if k in named}
        _assert_close(ours, {k: v.detach().numpy() for k, v in named.items()}, "weights after five steps")


def check_keras(formula, theirs, convert=lambda p: [], call=lambda layer, inputs: layer(inputs["x"])):
    """Our Keras layer against Keras's own."""
    first = TorchBackend(formula)
    inputs = formula.inputs(np.random.default_rng(2))
    backend = KerasBackend(formula, first, inputs)
    import keras
    import tensorflow as tf

    inputs, y, target = _task(formula, backend)
    tensors = backend.tensors(inputs)
    call(theirs, tensors)  # builds
    weights = getattr(theirs, "trainable_variables", [])
    if weights:
        for variable, array in zip(weights, convert(backend.weights), strict=True):
            variable.assign(array)
    xs = {k: v for k, v in flatten(tensors).items() if tf.is_tensor(v) and v.dtype.is_floating}

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(list(xs.values()))
            out = call(theirs, tensors)
            loss = 0.5 * tf.reduce_mean((out - target[""]) ** 2)
        return out, tape.gradient(loss, (xs, [w.value for w in weights]))

    def numbered(arrays):
        return {str(i): a.numpy() if hasattr(a, "numpy") else np.array(a) for i, a in enumerate(arrays)}

    out, (dx, dp) = gradients()
    _assert_close({"y": y}, {"y": np.array(out)}, "forward")
    ours_dx, ours_dp = backend.gradients(inputs, target)
    dp = [np.array(tf.convert_to_tensor(g)) for g in dp]
    ours = ours_dx | numbered(convert(ours_dp) if weights else [])
    _assert_close(ours, {k: np.array(v) for k, v in dx.items()} | numbered(dp), "gradient")
    if weights:
        optim = keras.optimizers.SGD(learning_rate=RATE)
        for _ in range(STEPS):
            optim.apply_gradients(zip(gradients()[1][1], weights, strict=True))
        ours = numbered(convert(backend.steps(inputs, target, "sgd", RATE, STEPS)))
        _assert_close(ours, numbered(weights), "weights after five steps")
