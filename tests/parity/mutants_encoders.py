"""Mistakes put into the encoders on purpose, one at a time; each must be noticed by the check named with it.

``python tests/parity/mutants_encoders.py`` prints them with what noticed them. A mistake is a piece of a module's
source and what stands there instead; functions that others have already imported are changed too, and put back.
"""

import importlib
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType

import numpy as np
import test_attention
import test_convolution
import test_layers
import test_masks
import test_recurrent
import test_transformer

from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend
from mmcourse.parity.attention import FORMULAS as ATTENTION_FORMULAS
from mmcourse.parity.compare import difference
from mmcourse.parity.layers import FORMULAS as LAYER_FORMULAS
from mmcourse.parity.recurrent import FORMULAS as RECURRENT_FORMULAS
from mmcourse.parity.transformer import FORMULAS as TRANSFORMER_FORMULAS

FORMULAS = {f.name: f for f in (*ATTENTION_FORMULAS, *LAYER_FORMULAS, *RECURRENT_FORMULAS, *TRANSFORMER_FORMULAS)}


@dataclass(frozen=True)
class Mutant:
    """`old` in the source of `module` becomes `new`; `killer` is a check, or the name of a registered formula."""

    name: str
    module: str
    old: str
    new: str
    killer: str | Callable

    def check(self):
        """Run the killer; it raises where something is wrong."""
        if callable(self.killer):
            return self.killer()
        formula = FORMULAS[self.killer]
        rng, torch = np.random.default_rng(0), TorchBackend(formula)
        inputs = formula.inputs(rng)
        if ".keras." in self.module:
            other = KerasBackend(formula, torch, inputs)
        else:
            other = NumpyBackend(formula, torch.weights, torch.trainable)
        y, y2 = torch.forward(inputs), other.forward(inputs)
        assert y[""].shape == y2[""].shape, f"shape of {formula.name} differs"
        target = {"": rng.normal(size=y[""].shape)}
        pairs = zip((y, *torch.gradients(inputs, target)), (y2, *other.gradients(inputs, target)), strict=True)
        for what, (a, b) in zip(("forward", "input gradient", "parameter gradient"), pairs, strict=True):
            assert difference(b, a) < 1e-10, f"{what} of {formula.name} differs"


@contextmanager
def mutated(mutant):
    """The module with the mistake in it, for as long as the block runs."""
    module = importlib.import_module(mutant.module)
    source = inspect.getsource(module)
    if source.count(mutant.old) != 1:
        raise ValueError(f"old: expected once in {mutant.module}, found {source.count(mutant.old)}×: {mutant.old!r}")
    wrong = {"__name__": module.__name__, "__file__": module.__file__}
    kept = []
    with _keras_registry():
        exec(compile(source.replace(mutant.old, mutant.new), module.__file__, "exec"), wrong)
    for right, other in _functions(vars(module), wrong, module.__name__):
        kept.append((right, right.__code__, right.__defaults__))
        right.__code__, right.__defaults__ = other.__code__, other.__defaults__
    try:
        yield
    finally:
        for function, code, defaults in reversed(kept):  # one may be met twice, as a class's own and as its part
            function.__code__, function.__defaults__ = code, defaults


@contextmanager
def _keras_registry():
    """Classes are registered by name when a module runs: leave the right ones there."""
    import keras

    before = dict(keras.saving.get_custom_objects())
    yield
    keras.saving.get_custom_objects().update(before)


def _functions(right, wrong, module):
    """Pairs of the same function or method in both namespaces."""
    for name, value in right.items():
        if isinstance(value, FunctionType) and value.__module__ == module and not hasattr(value, "__wrapped__"):
            yield value, wrong[name]
        elif isinstance(value, type) and value.__module__ == module:
            yield from _functions(vars(value), vars(wrong[name]), module)


def _numpy(file, name, old, new, killer):
    return Mutant(name, f"mmcourse.numpy.{file}", old, new, killer)


def _torch(file, name, old, new, killer):
    return Mutant(name, f"mmcourse.torch.{file}", old, new, killer)


def _keras(file, name, old, new, killer):
    return Mutant(name, f"mmcourse.keras.{file}", old, new, killer)


