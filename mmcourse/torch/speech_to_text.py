"""A recognizer for spoken `scenes`: log-mel as in Whisper → convolutions → CTC over words of the shared vocabulary.

::

    from mmcourse.torch.speech_to_text import Recognizer

    model = Recognizer.from_pretrained("speech_to_text")
    model.transcribe([wave])  # ["a small red star is left of a blue box"]
    stream = model.stream()
    stream.feed(first_part)  # the words that are certain by now

It writes words as `vocabulary.words_only` does, lower-cased and without marks; `as_question` puts them back where the
grammar of the questions needs them. (CTC: Graves et al. 2006; a network of convolutions alone: Collobert et al. 2016,
arXiv 1609.03193.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes.spoken import spoken_words
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.transcript import greedy_decode, prefix_beam_search
from mmcourse.preprocess.whisper import HOP, N_FFT, SAMPLE_RATE, log10_mel
from mmcourse.torch.model_files import read_model, write_model

BLANK = 0  # label 0; label i is word i − 1 of the model
FLOOR = -5.0  # log10 of power; what is softer is silence
STRIDE = 4  # mel frames per time step of the output: 40 ms
METHODS = ("greedy", "beam")
STEM_KERNEL = 5
MOST_SECONDS = 60


def prepare_wave(wave: Any) -> np.ndarray:
    """A mono wave at 16 kHz → the model's frames, float32 (t, 80).

    Raises
    ------
    InputError
        No mono wave, shorter than 0.1 s, or longer than a minute: cut it, or use `Recognizer.stream`.
    """
    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1:
        raise InputError("wave", f"expected mono sound (n,), got shape {wave.shape}", "average the channels")
    if not 0.1 <= len(wave) / SAMPLE_RATE <= MOST_SECONDS:
        raise InputError(
            "wave",
            f"expected 0.1 to {MOST_SECONDS} seconds at 16 kHz, got {len(wave) / SAMPLE_RATE:.2f}",
            "cut it, or feed it to a stream",
        )
    return scale_level(log10_mel(wave))


def scale_level(level: np.ndarray) -> np.ndarray:
    """log10 mel → about −1.2 to 4, mean near 0. Unlike Whisper's, the floor is fixed: no look at the whole clip."""
    return ((np.maximum(level, FLOOR) + 3.5) / 1.2).astype(np.float32)


def output_lengths(lengths: Tensor) -> Tensor:
    """Time steps that are left of so many mel frames: halved twice, rounded up."""
    return (lengths + STRIDE - 1) // STRIDE


