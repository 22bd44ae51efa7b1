"""Train, save and measure the recognizer that is shipped in data/models/speech_to_text.

    python notebooks/src/speech_to_text/make_results.py --voices FOLDER     # render training voices (libespeak-ng)
    python notebooks/src/speech_to_text/make_results.py --train FOLDER --keep FILE --chunk 12      # again to go on
    python notebooks/src/speech_to_text/make_results.py --measure   # only the figures and the card of the stored model
    python notebooks/src/speech_to_text/make_results.py digits      # one table of results.json, or several

- `digits`: people say digits (FSDD); words and letters as labels, 40 and 20 ms a step, speakers left out;
- `real_digits`, `real_speech`, `real_captions`: ours, Whisper tiny and pocketsphinx, free and told the
  words, on the same sounds.

Training voices are other variants of espeak-ng than those of validation and test; each is rendered once, at a random
pitch and speed, and changed at random each time it speaks: faster or slower, higher or lower, with another coloring,
noise and level, and with masked stretches of time and frequency (SpecAugment, Park et al. 2019, arXiv 1904.08779; the
shift along the mel axis: Jaitly and Hinton 2013). The test voices are never rendered here.

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from torch.nn import functional as F

from mmcourse.authoring.recognizers import DIGITS, plain, sphinx, whisper_tiny
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import data_dir
from mmcourse.datasets.avdigits import voices
from mmcourse.datasets.scenes import captions, videos, world
from mmcourse.datasets.scenes.spoken import (
    SAMPLE_RATE,
    VoiceBank,
    full_voices,
    random_question,
    say,
    spoken_captions,
    spoken_words,
    transcript,
)
from mmcourse.evaluate.words import align, edit_distance, word_error_rate, word_errors
from mmcourse.figures import speech_to_text as speech_figures
from mmcourse.io import atomic_write
from mmcourse.preprocess.transcript import greedy_decode
from mmcourse.preprocess.whisper import log10_mel
from mmcourse.torch.speech_to_text import ConvBlock, Recognizer, pad_frames, real_steps, scale_level

SEED = 0
TRAIN_SEED = 30_001  # of the training scenes: not the fixed splits of `scenes.load`
BATCH = 16
STEPS = 2_200
NUM_VOICES = 240
# Variants that no validation or test voice has, nor a near relative of one of theirs
VARIANTS = (
    "adam Alex Alicia Andrea Andy Annie antonio aunty belinda benjamin boris caleb david Demonic Denis Diogo ed Gene "
    "Gene2 gustave Henrique Hugo iven iven2 iven3 iven4 Jacky john kaukovalta Lee linda marcelo Marco Mario max "
    "Michael michel miguel mike Mr Nguyen pablo paul pedro quincy RicishayMax RicishayMax2 RicishayMax3 rob robert "
    "robosoft robosoft3 robosoft5 robosoft7 Storm Tweaky UniRobot zac anika AnxiousAndy f1 f2 f3 f4 grandpa grandma "
    "klatt klatt2 klatt3 klatt4 klatt6 m1 m2 m3 m4 m6 m7 m8 norbert sandro travis croak"
).split()
ACCENTS = "en-us en en-gb-scotland en-gb-x-rp en-029 en-gb-x-gbcwmd en-gb-x-gbclan en-us-nyc".split()
SPELLING = {"a": "[[@]]", "i": "[[aI]]"}  # phonemes; alone, they would be read as letters


# ---------------------------------------------------------------- voices
class Espeak:
    """libespeak-ng, called in this process: a word takes a millisecond."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.library.espeak_Initialize(2, 0, None, 0)  # 2: hand the samples over
        self.chunks: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

        def take(samples, number, events) -> int:
            if samples and number > 0:
                self.chunks.append(np.ctypeslib.as_array(samples, (number,)).copy())
            return 0

        self.callback = kind(take)  # kept, or it would be freed
        self.library.espeak_SetSynthCallback(self.callback)

    def speak(self, word: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """One word, float64 (n,) at 16 kHz, without the silence at both ends."""
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"voice: espeak-ng has no {voice!r}")
        self.library.espeak_SetParameter(1, speed, 0)
        self.library.espeak_SetParameter(3, pitch, 0)
        self.chunks.clear()
        text = SPELLING.get(word, word).encode() + b"\0"
        self.library.espeak_Synth(text, len(text), 0, 1, 0, 1 | 0x100, None, None)
        self.library.espeak_Synchronize()
        wave = resample_poly(np.concatenate(self.chunks) / 32768, SAMPLE_RATE, self.rate)
        loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
        return wave[max(0, loud[0] - 160) : loud[-1] + 160]


