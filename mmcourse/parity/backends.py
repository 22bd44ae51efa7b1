"""The three backends behind one face: weights by name, outputs, gradients, optimizer steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .case import ParityCase, cast, flatten, is_real, replace

Arrays = dict[str, np.ndarray]

# How PyTorch's own layers keep their arrays: PyTorch's name -> (name in NumPy, name in Keras, axes to NumPy's layout).
# What is not listed (our own parameters) has one name and one layout in all backends. None: not compared.
LAYOUTS: dict[str, dict[str, tuple[str, str, tuple[int, ...] | None] | None]] = {
    "Linear": {"weight": ("w", "kernel", (1, 0)), "bias": ("b", "bias", None)},
    "Conv1d": {"weight": ("w", "kernel", (2, 1, 0)), "bias": ("b", "bias", None)},
    "Conv2d": {"weight": ("w", "kernel", (2, 3, 1, 0)), "bias": ("b", "bias", None)},
    "Conv3d": {"weight": ("w", "kernel", (2, 3, 4, 1, 0)), "bias": ("b", "bias", None)},
    "Embedding": {"weight": ("w", "embeddings", None)},
    "LayerNorm": {"weight": ("gamma", "gamma", None), "bias": ("beta", "beta", None)},
    "_BatchNorm": {
        "weight": ("gamma", "gamma", None),
        "bias": ("beta", "beta", None),
        "running_mean": ("mean", "moving_mean", None),
        "running_var": ("var", "moving_variance", None),
        "num_batches_tracked": None,
    },
}
# Near Adam's usual 0.9 and 0.999, but the same numbers in float32, to which Keras rounds them, and in float64.
BETAS = 0.875, 1 - 2**-10


def loss_gradient(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gradient of the loss used throughout, ½ mean (y − target)²."""
    return (y - target) / y.size


def keras_epsilon(epsilon: float, step: int, beta: float = BETAS[1]) -> float:
    """The ε that makes Keras's Adam equal to PyTorch's at that step (from 1).

    PyTorch divides by √(v/(1−βᵗ)) + ε, Keras by (√v + ε)/√(1−βᵗ): the defaults differ (1e-8, 1e-7), and so does what
    they multiply. Equal steps need Keras's ε smaller by √(1−βᵗ), which is 0.03 at first and tends to 1.
    """
    return epsilon * math.sqrt(1 - beta**step)


class NumpyBackend:
    """The written-out formula. Without a `backward` its gradients are central differences.

    Parameters
    ----------
    formula : Formula
    weights : by dotted name, in NumPy's layout; buffers such as hashes are among them
    trainable : names of those that learn
    """

    def __init__(self, formula: ParityCase, weights: Arrays, trainable: list[str], dtype: str = "float64"):
        self.formula, self.function, self.dtype = formula, formula.find("numpy"), dtype
        self.weights, self.trainable = cast(weights, dtype), trainable

    def forward(self, inputs: dict[str, Any]) -> Arrays:
        """Outputs by path ("" for a single one)."""
        f = self.formula
        y = f.numpy_call(self.function, cast(inputs, self.dtype), self.weights, f.options)
        return {k: np.asarray(v) for k, v in flatten(y).items()}

    def gradients(self, inputs: dict[str, Any], target: Arrays) -> tuple[Arrays, Arrays]:
        """Gradients of ½ mean (y − target)² to the inputs and to the trainable weights."""
        if self.formula.backward is None:
            return self.central_differences(inputs, target)
        (y,) = self.forward(inputs).values()
        dy = loss_gradient(y, target[""])
        dx, dp = self.formula.backward(dy, inputs, self.weights, self.formula.options)
        return dx, {name: dp[name] for name in self.trainable}

    def central_differences(self, inputs: dict[str, Any], target: Arrays) -> tuple[Arrays, Arrays]:
        """(f(x + h) − f(x − h)) / 2h, error O(h²), for each entry in turn."""

        def loss():
            y = self.forward(replace(inputs, xs))
            return sum(0.5 * np.mean((y[k] - target[k]) ** 2) for k in y)

        xs = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in flatten(inputs).items()}
        slopes = {k: _slopes(loss, v) for k, v in xs.items() if is_real(v)}
        return slopes, {k: _slopes(loss, self.weights[k]) for k in self.trainable}

    def steps(self, inputs: dict[str, Any], target: Arrays, optimizer: str, rate: float, n: int) -> Arrays:
        """Trainable weights after n steps of "sgd" or "adam", written out; the first ones are put back."""
        start = {k: self.weights[k].copy() for k in self.trainable}
        m, v = ({k: np.zeros_like(w) for k, w in start.items()} for _ in range(2))
        for t in range(1, n + 1):
            for k, g in self.gradients(inputs, target)[1].items():
                if optimizer == "adam":
                    m[k] = BETAS[0] * m[k] + (1 - BETAS[0]) * g
                    v[k] = BETAS[1] * v[k] + (1 - BETAS[1]) * g**2
                    g = m[k] / (1 - BETAS[0] ** t) / (np.sqrt(v[k] / (1 - BETAS[1] ** t)) + 1e-8)
                self.weights[k] = self.weights[k] - rate * g
        return self._after(start)

    def _after(self, start: Arrays) -> Arrays:
        end = {k: self.weights[k] for k in self.trainable}
        self.weights.update(start)
        return end


