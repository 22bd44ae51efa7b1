"""Multi-head attention as a PyTorch module."""

import math

import numpy as np
import torch
from torch import nn

from mmcourse.check.blanks import blank
from mmcourse.check.verdict import CheckFailed
from mmcourse.exercise import context, drawn_weights, edit, exercise, in_turn, one_of, part, right, says


class MultiHeadAttention(nn.Module):
    """Self-attention with several heads: x (b, n, d_model) → (b, n, d_model)."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, padding_mask, causal):
        b, n, d_model = x.shape
        d_head = d_model // self.num_heads
        q = self.q_proj(x).view(b, n, self.num_heads, d_head).transpose(1, 2)  # (b, num_heads, n, d_head)
        k = self.k_proj(x).view(b, n, self.num_heads, d_head).transpose(1, 2)
        v = self.v_proj(x).view(b, n, self.num_heads, d_head).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d_head)  # (b, num_heads, n, n)
        real = padding_mask[:, None, None, :]  # columns are keys
        past = torch.ones(n, n, dtype=torch.bool).tril()
        allowed = real & past if causal else real
        masked = scores.masked_fill(~allowed, float("-inf"))
        weights = masked.softmax(dim=-1)
        heads = weights @ v  # (b, num_heads, n, d_head)
        joined = heads.transpose(1, 2).reshape(b, n, d_model)
        return self.out_proj(joined)


def use_attention(probe, answer, d_model, num_heads, x, padding_mask, causal, weights):
    """Output and gradients with copied weights."""
    model = answer(d_model, num_heads)
    for parameters in probe.load_ways(model, weights):
        out = model(probe.tensor(x), probe.tensor(padding_mask), causal)
        yield {"the output": probe.output(out), **probe.gradients(out, parameters)}


def draw_attention(g, b, n, num_heads, d_head, causal, padded):
    d_model = num_heads * d_head
    x = g.normal(size=(b, n, d_model)).round(2)
    lengths = g.integers(1, n, b) if padded else np.full(b, n)
    lengths[0] = n  # one sample without padding
    padding_mask = np.arange(n) < lengths[:, None]  # (b, n), padding on the right
    shapes = {}
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes[f"{name}.weight"] = (d_model, d_model)
        shapes[f"{name}.bias"] = (d_model,)
    return d_model, num_heads, x, padding_mask, bool(causal), drawn_weights(g, shapes)


class OneLayerForAll(MultiHeadAttention):
    """Queries, keys and values from one layer that is three times as wide."""

    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        del self.q_proj, self.k_proj, self.v_proj
        self.qkv = nn.Linear(d_model, 3 * d_model)


class InAList(nn.Module):
    """Layers in a plain list, which the module does not see."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.layers = [nn.Linear(d_model, d_model) for _ in range(4)]