PADDED = "dot-product attention, padded"
SELF = "multi-head attention, self"
CROSS = "multi-head attention, cross, padded"

MASKS = [
    _numpy(
        "masks",
        "NaN kept by multiplying",
        "np.where(mask[..., None], x, 0)  # (b, t, d);",
        "x * mask[..., None]  #",
        lambda: test_masks.check_hidden_values("numpy"),
    ),
    _torch(
        "masks",
        "mean over padding too",
        "count = mask.sum(1, keepdim=True)",
        "count = 0 * mask.sum(1, keepdim=True) + x.shape[1]",
        lambda: test_masks.check_hidden_values("torch"),
    ),
    _keras(
        "masks",
        "0 / 0 where nothing is real",
        "/ ops.maximum(count, 1)",
        "/ count",
        lambda: test_masks.check_hidden_values("keras"),
    ),
    _keras(
        "masks",
        "keys of another sample",
        "isinstance(m, int) and",
        "False and",
        lambda: test_masks.check_width("keras"),
    ),
]

ATTENTION = [
    _numpy("attention", "no scaling", "1 / math.sqrt(q.shape[-1]) if", "1.0 if", test_attention.check_variance),
    _numpy("attention", "scaled by d, not √d", "math.sqrt(q.shape[-1])", "q.shape[-1]", SELF),
    _numpy("masks", "causal mask one too far", "m - n, dtype", "m - n + 1, dtype", test_attention.check_no_leak),
    _numpy("masks", "padding mask upside down", "real = padding_mask.", "real = (~padding_mask).", PADDED),
    _numpy("masks", "−inf − −inf in an empty row", "np.where(np.isfinite(top), top, 0)", "top",
           lambda: test_attention.check_fully_masked("numpy")),
    _numpy("masks", "0 / 0 in an empty row", "np.where(total > 0, total, 1)", "total",
           lambda: test_attention.check_fully_masked("numpy")),
    _torch("masks", "an empty row spread over all keys", ".softmax(-1).masked_fill(~keep, 0)", ".softmax(-1)",
           lambda: test_attention.check_fully_masked("torch")),
    _keras("masks", "0 / 0 in an empty row", "ops.where(total > 0, total, 1.0)", "total",
           lambda: test_attention.check_fully_masked("keras")),
    _keras("masks", "softmax over the queries", "ops.sum(e, -1,", "ops.sum(e, -2,", PADDED),
    _numpy("attention", "heads cut across time", "reshape(b, n, num_heads, width // num_heads).transpose(0, 2, 1, 3)",
           "reshape(b, num_heads, n, width // num_heads)", SELF),
    _torch("attention", "query and context swapped",
           "q, k, v = self.split(self.q_proj(query)), self.split(self.k_proj(context))",
           "q, k, v = self.split(self.q_proj(context)), self.split(self.k_proj(query))",
           "multi-head attention, cross, equal widths"),
    _torch("attention", "scaled by the number of keys",
           "1 / math.sqrt(q.shape[-1]) if", "1 / math.sqrt(k.shape[-2]) if",
           SELF),
    _numpy("masks", "softmax's gradient without its sum", "- (dweights * weights).sum(-1, keepdims=True))",
           ")", SELF),
    _numpy("attention", "the value's gradient lost", 'dx["k_proj"] + dx["v_proj"]', 'dx["k_proj"]', CROSS),
    _numpy("attention", "sine and cosine not interleaved", "np.stack([np.sin(angle), np.cos(angle)], -1)",
           "np.stack([np.sin(angle), np.cos(angle)], 1)",
           test_attention.test_positions_are_equal_in_all_backends_and_shift_by_rotation),
    _numpy("weight_conversion", "mask not turned over for PyTorch", "return ~np", "return np",
           lambda: test_attention.check_torch_multi_head(CROSS)),
    _numpy("weight_conversion", "query and key packed in the wrong order", 'names = ("q_proj", "k_proj", "v_proj")',
           'names = ("k_proj", "q_proj", "v_proj")', lambda: test_attention.check_torch_multi_head(SELF)),
    _numpy("weight_conversion", "heads last in Keras's kernel", 'reshape(len(p[f"{n}.w"]), heads, -1)',
           'reshape(len(p[f"{n}.w"]), -1, heads).swapaxes(1, 2)',
           lambda: test_attention.check_keras_multi_head(SELF)),
]  # fmt: skip

