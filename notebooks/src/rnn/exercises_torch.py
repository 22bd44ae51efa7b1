"""A classifier that reads the state after the last word, and training on a long text in pieces, in PyTorch."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class SentenceClassifier(nn.Module):
    """Word ids (b, t), 0 for padding on the right → logits (b, num_classes)."""

    def __init__(self, num_words, width, hidden_size, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(num_words, width)
        self.lstm = nn.LSTM(width, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, num_classes)

    def forward(self, ids):
        vectors = self.embedding(ids)  # (b, t, width)
        states, (h, c) = self.lstm(vectors)  # (b, t, hidden_size)
        rows = torch.arange(len(ids))
        lengths = (ids > 0).sum(dim=1)  # (b,)
        last = states[rows, lengths - 1]  # (b, hidden_size)
        return self.out(last)


def use_classifier(probe, answer, num_words, width, hidden_size, num_classes, ids, weights):
    """Output and gradients with copied weights."""
    model = answer(num_words, width, hidden_size, num_classes)
    for parameters in probe.load_ways(model, weights):
        logits = model(probe.tensor(ids))
        yield {"the output": probe.output(logits), **probe.gradients(logits, parameters)}


def draw_sentences(g, b, t, shortest, longest, num_classes):
    """Sentences of `shortest` to `longest` words in a batch t wide; both lengths occur where b > 1."""
    num_words, width, hidden_size = (int(g.integers(*limits)) for limits in ((5, 9), (2, 5), (2, 5)))
    lengths = g.integers(shortest, longest + 1, b)
    lengths[0], lengths[-1] = longest, shortest
    ids = g.integers(1, num_words, (b, t)) * (np.arange(t) < lengths[:, None])  # (b, t)
    shapes = {
        "embedding.weight": (num_words, width),
        "lstm.weight_ih_l0": (4 * hidden_size, width),
        "lstm.weight_hh_l0": (4 * hidden_size, hidden_size),
        "lstm.bias_ih_l0": (4 * hidden_size,),
        "lstm.bias_hh_l0": (4 * hidden_size,),
        "out.weight": (num_classes, hidden_size),
        "out.bias": (num_classes,),
    }
    return num_words, width, hidden_size, num_classes, ids, drawn_weights(g, shapes)


classifier = exercise(
    "rnn.4",
    SentenceClassifier,
    framework="torch",
    use=use_classifier,
    title="A sentence classifier that stops at the last word",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "Sentences of different lengths come as one array of word ids (b, t). Id 0 is padding, and it is always on the "
            "right. A sentence has at least one word."
        ),
        says(
            "**Write** the class `SentenceClassifier(num_words, width, hidden_size, num_classes)`, an `nn.Module` with an "
            "`nn.Embedding` of `num_words` vectors of that width,",
            mistake="in a plain list",
        ),
        says(
            "one layer of `nn.LSTM` with a state of `hidden_size`, which reads along the words,",
            mistake="reads along the batch",
        ),
        says("and one `nn.Linear` with a bias to `num_classes`.", mistake="no bias"),
        says(
            "`forward(ids)` returns the logits (b, num_classes), without a softmax.",
            mistake="softmax belongs to the loss",
        ),
        says("They are computed from the LSTM's output $h$", mistake="from the cell"),
        says("after the **last real word** of each sentence,", mistake="the batch's last column"),
        says("however much padding the batch has.", mistake="changed by padding"),
        context(
            "The check copies weights into your layers, whatever they are called, and compares outputs and gradients."
        ),
        example("""