module = exercise(
    "attention.4",
    MultiHeadAttention,
    framework="torch",
    use=use_attention,
    title="Multi-head attention in PyTorch",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        says(
            "**Write** the class `MultiHeadAttention(d_model, num_heads)`, an `nn.Module` for self-attention.",
            mistake="Layers in a plain list",
        ),
        says(
            "It has four linear layers with biases, from `d_model` to `d_model`: for queries, keys, values and the "
            "output. Their names are yours.",
            mistake="Your linear layers have no bias",
        ),
        says(
            "Its `forward(x, padding_mask, causal)` takes `x` (b, n, d_model) and returns (b, n, d_model).",
            ignored=edit("self.out_proj(joined)", "self.out_proj(joined).mean(dim=1)"),
        ),
        says(
            "Queries, keys and values are each cut into `num_heads` pieces of `d_model / num_heads` neighboring "
            "features; each head attends by itself,",
            mistake="straight to (b, num_heads, n, d_head)",
        ),
        says("with scores divided by the root of a head's width.", mistake="root of d_model"),
        says(
            "`padding_mask` (b, n) is True where a word is real: no query attends to padding.",
            mistake="`padding_mask` has no effect",
        ),
        says("With `causal=True`, no query attends to a later word.", mistake="`causal` has no effect"),
        says("The heads are put side by side again", mistake="without moving the heads back"),
        says("and go through the output layer.", mistake="The output layer is missing"),
        says("Gradients must reach every layer.", mistake="No gradient reaches queries and keys"),
        context(
            "The check copies weights into your layers, in any order that fits, and compares outputs and gradients. "
            "Padding stands on the right, and every sample has a real word."
        ),
    ],
    hints=[
        "`q.view(b, n, num_heads, d_head).transpose(1, 2)` is (b, num_heads, n, d_head): now `@` works on each head. "
        "`padding_mask[:, None, None, :]` fits the scores (b, num_heads, n, n).",
        'Mask the scores with `scores.masked_fill(~allowed, float("-inf"))` before the softmax over the last axis. '
        "At the end undo both steps: `transpose(1, 2)`, then `reshape(b, n, d_model)`.",
    ],
    draw=draw_attention,
    parts=[
        part("one head", b=2, n=3, num_heads=1, d_head=4, causal=False, padded=False),
        part("several heads", b=2, n=4, num_heads=one_of(2, 3), d_head=one_of(2, 3), causal=False, padded=False),
        part("padding", b=3, n=5, num_heads=2, d_head=one_of(2, 3), causal=False, padded=True),
        part("causal", b=2, n=4, num_heads=2, d_head=3, causal=True, padded=False),
        part("padding and causal", weight=2, b=in_turn(3, 1), n=5, num_heads=2, d_head=2, causal=True, padded=True),
    ],
    own={"b": 1, "n": 2, "num_heads": 2, "d_head": 1, "causal": False, "padded": False},
    own_says="Sizes, input and masks of your own: d_model, num_heads, x, padding_mask, causal",
    mistakes={
        "Layers in a plain list are hidden from the module, its parameters too: make them attributes, or use "
        "`nn.ModuleList`.": InAList,
        "Queries, keys and values come from one wide layer. That works as well, but here weights are copied in: make "
        "four layers, (d_model, d_model) each.": OneLayerForAll,
        "Your linear layers have no bias.": edit("(d_model, d_model)", "(d_model, d_model, bias=False)"),
        "Queries, keys and values share one layer. Each needs a layer of its own.": edit(
            "self.k_proj(x)", "self.q_proj(x)", "self.v_proj(x)", "self.q_proj(x)"
        ),
        "You reshaped straight to (b, num_heads, n, d_head), which mixes words with features. First (b, n, num_heads, "
        "d_head), then `transpose(1, 2)`.": edit(
            ".view(b, n, self.num_heads, d_head).transpose(1, 2)", ".reshape(b, self.num_heads, n, d_head)"
        ),
        "You divided by the root of d_model. Each head's keys have d_model / num_heads numbers: divide by the root of "
        "that.": edit("math.sqrt(d_head)", "math.sqrt(d_model)"),
        "The scores are not divided by anything: use the root of a head's width.": ("scores = q @ k.transpose(-2, -1)"),
        "You divided by a head's width itself, not by its root.": edit("math.sqrt(d_head)", "d_head"),
        "`padding_mask` has no effect: padding gets attention.": "real = torch.ones_like(padding_mask)[:, None, None, :]",
        "Your padding mask is upside down: True is real in this course. (PyTorch's own `key_padding_mask` is the "
        "opposite.)": "allowed = ~real & past if causal else ~real",
        "You masked rows, those of padded queries. Padding must not be attended *to*: mask columns, the keys.": (
            "real = padding_mask[:, None, :, None]"
        ),
        "`causal` has no effect: words attend to later words.": "allowed = real",
        "Your causal mask is the other triangle: it closes the past.": (
            "past = torch.ones(n, n, dtype=torch.bool).triu()"
        ),
        "You closed the future even where `causal` is False.": "allowed = real & past",
        "You set masked scores to 0, but e to the 0 is 1: they still get attention. Use minus infinity.": edit(
            'float("-inf")', "0.0"
        ),
        "Your softmax goes over the queries. Each query spends one unit among the keys: the last axis.": (
            "weights = masked.softmax(dim=-2)"
        ),
        "You took the softmax twice.": "weights = masked.softmax(dim=-1).softmax(dim=-1)",
        "You reshaped without moving the heads back: `transpose(1, 2)` first, or words are mixed.": (
            "joined = heads.reshape(b, n, d_model)"
        ),
        "The output layer is missing: the heads side by side are not the result yet.": "return joined",
        "No gradient reaches queries and keys: the weights were detached.": edit("weights @ v", "weights.detach() @ v"),
    },
    praise="This is the layer that every transformer is made of.",
)