def render(folder: Path, number: int) -> None:
    """`number` training voices, each an int16 array with all words; the variants come in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    espeak = Espeak()
    for index in range(number):
        rng = np.random.default_rng([SEED, index, 1])
        variant = VARIANTS[index % len(VARIANTS)]
        name = f"{ACCENTS[int(rng.integers(len(ACCENTS)))]}+{variant}"
        speed, pitch = int(rng.integers(190, 310)), int(rng.integers(20, 80))
        waves = [espeak.speak(word, name, speed, pitch) for word in spoken_words()]
        sound = np.concatenate(waves)
        sound *= min(0.08 / np.sqrt(np.mean(sound**2)), 0.98 / np.abs(sound).max())
        starts = np.cumsum([0, *map(len, waves)])
        np.savez(
            folder / f"{index:03d}.npz", sound=(sound * 32767).astype(np.int16), starts=starts, name=np.array(name)
        )


def load_voices(folder: Path, number: int | None = None) -> list[VoiceBank]:
    """What `render` wrote; the sound stays int16 until it is needed."""
    banks = []
    for path in sorted(folder.glob("*.npz"))[:number]:
        with np.load(path) as stored:
            spans = map(slice, stored["starts"], stored["starts"][1:])
            place = dict(zip(spoken_words(), spans, strict=True))
            banks.append(VoiceBank(str(stored["name"]), "train", stored["sound"], place))
    return banks


# ---------------------------------------------------------------- what is said, and how
def random_text(rng: np.random.Generator) -> str:
    """A caption, a question, a caption of a video, or words in no order (so that every word is learned by its sound)."""
    kind, index = rng.random(), int(rng.integers(1 << 30))
    if kind < 0.55:
        return transcript(captions.english(world.make(TRAIN_SEED, index)))
    if kind < 0.75:
        return random_question(TRAIN_SEED, index)
    if kind < 0.8:
        return transcript(videos.make(TRAIN_SEED, index).caption)
    return " ".join(rng.choice(spoken_words(), int(rng.integers(3, 14))))


def change_voice(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Played faster or slower (pitch, formants and tempo go along), at another level, half of the time with noise."""
    rate = float(np.exp(rng.uniform(-0.16, 0.16)))
    wave = np.interp(np.arange(0, len(wave) - 1, rate), np.arange(len(wave)), wave).astype(np.float32)
    if rng.random() < 0.5:
        snr = rng.uniform(3, 40)
        noise = rng.standard_normal(len(wave), dtype=np.float32)
        if rng.random() < 0.3:  # with less treble
            noise[1:] += 0.9 * noise[:-1]
        power = float(np.mean(wave**2)) + 1e-9
        wave = wave + noise * np.float32(np.sqrt(power / np.mean(noise**2) / 10 ** (snr / 10)))
    return wave * np.float32(10 ** (rng.uniform(-12, 8) / 20))