torch.manual_seed(0)
ids = torch.tensor([[3, 1, 2, 4], [2, 3, 0, 0]])
states, (h, c) = nn.LSTM(5, 6, batch_first=True)(nn.Embedding(9, 5)(ids))
print("states", tuple(states.shape), "  h", tuple(h.shape), "  lengths", (ids > 0).sum(dim=1).tolist())
"""),
    ],
    hints=[
        "`batch_first=True` makes the LSTM read (b, t, width). Its first result holds the state after *every* word: "
        "(b, t, hidden_size). Which one do you want of each row?",
        "`lengths = (ids > 0).sum(dim=1)`; then `states[torch.arange(len(ids)), lengths - 1]` takes one state per row.",
    ],
    draw=draw_sentences,
    parts=[
        part("sentences of different lengths", weight=2, b=between(3, 4), t=6, shortest=2, longest=6, num_classes=3),
        part("one sentence", b=1, t=4, shortest=4, longest=4, num_classes=2),
        part("more padding than needed", b=2, t=7, shortest=2, longest=4, num_classes=between(2, 4)),
        part("sentences of one word", b=between(2, 3), t=3, shortest=1, longest=1, num_classes=2),
        part("all as long as the batch", b=between(2, 4), t=5, shortest=5, longest=5, num_classes=2),
    ],
    own={"b": 2, "t": 3, "shortest": 2, "longest": 3, "num_classes": 2},
    own_says="Sizes and sentences of your own: num_words, width, hidden_size, num_classes, ids",
    mistakes={
        "You read the batch's last column, which is padding for short sentences: take the state after each sentence's own "
        "last word.": [
            "last = states[:, -1]",
            "last = h[-1]",
        ],
        "You take the mean of all states, so the result is changed by padding: the state after the last real word is "
        "wanted.": "last = states.mean(dim=1)",
        "You take the mean of the states of real words. One state is wanted: that after the last of them.": (
            "last = (states * (ids > 0)[..., None]).sum(dim=1) / lengths[:, None]"
        ),
        "You take the largest value over time. One state is wanted: that after the last real word.": (
            "last = states.amax(dim=1)"
        ),
        "You take the state after the first word.": "last = states[:, 0]",
        "You are one step too far: the last of n words is at position n − 1.": (
            "last = states[rows, lengths.clamp(max=ids.shape[1] - 1)]"
        ),
        "You stop one word too early: position n − 1 is the last of n words.": (
            "last = states[rows, (lengths - 2).clamp(min=0)]"
        ),
        "Your LSTM reads along the batch, from one sentence to the next: give it `batch_first=True`.": edit(
            ", batch_first=True)", ")"
        ),
        "You classify from the cell c. The output of an LSTM is h.": (
            "last = torch.stack([self.lstm(v[None, :n])[1][1][0, 0] for v, n in zip(vectors, lengths)])"
        ),
        "Layers in a plain list are hidden from the module, their parameters too: make them attributes.": edit(
            "self.out = nn.Linear(hidden_size, num_classes)",
            "self.layers = [nn.Linear(hidden_size, num_classes)]",
            "self.out(last)",
            "self.layers[0](last)",
        ),
        "Your linear layer has no bias.": edit("num_classes)\n", "num_classes, bias=False)\n"),
        "The softmax belongs to the loss: `nn.CrossEntropyLoss` applies it to logits.": (
            "return self.out(last).softmax(dim=1)"
        ),
        "You return log-probabilities. Return the logits themselves.": "return self.out(last).log_softmax(dim=1)",
        "No gradient reaches the LSTM: the state was detached.": "last = states[rows, lengths - 1].detach()",
    },
    praise="Now the same sentence gets the same answer in every batch.",
)


@right(classifier)
class WithPacking(nn.Module):
    """The packed sequence ends where each sentence ends, so its last state is the wanted one."""

    def __init__(self, num_words, width, hidden_size, num_classes):
        super().__init__()
        self.words = nn.Embedding(num_words, width)
        self.reader = nn.LSTM(width, hidden_size)
        self.classify = nn.Linear(hidden_size, num_classes)

    def forward(self, ids):
        lengths = ids.ne(0).sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(self.words(ids.T), lengths, enforce_sorted=False)
        _, (h, _) = self.reader(packed)
        return self.classify(h[-1])


# ---------------------------------------------------------------- 5
def train_on_pieces(model, optimizer, pieces, targets, max_norm):
    """One optimizer step for each piece of a long text; returns the losses, one a piece, as floats."""
    state, losses = None, []
    for piece, target in zip(pieces, targets, strict=True):
        logits, state = model(piece, state)  # (b, t, num_classes)
        state = state.detach()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def use_pieces(probe, answer, learning_rate, max_norm, pieces, targets, gradients_left, weights):
    """Losses and weights after all pieces; with `gradients_left`, every gradient starts at 0.5."""
    nn = probe.nn
    num_words, width = weights["embedding.weight"].shape

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(num_words, width)
            self.gru = nn.GRU(width, width, batch_first=True)
            self.out = nn.Linear(width, num_words)

        def forward(self, ids, state=None):
            states, state = self.gru(self.embedding(ids), state)
            return self.out(states), state

    model = Model()
    next(probe.load_ways(model, weights))
    if gradients_left:
        for parameter in model.parameters():
            parameter.grad = probe.torch.full_like(parameter, 0.5)
    optimizer = probe.torch.optim.SGD(model.parameters(), lr=learning_rate)
    losses = answer(model, optimizer, probe.tensor(pieces), probe.tensor(targets), max_norm)
    if not isinstance(losses, (list, tuple)):
        losses = [losses]
    yield {
        "the number of losses": len(losses),
        "the losses": np.array([float(probe.array(loss)) for loss in losses]),
        "the weights after the last piece": probe.state(model),
        "the type of a loss": type(losses[0]).__name__,
    }


def draw_pieces(g, pieces, b, t, max_norm, left=False):
    num_words, width = int(g.integers(4, 7)), int(g.integers(3, 5))
    text = g.integers(0, num_words, (b, pieces * t + 1))
    inputs = text[:, :-1].reshape(b, pieces, t).swapaxes(0, 1)
    targets = text[:, 1:].reshape(b, pieces, t).swapaxes(0, 1)
    shapes = {
        "embedding.weight": (num_words, width),
        "gru.weight_ih_l0": (3 * width, width),
        "gru.weight_hh_l0": (3 * width, width),
        "gru.bias_ih_l0": (3 * width,),
        "gru.bias_hh_l0": (3 * width,),
        "out.weight": (num_words, width),
        "out.bias": (num_words,),
    }
    return 0.5, max_norm, inputs.copy(), targets.copy(), left, drawn_weights(g, shapes)


pieces_exercise = exercise(
    "rnn.5",
    train_on_pieces,
    framework="torch",
    use=use_pieces,
    title="A long text, read in pieces",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "A text of a million characters does not fit into one backward pass. It is cut into pieces, and the network "
            "keeps its state from piece to piece. That is *truncated* backpropagation through time."
        ),
        context(
            "You get `pieces` and `targets` (num_pieces, b, t), ids in the order of the text, and a model: `model(ids, "
            "state)` returns the logits (b, t, num_words) and the new state, a tensor; `state=None` starts from zeros."
        ),
        says(
            "**Write** `train_on_pieces(model, optimizer, pieces, targets, max_norm)`. It takes one optimizer step **for "
            "each piece**,",
            mistake="one step in all",
        ),
        says(
            "in which the model starts from the state in which the piece before it ended,", mistake="starts from zeros"
        ),
        says(
            "and the first piece from `None`.",
            ignored=edit(
                "state, losses = None, []", "state, losses = torch.ones(1, pieces.shape[1], model.gru.hidden_size), []"
            ),
        ),
        says(
            "No gradient goes back into an earlier piece: detach the state.",
            ignored=edit("state = state.detach()", "state = state * 1"),
        ),
        says("The loss is the cross-entropy,", mistake="takes logits"),
        says("averaged over all positions of the piece.", mistake="added the losses up"),
        says(
            "Before each step the gradient is clipped: if its norm over **all** parameters together exceeds `max_norm`,",
            mistake="each parameter by itself",
        ),
        says("it is scaled down to that norm,", mistake="not clipped"),
        says("else it stays as it is.", mistake="scaled up"),
        says("What `.grad` held before must not count.", mistake="earlier pieces"),
        says("Return the list of the losses, one for each piece, each from before its step,", mistake="after the step"),
        says("as Python floats.", mistake="You returned tensors"),
    ],
    hints=[
        "The loop of one piece: forward with the state, detach the new state, loss, `zero_grad`, `backward`, clip, `step`.",
        "`nn.utils.clip_grad_norm_(model.parameters(), max_norm)` goes between `backward` and `step`. `cross_entropy` wants "
        "(n, classes) and (n,): `logits.flatten(0, 1)` and `target.flatten()`.",
    ],
    draw=draw_pieces,
    parts=[
        part("three pieces", weight=2, pieces=3, b=2, t=4, max_norm=0.5),
        part("one piece", pieces=1, b=between(2, 3), t=3, max_norm=0.3),
        part("gradients shorter than the limit", pieces=2, b=2, t=between(3, 5), max_norm=100.0),
        part("gradients left from before", pieces=2, b=2, t=3, max_norm=0.4, left=True),
        part("one text", pieces=between(2, 4), b=1, t=5, max_norm=0.6),
    ],
    own={"pieces": 2, "b": 1, "t": 3, "max_norm": 0.5},
    own_says="A text in pieces of your own: learning_rate, max_norm, pieces, targets, gradients_left",
    constant={"learning_rate": "the optimizer has it already"},
    mistakes={
        "Each piece starts from zeros. Hand over the state in which the piece before it ended.": (
            "logits, state = model(piece, None)"
        ),
        "The gradient is not clipped: between `backward` and `step`, `nn.utils.clip_grad_norm_`.": [
            edit("        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", ""),
            edit(
                "        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n        optimizer.step()\n",
                "        optimizer.step()\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
            ),
            edit(
                "        loss.backward()\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
                "        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n        loss.backward()\n",
            ),
        ],
        "You clip each parameter by itself, which turns the direction. The norm is that of all of them together.": edit(
            "nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
            "[nn.utils.clip_grad_norm_([p], max_norm) for p in model.parameters()]",
        ),
        "You cut each number of the gradient by itself (`clip_grad_value_`). It is the norm that is limited.": edit(
            "clip_grad_norm_", "clip_grad_value_"
        ),
        "A gradient that is shorter than the limit is scaled up to it: it should stay as it is.": edit(
            "nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
            "norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)\n"
            "        [p.grad.mul_(max_norm / norm) for p in model.parameters()]",
        ),
        "The gradients of earlier pieces, or of what was there before, are still in `.grad`: `optimizer.zero_grad()`.": edit(
            "        optimizer.zero_grad()\n", ""
        ),
        "Cross-entropy takes logits: its softmax is inside, and you applied one before it.": edit(
            "cross_entropy(logits.flatten(0, 1)", "cross_entropy(logits.softmax(dim=-1).flatten(0, 1)"
        ),
        "You added the losses up over the positions. Average them.": edit(
            "target.flatten())", 'target.flatten(), reduction="sum")'
        ),
        "Your loss looks at the last position of a piece only: every position has a target.": (
            "loss = nn.functional.cross_entropy(logits[:, -1], target[:, -1])"
        ),
        "These are losses after the step: keep what you computed before it.": edit(
            "losses.append(loss.item())",
            "with torch.no_grad():\n"
            "            again = model(piece, before)[0]\n"
            "        losses.append(nn.functional.cross_entropy(again.flatten(0, 1), target.flatten()).item())",
            "logits, state = model(piece, state)",
            "before = state\n        logits, state = model(piece, before)",
        ),
        "You returned tensors: `loss.item()` is the number itself.": edit(
            "losses.append(loss.item())", "losses.append(loss.detach())"
        ),
        "You returned the mean of the losses. The list is wanted, one for each piece.": (
            "return sum(losses) / len(losses)"
        ),
        "You take one step in all, after the last piece. Take one for each.": edit(
            "        optimizer.zero_grad()\n        loss.backward()\n",
            "        total = loss if not losses else total + loss\n",
            "        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n        optimizer.step()\n",
            "",
            "    return losses",
            "    optimizer.zero_grad()\n    total.backward()\n"
            "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n    optimizer.step()\n    return losses",
        ),
    },
    praise="With this loop a network can read a text of any length, in memory for one piece.",
)


@right(pieces_exercise)
def clipped_by_hand(model, optimizer, pieces, targets, max_norm):
    found, state = [], None
    for k in range(len(pieces)):
        optimizer.zero_grad(set_to_none=True)
        logits, state = model(pieces[k], None if state is None else state.detach())
        log_p = logits.log_softmax(-1).gather(-1, targets[k][..., None])
        loss = -log_p.mean()
        loss.backward()
        norm = torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt()
        if norm > max_norm:
            for p in model.parameters():
                p.grad *= max_norm / (norm + 1e-6)
        optimizer.step()
        found.append(float(loss.detach()))
    return found