class ConvBlock(nn.Module):
    """A convolution along time with a residual connection: (b, t, dim) → (b, t, dim)."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2)
        self.norm = nn.LayerNorm(dim)  # of each step alone: a norm over time would need the end of the sentence

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """mask : float (b, t, 1), 0 where padded, so that padding is the silence of zeros that a convolution adds."""
        mixed = self.mix((x * mask).transpose(1, 2)).transpose(1, 2)
        return x + F.gelu(self.norm(mixed))


class Recognizer(nn.Module):
    """Two convolutions that halve the time each, residual ones, and a score for each word and the blank.

    Parameters
    ----------
    dim, num_layers, kernel_size : ints
        Width, residual blocks, and steps that a block's convolution sees.
    n_mels : int
        80, as in Whisper.
    pieces : list of int or None
        Ids of the vocabulary's words that it can write, in the order of its labels from 1 on; None for all words of
        captions and questions.
    """

    def __init__(
        self,
        dim: int = 128,
        num_layers: int = 3,
        kernel_size: int = 9,
        n_mels: int = 80,
        pieces: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}")
        ids = [vocabulary.id_of(word) for word in spoken_words()] if pieces is None else list(pieces)
        self.config: dict[str, Any] = {
            "dim": dim,
            "num_layers": num_layers,
            "kernel_size": kernel_size,
            "n_mels": n_mels,
            "pieces": ids,
        }
        self.words: tuple[str, ...] = tuple(vocabulary.pieces()[i] for i in ids)
        half = STEM_KERNEL // 2
        self.stem1 = nn.Conv1d(n_mels, dim, STEM_KERNEL, stride=2, padding=half)
        self.stem2 = nn.Conv1d(dim, dim, STEM_KERNEL, stride=2, padding=half)
        self.norm_in = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(ConvBlock(dim, kernel_size) for _ in range(num_layers))
        self.norm_out = nn.LayerNorm(dim)
        self.to_label = nn.Linear(dim, len(ids) + 1)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.to_label.weight.device

    @property
    def context(self) -> int:
        """Mel frames on either side that an output step depends on: its receptive field."""
        blocks = self.config["num_layers"] * (self.config["kernel_size"] // 2) * STRIDE
        half = STEM_KERNEL // 2
        return blocks + 2 * half + half

    # ------------------------------------------------------------ parts
    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """frames float (b, t, n_mels), zeros after `lengths` (b,) → hidden states (b, ceil(t / 4), dim)."""
        x = F.gelu(self.stem1(frames.transpose(1, 2)))
        x = x * real_steps((lengths + 1) // 2, x.shape[2])[:, None]
        x = self.norm_in(self.stem2(x).transpose(1, 2))  # (b, ceil(t / 4), dim)
        mask = real_steps(output_lengths(lengths), x.shape[1])[..., None]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm_out(x)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """frames float (b, t, n_mels), lengths int (b,) → logits (b, ceil(t / 4), 1 + words)."""
        return self.to_label(self.encode(frames, lengths))

    def loss(self, frames: Tensor, lengths: Tensor, texts: Sequence[str]) -> Tensor:
        """CTC loss in nats per word, a scalar; a text that does not fit its sound is an error, not a zero.

        Raises
        ------
        ValueError
            A word that this model does not have, or fewer time steps than the text needs.
        """
        labels = [self.labels(text) for text in texts]
        steps = output_lengths(lengths)
        for text, row, number in zip(texts, labels, steps.tolist(), strict=True):
            needed = len(row) + sum(a == b for a, b in zip(row, row[1:], strict=False))
            if number < needed:
                raise ValueError(f"texts: {text!r} needs {needed} time steps, its sound has {number}")
        log_probs = self(frames, lengths).log_softmax(dim=-1).transpose(0, 1)  # (t, b, 1 + words)
        joined = torch.tensor([label for row in labels for label in row])
        sizes = torch.tensor([len(row) for row in labels])
        nats = F.ctc_loss(log_probs, joined, steps, sizes, blank=BLANK, reduction="sum")
        return nats / sizes.sum()

    # ------------------------------------------------------------ texts
    def labels(self, text: str) -> list[int]:
        """Labels of a text's words.

        Raises
        ------
        ValueError
            For a word that this model does not have.
        """
        number = {word: i + 1 for i, word in enumerate(self.words)}
        found = vocabulary.words_only(text).split()
        missing = [word for word in found if word not in number]
        if missing:
            raise ValueError(f"text: this model has no word {missing[0]!r}; model.words lists those that it has")
        return [number[word] for word in found]

    def text(self, labels: Sequence[int]) -> str:
        """The words of labels."""
        return " ".join(self.words[label - 1] for label in labels if label != BLANK)

    # ------------------------------------------------------------ use
    @torch.no_grad()
    def log_probs(self, waves: Sequence[Any], batch_size: int = 32) -> list[np.ndarray]:
        """log p of the blank and of each word at every 40 ms: float32 (t_i, 1 + words) for each wave.

        Raises
        ------
        InputError
            A wave that `prepare_wave` refuses.
        """
        self.eval()
        if isinstance(waves, np.ndarray) and waves.ndim == 1:
            raise InputError("waves", "expected a list of waves, got one wave", "put it into a list")
        found: list[np.ndarray] = []
        for start in range(0, len(waves), batch_size):
            frames, lengths = pad_frames([prepare_wave(wave) for wave in waves[start : start + batch_size]])
            log_probs = self(frames.to(self.device), lengths.to(self.device)).log_softmax(dim=-1).cpu().numpy()
            found += [row[:n] for row, n in zip(log_probs, output_lengths(lengths).tolist(), strict=True)]
        return found

    def transcribe(
        self, waves: Sequence[Any], method: str = "greedy", batch_size: int = 32, **options: Any
    ) -> list[str]:
        """The words of each wave (n_i,), float at 16 kHz.

        Parameters
        ----------
        method : "greedy", or "beam" with `options` of `mmcourse.preprocess.transcript.prefix_beam_search`

        Raises
        ------
        InputError
            A wave that `prepare_wave` refuses.
        ValueError
            Another method.
        """
        if method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
        log_probs = self.log_probs(waves, batch_size)
        if method == "greedy":
            return [self.text(greedy_decode(one, BLANK)) for one in log_probs]
        return [self.text(prefix_beam_search(one, blank=BLANK, **options)[0][0]) for one in log_probs]

    def stream(self) -> Stream:
        """A recognizer of sound that is still coming in."""
        return Stream(self)

    # ------------------------------------------------------------ files
    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, each atomically."""
        write_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path = "speech_to_text") -> Recognizer:
        """A trained model, in evaluation mode: the name of a shipped one, or a folder that `save_pretrained` wrote.

        Raises
        ------
        FileNotFoundError
            No such folder, or a file in it is missing.
        ValueError
            The weights are damaged, belong to another architecture, or to another vocabulary.
        """
        return read_model(cls, folder)


