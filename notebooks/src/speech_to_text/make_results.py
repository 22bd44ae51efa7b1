"""Train, save and measure the recognizer that is shipped in data/models/speech_to_text; make the lesson's experiments.

    python notebooks/src/speech_to_text/make_results.py --voices FOLDER     # render training voices (libespeak-ng)
    python notebooks/src/speech_to_text/make_results.py --train FOLDER --minutes 12 --keep FILE    # again to go on
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
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly

from mmcourse.datasets import data_dir, results, save_results
from mmcourse.datasets.scenes import captions, videos, world
from mmcourse.datasets.scenes.spoken import (
    SAMPLE_RATE,
    VoiceBank,
    random_question,
    spoken_captions,
    spoken_words,
    transcript,
)
from mmcourse.evaluate.words import word_error_rate
from mmcourse.figures import speech_to_text as speech_figures
from mmcourse.io import atomic_write
from mmcourse.preprocess.whisper import log10_mel
from mmcourse.torch.speech_to_text import Recognizer, pad_frames, scale_level

SEED = 0
TRAIN_SEED = 30_001  # of the training scenes: not the fixed splits of `scenes.load`
BATCH = 16
STEPS = 3_000
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
        np.savez(folder / f"{index:03d}.npz", sound=(sound * 32767).astype(np.int16), starts=starts, name=np.array(name))


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
def learning_rate(step: int, steps: int, highest: float = 4e-3) -> float:
    """Rises over 150 steps, then falls to 0 along a cosine."""
    return float(highest * min(1.0, (step + 1) / 150) * 0.5 * (1 + np.cos(np.pi * step / steps)))


def validate(model: Recognizer, texts: list[str], waves: list[np.ndarray]) -> float:
    """Word error rate on validation voices."""
    found = word_error_rate(texts, model.transcribe(waves))
    model.train()
    return found


def train(folder: Path, keep: Path, steps: int, minutes: float, num_validation: int = 240, every: int = 250) -> bool:
    """Train until `steps` or for so many minutes; go on from `keep` where it is. Whether it is at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    banks = load_voices(folder)
    texts, waves, _ = spoken_captions("validation", num_validation)
    model = Recognizer()
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decays, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
    state = {"step": 0, "curve": [], "cpu seconds": 0.0}
    if keep.is_file():
        stored = torch.load(keep, weights_only=True)
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        state = stored["state"]
    started, cpu_started, losses = time.perf_counter(), time.process_time(), []
    before = state["cpu seconds"]

    def save_state() -> None:
        state["cpu seconds"] = before + time.process_time() - cpu_started
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, keep)

    model.train()
    while state["step"] < steps and time.perf_counter() - started < 60 * minutes:
        step = state["step"]
        rng = np.random.default_rng([SEED, step, 2])  # of the step, so that a run that was stopped goes on as it would
        said, frames = zip(*(random_sample(banks, rng) for _ in range(BATCH)), strict=True)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model.loss(*pad_frames(frames), said)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
        state["step"] = step + 1
        if (step + 1) % every == 0 or step + 1 == steps:
            row = {"step": step + 1, "loss": float(np.mean(losses[-100:])), "wer": validate(model, texts, waves)}
            row["cpu seconds"] = round(before + time.process_time() - cpu_started)
            state["curve"].append({key: round(value, 4) for key, value in row.items()})
            print(state["curve"][-1], flush=True)
            save_state()
    save_state()
    if state["step"] < steps:
        return False
    training = {
        "seed": SEED,
        "steps": steps,
        "batch": BATCH,
        "voices": len(banks),
        "cpu seconds": round(state["cpu seconds"]),
        "curve": state["curve"],
    }
    save(model.eval(), training, data_dir() / "models" / "speech_to_text")
    return True


# ---------------------------------------------------------------- experiments
EXPERIMENTS: dict[str, Callable[[], dict]] = {}


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


def main() -> None:
    """Render, train, save, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=Path, help="render training voices into this folder")
    parser.add_argument("--train", type=Path, help="train with the voices of this folder")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=60.0, help="at most; the same command again goes on")
    parser.add_argument("--keep", type=Path, default=Path("speech_to_text.pt"), help="where the state is kept")
    parser.add_argument("--measure", action="store_true", help="train nothing: measure the stored model again")
    parser.add_argument("--experiments", nargs="*", choices=EXPERIMENTS, help="only these parts of results.json")
    options = parser.parse_args()
    if options.voices is not None:
        render(options.voices, NUM_VOICES)
    if options.train is not None:
        train(options.train, options.keep, options.steps, options.minutes)
    if options.measure:
        folder = data_dir() / "models" / "speech_to_text"
        stored = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        save(Recognizer.from_pretrained(folder), stored["training"], folder)
    if options.experiments is not None:
        experiments(options.experiments)


if __name__ == "__main__":
    main()