def change_level(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """log10 mel (t, b): shifted along the mel axis by up to a tenth, and colored by a smooth curve over the bands."""
    number = level.shape[1]
    bands = np.arange(number)
    source = np.clip(bands * float(np.exp(rng.uniform(-0.1, 0.1))), 0, number - 1)
    low = np.floor(source).astype(int)
    high, part = np.minimum(low + 1, number - 1), (source - low).astype(np.float32)
    level = level[:, low] * (1 - part) + level[:, high] * part
    curve = np.interp(bands, np.linspace(0, number - 1, 6), rng.normal(0, 0.25, 6)).astype(np.float32)
    return level + curve


def mask(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SpecAugment: up to two stretches of up to 12 bands and of up to 120 ms are silent."""
    for _ in range(int(rng.integers(0, 3))):
        width, start = int(rng.integers(0, 13)), int(rng.integers(0, frames.shape[1] - 12))
        frames[:, start : start + width] = 0
    for _ in range(int(rng.integers(0, 3))):
        width, start = int(rng.integers(0, 13)), int(rng.integers(0, max(1, len(frames) - 12)))
        frames[start : start + width] = 0
    return frames


def speak(text: str, bank: VoiceBank, rng: np.random.Generator) -> np.ndarray:
    """A text by a voice with random gaps, and up to half a second of silence at either end: float32 (n,)."""
    parts = [np.zeros(int(rng.uniform(0, 0.4) * SAMPLE_RATE), np.float32)]
    for word in text.split():
        sound = bank.sound[bank.place[word]]
        parts.append(sound.astype(np.float32) / 32767 if sound.dtype == np.int16 else sound)
        parts.append(np.zeros(int(rng.uniform(0.01, 0.08) * SAMPLE_RATE), np.float32))
    parts.append(np.zeros(int(rng.uniform(0, 0.4) * SAMPLE_RATE), np.float32))
    return np.concatenate(parts)


def random_sample(
    banks: list[VoiceBank], rng: np.random.Generator, text: str | None = None, augment: bool = True
) -> tuple[str, np.ndarray]:
    """A text and the frames of someone who says it."""
    text = random_text(rng) if text is None else text
    wave = speak(text, banks[int(rng.integers(len(banks)))], rng)
    if not augment or rng.random() < 0.25:  # a quarter as they are
        return text, scale_level(log10_mel(wave, dtype=np.float32))
    level = change_level(log10_mel(change_voice(wave, rng), dtype=np.float32), rng)
    return text, mask(scale_level(level), rng)


# ---------------------------------------------------------------- training
def learning_rate(step: int, progress: float, highest: float = 4e-3) -> float:
    """Rises over 100 steps, then falls to 0 along a cosine as `progress` goes to 1."""
    return float(highest * min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * min(progress, 1.0))))


def validate(model: Recognizer, texts: list[str], waves: list[np.ndarray]) -> float:
    """Word error rate on validation voices."""
    found = word_error_rate(texts, model.transcribe(waves))
    model.train()
    return found


def train(
    folder: Path,
    keep: Path,
    steps: int,
    minutes: float,
    chunk: float = math.inf,
    num_validation: int = 120,
    every: int = 250,
) -> bool:
    """Train until `steps`, or for `minutes` in all if that is sooner; whether it is at the end.

    A call stops after `chunk` minutes; the next one goes on from `keep`.
    """
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    banks = load_voices(folder)
    texts, waves, _ = spoken_captions("validation", num_validation)
    model = Recognizer()
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decays, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
    state = {"step": 0, "curve": [], "cpu seconds": 0.0, "seconds": 0.0}
    if keep.is_file():
        stored = torch.load(keep, weights_only=True)
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        state = stored["state"]
    started, cpu_started, losses = time.perf_counter(), time.process_time(), []
    before, seconds_before, progress = state["cpu seconds"], state["seconds"], 0.0

    def save_state() -> None:
        state["cpu seconds"] = before + time.process_time() - cpu_started
        state["seconds"] = seconds_before + time.perf_counter() - started
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, keep)

    model.train()
    while progress < 1 and time.perf_counter() - started < 60 * chunk:
        step = state["step"]
        progress = max((step + 1) / steps, (seconds_before + time.perf_counter() - started) / 60 / minutes)
        rng = np.random.default_rng([SEED, step, 2])  # of the step, so that a run that was stopped goes on as it would
        said, frames = zip(*(random_sample(banks, rng) for _ in range(BATCH)), strict=True)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, progress)
        loss = model.loss(*pad_frames(frames), said)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
        state["step"] = step + 1
        if (step + 1) % every == 0 or progress >= 1:
            row = {"step": step + 1, "loss": float(np.mean(losses[-100:])), "wer": validate(model, texts, waves)}
            row["cpu seconds"] = round(before + time.process_time() - cpu_started)
            state["curve"].append({key: round(value, 4) for key, value in row.items()})
            print(state["curve"][-1], flush=True)
            save_state()
    save_state()
    if progress < 1:
        return False
    training = {
        "seed": SEED,
        "steps": state["step"],
        "steps wanted": steps,
        "minutes": minutes,
        "batch": BATCH,
        "voices": len(banks),
        "cpu seconds": round(state["cpu seconds"]),
        "curve": state["curve"],
    }
    save(model.eval(), training, data_dir() / "models" / "speech_to_text")
    return True


# ---------------------------------------------------------------- card
CARD = """\
# Model card: speech_to_text

Writes down what is said of `scenes`: captions and questions, {words} words of the course's vocabulary. Log-mel as in
Whisper, two convolutions that halve the time each, {layers} residual convolutions, and CTC over words, one step per 40 ms.
{weights:,} weights as float16, loaded by safetensors only:

```python
from mmcourse.torch.speech_to_text import Recognizer, as_question
model = Recognizer.from_pretrained("speech_to_text")
model.transcribe(waves)        # greedy; method="beam" with a language model
model.stream().feed(sound)     # words as soon as nothing that comes can change them
```

## Data
Captions, questions, captions of videos and words in no order, spoken word by word by {voices} synthetic voices of espeak-ng
that only training has: {variants} variants, each at a random pitch, speed and accent; and changed at random each time
(speed, level, noise, coloring, a shift along the mel axis, SpecAugment). No variant of a validation or test voice is
among them, nor a near relative of one. No person's voice is in it. The rendered voices are not shipped (290 MB); libespeak-ng
makes them in a minute.

## Training
`notebooks/src/speech_to_text/make_results.py`, seed {seed}: {steps:,} steps of {batch} utterances with AdamW,
{cpu:,} CPU seconds of one thread.{ended}{restarted} Another processor or another PyTorch rounds differently.

| step | CPU seconds | loss, nats per word | WER, validation voices |
|---|---|---|---|
{curve}

## Measured
On 1,000 captions by the three test voices, from the stored weights (`mmcourse figures speech_to_text`); greedy decoding, no
language model.

| figure | reached | aim | limit |
|---|---|---|---|
| word error rate, voices never heard | **{wer:.3f}** | 0.06 | 0 |
| the same with white noise at 10 dB | **{wer_noise_10db:.3f}** | – | – |
| points lost when the `vlm` hears its questions instead of reading them | **{spoken_question_loss:.1f}** | 3.0 | 0 |

By voice: {by_voice}; in noise {by_voice_noise}. Whole sentences right: {sentences_right:.3f}. On the ten voices of the
training split of `scenes`, which are like the training's own: {wer_ten_voices:.3f}.
{questions:,} balanced questions, decoded with bigrams of other questions: {questions_wer:.4f} word errors, {questions_right_letters:.3f} of the
questions right letter for letter; answers {answers_read:.3f} read, {answers_heard:.3f} heard. Greedily: {questions_wer_greedy:.3f} word errors,
{spoken_question_loss_greedy:.1f} points lost.
{verdict}
All figures: `figures.json`.

## Files
- `model.safetensors` SHA-256 {sha256}
- `config.json` widths of the model and the ids of its words

## License and limits
CC BY 4.0, the mmcourse authors. Synthetic voices that say one word after another: what it does on people's speech means
nothing. It knows {words} words and writes one of them for whatever it hears. For lessons only.
"""
ENDED = """
It ended after {minutes:g} minutes (`--minutes`), when the machine had much other work; {steps wanted:,} steps were planned."""
RESTARTED = """
The learning rate had fallen to 0 at step {restarted at step:,}, where a first run ended, and began anew from half its height."""
AIMS = {"wer": ("word error rate", 0.06), "spoken_question_loss": ("points lost on spoken questions", 3.0)}


def verdict(figures: dict) -> str:
    """What falls short of the aims, in words."""
    short = [name for key, (name, aim) in AIMS.items() if figures[key] > aim]
    return f"Not reached: {', '.join(short)}." if short else "Both aims are reached."


def write_card(folder: Path, model: Recognizer, found: dict) -> None:
    """README.md with the figures that were measured."""
    figures, training = found["figures"], found["training"]
    rows = [
        f"| {row['step']:,} | {row['cpu seconds']:,.0f} | {row['loss']:.3f} | {row['wer']:.3f} |"
        for row in training["curve"]
    ]
    text = CARD.format(
        words=len(model.words),
        layers=model.config["num_layers"],
        weights=sum(parameter.numel() for parameter in model.parameters()),
        voices=training["voices"],
        variants=len(VARIANTS),
        seed=training["seed"],
        steps=training["steps"],
        batch=training["batch"],
        cpu=training["cpu seconds"],
        ended="" if training["steps"] == training["steps wanted"] else ENDED.format(**training),
        restarted=RESTARTED.format(**training) if "restarted at step" in training else "",
        curve="\n".join(rows),
        by_voice=", ".join(f"{value:.3f}" for value in figures["wer_by_voice"]),
        by_voice_noise=", ".join(f"{value:.3f}" for value in figures["wer_noise_10db_by_voice"]),
        verdict=verdict(figures),
        sha256=found["sha256"],
        **figures,
    )
    atomic_write(folder / "README.md", text)


def save(model: Recognizer, training: dict, folder: Path) -> None:
    """Write the model, and its figures as it will be loaded: from float16."""
    model.save_pretrained(folder)
    stored = Recognizer.from_pretrained(folder)
    found = {
        "figures": speech_figures.compute(model=stored),
        "figures_100": speech_figures.compute(100, stored),
        "training": training,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    atomic_write(folder / "figures.json", json.dumps(found, indent=1) + "\n")
    write_card(folder, stored, found)


# ---------------------------------------------------------------- people who say digits, as words and as letters
LETTERS = tuple(sorted({letter for word in DIGITS for letter in word} | {" "}))
FOLDS = (("george", "nicolas"), ("jackson", "theo"), ("lucas", "yweweler"))  # who is unseen
WRITERS = {"words, 40 ms": (DIGITS, 2), "letters, 40 ms": (LETTERS, 2), "letters, 20 ms": (LETTERS, 1)}
DIGIT_STEPS = (120, 300)
PAUSE = 0.1  # seconds between two digits


class DigitNet(torch.nn.Module):
    """The recognizer's layers, half as wide: two convolutions, the second of stride `second`, and two residual ones."""

    def __init__(self, num_labels: int, second: int, dim: int = 96) -> None:
        super().__init__()
        self.second = second
        self.stem1 = torch.nn.Conv1d(80, dim, 5, stride=2, padding=2)
        self.stem2 = torch.nn.Conv1d(dim, dim, 5, stride=second, padding=2)
        self.norm_in = torch.nn.LayerNorm(dim)
        self.blocks = torch.nn.ModuleList(ConvBlock(dim, 9) for _ in range(2))
        self.to_label = torch.nn.Linear(dim, num_labels + 1)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """frames (b, t, 80), lengths (b,) → log p of blank and labels (b, steps, 1 + labels), steps of each (b,)."""
        half = (lengths + 1) // 2
        x = F.gelu(self.stem1(frames.transpose(1, 2)))
        x = x * real_steps(half, x.shape[2])[:, None]
        x = self.norm_in(self.stem2(x).transpose(1, 2))
        steps = (half + self.second - 1) // self.second
        mask = real_steps(steps, x.shape[1])[..., None]
        for block in self.blocks:
            x = block(x, mask)
        return self.to_label(x).log_softmax(dim=-1), steps


@functools.cache
def people() -> dict[str, list[list[np.ndarray]]]:
    """FSDD's recordings at 16 kHz: for each speaker, for each digit, its takes."""
    clips = voices.read_clips("real")
    found: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in DIGITS] for name in sorted(set(clips.speaker))}
    for wave, digit, speaker in zip(clips.waves, clips.digit, clips.speaker, strict=True):
        found[str(speaker)][int(digit)].append(resample_poly(wave, 2, 1).astype(np.float32))
    return found


