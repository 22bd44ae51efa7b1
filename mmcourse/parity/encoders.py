"""The small encoders: what goes in, and how many parameters they have."""

from .case import ParityCase
from .fusion import BATCH, WIDTH, padding_mask


def words(rng):
    """Ids 0 … 6 of 7 words, padded."""
    return {"ids": rng.integers(7, size=(BATCH, 6)), "padding_mask": padding_mask(rng, 6)}


def voice(rng):
    """Nine frames of three bands, padded: four whole steps of two and a half one."""
    return {"x": rng.normal(size=(BATCH, 9, 3)), "padding_mask": padding_mask(rng, 9)}


def face(rng):
    """Images of a size that four does not divide."""
    return {"x": rng.random((BATCH, 10, 10, 2))}


FORMULAS = [
    ParityCase(
        "text encoder",
        "encoders.text_encoder",
        "encoders.TextEncoder",
        words,
        count=7 * WIDTH + 2 * (WIDTH**2 + WIDTH),
        config={"vocabulary": 7, "width": WIDTH},
    ),
    ParityCase(
        "audio encoder",
        "encoders.audio_encoder",
        "encoders.AudioEncoder",
        voice,
        count=(2 * 3 + 1) * 4 + (2 * 4 + 1 + 1) * WIDTH + (WIDTH + 1) * WIDTH,
        config={"bands": 3, "width": WIDTH, "channels": 4},
    ),
    ParityCase(
        "image encoder",
        "encoders.image_encoder",
        "encoders.ImageEncoder",
        face,
        count=(9 * 2 + 1) * 3 + (9 * 3 + 1) * 4 + (3 * 3 * 4 + 1) * WIDTH,
        config={"width": WIDTH, "size": 10, "colors": 2, "channels": (3, 4)},
        torch_call=lambda layer, inputs: layer(inputs["x"].permute(0, 3, 1, 2)),
    ),
]
