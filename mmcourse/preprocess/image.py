"""Pictures: from a file to arrays, with resizing and edges written out.

Arrays are channels-last, ``(h, w, c)``, as in Pillow and Keras; `to_channels_first` gives PyTorch's order.
"""

import io
import warnings

import numpy as np

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.source import read_bytes

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000")  # none that runs a program
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601: how bright red, green and blue look


def read(source, mode: str = "RGB", background=(255, 255, 255), max_pixels: int = 50_000_000) -> np.ndarray:
    """Decode a picture, upright and opaque.

    The content decides the format, not the extension. EXIF rotation is applied; see-through pixels are laid on
    `background`; palettes, CMYK and 1-bit are converted; 16-bit is scaled to 8 (Pillow's own `convert` clips it);
    an animation gives its first frame.

    Parameters
    ----------
    source : path, bytes or binary file
    mode : "RGB", "RGBA" (keeps the alpha channel) or "L" (grey)
    background : three integers 0..255
    max_pixels : int
        Refuse larger pictures before any pixel is decoded: a few kilobytes can unfold to gigabytes.

    Returns
    -------
    uint8 (h, w, 3), (h, w, 4) or (h, w, 1)

    Raises
    ------
    FileNotFoundError, InputError
        Missing; or empty, truncated, no picture, too large.
    """
    if mode not in ("RGB", "RGBA", "L"):
        raise InputError("mode", f'expected "RGB", "RGBA" or "L", got {mode!r}', "choose one of them")
    data, name = read_bytes(source, "image")
    with open_image(data, name, max_pixels) as image, guarded(name):
        return flatten(image, mode, background, name)


class guarded:
    """Turn whatever a decoder raises into InputError; Pillow's raise some twenty kinds on damaged files."""

    def __init__(self, name: str) -> None:
        self.name, self.quiet = name, warnings.catch_warnings()

    def __enter__(self) -> None:
        self.quiet.__enter__()
        warnings.simplefilter("ignore")  # on damaged metadata, which is not used

    def __exit__(self, kind, error, trace) -> None:
        self.quiet.__exit__(kind, error, trace)
        if kind and issubclass(kind, Exception) and not issubclass(kind, InputError):
            problem = f"cannot be decoded as a picture ({str(error).splitlines()[0] if str(error) else kind.__name__})"
            remedy = "check that it is whole, and one of " + ", ".join(FORMATS)
            raise InputError(self.name, problem, remedy) from None


def open_image(data: bytes, name: str, max_pixels: int = 50_000_000):
    """Pillow's image of `data`, with its size checked and nothing decoded yet."""
    from PIL import Image

    with guarded(name):
        try:
            Image.init()
            image = Image.open(io.BytesIO(data), formats=[f for f in FORMATS if f in Image.OPEN])
        except Image.DecompressionBombError:
            raise InputError(name, f"more than {max_pixels:,} pixels", "raise max_pixels if you trust it") from None
        except Image.UnidentifiedImageError:
            raise ValueError("no known format") from None
        check_size(image, name, max_pixels)
    return image


def check_size(image, name: str, max_pixels: int) -> None:
    """Refuse a Pillow image of more than `max_pixels`."""
    if image.width * image.height > max_pixels:
        problem = f"{image.width} x {image.height} is more than {max_pixels:,} pixels"
        raise InputError(name, problem, "shrink it, or raise max_pixels if you trust it")


