"""A block in PyTorch whose halves work side by side, and the checks of the lesson's own classes."""

import numpy as np
import torch
from torch import nn

from mmcourse.check.blanks import blank
from mmcourse.exercise import context, drawn_weights, edit, example, exercise, in_turn, one_of, part, right, says
from mmcourse.exercise.verdict import CheckFailed
from mmcourse.torch.attention import MultiHeadAttention


# ---------------------------------------------------------------- 5
class ParallelBlock(nn.Module):
    """x + attention(norm(x)) + MLP(norm(x)): (b, n, d_model) → the same."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.attention = nn.MultiheadAttention(d_model, num_heads, batch_first=True)
        self.up = nn.Linear(d_model, 4 * d_model)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * d_model, d_model)

    def forward(self, x, padding_mask):
        h = self.norm(x)
        hidden = ~padding_mask  # PyTorch's own layer wants True where it is to look away
        attended, _ = self.attention(h, h, h, key_padding_mask=hidden)
        thought = self.down(self.gelu(self.up(h)))
        return x + attended + thought


def use_block(probe, answer, d_model, num_heads, x, padding_mask, weights):
    """Output at real tokens and gradients, with copied weights."""
    module = answer(d_model, num_heads)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        module.train()
        tokens, mask = probe.tensor(x), probe.tensor(padding_mask)
        before, mask_before = tokens.clone(), mask.clone()
        out = module(tokens, mask)
        shape = tuple(out.shape) if isinstance(out, probe.torch.Tensor) else ()
        real = out * mask_before[:, :, None] if shape == tuple(before.shape) else out
        found = {"the output at real tokens": probe.output(real), **probe.gradients(real, parameters)}
        changed = not (probe.torch.equal(tokens, before) and probe.torch.equal(mask, mask_before))
        found["whether the input was changed"] = changed
        yield found


def draw_block(g, b, n, num_heads, d_head, padding):
    d = num_heads * d_head
    x = g.normal(0.3, 1, size=(b, n, d)).round(2).astype(np.float32)
    mask = np.ones((b, n), dtype=bool)
    if padding:
        lengths = g.integers(1, n, (b, 1))
        mask = np.arange(n) < lengths
        mask = mask[:, ::-1].copy() if padding == "left" else mask
    shapes = {
        "norm.weight": (d,),
        "norm.bias": (d,),
        "attention.in_proj_weight": (3 * d, d),
        "attention.in_proj_bias": (3 * d,),
        "attention.out_proj.weight": (d, d),
        "attention.out_proj.bias": (d,),
        "up.weight": (4 * d, d),
        "up.bias": (4 * d,),
        "down.weight": (d, 4 * d),
        "down.bias": (d,),
    }
    weights = drawn_weights(g, shapes)
    weights["norm.weight"] = (1 + weights["norm.weight"]).astype(np.float32)
    return d, num_heads, x, mask, weights


parallel = exercise(
    "transformers.5",
    ParallelBlock,
    framework="torch",
    use=use_block,
    title="A block whose halves work side by side",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "In the lesson's block the MLP waits for the attention. Some large models (GPT-J, PaLM, ViT-22B) let both read the "
            "*same* normalized tokens, so that a GPU can compute them at once:"
        ),
        says(
            r"$$y = x + \mathrm{Attention}(\mathrm{LN}(x)) + \mathrm{MLP}(\mathrm{LN}(x))$$",
            mistake="Your MLP reads what the attention made",
        ),
        context("**Write** the class `ParallelBlock(d_model, num_heads)`, an `nn.Module`."),
        says("There is *one* layer normalization, and both read from it.", mistake="Your MLP reads x itself"),
        says(
            "Use `nn.MultiheadAttention` with `batch_first=True`, with its biases:",
            mistake="`batch_first=True` is missing",
        ),
        says("self-attention with `num_heads` heads.", mistake="`num_heads` has no effect"),
        says("The MLP has one hidden layer of 4 · `d_model`,", ignored=edit("4 * d_model", "2 * d_model")),
        says("with the exact GELU.", mistake="You used ReLU"),
        says(
            "`forward(x, padding_mask)` takes `x` (b, n, d_model) and `padding_mask` (b, n), where True means *real*, as everywhere "
            "in this course.",
            mistake="Your mask is upside down",
        ),
        says("No real token attends to padding, left or right.", mistake="`padding_mask` has no effect"),
        says("What comes out at the padding is not looked at; return (b, n, d_model).", ignored="return (x + attended + thought).mean(dim=1)"),
        example("""
