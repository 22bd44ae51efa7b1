"""Render the voices of mood once, with espeak-ng 1.51 (`apt-get install espeak-ng`); learners never need this.

python data/mood/make.py            # writes voices/*.flac and voices.json beside this file
python data/mood/make.py --check    # renders again and compares every sample with the files
"""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

HERE = Path(__file__).resolve().parent
CARRIER = "I will see you there after the show."
SAMPLE_RATE = 16_000
TAKES = 3
BITS = 11  # of 16; the hiss stays 50 dB below the voice, and the files get half as large
LOUDNESS = 0.08  # root mean square of each clip, so that loudness carries no mood
WORDS_A_MINUTE = 190
SECONDS = 1.45  # how long every voice takes in the neutral mood, before its own few per cent
# Per cent of the voice's own pitch, pitch range and tempo.
MOODS = {"negative": (-24, 35, 78), "neutral": (0, 85, 100), "positive": (30, 200, 125)}
ACCENTS = ("en", "en-us", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan", "en-us", "en-gb-x-gbcwmd")
# Variants with a clear pitch. No variant is in two splits.
VARIANTS = {
    "train": "f1 Alex Annie Denis f3 Gene m4 linda Henrique edward zac Lee grandma iven steph john Diogo pablo belinda "
    "victor adam m6 Hugo caleb iven2 klatt kaukovalta steph2 klatt2 m7 benjamin klatt4",
    "validation": "f2 norbert ed f5 michel m3",
    "test": "f4 Nguyen shelby m2 sandro aunty travis miguel m5 Gene2",
}


def ssml(mood: str, pitch: float, spread: float, tempo: float) -> str:
    """The carrier sentence with a mood's prosody, bent by a speaker's and a take's own."""
    p, r, t = MOODS[mood]
    prosody = f'pitch="{p + pitch:+.0f}%" range="{r * spread:.0f}%" rate="{t * tempo:.0f}%"'
    return f"<speak><prosody {prosody}>{CARRIER}</prosody></speak>"


def speak(text: str, voice: str) -> np.ndarray:
    """float64 (n,) at SAMPLE_RATE: without the silence at both ends, and at LOUDNESS."""
    command = ["espeak-ng", "-m", "-s", str(WORDS_A_MINUTE), "-v", voice, "--stdout"]
    out = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    rate = int.from_bytes(out[24:28], "little")
    wave = np.frombuffer(out[44 : len(out) - len(out) % 2], np.int16) / 32768
    wave = resample_poly(wave, SAMPLE_RATE, rate)
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    wave = wave[max(0, loud[0] - 160) : loud[-1] + 160]
    wave = wave * LOUDNESS / np.sqrt(np.mean(wave**2))
    return wave * min(1, 0.98 / np.abs(wave).max())


def quantize(wave: np.ndarray) -> np.ndarray:
    """int16 (n,) with BITS bits in use."""
    step = 2 ** (16 - BITS)
    return (np.round(wave * 32767 / step) * step).astype(np.int16)


def render_voice(voice: str, seed: int) -> tuple[np.ndarray, list[dict]]:
    """All clips of one voice, one after another, int16 (n,); and where each is."""
    rng = np.random.default_rng(seed)
    own_pitch, own_spread, own_tempo = rng.uniform(-4, 4), rng.uniform(0.92, 1.08), rng.uniform(0.97, 1.03)
    # Some accents and variants speak faster than others, as fast as another's happy mood; bring them to one tempo.
    own_tempo *= len(speak(ssml("neutral", 0, 1, 1), voice)) / (SECONDS * SAMPLE_RATE)
    parts, clips, start = [], [], 0
    for mood in MOODS:
        for take in range(TAKES):
            bend = (
                own_pitch + rng.uniform(-3, 3),
                own_spread * rng.uniform(0.9, 1.1),
                own_tempo * rng.uniform(0.97, 1.03),
            )
            wave = quantize(speak(ssml(mood, *bend), voice))
            parts.append(wave)
            clips.append({"mood": mood, "take": take, "start": start, "stop": start + len(wave)})
            start += len(wave)
    return np.concatenate(parts), clips


def main() -> None:
    check = "--check" in sys.argv[1:]
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    index = {"carrier": CARRIER, "sample_rate": SAMPLE_RATE, "espeak_ng": version, "voices": []}
    names = [(split, variant) for split, variants in VARIANTS.items() for variant in variants.split()]
    for number, (split, variant) in enumerate(names):
        accent = ACCENTS[number % len(ACCENTS)]
        wave, clips = render_voice(f"{accent}+{variant}", seed=number)
        path = HERE / "voices" / f"{number:02d}_{variant.lower()}.flac"
        if check:
            assert np.array_equal(soundfile.read(path, dtype="int16")[0], wave), f"{path.name} differs"
            continue
        data = io.BytesIO()
        soundfile.write(data, wave, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        path.write_bytes(data.getvalue())
        digest = hashlib.sha256(data.getvalue()).hexdigest()
        entry = {"name": variant.lower(), "accent": accent, "split": split, "file": path.name, "sha256": digest}
        index["voices"].append({**entry, "clips": clips})
    if not check:
        (HERE / "voices.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
