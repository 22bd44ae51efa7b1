"""Cross-attention as a PyTorch module, and the check of the lesson's own layer."""

import math

import numpy as np
import torch
from torch import nn

from mmcourse.check.blanks import blank
from mmcourse.exercise import context, drawn_weights, edit, exercise, in_turn, one_of, part, right, says
from mmcourse.exercise.verdict import CheckFailed


class CrossAttention(nn.Module):
    """Words x (b, n, d_model) attend to a context (b, m, d_context) → (b, n, d_model)."""

    def __init__(self, d_model, d_context, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_context, d_model)
        self.v_proj = nn.Linear(d_context, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, context, context_mask):
        b, n, d_model = x.shape
        m, d_head = context.shape[1], d_model // self.num_heads
        q = self.q_proj(x).view(b, n, self.num_heads, d_head).transpose(1, 2)  # (b, num_heads, n, d_head)
        k = self.k_proj(context).view(b, m, self.num_heads, d_head).transpose(1, 2)  # (b, num_heads, m, d_head)
        v = self.v_proj(context).view(b, m, self.num_heads, d_head).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(d_head)  # (b, num_heads, n, m)
        real = context_mask[:, None, None, :]  # (b, 1, 1, m): columns are keys
        lowest = torch.finfo(scores.dtype).min  # finite, so that an empty row is not 0 / 0
        masked = scores.masked_fill(~real, lowest)
        weights = masked.softmax(dim=-1).masked_fill(~real, 0)  # an empty row becomes all zeros
        heads = weights @ v  # (b, num_heads, n, d_head)
        joined = heads.transpose(1, 2).reshape(b, n, d_model)
        return self.out_proj(joined)


def use_attention(probe, answer, d_model, d_context, num_heads, x, context, context_mask, weights):
    """Output and gradients with copied weights."""
    model = answer(d_model, d_context, num_heads)
    for parameters in probe.load_ways(model, weights):
        out = model(probe.tensor(x), probe.tensor(context), probe.tensor(context_mask))
        yield {"the output": probe.output(out), **probe.gradients(out, parameters)}


def draw_attention(g, b, n, m, num_heads, d_head, d_context, padding):
    """Padding of the context: none, on the right, on the left, or a first sample of nothing else."""
    d_model = num_heads * d_head
    x = g.normal(size=(b, n, d_model)).round(2)
    context = g.normal(size=(b, m, d_context)).round(2)
    lengths = g.integers(1, m, (b, 1)) if padding else np.full((b, 1), m)
    context_mask = np.arange(m) < lengths  # (b, m)
    if padding == "left":
        context_mask = context_mask[:, ::-1].copy()
    if padding == "all":
        context_mask[0] = False
    shapes = {}
    for name, width in (("q_proj", d_model), ("k_proj", d_context), ("v_proj", d_context), ("out_proj", d_model)):
        shapes[f"{name}.weight"] = (d_model, width)
        shapes[f"{name}.bias"] = (d_model,)
    return d_model, d_context, num_heads, x, context, context_mask, drawn_weights(g, shapes)


class OneLayerForBoth(CrossAttention):
    """Keys and values from one layer that is twice as wide."""

    def __init__(self, d_model, d_context, num_heads):
        super().__init__(d_model, d_context, num_heads)
        del self.k_proj, self.v_proj
        self.kv = nn.Linear(d_context, 2 * d_model)


class InAList(nn.Module):
    """Layers in a plain list, which the module does not see."""

    def __init__(self, d_model, d_context, num_heads):
        super().__init__()
        self.layers = [nn.Linear(d_model, d_model), nn.Linear(d_context, d_model)]


STRAIGHT = (
    ".view(b, n, self.num_heads, d_head).transpose(1, 2)",
    ".reshape(b, self.num_heads, n, d_head)",
    ".view(b, m, self.num_heads, d_head).transpose(1, 2)",
    ".reshape(b, self.num_heads, m, d_head)",
)
EVERY_OTHER = ("self.num_heads, d_head).transpose(1, 2)", "d_head, self.num_heads).permute(0, 3, 1, 2)")