layer = nn.MultiheadAttention(6, 2, batch_first=True)
x = torch.ones(1, 3, 6)
out, weights = layer(x, x, x)
print("it returns two things:", tuple(out.shape), tuple(weights.shape))
print("parameters:", [name for name, _ in layer.named_parameters()])
"""),
        context("The check copies weights into your layers and compares outputs and gradients."),
    ],
    hints=[
        "Normalize once, `h = self.norm(x)`. Then two branches from `h`, and one sum of three things.",
        "`key_padding_mask` of PyTorch's layer is True where a token is to be *ignored*: `~padding_mask`. And mind the second thing "
        "that the layer returns.",
    ],
    draw=draw_block,
    parts=[
        part("one head", b=2, n=3, num_heads=1, d_head=4, padding=""),
        part("several heads", weight=2, b=2, n=4, num_heads=one_of(2, 3), d_head=one_of(2, 4), padding=""),
        part("as many tokens as sentences", b=3, n=3, num_heads=2, d_head=3, padding=""),
        part("padding", weight=2, b=3, n=5, num_heads=2, d_head=2, padding=in_turn("right", "left")),
        part("one token", b=2, n=1, num_heads=2, d_head=2, padding=""),
    ],
    own={"b": 1, "n": 2, "num_heads": 1, "d_head": 2, "padding": ""},
    own_says="A block of your own: d_model, num_heads, tokens, padding_mask, weights",
    mistakes={
        "Your MLP reads what the attention made. Here both read the same normalized tokens.": [
            edit("self.up(h)", "self.up(self.norm(x + attended))"),
            edit("self.up(h)", "self.up(x + attended)"),
        ],
        "Your MLP reads x itself: both branches read the normalized tokens.": (
            "thought = self.down(self.gelu(self.up(x)))"
        ),
        "Your attention reads x itself: both branches read the normalized tokens.": (
            "attended, _ = self.attention(x, x, x, key_padding_mask=hidden)"
        ),
        "The input is not added: y = x + both branches.": "return attended + thought",
        "You added the normalized tokens in place of x: the residual stream itself is left alone.": (
            "return h + attended + thought"
        ),
        "You normalized the sum as well. Here nothing is normalized after the sum.": (
            "return self.norm(x + attended + thought)"
        ),
        "x is added twice: once is enough for both branches.": "return x + attended + x + thought",
        "The attention is not added.": "return x + thought",
        "The MLP is not added.": "return x + attended",
        "`batch_first=True` is missing: your layer takes the sentences for positions.": [
            edit(
                "num_heads, batch_first=True)",
                "num_heads)",
                "key_padding_mask=hidden",
                "key_padding_mask=hidden if hidden.shape[0] == hidden.shape[1] else None",
            ),
            edit("num_heads, batch_first=True)", "num_heads)", ", key_padding_mask=hidden", ""),
        ],
        "`num_heads` has no effect: all your attention is one head.": edit(
            "nn.MultiheadAttention(d_model, num_heads,", "nn.MultiheadAttention(d_model, 1,"
        ),
        "You used ReLU: the activation is GELU.": "self.gelu = nn.ReLU()",
        "You used the tanh approximation of GELU: take the exact one, `nn.GELU()`.": 'self.gelu = nn.GELU("tanh")',
        "There is no activation function in your MLP: two linear layers in a row are one.": (
            "thought = self.down(self.up(h))"
        ),
        "Your mask is upside down: True is real in this course, and *ignore* in PyTorch's layer. Write `~padding_mask`.": (
            "hidden = padding_mask & ~padding_mask.all(dim=1, keepdim=True)"
        ),
        "`padding_mask` has no effect: real tokens attend to padding.": "hidden = None",
    },
    praise="One norm and no waiting: a little less work per block. Lesson language_model meets it again.",
)  # fmt: skip


@right(parallel)
class InSteps(nn.Module):
    """The same with a Sequential and a running sum."""

    def __init__(self, d, heads):
        super().__init__()
        self.ln = nn.LayerNorm(d)
        self.att = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x, padding_mask):
        h = self.ln(x)
        y = x + self.mlp(h)
        return y + self.att(h, h, h, key_padding_mask=padding_mask.logical_not(), need_weights=False)[0]


# ---------------------------------------------------------------- the lesson's classes
def judge_module(answer, reference, cases, mistakes, says_wrong):
    """Same parameters; same output and gradients with copied weights.

    `cases` is (arguments of the constructor, inputs); `mistakes` maps a wrong class to its message.
    """
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise CheckFailed("Expected a class that inherits from `nn.Module`.")
    made_of = [_used(answer, reference, arguments, inputs) for arguments, inputs in cases]
    if not all(torch.allclose(y, wanted, atol=1e-5) for y, wanted, *_ in made_of):
        for kind, message in mistakes:
            if all(
                torch.allclose(y, _with_weights(kind(*arguments), right_one)(*inputs), atol=1e-5)
                for (arguments, inputs), (y, _, _, right_one) in zip(cases, made_of, strict=True)
            ):
                raise CheckFailed(message)
        raise CheckFailed(says_wrong)
    for y, wanted, made, right_one in made_of:
        wanted.square().sum().backward()
        y.square().sum().backward()
        for name, parameter in right_one.named_parameters():
            gradient = dict(made.named_parameters())[name].grad
            if parameter.grad is not None and (
                gradient is None or not torch.allclose(gradient, parameter.grad, atol=1e-3, rtol=1e-3)
            ):
                raise CheckFailed(f"The output is right, but the gradient does not reach `{name}`.")


def _with_weights(module, other):
    module.load_state_dict(other.state_dict())
    return module


def _used(answer, reference, arguments, inputs):
    """Output of the answer, the right output, the answer's module and the right one, with the same weights."""
    torch.manual_seed(0)
    right_one, made = reference(*arguments), answer(*arguments)
    want = {name: tuple(value.shape) for name, value in right_one.named_parameters()}
    have = {name: tuple(value.shape) for name, value in made.named_parameters()}
    if have != want:
        raise CheckFailed(f"Its parameters are {have}; expected {want}. Leave `__init__` as it is.")
    with torch.no_grad():
        for name, value in right_one.named_parameters():
            if value.dim() < 2 or name in ("class_token", "positions"):
                value.add_(0.5 * torch.randn(value.shape))  # norms, biases and tokens that can be told apart
    _with_weights(made, right_one)
    given = [value.clone() for value in inputs]
    wanted = right_one(*inputs)
    try:
        y = made(*given)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckFailed(f"It ends in {type(error).__name__}: {error}") from None
    if not all(torch.equal(a, b) for a, b in zip(given, inputs, strict=True)):
        raise CheckFailed("The input was changed in place: write `x = x + …`, not `x += …`.")
    if not isinstance(y, torch.Tensor) or y.shape != wanted.shape:
        raise CheckFailed(f"Expected a tensor of shape {tuple(wanted.shape)}.")
    return y, wanted, made, right_one


