"""The joint distribution of mood: what the label and the three cues have to do with each other, and nothing else.

Someone feels negative, neutral or positive. Sincere people put that into their words, their voice and their face,
each with some noise. Sarcastic people say the opposite of what they feel, with a smirk; their voice gives them away
a little. So a smirk says nothing about the feeling by itself, and turns the meaning of the words around.
"""

import numpy as np

CLASSES = ("negative", "neutral", "positive")
MODALITIES = ("face", "voice", "words")
CUES = {"face": ("frown", "neutral", "smile", "smirk"), "voice": CLASSES, "words": CLASSES}

#                     negative  neutral  positive
PRIOR = np.array([0.38, 0.24, 0.38])
SARCASTIC = np.array([0.35, 0.05, 0.30])  # p(sarcastic | feeling)

# Rows: what someone feels (for words: what someone claims to feel). Columns: the cue, as in CUES.
FACE = np.array([[0.75, 0.15, 0.10, 0.0], [0.125, 0.75, 0.125, 0.0], [0.10, 0.15, 0.75, 0.0]])
VOICE = np.array([[0.65, 0.20, 0.15], [0.125, 0.75, 0.125], [0.15, 0.20, 0.65]])
WORDS = np.array([[0.90, 0.10, 0.00], [0.075, 0.85, 0.075], [0.00, 0.10, 0.90]])
SMIRK = np.array([0.0, 0.0, 0.0, 1.0])


def joint_table() -> np.ndarray:
    """p(feeling, face, voice, words), float64 (3, 4, 3, 3): the sum of how the sincere and the sarcastic behave."""
    sincere = np.einsum("y,yf,yv,yw->yfvw", PRIOR * (1 - SARCASTIC), FACE, VOICE, WORDS)
    sarcastic = np.einsum("y,f,yv,yw->yfvw", PRIOR * SARCASTIC, SMIRK, VOICE, WORDS[::-1])
    return sincere + sarcastic


JOINT = joint_table()