LAYERS = [
    _numpy("convolution", "dilation ignored", "::dh, ::dw].transpose", ":kh, :kw].transpose", "convolution, dilation"),
    _numpy("convolution", "strides swapped", "view[:, ::sh, ::sw,", "view[:, ::sw, ::sh,",
           "convolution, stride and padding"),
    _numpy("convolution", "a flipped kernel", "y = rows @ w.reshape", "y = rows @ w[::-1, ::-1].reshape",
           "convolution, plain"),
    _numpy("convolution", "patches overwritten on the way back", "dx[:, :, rows, cols] += ", "dx[:, :, rows, cols] = ",
           "convolution, plain"),
    _numpy("convolution", "the odd pixel of 'same' before", "return total // 2, total - total // 2",
           "return total - total // 2, total // 2", test_convolution.check_same_padding),
    _numpy("convolution", "the jump forgotten in the receptive field", "* dilation * jump", "* dilation",
           lambda: test_convolution.test_receptive_field_equals_the_measured_one([(3, 2, 1), (3, 1, 1)])),
    _numpy("convolution", "a tie's gradient to the last", "flat.argmax(3)",
           "flat.shape[3] - 1 - flat[:, :, :, ::-1].argmax(3)",
           test_convolution.test_max_pooling_gives_the_gradient_of_a_tie_to_the_first),
    _torch("convolution", "rows padded as columns", "(left, right, top, bottom))", "(top, bottom, left, right))",
           "convolution, stride and padding"),
    _keras("convolution", "dilation of columns used for rows", "m * dh : m * dh", "m * dw : m * dw",
           "convolution, dilation"),
    _numpy("weight_conversion", "rows and columns of the kernel swapped", "w.transpose(3, 2, 0, 1)",
           "w.transpose(3, 2, 1, 0)",
           lambda: test_convolution.test_convolution_equals_torchs_own("convolution, plain")),
    _numpy("weight_conversion", "channels not moved", "np.moveaxis(images, -1, 1)", "images",
           test_convolution.test_channels_go_there_and_back),
    _numpy("layers", "repeated ids overwrite", "np.add.at(dtable, ids.ravel(), dy.reshape(-1, shape[1]))",
           "dtable[ids.ravel()] += dy.reshape(-1, shape[1])", "embedding"),
    _numpy("layers", "one GELU for the other", "if approximate:", "if not approximate:", test_layers.check_activations),
    _numpy("weight_conversion", "batch norm's momentum not turned round", "return 1 - momentum", "return momentum",
           test_layers.check_running_statistics),
    _numpy("norm", "running variance over n for PyTorch", "if unbiased else var", "if not unbiased else var",
           test_layers.check_running_statistics),
    _numpy("norm", "mean and variance taken as constants", "dx = (g - g.mean(axes, keepdims=True) - xhat",
           "dx = (g + 0 * xhat", "batch norm, training"),
    _numpy("norm", "Keras's ε in layer norm", "beta: Float[ndarray, \" d\"], eps: float = 1e-5",
           "beta: Float[ndarray, \" d\"], eps: float = 1e-3", "layer norm"),
    _torch("norm", "outputs divided by n − 1", "x.var(axes, correction=0)", "x.var(axes)",
           "batch norm, training"),
    _numpy("weight_conversion", "one start for the other", "return fan_in**-0.5", "return glorot_bound(fan_in, fan_in)",
           test_layers.test_first_weights_fill_the_stated_interval),
]  # fmt: skip