def digit_string(rng: np.random.Generator, names: Sequence[str], change: bool) -> tuple[list[int], np.ndarray]:
    """One to four digits that one speaker says, with pauses; changed in speed and level, with noise, to train on."""
    takes = people()[names[int(rng.integers(len(names)))]]
    digits = rng.integers(10, size=int(rng.integers(1, 5))).tolist()
    pause = np.zeros(int(PAUSE * SAMPLE_RATE), np.float32)
    parts = [pause]
    for digit in digits:
        parts += [takes[digit][int(rng.integers(len(takes[digit])))], pause]
    wave = np.concatenate(parts)
    wave = wave * 0.08 / np.sqrt(np.mean(wave**2))
    if change:
        speed = rng.uniform(0.85, 1.15)
        wave = np.interp(np.arange(0, len(wave) - 1, speed), np.arange(len(wave)), wave)
        wave = wave * rng.uniform(0.5, 1.6) + rng.normal(size=len(wave)) * 10 ** rng.uniform(-4, -2)
    return digits, wave.astype(np.float32)


def labels_of(digits: Sequence[int], alphabet: Sequence[str]) -> list[int]:
    """Labels from 1 on: the digits' words, or their letters with a space between two words."""
    words = [DIGITS[digit] for digit in digits]
    return [1 + alphabet.index(piece) for piece in (words if alphabet is DIGITS else " ".join(words))]