module = exercise(
    "attention.4",
    CrossAttention,
    framework="torch",
    use=use_attention,
    title="Cross-attention in PyTorch",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "A caption attends to the regions of its picture. The regions have another width than the words, and "
            "pictures have different numbers of regions: some are padding, and one picture of the batch failed to load."
        ),
        says(
            "**Write** the class `CrossAttention(d_model, d_context, num_heads)`, an `nn.Module`.",
            mistake="Layers in a plain list",
        ),
        context("**Layers.**"),
        says(
            "Four linear layers with biases, whose names are yours: queries and output from `d_model` to `d_model`,",
            mistake="Your linear layers have no bias",
        ),
        says("keys and values from `d_context` to `d_model`, one layer each.", mistake="one wide layer"),
        context("**Inputs.**"),
        says(
            "`forward(x, context, context_mask)` takes `x` (b, n, d_model), whose words are the queries, `context` "
            "(b, m, d_context), and returns (b, n, d_model).",
            ignored=edit("self.out_proj(joined)", "self.out_proj(joined).mean(dim=1)"),
        ),
        context("**Heads.**"),
        says("Each takes `d_model / num_heads` *neighboring* features and attends by itself;", mistake="every other"),
        says("scores are divided by the root of a head's width;", mistake="root of d_model"),
        says("the heads are put side by side again", mistake="without moving the heads back"),
        says("and go through the output layer.", mistake="The output layer is missing"),
        context("**Mask.**"),
        says(
            "`context_mask` (b, m) is True where a region is real: no query attends to padding, wherever it is.",
            mistake="`context_mask` has no effect",
        ),
        says(
            "Where a sample's context is *all* padding, its attention weights are all zeros.",
            mistake="spreads over the padding",
        ),
        says("Then neither outputs nor gradients may be NaN.", mistake="became NaN"),
        says("Gradients must reach every layer.", mistake="No gradient reaches queries and keys"),
        context(
            "The check copies weights into your layers, in any order that fits, and compares outputs and gradients."
        ),
    ],
    hints=[
        "Which of n and m belongs to queries, which to keys? Write the shape behind every line. And what is the softmax "
        "of a row in which every score is −∞?",
        "`view` and `transpose(1, 2)` to split; `masked_fill` twice: before the softmax with a very low *finite* number "
        "(`torch.finfo`), and after it.",
    ],
    draw=draw_attention,
    parts=[
        part("one head", b=2, n=3, m=4, num_heads=1, d_head=4, d_context=3, padding=""),
        part(
            "several heads",
            b=2,
            n=4,
            m=3,
            num_heads=one_of(2, 3),
            d_head=one_of(3, 4),
            d_context=one_of(2, 5),
            padding="",
        ),
        part("padding", b=3, n=2, m=5, num_heads=2, d_head=one_of(2, 3), d_context=5, padding=in_turn("right", "left")),
        part(
            "a context of nothing but padding",
            weight=2,
            b=3,
            n=3,
            m=4,
            num_heads=2,
            d_head=2,
            d_context=6,
            padding="all",
        ),
    ],
    mistakes={
        "Layers in a plain list are hidden from the module, its parameters too: make them attributes, or use "
        "`nn.ModuleList`.": InAList,
        "Keys and values come from one wide layer. That works as well, but here weights are copied in: make "
        "two layers, from d_context to d_model each.": OneLayerForBoth,
        "Your linear layers have no bias.": edit(", d_model)", ", d_model, bias=False)"),
        "Some of your linear layers have no bias. All four have one.": [
            edit(
                "self.q_proj = nn.Linear(d_model, d_model)",
                "self.q_proj = nn.Linear(d_model, d_model, bias=False)",
                "nn.Linear(d_context, d_model)",
                "nn.Linear(d_context, d_model, bias=False)",
            ),
            edit("nn.Linear(d_context, d_model)", "nn.Linear(d_context, d_model, bias=False)"),
        ],
        "Keys and values share one layer. Each needs a layer of its own.": edit(
            "self.k_proj(context)", "self.v_proj(context)"
        ),
        "You reshaped straight to (b, num_heads, n, d_head), which mixes words with features. First (b, n, num_heads, "
        "d_head), then `transpose(1, 2)`.": [
            edit(*STRAIGHT),
            edit(*STRAIGHT, "heads.transpose(1, 2).reshape", "heads.reshape"),
        ],
        "Your heads take every other feature (or every third). A head takes *neighboring* features: `num_heads` comes "
        "before `d_head` in the reshape.": [
            edit(*EVERY_OTHER),
            edit(*EVERY_OTHER, "heads.transpose(1, 2).reshape", "heads.permute(0, 2, 3, 1).reshape"),
        ],
        "You divided by the root of d_model. Each head's keys have d_model / num_heads numbers: divide by the root of "
        "that.": edit("math.sqrt(d_head)", "math.sqrt(d_model)"),
        "You divided by the root of d_context. A dot product adds up as many products as a head is wide.": edit(
            "math.sqrt(d_head)", "math.sqrt(context.shape[-1])"
        ),
        "The scores are not divided by anything: use the root of a head's width.": ("scores = q @ k.transpose(-2, -1)"),
        "You divided by a head's width itself, not by its root.": edit("math.sqrt(d_head)", "d_head"),
        "`context_mask` has no effect: padding gets attention.": "real = torch.ones_like(context_mask)[:, None, None, :]",
        "Your mask is upside down: True is real in this course. (PyTorch's own `key_padding_mask` is the opposite.)": [
            "real = ~context_mask[:, None, None, :]",
            "real = ~context_mask[:, None, None, :]\n"
            'weights = scores.masked_fill(~real, float("-inf")).softmax(dim=-1)',
        ],
        "You set masked scores to 0, but e to the 0 is 1: they still get attention. Use a very low number.": (
            "weights = scores.masked_fill(~real, 0).softmax(dim=-1)"
        ),
        "You set weights to 0 after the softmax only, so rows no longer sum to 1. Mask the scores as well.": (
            "masked = scores"
        ),
        "A sample whose context is all padding became NaN (0 divided by 0). Its weights should be zeros.": (
            'weights = scores.masked_fill(~real, float("-inf")).softmax(dim=-1)'
        ),
        "A sample whose context is all padding spreads over the padding. Its weights should be zeros.": (
            "weights = masked.softmax(dim=-1)"
        ),
        "Where a context is all padding you erased the output itself. Only the weights are zeros there: the sum that they "
        "give goes through the output layer like any other, and gets its bias.": edit(
            "return self.out_proj(joined)",
            "return self.out_proj(joined) * context_mask.any(dim=1)[:, None, None]",
        ),
        "The output is right, but a gradient is NaN: it comes back through the softmax of a row of −∞. Use a finite low "
        "number.": ("masked = scores + torch.where(real, 0.0, -torch.inf)"),
        "Your softmax goes over the queries. Each query spends one unit among the keys: the last axis.": (
            "weights = masked.softmax(dim=-2).masked_fill(~real, 0)"
        ),
        "You took the softmax twice.": "weights = masked.softmax(dim=-1).softmax(dim=-1).masked_fill(~real, 0)",
        "You reshaped without moving the heads back: `transpose(1, 2)` first, or words are mixed.": (
            "joined = heads.reshape(b, n, d_model)"
        ),
        "The output layer is missing: the heads side by side are not the result yet.": "return joined",
        "No gradient reaches queries and keys: the weights were detached.": edit("weights @ v", "weights.detach() @ v"),
    },
    praise="This is how a decoder reads its encoder, and a language model its picture.",
)