RECURRENT = [
    _numpy("weight_conversion", "gates of the GRU not swapped", "[z, r, n]", "[r, z, n]",
           lambda: test_recurrent.check_keras_recurrent("GRU")),
    _numpy("weight_conversion", "the one bias added twice", 'np.zeros_like(p["input.b"])', 'p["input.b"]',
           lambda: test_recurrent.check_torch_recurrent("LSTM")),
    Mutant("PyTorch's second bias learns too", "own_layers", "requires_grad_(False)", "requires_grad_(True)",
           lambda: test_recurrent.check_torch_recurrent("RNN")),
    Mutant("Keras's repeated output at padded steps", "test_recurrent", "zero_output_for_mask=True",
           "zero_output_for_mask=False", lambda: test_recurrent.check_keras_recurrent("GRU")),
    _numpy("recurrent", "no reset gate", "n = np.tanh(xn + r * hn)", "n = np.tanh(xn + hn)", "GRU"),
    _numpy("recurrent", "update gate upside down", "((1 - z) * n + z * h,)", "(z * n + (1 - z) * h,)", "GRU"),
    _keras("recurrent", "gates in Keras's order", "(xr, xz, xn), (hr, hz, hn) =", "(xz, xr, xn), (hz, hr, hn) =",
           "GRU"),
    _numpy("recurrent", "LSTM gates in another order", "i, f, g, o = np.split", "i, g, f, o = np.split", "LSTM"),
    _torch("recurrent", "no tanh of the cell", "o.sigmoid() * c.tanh()", "o.sigmoid() * c", "LSTM"),
    _numpy("recurrent", "padded steps change the state", "np.where(keep[:, step], n, old)", "n",
           lambda: test_recurrent.test_padding_equals_a_loop_over_single_sequences("GRU")),
    _numpy("recurrent", "only the first step's gradient counts", "total.get(name, 0) + grad", "grad", "RNN"),
    _numpy("recurrent", "padded steps stop the gradient", "old + d * ~keep", "old",
           lambda: test_recurrent.test_gradient_of_the_last_state("LSTM")),
    _numpy("recurrent", "the cell state's way back cut", "(dh, dc * f)", "(dh, 0 * dc)", "LSTM"),
]  # fmt: skip

TRANSFORMER = [
    _numpy("transformer", "pre- and post-norm exchanged", '''pre_norm:
        h, cache_n''', '''not pre_norm:
        h, cache_n''', "encoder block, pre-norm"),
    _numpy("transformer", "the residual lost on the way back", "return dy + dx, dp | dp_norm, *more",
           "return dx, dp | dp_norm, *more", "encoder block, pre-norm"),
    _numpy("transformer", "a decoder that sees the future", "padding_mask, causal=True)", "padding_mask, causal=False)",
           test_transformer.check_decoder_does_not_leak),
    _torch("transformer", "causal forgotten", "padding_mask, causal=True)", "padding_mask)", "decoder block, pre-norm"),
    _keras("transformer", "memory's mask forgotten", "padding_mask=memory_mask, training", "training",
           "decoder block, pre-norm"),
    _numpy("transformer", "only one block's gradient to the memory", "dmemory + dm", "dm", "decoder, post-norm"),
    _torch("transformer", "no last norm", 'self.norm(x) if hasattr(self, "norm") else x', "x", "encoder, pre-norm"),
    _torch("transformer", "channels first within a patch", "permute(0, 2, 4, 3, 5, 1)", "permute(0, 2, 4, 1, 3, 5)",
           "vision transformer"),
    _numpy("transformer", "the class token behind", "x.shape[-1])), x], 1)", "x.shape[-1])), x][::-1], 1)",
           "vision transformer"),
    Mutant("PyTorch's ε for BERT's", "test_transformer", "eps=config.layer_norm_eps)\n    np", "eps=1e-5)\n    np",
           test_transformer.check_bert),
    _numpy("weight_conversion", "BERT's query and key exchanged",
           'f"attention.self.{n}" for n in ("query", "key", "value")',
           'f"attention.self.{m}" for n, m in zip(("query", "key", "value"), ("key", "query", "value"))',
           test_transformer.check_bert),
    _numpy("weight_conversion", "patches in the wrong order for ViT", "reshape(size, size, -1, width)",
           "reshape(-1, size, size, width).transpose(1, 2, 0, 3)", test_transformer.check_vit),
]  # fmt: skip

MUTANTS = MASKS + ATTENTION + LAYERS + RECURRENT + TRANSFORMER


if __name__ == "__main__":
    for mutant in MUTANTS:
        with mutated(mutant):
            try:
                mutant.check()
                end = "SURVIVED"
            except Exception as error:
                end = f"killed by {type(error).__name__}"
        print(f"{mutant.module:28} {mutant.name:45} {end}", flush=True)
