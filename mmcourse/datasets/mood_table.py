"""The joint distribution of mood: what the label and the three cues have to do with each other, and nothing else."""

import numpy as np

CLASSES = ("negative", "neutral", "positive")
MODALITIES = ("face", "voice", "words")
CUES = {
    "face": ("frown", "neutral", "smile", "smirk"),
    "voice": ("negative", "neutral", "positive"),
    "words": ("negative", "neutral", "positive"),
}
PRIOR = np.array([0.36, 0.28, 0.36])
SARCASM = np.array([0.4, 0.0, 0.4])
FACE = np.array([[0.70, 0.24, 0.06, 0.0], [0.14, 0.72, 0.14, 0.0], [0.06, 0.24, 0.70, 0.0]])
SMIRK = np.array([0.0, 0.0, 0.0, 1.0])
VOICE = np.array([[0.70, 0.22, 0.08], [0.16, 0.68, 0.16], [0.08, 0.22, 0.70]])
WORDS = np.array([[0.85, 0.10, 0.05], [0.10, 0.80, 0.10], [0.05, 0.10, 0.85]])


def joint() -> np.ndarray:
    """p(y, face, voice, words), float64 (3, 4, 3, 3)."""
    face = np.stack([FACE, np.broadcast_to(SMIRK, FACE.shape)])
    words = np.stack([WORDS, WORDS[::-1]])
    mix = PRIOR * np.stack([1 - SARCASM, SARCASM])
    return np.einsum("sy,syf,yv,syw->yfvw", mix, face, VOICE, words)


JOINT = joint()