@right(module)
class ByEinsum(nn.Module):
    """Other names, another order of layers, einsum, -1e9."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.output = nn.Linear(d_model, d_model)
        self.values = nn.Linear(d_model, d_model)
        self.keys = nn.Linear(d_model, d_model)
        self.queries = nn.Linear(d_model, d_model)
        self.h = num_heads

    def forward(self, x, padding_mask, causal):
        q, k, v = (layer(x).unflatten(-1, (self.h, -1)) for layer in (self.queries, self.keys, self.values))
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / q.shape[-1] ** 0.5
        scores = scores + torch.where(padding_mask, 0.0, -1e9)[:, None, None]
        if causal:
            scores = scores + torch.full(scores.shape[-2:], -1e9).triu(1)
        return self.output(torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).flatten(2))


@right(module)
class ByLibrary(nn.Module):
    """The framework's own attention on layers in a ModuleList."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(4))
        self.num_heads = num_heads

    def forward(self, x, padding_mask, causal):
        q, k, v = (self.split(layer(x)) for layer in self.layers[:3])
        n = x.shape[1]
        allowed = padding_mask[:, None, None, :].expand(-1, 1, n, n)
        if causal:
            allowed = allowed & torch.ones(n, n, dtype=torch.bool).tril()
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.layers[3](mixed.transpose(1, 2).flatten(2))

    def split(self, y):
        return y.reshape(*y.shape[:2], self.num_heads, -1).transpose(1, 2)


