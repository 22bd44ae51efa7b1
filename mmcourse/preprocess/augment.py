"""Augmentation: each function draws from the generator that it is given, for one (h, w, c) picture."""

import numpy as np

from mmcourse.preprocess.arguments import check_generator, check_integer, check_number
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.image import LUMA, check_height_width, check_image, to_float


def random_crop(image, size: tuple[int, int], rng: np.random.Generator, pad: int = 0) -> np.ndarray:
    """Crop (height, width) at a random place, after `pad` mirrored pixels have been added on each side."""
    image = check_image(image)
    rng, pad = check_generator(rng), check_integer("pad", pad, low=0)
    height, width = check_height_width(size)
    if pad:
        image = np.pad(image, [(pad, pad), (pad, pad)] + [(0, 0)] * (image.ndim - 2), mode="reflect")
    max_top, max_left = image.shape[0] - height, image.shape[1] - width
    if max_top < 0 or max_left < 0:
        problem = f"expected at most {image.shape[:2]} (height, width), got {size}"
        raise InputError("size", problem, "pad or resize first")
    top = int(rng.integers(0, max_top + 1))
    left = int(rng.integers(0, max_left + 1))
    return image[top : top + height, left : left + width]


def random_horizontal_flip(image, rng: np.random.Generator, p: float = 0.5) -> np.ndarray:
    """Mirror left and right with probability `p`. Wrong where left and right matter: text, digits, "left of"."""
    image = check_image(image)
    rng, p = check_generator(rng), check_number("p", p, 0, 1)
    return image[:, ::-1] if rng.random() < p else image


def color_jitter(
    image, rng: np.random.Generator, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2
) -> np.ndarray:
    """Multiply brightness, contrast and saturation by factors uniform on 1 ± the argument: float32 (h, w, 3) in 0..1.

    Wrong where color is the answer.
    """
    image = to_float(image)
    if image.ndim != 3 or image.shape[-1] != 3:
        raise InputError("image", f"expected (h, w, 3), got shape {image.shape}", "repeat a gray picture three times")
    rng = check_generator(rng)
    factors = []
    for name, spread in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
        spread = check_number(name, spread, low=0)
        factors.append(1 + rng.uniform(-spread, spread))
    image = image * factors[0]
    image = image.mean() + (image - image.mean()) * factors[1]
    gray = (image @ LUMA)[..., None]  # (h, w, 1)
    return np.clip(gray + (image - gray) * factors[2], 0, 1).astype(np.float32)