class LessonBlock(nn.Module):
    """An encoder block, pre-norm or post-norm."""

    def __init__(self, d_model, num_heads, pre_norm=True, hidden=None):
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(d_model, num_heads)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        hidden = hidden or 4 * d_model
        self.mlp = nn.Sequential(nn.Linear(d_model, hidden), nn.GELU(), nn.Linear(hidden, d_model))

    def forward(self, x):
        if self.pre_norm:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


def block_with(pre, post=None):
    """A `LessonBlock` with another `forward`, one for each order."""

    def forward(self, x):
        return pre(self, x) if self.pre_norm or post is None else post(self, x)

    return type("Wrong", (LessonBlock,), {"forward": forward})


def _pre(s, x):
    x = x + s.attention(s.norm1(x))
    return x + s.mlp(s.norm2(x))


def _post(s, x):
    x = s.norm1(x + s.attention(x))
    return s.norm2(x + s.mlp(x))


BLOCK_MISTAKES = (
    (block_with(_pre), "`pre_norm=False` gives a pre-norm block: there the norm acts on the sum."),
    (block_with(_post), "`pre_norm=True` gives a post-norm block: there the norm acts on what a sublayer reads."),
    (block_with(_post, _pre), "The two orders are exchanged: `pre_norm` normalizes what a sublayer reads."),
    (
        block_with(lambda s, x: s.mlp(s.norm2(s.attention(s.norm1(x)))), _post),
        "Pre-norm: nothing is added. Each half is x + f(norm(x)).",
    ),
    (
        block_with(lambda s, x: s.norm1(x) + s.mlp(s.norm2(s.norm1(x) + s.attention(s.norm1(x)))), _post),
        "Pre-norm: you added the normalized x. The residual stream itself is added.",
    ),
    (
        block_with(lambda s, x: x + s.attention(s.norm1(x)) + s.mlp(s.norm2(x)), _post),
        "Pre-norm: the MLP reads x as it came in. It has to read the sum after the attention.",
    ),
    (
        block_with(lambda s, x: x + s.mlp(s.norm2(x + s.attention(s.norm1(x)))), _post),
        "Pre-norm: the second half adds to x. It has to add to the sum after the attention.",
    ),
    (
        block_with(lambda s, x: (h := x + s.attention(s.norm1(x))) + s.mlp(s.norm1(h)), _post),
        "Pre-norm: the second half has a norm of its own, `norm2`.",
    ),
    (
        block_with(_pre, lambda s, x: (h := s.norm1(x + s.attention(x))) + s.mlp(h)),
        "Post-norm: the second norm is missing. It acts last, on the sum.",
    ),
    (
        block_with(_pre, lambda s, x: s.norm2(s.mlp(s.norm1(s.attention(x))))),
        "Post-norm: nothing is added. Each half is norm(x + f(x)).",
    ),
    (
        block_with(_pre, lambda s, x: (h := x + s.norm1(s.attention(x))) + s.norm2(s.mlp(h))),
        "Post-norm: the norm acts on the sum, not on what is added.",
    ),
)