def steps_needed(labels: Sequence[int]) -> int:
    """Time steps of the shortest path: one each, and a blank between two that are equal."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:], strict=False))


def nearest_digits(text: str) -> str:
    """Each written word exchanged for the digit's with the fewest edits."""
    return " ".join(min(DIGITS, key=lambda word: edit_distance(list(written), list(word))) for written in text.split())


def digit_run(unseen: Sequence[str], writer: str, steps: int, seed: int) -> dict:
    """Train on four speakers, test on two: word error rates, and the share of training strings without a path."""
    alphabet, second = WRITERS[writer]
    torch.manual_seed(seed)
    model = DigitNet(len(alphabet), second)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.98))
    rng = np.random.default_rng([seed, 11])
    seen = [name for name in people() if name not in unseen]
    without = drawn = 0
    for step in range(steps):
        said, waves = zip(*(digit_string(rng, seen, change=True) for _ in range(BATCH)), strict=True)
        frames, lengths = pad_frames([scale_level(log10_mel(wave)) for wave in waves])
        log_probs, sizes = model(frames, lengths)
        targets = [labels_of(digits, alphabet) for digits in said]
        fits = [steps_needed(row) <= size for row, size in zip(targets, sizes.tolist(), strict=True)]
        without, drawn = without + fits.count(False), drawn + len(fits)
        joined = torch.tensor([label for row in targets for label in row])
        target_sizes = torch.tensor([len(row) for row in targets])
        nats = F.ctc_loss(log_probs.transpose(0, 1), joined, sizes, target_sizes, reduction="none", zero_infinity=True)
        loss = nats.sum() / target_sizes.sum()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, (step + 1) / steps, 3e-3)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
    references, hypotheses = [], []
    model.eval()
    with torch.no_grad():
        for digits, wave in test_strings(unseen):
            log_probs, _ = model(*pad_frames([scale_level(log10_mel(wave))]))
            pieces = [alphabet[label - 1] for label in greedy_decode(log_probs[0].numpy())]
            references.append(" ".join(DIGITS[digit] for digit in digits))
            hypotheses.append((" " if alphabet is DIGITS else "").join(pieces).strip())
    return {
        "wer": round(word_error_rate(references, hypotheses), 4),
        "wer, nearest digit": round(word_error_rate(references, [nearest_digits(text) for text in hypotheses]), 4),
        "without a path": round(without / drawn, 4),
        "written": sorted({word for text in hypotheses for word in text.split()} - set(DIGITS))[:8],
    }


