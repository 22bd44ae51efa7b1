"""Render the words of scenes' spoken captions and questions once, with espeak-ng 1.51 (`apt-get install espeak-ng`).

    python data/scenes/make.py            # writes voices/*.flac and voices.json beside this file
    python data/scenes/make.py questions  # writes question_words/*.flac and question_words.json
    python data/scenes/make.py --check    # renders again and compares every sample with the files

Learners never need this. Each of 16 voices says each word once; one FLAC file per voice, 16 kHz mono, 11 bits deep; the
words follow one another in alphabetical order. A voice's question words are as loud as its caption words. The same
espeak-ng gives the same samples again.
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

from mmcourse.datasets.scenes.captions import vocabulary
from mmcourse.datasets.scenes.spoken import QUESTION_WORDS

HERE = Path(__file__).resolve().parent
SAMPLE_RATE = 16_000
WORDS_A_MINUTE = 250  # in one breath; at a slower pace, joined words sound like a list
BITS = 11  # of 16: the hiss stays 50 dB below the voice, and the files get half as large
LOUDNESS = 0.08  # root mean square over all of a voice's words
SPELLING = {"a": "[[@]]", "i": "[[aI]]"}  # phonemes; alone, they would be read as letters
# An accent and a variant with a clear pitch; no variant is in two splits. Not "en-gb": it ignores its variant.
VOICES = {
    "train": "en-us+f2 en+m3 en-us+Gene en-gb-scotland+f4 en-us+m7 en-gb-x-rp+Annie en-029+m1 en-us+linda "
    "en-gb-x-gbcwmd+Alex en-us+belinda",
    "validation": "en-us+f5 en+edward en-gb-x-rp+steph",
    "test": "en-us+shelby en-gb-x-rp+m5 en-gb-scotland+victor",
}


def speak(word: str, voice: str) -> np.ndarray:
    """One word, float64 (n,) at SAMPLE_RATE, without the silence at both ends."""
    command = ["espeak-ng", "-s", str(WORDS_A_MINUTE), "-v", voice, "--stdout", SPELLING.get(word, word)]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    rate = int.from_bytes(out[24:28], "little")
    wave = np.frombuffer(out[44 : len(out) - len(out) % 2], np.int16) / 32768
    wave = resample_poly(wave, SAMPLE_RATE, rate)
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    return wave[max(0, loud[0] - 160) : loud[-1] + 160]


def render_voice(voice: str, words: tuple[str, ...]) -> tuple[np.ndarray, list[int]]:
    """These words of a voice, one after another, int16 (n,); and where each starts, with the end of the last.

    How loud they are is measured on the caption words, whatever is rendered.
    """
    of_captions = [speak(word, voice) for word in vocabulary()]
    waves = of_captions if words == vocabulary() else [speak(word, voice) for word in words]
    loud = np.concatenate(of_captions)
    sound = np.concatenate(waves)
    sound = sound * min(LOUDNESS / np.sqrt(np.mean(loud**2)), 0.98 / np.abs(loud).max())
    step = 2 ** (16 - BITS)
    starts = np.cumsum([0, *map(len, waves)]).tolist()
    return (np.round(np.clip(sound, -0.98, 0.98) * 32767 / step) * step).astype(np.int16), starts


def main() -> None:
    check = "--check" in sys.argv[1:]
    name, words = ("question_words", QUESTION_WORDS) if "questions" in sys.argv[1:] else ("voices", vocabulary())
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    index = {"sample_rate": SAMPLE_RATE, "espeak_ng": version, "words": words, "voices": []}
    (HERE / name).mkdir(exist_ok=True)
    for split, voices in VOICES.items():
        for voice in voices.split():
            sound, starts = render_voice(voice, words)
            path = HERE / name / f"{voice.replace('+', '_').lower()}.flac"
            if check:
                assert np.array_equal(soundfile.read(path, dtype="int16")[0], sound), f"{path.name} differs"
                continue
            data = io.BytesIO()
            soundfile.write(data, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            path.write_bytes(data.getvalue())
            digest = hashlib.sha256(data.getvalue()).hexdigest()
            entry = {"name": voice, "split": split, "file": path.name, "sha256": digest, "starts": starts}
            index["voices"].append(entry)
    if not check:
        (HERE / f"{name}.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