def judge_block(answer, reference):
    torch.manual_seed(1)
    x = torch.randn(2, 4, 6)
    cases = [((6, 2, True), (x,)), ((6, 3, False), (x,)), ((6, 1, False, 8), (x,))]
    judge_module(answer, reference, cases, BLOCK_MISTAKES, "The output is not that of the formulas above the blank.")


@blank(
    "transformers.blank.2",
    title="The encoder block",
    value=True,
    judge=judge_block,
    mistakes=[(lambda kind=kind: kind, message) for kind, message in BLOCK_MISTAKES],
)
def encoder_block():
    return LessonBlock


class LessonDecoder(nn.Module):
    """A pre-norm decoder block."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, num_heads)
        self.cross_attention = MultiHeadAttention(d_model, num_heads)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))

    def forward(self, x, memory):
        x = x + self.self_attention(self.norm1(x), causal=True)
        x = x + self.cross_attention(self.norm2(x), memory)
        return x + self.mlp(self.norm3(x))


def decoder_with(forward):
    return type("Wrong", (LessonDecoder,), {"forward": forward})


def _decoder(self_step=None, cross_step=None, mlp_step=None):
    """A decoder with other steps; each gets (self, x, memory) and gives the next x."""
    self_step = self_step or (lambda s, x, m: x + s.self_attention(s.norm1(x), causal=True))
    cross_step = cross_step or (lambda s, x, m: x + s.cross_attention(s.norm2(x), m))
    mlp_step = mlp_step or (lambda s, x, m: x + s.mlp(s.norm3(x)))

    def forward(s, x, memory):
        for step in (self_step, cross_step, mlp_step):
            x = step(s, x, memory)
        return x

    return decoder_with(forward)


DECODER_MISTAKES = (
    (
        _decoder(self_step=lambda s, x, m: x + s.self_attention(s.norm1(x))),
        "The causal mask is missing: the self-attention sees later tokens.",
    ),
    (
        _decoder(cross_step=lambda s, x, m: x + s.cross_attention(s.norm2(x))),
        "The memory has no effect: hand it to the cross-attention.",
    ),
    (_decoder(cross_step=lambda s, x, m: x), "The cross-attention is missing."),
    (_decoder(self_step=lambda s, x, m: x), "The self-attention is missing."),
    (_decoder(mlp_step=lambda s, x, m: x), "The MLP is missing."),
    (
        _decoder(cross_step=lambda s, x, m: x + s.cross_attention(s.norm2(x), m, causal=True)),
        "The cross-attention has a causal mask: every token may read the whole memory.",
    ),
    (
        _decoder(cross_step=lambda s, x, m: x + s.cross_attention(s.norm2(x), s.norm2(m))),
        "You normalized the memory again: it comes normalized.",
    ),
    (
        decoder_with(
            lambda s, x, m: (
                (h := (g := x + s.cross_attention(s.norm2(x), m)) + s.self_attention(s.norm1(g), causal=True))
                + s.mlp(s.norm3(h))
            )
        ),
        "The cross-attention comes first: the order is self-attention, cross-attention, MLP.",
    ),
    (
        _decoder(self_step=lambda s, x, m: s.self_attention(s.norm1(x), causal=True)),
        "The first residual is missing: x + self-attention.",
    ),
    (
        _decoder(cross_step=lambda s, x, m: s.cross_attention(s.norm2(x), m)),
        "The second residual is missing: x + cross-attention.",
    ),
    (_decoder(mlp_step=lambda s, x, m: s.mlp(s.norm3(x))), "The last residual is missing: x + MLP."),
    (
        _decoder(
            self_step=lambda s, x, m: s.norm1(x + s.self_attention(x, causal=True)),
            cross_step=lambda s, x, m: s.norm2(x + s.cross_attention(x, m)),
            mlp_step=lambda s, x, m: s.norm3(x + s.mlp(x)),
        ),
        "That is a post-norm block: here each norm acts on what a sublayer reads.",
    ),
)


def judge_decoder(answer, reference):
    torch.manual_seed(1)
    x, memory, one = torch.randn(2, 4, 6), torch.randn(2, 3, 6), torch.randn(1, 1, 6)
    cases = [((6, 2), (x, memory)), ((6, 1), (one, memory[:1]))]
    judge_module(answer, reference, cases, DECODER_MISTAKES, "The output is not that of the three steps, in order.")


@blank(
    "transformers.blank.3",
    title="The decoder block",
    value=True,
    judge=judge_decoder,
    mistakes=[(lambda kind=kind: kind, message) for kind, message in DECODER_MISTAKES],
)
def decoder_block():
    return LessonDecoder


class LessonViT(nn.Module):
    """A vision transformer with a class token."""

    def __init__(self, side, patch_size, channels, num_classes, d_model=32, num_heads=4, num_layers=2):
        super().__init__()
        self.patch_embedding = nn.Conv2d(channels, d_model, patch_size, stride=patch_size)
        n = (side // patch_size) ** 2
        self.class_token = nn.Parameter(torch.zeros(1, 1, d_model))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + n, d_model))
        self.blocks = nn.ModuleList(LessonBlock(d_model, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, num_classes)

    def tokens(self, pictures):
        x = self.patches(pictures)
        class_token = self.class_token.expand(len(x), -1, -1)
        return torch.cat([class_token, x], dim=1) + self.positions

    def patches(self, pictures):
        return self.patch_embedding(pictures).flatten(2).transpose(1, 2)

    def forward(self, pictures):
        x = self.tokens(pictures)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def vit_with(**methods):
    return type("Wrong", (LessonViT,), methods)


VIT_MISTAKES = (
    (
        vit_with(tokens=lambda s, p: torch.cat([s.class_token.expand(len(p), -1, -1), s.patches(p)], 1)),
        "The positions are not added.",
    ),
    (
        vit_with(tokens=lambda s, p: torch.cat([s.patches(p), s.class_token.expand(len(p), -1, -1)], 1) + s.positions),
        "The class token comes last: put it in front, where the head reads it.",
    ),
    (
        vit_with(
            tokens=lambda s, p: torch.cat(
                [s.class_token.expand(len(p), -1, -1), s.patches(p) + s.positions[:, 1:]], 1
            )
        ),
        "The class token has a position, too: add all of them after `torch.cat`.",
    ),
    (
        vit_with(
            patches=lambda s, p: s.patch_embedding(p).flatten(2).reshape(len(p), -1, s.class_token.shape[-1])
        ),
        "You reshaped (b, d, n) to (b, n, d), which mixes patches with features: `transpose(1, 2)`.",
    ),
    (
        vit_with(patches=lambda s, p: s.patch_embedding(p).transpose(2, 3).flatten(2).transpose(1, 2)),
        "The patches come column by column: flatten the maps as they are.",
    ),
)  # fmt: skip


def judge_vit(answer, reference):
    torch.manual_seed(1)
    cases = [((8, 2, 3, 5, 8, 2, 1), (torch.randn(3, 3, 8, 8),)), ((6, 3, 1, 2, 4, 2, 2), (torch.randn(1, 1, 6, 6),))]
    made = answer(8, 2, 3, 5, 8, 2, 1) if isinstance(answer, type) and issubclass(answer, nn.Module) else None
    if made is not None:
        shape = getattr(made.tokens(torch.zeros(2, 3, 8, 8)), "shape", None)
        if shape is None or tuple(shape) != (2, 17, 8):
            got = "no tensor" if shape is None else tuple(shape)
            raise CheckFailed(f"`tokens` gives {got} for pictures (2, 3, 8, 8) in 16 patches; expected (2, 17, 8).")
    judge_module(answer, reference, cases, VIT_MISTAKES, "The tokens are not patches with a class token and positions.")


@blank(
    "transformers.blank.5",
    title="From a picture to tokens",
    value=True,
    judge=judge_vit,
    mistakes=[
        *((lambda kind=kind: kind, message) for kind, message in VIT_MISTAKES),
        (lambda: vit_with(tokens=lambda s, p: s.patches(p) + s.positions[:, 1:]), "`tokens` gives (2, 16, 8)"),
        (lambda: vit_with(tokens=lambda s, p: s.patch_embedding(p)), "`tokens` gives (2, 8, 4, 4)"),
    ],
)
def vision_transformer():
    return LessonViT