def test_strings(unseen: Sequence[str], n: int = 75) -> list[tuple[list[int], np.ndarray]]:
    """`n` strings of each unseen speaker, always the same."""
    rng = np.random.default_rng([*map(ord, "".join(unseen))])
    return [digit_string(rng, [name], change=False) for name in unseen for _ in range(n)]


def digits() -> dict:
    """Words and letters, at 40 and 20 ms a step, two budgets, six speakers left out in three pairs, a seed each."""
    found: dict = {"unseen": FOLDS, "steps": DIGIT_STEPS, "strings per speaker": 75, "runs": {}}
    for writer in WRITERS:
        for steps in DIGIT_STEPS:
            runs = [digit_run(fold, writer, steps, seed) for seed, fold in enumerate(FOLDS)]
            found["runs"][f"{writer}, {steps} steps"] = runs
            print(writer, steps, [(run["wer"], run["wer, nearest digit"]) for run in runs], flush=True)
    return found


NUM_CAPTIONS = 6  # one by each voice
SAID_IN_1961 = (
    "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
)


def real_set(name: str) -> tuple[list[str], list[np.ndarray], list[str]]:
    """Texts, waves and speakers: our captions, one by each of six voices; people's digits; a real speech."""
    from mmcourse.authoring.real import data_folder
    from mmcourse.preprocess import audio

    if name == "speech":
        speech, _ = audio.read(data_folder() / "speech" / "jfk.flac", sample_rate=SAMPLE_RATE)
        return [SAID_IN_1961], [speech.astype(np.float32)], ["J. F. Kennedy"]
    if name == "digits":
        strings = [(who, *one) for fold in FOLDS for who in fold for one in test_strings([who], 10)]
        said = [" ".join(DIGITS[digit] for digit in digits) for _, digits, _ in strings]
        return said, [wave for _, _, wave in strings], [who for who, _, _ in strings]
    said = spoken_captions("test", NUM_CAPTIONS)[0]
    six = [*full_voices("validation"), *full_voices("test")]  # no recognizer here had them in training
    waves = [say(text, six[i % 6]) for i, text in enumerate(said)]
    return said, waves, [six[i % 6].name for i in range(NUM_CAPTIONS)]


