"""The loss of masked language modeling with tied weights, in PyTorch."""

import numpy as np
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 3
def gap_loss(hidden, labels, embedding, transform, bias):
    """hidden (b, n, d), labels (b, n) with -100 where nothing is asked → a tensor of shape ()."""
    asked = labels != -100  # (b, n)
    rows = transform(hidden[asked])  # (k, d)
    logits = rows @ embedding.weight.T + bias  # (k, num_words)
    truth = labels[asked]
    loss = F.cross_entropy(logits, truth) if len(truth) > 0 else hidden.sum() * 0
    return loss


def use_gap_loss(probe, answer, hidden, labels, bias, weights):
    """The loss, its gradients, and how many rows went through the transform."""
    nn, torch = probe.nn, probe.torch
    num_words, width = weights["embedding.weight"].shape

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(num_words, width)
            self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))

    model = Model()
    next(probe.load_ways(model, weights))
    x = probe.tensor(hidden).requires_grad_()
    b = probe.tensor(bias).requires_grad_()
    rows = []
    model.transform.register_forward_hook(lambda module, inputs, out: rows.append(inputs[0].numel() // width))
    loss = answer(x, probe.tensor(labels), model.embedding, model.transform, b)
    found = {"the loss": probe.output(loss)}
    if not loss.requires_grad:
        loss = loss + 0 * x.sum()
    loss.backward()
    for name, tensor in {"hidden": x, "bias": b, **dict(model.named_parameters())}.items():
        gradient = tensor.grad
        found[f"the gradient of {name}"] = probe.array(torch.zeros_like(tensor) if gradient is None else gradient)
    found["the number of rows that went through the transform"] = sum(rows)
    yield found


def draw_gaps(g, b, n, share, shift=0.0):
    num_words, width = int(g.integers(5, 9)), int(g.integers(3, 6))
    hidden = g.normal(size=(b, n, width)).round(2)
    asked = g.random((b, n)) < share
    if share > 0:
        asked[0, 0] = True
        asked[-1, -1] = False
    labels = np.where(asked, g.integers(num_words, size=(b, n)), -100)
    if share > 0:
        labels[0, 0] = 0  # a token like any other
    bias = (g.normal(size=num_words) + shift).round(2)
    shapes = {
        "embedding.weight": (num_words, width),
        "transform.0.weight": (width, width),
        "transform.0.bias": (width,),
        "transform.2.weight": (width,),
        "transform.2.bias": (width,),
    }
    return hidden, labels, bias, drawn_weights(g, shapes)


gaps = exercise(
    "bert.3",
    gap_loss,
    framework="torch",
    use=use_gap_loss,
    title="The loss of the gaps, with tied weights",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "BERT's head has a small `transform` (linear, GELU, layer normalization), and then no large matrix of its own: the "
            "logit of a word is the dot product of the transformed hidden state with the **word's own embedding**, plus a bias "
            "per word. The table of embeddings is used at both ends; its weights are *tied*."
        ),
        context(
            "You get `hidden` (b, n, d), `labels` (b, n), `embedding` (an `nn.Embedding` of num_words vectors of width d), "
            "`transform` (a module) and `bias` (num_words,)."
        ),
        says("**Write** `gap_loss(hidden, labels, embedding, transform, bias)`.", mistake="The transform is missing"),
        says("The logits are the dot products with all rows of the embedding table,", mistake="is detached"),
        says("plus the bias.", mistake="The bias is missing"),
        says(
            "The loss is the cross-entropy, averaged over the positions whose label is not −100.",
            mistake="You divide by all positions",
        ),
        says("Token 0 is a token like any other.", mistake="Token 0"),
        says(
            "Where all labels are −100, the loss is 0 (not NaN).",
            mistake="the mean of nothing",
        ),
        says(
            "Most positions are not asked for, and the vocabulary is large: send only the asked positions through the "
            "transform.",
            mistake="more rows than needed",
        ),
        says("Return a tensor of shape (), with its gradient.", mistake="The gradient is lost"),
        example("""
torch.manual_seed(0)
labels = torch.tensor([[-100, 3, -100], [0, -100, -100]])
hidden = torch.randn(2, 3, 4)
print("asked:", (labels != -100).sum().item(), "of", labels.numel(), " their hidden states:", tuple(hidden[labels != -100].shape))
"""),
    ],
    hints=[
        "`asked = labels != -100` is a boolean (b, n), and `hidden[asked]` is (k, d): the hidden states of the k asked positions.",
        "`rows @ embedding.weight.T` is (k, num_words). `F.cross_entropy` of nothing is NaN: look at `len(labels[asked])` first, and "
        "return `hidden.sum() * 0`, which is 0 and still has a gradient.",
    ],
    draw=draw_gaps,
    parts=[
        part("some asked", weight=2, b=between(2, 3), n=between(5, 7), share=0.4),
        part("one sentence", b=1, n=between(4, 6), share=0.4),
        part("one position asked", b=2, n=4, share=1e-9),
        part("nothing asked", b=2, n=between(3, 4), share=0.0),
        part("a large bias", b=2, n=5, share=0.5, shift=3.0),
    ],
    own={"b": 1, "n": 3, "share": 0.5},
    own_says="Hidden states, labels and bias of your own",
    mistakes={
        "The transform is missing: the hidden states go through it first.": [
            edit("transform(hidden[asked])", "hidden[asked]"),
        ],
        "The bias is missing: one number per word.": "logits = rows @ embedding.weight.T",
        "The table of embeddings is detached: its gradient comes from both ends.": (
            "logits = rows @ embedding.weight.detach().T + bias"
        ),
        "You divide by all positions. Divide by those that are asked.": (
            "loss = F.cross_entropy(logits, truth, reduction='sum') / labels.numel()"
        ),
        "This is the sum. The mean over the asked positions is wanted.": (
            "loss = F.cross_entropy(logits, truth, reduction='sum')"
        ),
        "Token 0 is left out. It is a token like any other; only −100 is not asked for.": edit("!= -100", "> 0"),
        "The loss of a batch without any gap is NaN, the mean of nothing. It should be 0.": "loss = F.cross_entropy(logits, truth)",
        "The result is right, but more rows than needed went through the transform: pick the asked positions first.": [
            edit("transform(hidden[asked])", "transform(hidden)[asked]"),
        ],
        "The gradient is lost: return the tensor itself, not a number or a detached one.": (
            "loss = F.cross_entropy(logits, truth).detach() if len(truth) > 0 else hidden.sum().detach() * 0"
        ),
        "You applied a softmax before the cross-entropy, which applies one itself: give it logits.": (
            "loss = F.cross_entropy(logits.softmax(dim=-1), truth) if len(truth) > 0 else hidden.sum() * 0"
        ),
        "Your loss has the wrong sign.": "return -loss",
    },
    praise="With 30,522 words and width 768, tying saves 23 million weights.",
)


@right(gaps)
def with_ignore_index(hidden, labels, embedding, transform, bias):
    kept = labels.flatten() != -100
    if not kept.any():
        return (hidden * 0.0).sum()
    h = transform(hidden.flatten(0, 1)[kept])
    log_p = F.linear(h, embedding.weight, bias).log_softmax(-1)
    return -log_p.gather(1, labels.flatten()[kept][:, None]).mean()
