"""New pictures from old: each function draws from the generator that it is given, for one (h, w, c) picture."""

import numpy as np

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.image import LUMA, check_image, to_float


def random_crop(image, size: tuple[int, int], rng: np.random.Generator, pad: int = 0) -> np.ndarray:
    """A (height, width) piece at a random place, after `pad` mirrored pixels on each side."""
    image = check_image(image)
    image = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], mode="reflect") if pad else image
    room = image.shape[0] - size[0], image.shape[1] - size[1]
    if min(room) < 0 or min(size) < 1:
        raise InputError(
            "size", f"expected at most {image.shape[:2]} (height, width), got {size}", "pad or resize first"
        )
    top, left = (int(rng.integers(0, space + 1)) for space in room)
    return image[top : top + size[0], left : left + size[1]]


def random_horizontal_flip(image, rng: np.random.Generator, p: float = 0.5) -> np.ndarray:
    """Left-right mirror with probability `p`. It lies where left and right matter: text, digits, "left of"."""
    return check_image(image)[:, ::-1] if rng.random() < p else check_image(image)


def color_jitter(image, rng: np.random.Generator, brightness=0.2, contrast=0.2, saturation=0.2) -> np.ndarray:
    """Multiply light, contrast and saturation by factors uniform on 1 ± the argument; float32 (h, w, 3) in 0..1.

    It lies where colour is the answer.
    """
    image = to_float(image)
    light, spread, chroma = (1 + rng.uniform(-x, x) for x in (brightness, contrast, saturation))
    image = image * light
    image = image.mean() + (image - image.mean()) * spread
    gray = (image @ LUMA)[..., None]
    return np.clip(gray + (image - gray) * chroma, 0, 1).astype(np.float32)