def _slopes(loss, array: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of loss() in each entry of an array that it reads, changed in place and put back."""
    slopes = np.zeros_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + h
        up = loss()
        array[i] = kept - h
        slopes[i] = (up - loss()) / (2 * h)
        array[i] = kept
    return slopes


class TorchBackend:
    """The `nn.Module`, or a function of tensors. Weights are random: zeros at the start would hide faults."""

    def __init__(
        self, formula: ParityCase, dtype: str = "float64", seed: int = 0, weights: Arrays | None = None, kind=None
    ):
        import torch

        self.formula, self.torch, self.dtype = formula, torch, dtype
        kind = kind or formula.find("torch")  # another class to look at in place of the formula's own
        self.layer = kind(**formula.config).to(getattr(torch, dtype)).eval() if isinstance(kind, type) else kind
        self.slots = dict(_torch_slots(self.layer)) if isinstance(kind, type) else {}
        self.trainable = [k for k, (tensor, *_) in self.slots.items() if isinstance(tensor, torch.nn.Parameter)]
        rng = np.random.default_rng(seed)
        self.load(weights or {k: rng.normal(0, 0.5, self.weights[k].shape) for k in self.trainable})

    @property
    def num_trainable(self) -> int:
        """Number of parameters that an optimizer would be given."""
        return sum(p.numel() for p in self.layer.parameters()) if self.slots else 0

    @property
    def weights(self) -> Arrays:
        """Copies in NumPy's layout, buffers included."""
        return {k: _transposed(t.detach().numpy().copy(), axes) for k, (t, _, axes) in self.slots.items()}

    def load(self, weights: Arrays) -> None:
        """Set weights given in NumPy's layout; names not given stay."""
        for k, w in weights.items():
            tensor, _, axes = self.slots[k]
            back = w if axes is None else w.transpose(np.argsort(axes))
            with self.torch.no_grad():
                tensor.copy_(self.torch.from_numpy(np.array(back)))

    def tensors(self, inputs: dict[str, Any], gradient: bool = False) -> dict[str, Any]:
        """The same tree of tensors; with `gradient` the real ones are leaves of the graph."""
        leaves = flatten(cast(inputs, self.dtype))
        made = {k: self.torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in leaves.items()}
        return replace(inputs, {k: v.requires_grad_(gradient) if is_real(leaves[k]) else v for k, v in made.items()})

    def outputs(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Output tensors by path."""
        return flatten(self.formula.torch_call(self.layer, tensors))

    def forward(self, inputs: dict[str, Any]) -> Arrays:
        """Outputs by path ("" for a single one)."""
        with self.torch.no_grad():
            return {k: v.numpy() for k, v in self.outputs(self.tensors(inputs)).items()}

    def loss(self, tensors: dict[str, Any], target: Arrays):
        """½ mean (y − target)², summed over the outputs."""
        outputs = self.outputs(tensors).items()
        return sum(0.5 * (y - self.torch.from_numpy(target[k]).to(y)).square().mean() for k, y in outputs)

    def gradients(self, inputs: dict[str, Any], target: Arrays) -> tuple[Arrays, Arrays]:
        """Gradients of ½ mean (y − target)² to the inputs and to the trainable weights, by autograd."""
        tensors = self.tensors(inputs, gradient=True)
        xs = {k: v for k, v in flatten(tensors).items() if getattr(v, "requires_grad", False)}
        leaves = {**xs, **{k: self.slots[k][0] for k in self.trainable}}
        slopes = self.torch.autograd.grad(
            self.loss(tensors, target), list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        arrays = dict(zip(leaves, (g.numpy() for g in slopes), strict=True))
        return {k: arrays[k] for k in xs}, {k: _transposed(arrays[k], self.slots[k][2]) for k in self.trainable}

    def steps(self, inputs: dict[str, Any], target: Arrays, optimizer: str, rate: float, n: int) -> Arrays:
        """Trainable weights after n steps of "sgd" or "adam"; the first ones are put back."""
        start, kind = self.weights, {"sgd": self.torch.optim.SGD, "adam": self.torch.optim.Adam}[optimizer]
        learners = [self.slots[k][0] for k in self.trainable]
        optim = kind(learners, rate, BETAS) if optimizer == "adam" else kind(learners, rate)
        for _ in range(n):
            optim.zero_grad()
            self.loss(self.tensors(inputs), target).backward()
            optim.step()
        end = self.weights
        self.load(start)
        return {k: end[k] for k in self.trainable}


def _transposed(array: np.ndarray, axes) -> np.ndarray:
    return array if axes is None else array.transpose(axes)


def _torch_slots(layer):
    """(dotted NumPy name, (tensor, path in Keras, axes)) of each parameter and buffer."""
    for prefix, module in layer.named_modules():
        layouts = next((LAYOUTS[c.__name__] for c in type(module).__mro__ if c.__name__ in LAYOUTS), {})
        for name, tensor in {**module._parameters, **module._buffers}.items():
            layout = layouts.get(name, (name, name, None))
            if tensor is not None and layout is not None and name not in module._non_persistent_buffers_set:
                path = prefix.split(".") if prefix else []
                yield ".".join([*path, layout[0]]), (tensor, [*path, layout[1]], layout[2])


class KerasBackend:
    """The `keras.Layer`, or a function of tensors, its weights found by the same attribute names as PyTorch's."""

    def __init__(
        self, formula: ParityCase, torch_backend: TorchBackend, inputs: dict[str, Any], dtype: str = "float64"
    ):
        kind = formula.find("keras")  # imports mmcourse.keras, which chooses the backend
        import keras
        import tensorflow

        self.formula, self.keras, self.tf, self.dtype = formula, keras, tensorflow, dtype
        self.layer = kind(**formula.config, dtype=dtype) if isinstance(kind, type) else kind
        self.trainable = torch_backend.trainable
        self.outputs(self.tensors(inputs))  # the first call builds
        self.variables = {k: _walk(self.layer, path) for k, (_, path, _) in torch_backend.slots.items()}
        self.load(torch_backend.weights)

    @property
    def num_trainable(self) -> int:
        """Number of parameters that an optimizer would be given."""
        return sum(int(np.prod(v.shape)) for v in getattr(self.layer, "trainable_variables", []))

    @property
    def weights(self) -> Arrays:
        """Copies in NumPy's layout."""
        return {k: v.numpy() for k, v in self.variables.items()}

    def load(self, weights: Arrays) -> None:
        """Set weights given in NumPy's layout."""
        for k, w in weights.items():
            self.variables[k].assign(w)

    def tensors(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The same tree of tensors."""
        leaves = flatten(cast(inputs, self.dtype))
        made = {k: self.tf.constant(v) if isinstance(v, np.ndarray) else v for k, v in leaves.items()}
        return replace(inputs, made)

    def outputs(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Output tensors by path."""
        return flatten(self.formula.keras_call(self.layer, tensors))

    def forward(self, inputs: dict[str, Any]) -> Arrays:
        """Outputs by path ("" for a single one)."""
        found = self.outputs(self.tensors(inputs)).items()
        return {k: v.numpy() if hasattr(v, "numpy") else np.array(v) for k, v in found}

    def gradients(self, inputs: dict[str, Any], target: Arrays) -> tuple[Arrays, Arrays]:
        """Gradients of ½ mean (y − target)² to the inputs and to the trainable weights, by `GradientTape`."""
        tensors = self.tensors(inputs)
        xs = {k: v for k, v in flatten(tensors).items() if self.tf.is_tensor(v) and v.dtype.is_floating}
        variables = {k: self.variables[k].value for k in self.trainable}
        with self.tf.GradientTape() as tape:
            tape.watch(list(xs.values()))
            outputs = self.outputs(tensors).items()
            loss = sum(0.5 * self.tf.reduce_mean((y - self.tf.constant(target[k], y.dtype)) ** 2) for k, y in outputs)
        zero = self.tf.UnconnectedGradients.ZERO
        dx, dp = tape.gradient(loss, (xs, variables), unconnected_gradients=zero)
        dx, dp = ({k: self.tf.convert_to_tensor(v).numpy() for k, v in d.items()} for d in (dx, dp))
        return dx, dp

    def steps(self, inputs: dict[str, Any], target: Arrays, optimizer: str, rate: float, n: int) -> Arrays:
        """Trainable weights after n steps of "sgd" or "adam"; the first ones are put back."""
        start, kind = self.weights, {"sgd": self.keras.optimizers.SGD, "adam": self.keras.optimizers.Adam}[optimizer]
        optim = kind(rate, beta_1=BETAS[0], beta_2=BETAS[1]) if optimizer == "adam" else kind(rate)
        for t in range(1, n + 1):
            slopes = self.gradients(inputs, target)[1]
            if optimizer == "adam":
                optim.epsilon = keras_epsilon(1e-8, t)
            optim.apply_gradients([(self.tf.constant(slopes[k]), self.variables[k]) for k in self.trainable])
        end = self.weights
        self.load(start)
        return {k: end[k] for k in self.trainable}


def copy_weights(torch_layer: Any, keras_layer: Any) -> int:
    """Give a Keras layer or model the weights of its PyTorch namesake, buffers included; returns how many numbers.

    Raises
    ------
    ValueError
        Where the Keras layer is not built: it has no weights before it is first called on a batch.
    """
    if not keras_layer.built:
        raise ValueError("keras_layer: it has no weights yet; call it on a batch first, which builds it")
    copied = 0
    for tensor, path, axes in dict(_torch_slots(torch_layer)).values():
        array = _transposed(tensor.detach().cpu().numpy(), axes)
        _walk(keras_layer, path).assign(array)
        copied += array.size
    return copied


def _walk(node, path: list[str]):
    """Follow names and list positions; a name that Keras keeps for itself has an underscore behind it."""
    for part in path:
        if isinstance(node, dict):
            node = node[part]
        elif part.isdigit():
            node = (node if isinstance(node, (list, tuple)) else node.layers)[int(part)]
        elif part + "_" in vars(node):
            node = getattr(node, part + "_")
        else:
            node = getattr(node, part)
    return node