def flatten(image, mode: str, background, name: str) -> np.ndarray:
    """One Pillow frame, whatever its mode, to an upright uint8 array."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_eight_bits(np.asarray(image), name))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
    array = np.array(image.convert("RGB").convert("L") if mode == "L" and image.mode != "L" else image.convert(mode))
    return array[..., None] if array.ndim == 2 else array


def _to_eight_bits(array, name):
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(name, "holds NaN or infinite pixels", "repair them before saving")
        scale = 255 if 0 <= low and high <= 1 else 1
    else:
        scale = 1 / 257  # 65535 -> 255
    if low < 0 or round(high * scale) > 255:
        raise InputError(name, f"pixels from {low} to {high} fit no 8-bit or 16-bit scale", "rescale before saving")
    return np.round(array.astype(np.float64) * scale).astype(np.uint8)


def check_image(image, where: str = "image") -> np.ndarray:
    """Return `image` as an array (..., h, w, c) or (h, w) of uint8 or floats, or say what is wrong with it."""
    image = np.asarray(image)
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise InputError(where, f"expected uint8 or floats, got {image.dtype}", "convert it first")
    if image.ndim < 2 or 0 in image.shape:
        raise InputError(where, f"expected (h, w) or (h, w, c) with pixels in it, got shape {image.shape}", "check it")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(where, "holds NaN or infinite pixels", "repair them first")
    return image


def resize_weights(n: int, new: int, method: str = "bilinear", antialias: bool = True) -> np.ndarray:
    """How much of each of `n` old pixels goes into each of `new` ones, float64 (new, n), rows summing to 1.

    Centre of new pixel i, in old pixels: (i + ½) n/new. Weight of old pixel j: f((j + ½ - centre) / s), where f is a
    triangle of half-width 1 (bilinear) or a box of half-width ½ (area). With `antialias`, s grows to n/new when
    shrinking, so every old pixel counts; without it s stays 1, and fine detail turns into patterns that never were.
    """
    scale, old = n / new, np.arange(n)
    if method == "nearest":
        center = np.cumsum([scale / 2] + [scale] * (new - 1))[:, None]  # added up as Pillow does: ties round alike
        return (old == np.minimum(center.astype(int), n - 1)).astype(np.float64)
    if method not in ("bilinear", "area"):
        raise InputError("method", f'expected "nearest", "bilinear" or "area", got {method!r}', "choose one of them")
    center = (np.arange(new)[:, None] + 0.5) * scale
    s = max(scale, 1.0) if antialias else 1.0
    half = s if method == "bilinear" else s / 2
    distance = (old - center + 0.5) * (1 / s)  # (new, n)
    near = (old >= np.floor(center - half + 0.5)) & (old < np.floor(center + half + 0.5))
    if method == "bilinear":
        weights = near * np.maximum(0, 1 - np.abs(distance))
    else:
        weights = near * ((distance > -0.5) & (distance <= 0.5))  # and not `near` alone: again, ties as in Pillow
    return weights / weights.sum(axis=1, keepdims=True)


def resize(image, size: tuple[int, int], method: str = "bilinear", antialias: bool = True) -> np.ndarray:
    """Resize (h, w) or (..., h, w, c) to `size` = (height, width): one matrix along each side.

    Along the rows first, then down the columns. For uint8 each step equals Pillow bit by bit: its weights are multiples
    of 2⁻²², and it rounds after each step. (From version 13 it goes down first when the height shrinks much more; then
    a pixel may differ by 1.)

    Parameters
    ----------
    method : "nearest", "bilinear" or "area"
    antialias : bool
        See `resize_weights`.
    """
    image = check_image(image)
    if len(size) != 2 or min(size) < 1:
        raise InputError("size", f"expected (height, width) of at least 1, got {size}", "mind the order: height first")
    whole = image.dtype == np.uint8
    out = (image[..., None] if image.ndim == 2 else image).astype(np.float64 if whole else image.dtype)
    for axis, new in ((-2, size[1]), (-3, size[0])):
        weights = resize_weights(out.shape[axis], new, method, antialias)
        weights = np.floor(weights * 2**22 + 0.5) / 2**22 if whole else weights.astype(out.dtype)
        out = np.swapaxes(weights @ np.swapaxes(out, axis, -2), axis, -2)
        out = np.clip(np.floor(out + 0.5), 0, 255) if whole else out
    out = out[..., 0] if image.ndim == 2 else out
    return out.astype(image.dtype)


def grayscale(image) -> np.ndarray:
    """Brightness 0.299 R + 0.587 G + 0.114 B (Rec. 601): (..., 3) to (...). uint8 equals Pillow's "L"."""
    image = check_image(image)
    if image.shape[-1] != 3:
        raise InputError("image", f"expected 3 channels last, got shape {image.shape}", "is it channels-first?")
    if image.dtype == np.uint8:
        return ((image.astype(np.int64) @ [19595, 38470, 7471] + 2**15) >> 16).astype(np.uint8)
    return image @ LUMA.astype(image.dtype)


def to_float(image) -> np.ndarray:
    """uint8 0..255 to float32 0..1; floats are returned as they are."""
    image = check_image(image)
    return image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image


def normalize(image, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)) -> np.ndarray:
    """(x - mean) / std for each channel of (..., c), x in 0..1; mean and std come from the *training* pictures."""
    mean, std = (np.asarray(value, dtype=np.float32) for value in (mean, std))
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise InputError("std", f"expected finite positive numbers, got {std}", "a constant channel carries nothing")
    return (to_float(image) - mean) / std


def to_channels_first(image) -> np.ndarray:
    """(..., h, w, c) to (..., c, h, w): a view with the axes moved, which a reshape would not do."""
    return np.moveaxis(image, -1, -3)


def to_channels_last(image) -> np.ndarray:
    """(..., c, h, w) to (..., h, w, c)."""
    return np.moveaxis(image, -3, -1)