@right(module)
class ByEinsum(nn.Module):
    """Other names, another order of layers, einsum; empty rows are erased at the end."""

    def __init__(self, d_model, d_context, num_heads):
        super().__init__()
        self.output = nn.Linear(d_model, d_model)
        self.values = nn.Linear(d_context, d_model)
        self.keys = nn.Linear(d_context, d_model)
        self.queries = nn.Linear(d_model, d_model)
        self.h = num_heads

    def forward(self, x, context, context_mask):
        pairs = ((self.queries, x), (self.keys, context), (self.values, context))
        q, k, v = (layer(each).unflatten(-1, (self.h, -1)) for layer, each in pairs)
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / q.shape[-1] ** 0.5
        scores = scores + torch.where(context_mask, 0.0, -1e9)[:, None, None]
        weights = scores.softmax(-1) * context_mask.any(1)[:, None, None, None]
        return self.output(torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2))


@right(module)
class ByLibrary(nn.Module):
    """The framework's own attention on layers in a ModuleList; an empty row gets a key and value of zeros."""

    def __init__(self, d_model, d_context, num_heads):
        super().__init__()
        widths = (d_model, d_context, d_context, d_model)
        self.layers = nn.ModuleList(nn.Linear(width, d_model) for width in widths)
        self.num_heads = num_heads

    def forward(self, x, context, context_mask):
        q, k, v = (self.split(layer(each)) for layer, each in zip(self.layers, (x, context, context), strict=False))
        k, v = (nn.functional.pad(each, (0, 0, 0, 1)) for each in (k, v))  # one more key and value: zeros
        allowed = torch.cat([context_mask, ~context_mask.any(dim=1, keepdim=True)], dim=1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed[:, None, None, :])
        return self.layers[3](mixed.transpose(1, 2).flatten(2))

    def split(self, y):
        return y.reshape(*y.shape[:2], self.num_heads, -1).transpose(1, 2)


# ---------------------------------------------------------------- the lesson's blank
class LessonAttention(nn.Module):
    """Attention with several heads, as the lesson writes it: x (b, n, d_model) → (b, n, d_model)."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads do not divide a width of {d_model}")
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
        mask = self.make_mask(q, k, padding_mask, causal)
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

    def make_mask(self, q, k, padding_mask, causal):
        n, m = q.shape[-2], k.shape[-2]
        mask = None if padding_mask is None else padding_mask[:, None, None, :]
        if causal:
            past = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
            mask = past if mask is None else mask & past
        return mask


class ScaledByModel(LessonAttention):
    def scale(self, scores, q):
        return scores / math.sqrt(q.shape[-1] * self.num_heads)


class NotScaled(LessonAttention):
    def scale(self, scores, q):
        return scores


class MaskIgnored(LessonAttention):
    def make_mask(self, q, k, padding_mask, causal):
        return None


class MaskUpsideDown(LessonAttention):
    def make_mask(self, q, k, padding_mask, causal):
        mask = super().make_mask(q, k, padding_mask, causal)
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
