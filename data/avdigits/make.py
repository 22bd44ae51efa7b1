"""Render the spoken digits of `avdigits`, once; only a maintainer runs this. Needs espeak-ng 1.51 on the PATH.

    python data/avdigits/make.py [FOLDER]

Each of 36 speakers (an espeak-ng accent with a voice variant) says the ten digits in four takes that vary in tempo and
pitch. One FLAC file per speaker, 8 kHz mono, 12 bits deep (which nobody hears, and halves the size), clips one after
another; `voices.json` says where each clip lies. The same espeak-ng gives the same bytes again.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

RATE, TAKES, SEED = 8000, 4, 20
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Variants that speak with a tone: whispers, robots and croaks are left out. No variant appears twice. Some variants are
# near copies of one another: validation and test have those that differ most, or an unseen speaker would be no news.
# "en", not "en-gb": espeak-ng 1.51 ignores the variant of a voice that it knows only as another's second name.
SPEAKERS = {
    "train": (
        "en+f2 en-us+m3 en-gb-scotland+m1 en-us+Michael en-gb-x-gbclan+m7 en+Alex en+steph en-gb-x-rp+f1 "
        "en-gb-x-gbclan+aunty en-us+belinda en+m5 en-gb-scotland+Hugo en-us+f5 en+Alicia en-us+m4 en-029+anika "
        "en+victor en-gb-x-rp+steph3 en-gb-scotland+max en-gb-x-gbclan+rob"
    ).split(),
    "validation": (
        "en-us+travis en-us-nyc+shelby en-gb-x-rp+Andy en-gb-scotland+Andrea en-us-nyc+m2 en-us+Annie en-us+linda "
        "en-gb-x-gbcwmd+f3"
    ).split(),
    "test": (
        "en-gb-x-rp+zac en-us-nyc+david en-gb-x-gbcwmd+edward en-029+f4 en-us-nyc+Lee en-us+Gene en-us+paul "
        "en-029+Denis"
    ).split(),
}


def speak(voice: str, word: str, speed: int, pitch: int) -> np.ndarray:
    """One word as float64 (n,) at 8 kHz, silence trimmed, peak 0.5."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    wave, rate = soundfile.read(io.BytesIO(sound))
    wave = resample_poly(wave, 160, rate * 160 // RATE)
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1] + 1]
    return 0.5 * wave / np.abs(wave).max()


def record(voice: str, rng: np.random.Generator) -> tuple[np.ndarray, list[list[int]]]:
    """All clips of one speaker as int16 (n,), and for each [digit, take, start, stop, speed, pitch]."""
    waves, rows, start, said = [], [], 0, set()
    for take in range(TAKES):
        for digit, word in enumerate(WORDS):
            speed, pitch = int(rng.integers(110, 190)), int(rng.integers(30, 70))
            while (digit, speed, pitch) in said:  # or two takes would be the same sound
                speed += 1
            said.add((digit, speed, pitch))
            wave = (np.round(speak(voice, word, speed, pitch) * 2047) * 16).astype(np.int16)
            rows.append([digit, take, start, start + len(wave), speed, pitch])
            waves.append(wave)
            start += len(wave)
    return np.concatenate(waves), rows


def assert_distinct(voices: list[str], index: dict[str, dict], folder: Path) -> None:
    """No two voices say a digit alike at the same tempo and pitch, and no two shipped clips are the same."""
    for word in WORDS:
        said = {voice: hashlib.sha256(speak(voice, word, 150, 50).tobytes()).hexdigest() for voice in voices}
        assert len(set(said.values())) == len(voices), f"voices that say {word!r} alike: {said}"
    clips = []
    for entry in index.values():
        wave, _ = soundfile.read(folder / entry["file"], dtype="int16")
        clips += [hashlib.sha256(wave[start:stop].tobytes()).hexdigest() for _, _, start, stop, *_ in entry["clips"]]
    assert len(set(clips)) == len(clips) == len(voices) * len(WORDS) * TAKES, "some clips are the same"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng, index = np.random.default_rng(SEED), {}
    for split, voices in SPEAKERS.items():
        for voice in voices:
            wave, rows = record(voice, rng)
            path = folder / f"{voice.replace('+', '_')}.flac"
            soundfile.write(path, wave, RATE, format="FLAC", subtype="PCM_16")
            sha = hashlib.sha256(wave.astype("<i2").tobytes()).hexdigest()  # of the samples: encoders differ
            index[voice] = {"file": path.name, "split": split, "sha256": sha, "clips": rows}
    assert_distinct([voice for voices in SPEAKERS.values() for voice in voices], index, folder)
    columns = ["digit", "take", "start", "stop", "speed", "pitch"]
    lines = ",\n".join(f"{json.dumps(voice)}: {json.dumps(entry)}" for voice, entry in index.items())
    header = f'"sample_rate": {RATE},\n"columns": {json.dumps(columns)}'
    (folder / "voices.json").write_text(f'{{\n{header},\n"speakers": {{\n{lines}\n}}\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "voices")