TOLD: dict[str, dict] = {  # all words in any order, as a language model or, for few, as a grammar
    "captions": {"words": captions.vocabulary()},
    "digits": {"grammar": f"#JSGF V1.0; grammar digits; public <digits> = ({' | '.join(DIGITS)})+;"},
}


def real_recognizers(name: str) -> dict:
    """Ours, Whisper tiny and pocketsphinx, free and told the words, on the same sounds; one normalization for all."""
    texts, waves, speakers = real_set(name)
    ours = Recognizer.from_pretrained("speech_to_text")
    ways: dict = {"ours": lambda wave: ours.transcribe([wave])[0], "Whisper tiny": whisper_tiny()}
    ways["pocketsphinx"] = sphinx(quiet=0.25)
    if name in TOLD:
        ways["pocketsphinx, told the words"] = sphinx(**TOLD[name], quiet=0.25)
    said = [plain(text) for text in texts]
    order = list(dict.fromkeys(speakers))
    found: dict = {
        "speakers": order,
        "recordings": len(said),
        "words": sum(len(text.split()) for text in said),
        "seconds": round(sum(map(len, waves)) / SAMPLE_RATE),
        "said": said[0],
        "ways": {},
    }
    for way, write in ways.items():
        start = time.process_time()
        written = [plain(write(wave)) for wave in waves]
        errors, words = word_errors(said, written)
        rows = [np.array([one == speaker for one in speakers]) for speaker in order]
        rates = [round(float(errors[row].sum() / words[row].sum()), 4) for row in rows]
        found["ways"][way] = {
            "wer": rates,
            "first": written[0],
            "seconds": round(time.process_time() - start, 1),
        }
        print(name, way, round(float(np.mean(rates)), 3), found["ways"][way], flush=True)
        if way == "ours" and name == "digits":
            found["ours"] = known_words(said, written, ours.words)
    return found


def known_words(said: Sequence[str], written: Sequence[str], words: Sequence[str]) -> dict:
    """Which digits are among a recognizer's words, how often they and the others came, and what it heard rightly."""
    known = [digit for digit in DIGITS if digit in words]
    steps = [step for a, b in zip(said, written, strict=True) for step in align(a, b).steps if step[1] is not None]
    right = [word for operation, word, _ in steps if operation == "equal"]
    return {
        "has": known,
        "said": sum(word in known for _, word, _ in steps),
        "said of others": sum(word not in known for _, word, _ in steps),
        "right": len(right),
    }


TABLES: dict[str, Callable[[], dict]] = {
    "digits": digits,
    **{f"real_{name}": functools.partial(real_recognizers, name) for name in ("speech", "captions", "digits")},
}


def main() -> None:
    """Render, train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, help="render training voices into this folder")
    parser.add_argument("--train", type=Path, help="train with the voices of this folder")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=60.0, help="at most, in all; then the rate falls sooner")
    parser.add_argument("--chunk", type=float, default=math.inf, help="minutes of this call; the same again goes on")
    parser.add_argument("--keep", type=Path, default=Path("speech_to_text.pt"), help="where the state is kept")
    parser.add_argument("--measure", action="store_true", help="train nothing: measure the stored model again")
    parser.add_argument("tables", nargs="*", help="tables of results.json to make; with no option at all: all")
    options = parser.parse_args()
    if options.tables or not (options.voices or options.train or options.measure):
        torch.set_num_threads(1)
        make_tables("speech_to_text", TABLES, options.tables, ("numpy", "torch"))
    if options.voices is not None:
        render(options.voices, NUM_VOICES)
    if options.train is not None:
        train(options.train, options.keep, options.steps, options.minutes, options.chunk)
    if options.measure:
        folder = data_dir() / "models" / "speech_to_text"
        stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        save(Recognizer.from_pretrained(folder), stored["training"], folder)


if __name__ == "__main__":
    main()
