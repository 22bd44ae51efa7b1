"""The models of lesson `assistant`: a recognizer with the helpdesk's words, and a small model of intents.

::

    from mmcourse.torch.helpdesk import HelpdeskRecognizer

    model = HelpdeskRecognizer.from_pretrained("helpdesk")
    model.transcribe([wave])  # ["i want my money back"]
    model.hypotheses(wave)  # [("i want my money back", 0.93), …]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcourse.datasets import helpdesk
from mmcourse.preprocess.transcript import prefix_beam_search
from mmcourse.torch.speech_to_text import Recognizer


class HelpdeskRecognizer(Recognizer):
    """The course's recognizer with other words: those of `helpdesk`.

    Parameters
    ----------
    dim, num_layers, kernel_size, n_mels : as in `Recognizer`
    words : what it can write, in the order of its labels from 1 on; None for all words of the helpdesk
    """

    def __init__(
        self,
        dim: int = 128,
        num_layers: int = 3,
        kernel_size: int = 9,
        n_mels: int = 80,
        words: Sequence[str] | None = None,
    ) -> None:
        names = helpdesk.grammar.vocabulary() if words is None else tuple(words)
        super().__init__(dim, num_layers, kernel_size, n_mels, pieces=range(len(names)))
        del self.config["pieces"]
        self.config["words"] = list(names)
        self.words = tuple(names)

    def start_from(self, other: Recognizer) -> None:
        """Take over all weights of another recognizer; of the last layer, those of the words that both have."""
        mine, theirs = self.state_dict(), other.state_dict()
        head = ("to_label.weight", "to_label.bias")
        for name in mine:
            if name not in head:
                mine[name] = theirs[name].clone()
        number = {word: i + 1 for i, word in enumerate(other.words)}
        pairs = [(0, 0), *((i + 1, number[word]) for i, word in enumerate(self.words) if word in number)]
        for name in head:
            for row, source in pairs:
                mine[name][row] = theirs[name][source]
        self.load_state_dict(mine)

    def hypotheses(self, wave: Any, number: int = 10, **options: Any) -> list[tuple[str, float]]:
        """The most probable texts of a wave, the best first, with probabilities that sum to 1 over these texts.

        `options` as in `prefix_beam_search`; without them, no language model is used.
        """
        settings = {"beam_width": 2 * number, "cutoff": -9.0, **options}
        found = prefix_beam_search(self.log_probs([wave])[0], **settings)[:number]
        scores = np.array([score for _, score in found])
        p = np.exp(scores - scores.max())
        return [(self.text(labels), float(weight)) for (labels, _), weight in zip(found, p / p.sum(), strict=True)]


def word_sequences(templates: str = "seen") -> Callable[[tuple[int, ...], int], float]:
    """A language model of the grammar's sentences for `prefix_beam_search`: log p(label | labels before it), exact.

    Labels are places in the vocabulary from 1 on; 0 ends a sentence. What the grammar forbids has log p = −20.
    """
    grammar = helpdesk.grammar
    place = {word: i + 1 for i, word in enumerate(grammar.vocabulary())}
    mass: dict[tuple[int, ...], float] = {}
    for text, p in zip(grammar.texts(templates), grammar.joint(templates).sum(axis=0).tolist(), strict=True):
        labels = tuple(place[word] for word in text.split())
        for n in range(len(labels) + 1):
            mass[labels[:n]] = mass.get(labels[:n], 0.0) + p
        mass[(*labels, 0)] = mass.get((*labels, 0), 0.0) + p

    def log_p(before: tuple[int, ...], label: int) -> float:
        both, first = mass.get((*before, label), 0.0), mass.get(tuple(before), 0.0)
        return float(np.log(both / first)) if both > 0 and first > 0 else -20.0

    return log_p


class IntentModel(nn.Module):
    """Words → embeddings → GRU → mean of its states → a logit for each intent.

    Parameters
    ----------
    num_words : size of the vocabulary; id 0 pads
    width : of embeddings and states
    num_intents : ints
    """

    def __init__(self, num_words: int, width: int = 64, num_intents: int = len(helpdesk.INTENTS)) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, width, padding_idx=0)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.to_intent = nn.Linear(width, num_intents)

    def forward(self, ids: Tensor) -> Tensor:
        """ids int (b, l), 0 after the end → logits (b, num_intents)."""
        mask = (ids > 0).float()[..., None]  # (b, l, 1)
        states, _ = self.gru(self.embedding(ids))  # (b, l, width)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return self.to_intent(mean)

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """p(intent | text), float64 (n, num_intents)."""
        self.eval()
        return self(encode(texts)).double().softmax(dim=-1).numpy()


def encode(texts: Sequence[str]) -> Tensor:
    """Texts as ids, int64 (b, l), 0 after the end."""
    rows = [helpdesk.encode(text) for text in texts]
    ids = torch.zeros(len(rows), max(1, *(len(row) for row in rows)), dtype=torch.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = torch.from_numpy(row)
    return ids