class Stream:
    """Sound comes in piece by piece; a time step is given out as soon as nothing that comes can change it.

    That is `latency` seconds after it, half a second with the shipped weights. What is given out is what it says of the
    whole recording: every part of it, the front end and the norms too, looks at a limited stretch of time.
    """

    def __init__(self, model: Recognizer) -> None:
        self.model = model.eval()
        self.latency: float = (model.context * HOP + N_FFT // 2) / SAMPLE_RATE  # seconds
        self._wave = np.zeros(0, np.float32)  # what is still needed of the sound
        self._dropped = 0  # mel frames before it
        self._done = 0  # time steps given out
        self._previous = BLANK
        self._ended = False

    @torch.no_grad()
    def log_probs(self, wave: Any, last: bool = False) -> np.ndarray:
        """Take more sound; log p of the time steps that are certain now, float32 (t, 1 + words)."""
        if self._ended:
            raise ValueError("stream: it has ended; model.stream() begins another")
        self._ended = last
        self._wave = np.concatenate([self._wave, np.asarray(wave, np.float32)])
        empty = np.zeros((0, len(self.model.words) + 1), np.float32)
        if len(self._wave) <= N_FFT // 2:
            return empty
        frames = scale_level(log10_mel(self._wave))
        if self._dropped:  # the first frames saw a mirrored beginning: there was sound before
            frames = frames[2:]
        start = self._dropped + 2 if self._dropped else 0
        if not last:  # the last two frames see a mirrored end
            frames = frames[: max(0, (len(self._wave) - N_FFT // 2) // HOP)]
        known = start + len(frames)
        end = -(-known // STRIDE) if last else max(0, (known - self.model.context) // STRIDE)
        if end <= self._done or not len(frames):
            return empty
        lengths = torch.tensor([len(frames)])
        logits = self.model(torch.from_numpy(frames)[None].to(self.model.device), lengths.to(self.model.device))
        first = start // STRIDE
        found = logits.log_softmax(dim=-1)[0, self._done - first : end - first].cpu().numpy()
        self._done = end
        keep_from = max(
            0, (end * STRIDE - self.model.context) // STRIDE * STRIDE - STRIDE
        )  # frames that are still needed
        if keep_from > start:
            self._wave = self._wave[(keep_from - 2 - self._dropped) * HOP :]
            self._dropped = keep_from - 2
        return found

    def feed(self, wave: Any, last: bool = False) -> str:
        """Take more sound; the new words, or an empty string. `last` says that no more will come."""
        words = []
        for label in self.log_probs(wave, last).argmax(axis=-1).tolist():
            if label not in (BLANK, self._previous):
                words.append(label)
            self._previous = label
        return self.model.text(words)


def real_steps(lengths: Tensor, size: int) -> Tensor:
    """1 where a step is real: float (b, size)."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None]).float()


def pad_frames(frames: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Frames (t_i, n_mels) → (b, t, n_mels) with zeros at the end, and their lengths int64 (b,)."""
    lengths = torch.tensor([len(one) for one in frames])
    padded = torch.zeros(len(frames), int(lengths.max()), frames[0].shape[1])
    for row, one in zip(padded, frames, strict=True):
        row[: len(one)] = torch.from_numpy(one)
    return padded, lengths


def as_question(words: str) -> str:
    """Words of a spoken question, written as questions are: a capital, commas where the grammar has them, a mark.

    >>> as_question("are there more stars than circles fewer or equally many")
    'Are there more stars than circles, fewer, or equally many?'
    """
    text = re.sub(r" (seen from|fewer) ", r", \1 ", words.strip())
    text = re.sub(r", fewer or ", ", fewer, or ", text)
    return text[:1].upper() + text[1:] + "?"