# ---------------------------------------------------------------- the lesson's blank
class LessonAttention(nn.Module):
    """Attention with several heads, as the lesson writes it: x (b, n, d_model) → (b, n, d_model)."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, context=None, padding_mask=None, causal=False, return_weights=False):
        context = x if context is None else context
        q = self.split(self.q_proj(x))  # (b, heads, n, d_k)
        k = self.split(self.k_proj(context))  # (b, heads, m, d_k)
        v = self.split(self.v_proj(context))
        mask = self.make_mask(x.shape[1], context.shape[1], padding_mask, causal)
        scores = self.scale(q @ k.transpose(-1, -2), q)  # (b, heads, n, m)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        mixed = weights @ v  # (b, heads, n, d_k)
        y = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return (y, weights) if return_weights else y

    def split(self, x):
        b, n, d_model = x.shape
        return x.reshape(b, n, self.num_heads, d_model // self.num_heads).swapaxes(1, 2)

    def scale(self, scores, q):
        return scores / math.sqrt(q.shape[-1])

    def make_mask(self, n, m, padding_mask, causal):
        mask = None if padding_mask is None else padding_mask[:, None, None, :]
        if causal:
            past = torch.ones(n, m, dtype=torch.bool).tril()
            mask = past if mask is None else mask & past
        return mask


class ScaledByModel(LessonAttention):
    def scale(self, scores, q):
        return scores / math.sqrt(q.shape[-1] * self.num_heads)


class NotScaled(LessonAttention):
    def scale(self, scores, q):
        return scores


class MaskIgnored(LessonAttention):
    def make_mask(self, n, m, padding_mask, causal):
        return None


class MaskUpsideDown(LessonAttention):
    def make_mask(self, n, m, padding_mask, causal):
        mask = super().make_mask(n, m, padding_mask, causal)
        return None if mask is None else ~mask


class WrongAxis(LessonAttention):
    def forward(self, x, context=None, padding_mask=None, causal=False, return_weights=False):
        q, k, v = (self.split(layer(x)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        weights = self.scale(q @ k.transpose(-1, -2), q).softmax(dim=-2)
        y = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return (y, weights) if return_weights else y


class SharedProjection(LessonAttention):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.k_proj = self.v_proj = self.q_proj


class NoBias(LessonAttention):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.q_proj = nn.Linear(d_model, d_model, bias=False)


PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def judge_class(answer, reference):
    """Same parameters; same outputs, weights and gradients with copied weights."""
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise CheckFailed("Expected a class that inherits from `nn.Module`.")
    torch.manual_seed(0)
    right, made = reference(6, 3), answer(6, 3)
    want = {name: tuple(value.shape) for name, value in right.named_parameters()}
    have = {name: tuple(value.shape) for name, value in made.named_parameters()}
    layers = [getattr(made, name, None) for name in PROJECTIONS]
    if any(not isinstance(layer, nn.Linear) for layer in layers):
        raise CheckFailed("Each of `q_proj`, `k_proj`, `v_proj` and `out_proj` should be an `nn.Linear`.")
    if len(set(layers)) < 4:
        raise CheckFailed("Two projections are one and the same layer: make four layers.")
    if have != want:
        raise CheckFailed(f"Its parameters are {have}; expected {want}.")
    made.load_state_dict(right.state_dict())
    x, context = torch.randn(2, 4, 6), torch.randn(2, 5, 6)
    padding = torch.tensor([[True] * 4, [True, True, False, False]])
    cases = (
        ("without a mask", {}),
        ("with padding", {"padding_mask": padding}),
        ("with the causal mask", {"causal": True}),
        ("with both masks", {"padding_mask": padding, "causal": True}),
        ("with a context of another length", {"context": context}),
    )
    for case, options in cases:
        wanted, wanted_weights = right(x, return_weights=True, **options)
        y, weights = made(x, return_weights=True, **options)
        _compare(case, right, x, options, weights, wanted_weights)
        if tuple(y.shape) != tuple(wanted.shape) or not torch.allclose(y, wanted, atol=1e-5):
            raise CheckFailed(f"The weights are right {case}, the output is not: `mixed` should be `weights @ v`.")
    wanted.square().sum().backward()
    y.square().sum().backward()
    for name, parameter in right.named_parameters():
        gradient = dict(made.named_parameters())[name].grad
        if gradient is None or not torch.allclose(gradient, parameter.grad, atol=1e-4):
            raise CheckFailed(
                f"The outputs are right, but the gradient does not reach `{name}`. Is something detached?"
            )


def _compare(case, right, x, options, weights, wanted):
    """Attention weights (b, heads, n, m), with the usual mistakes named."""
    if tuple(weights.shape) != tuple(wanted.shape):
        shape = tuple(weights.shape)
        raise CheckFailed(f"The weights have the shape {shape} {case}; expected {tuple(wanted.shape)}.")
    if torch.allclose(weights, wanted, atol=1e-5):
        return
    hints = (
        (ScaledByModel, "You divided by the root of d_model: each head is narrower, take `q.shape[-1]`."),
        (NotScaled, "The scores are not divided: use the root of a head's width, `q.shape[-1]`."),
        (MaskIgnored, "The mask has no effect: fill the scores with minus infinity where it is False."),
        (MaskUpsideDown, "The mask is upside down: fill where it is *False*, `~mask`."),
        (WrongAxis, "Softmax over the wrong axis: each query has one unit to spend, `dim=-1`."),
    )
    for kind, message in hints:
        other = kind(x.shape[-1], right.num_heads)
        other.load_state_dict(right.state_dict())
        if "context" in options and kind is WrongAxis:
            continue
        guessed = other(x, return_weights=True, **options)[1]
        if torch.allclose(weights, guessed, atol=1e-5, equal_nan=True):
            raise CheckFailed(message)
    raise CheckFailed(f"The attention weights are not right {case}.")


@blank(
    "attention.blank.5",
    title="Multi-head attention",
    value=True,
    judge=judge_class,
    mistakes=[
        (lambda: ScaledByModel, "You divided by the root of d_model"),
        (lambda: NotScaled, "The scores are not divided"),
        (lambda: MaskIgnored, "The mask has no effect"),
        (lambda: MaskUpsideDown, "The mask is upside down"),
        (lambda: WrongAxis, "Softmax over the wrong axis"),
        (lambda: SharedProjection, "Two projections are one and the same layer"),
        (lambda: NoBias, "Its parameters are"),
    ],
)
def multi_head_attention():
    return LessonAttention
