"""Pictures: from a file to arrays, with resizing written out.

Arrays are channels-last, ``(h, w, c)``, as in Pillow and Keras; `to_channels_first` gives PyTorch's order.
"""

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterator

import numpy as np

from mmcourse.preprocess.arguments import check_choice, check_integer, check_number, describe
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.signatures import foreign_format, is_avif, is_heic, is_video
from mmcourse.preprocess.source import read_bytes

# None that runs a program. HEIF: only where the package pillow-heif has been installed and registered.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000", "HEIF")
MODES = ("RGB", "RGBA", "L")
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601: how bright red, green and blue look


def read(
    source,
    mode: str = "RGB",
    background=(255, 255, 255),
    max_pixels: int = 50_000_000,
    max_value: float | None = None,
) -> np.ndarray:
    """Decode a picture, upright and opaque.

    The content decides the format, not the extension. EXIF rotation is applied; transparent pixels are laid on
    `background`; palettes, CMYK and 1-bit are converted; more than 8 bits are scaled to 8 (Pillow's own `convert` clips
    them); an animation gives its first frame.

    Parameters
    ----------
    source : path, bytes or binary file
    mode : "RGB", "RGBA" (keeps the alpha channel) or "L" (gray)
    background : three integers 0..255
    max_pixels : int
        Refuse larger pictures before any pixel is decoded: a few kilobytes can unfold to gigabytes.
    max_value : float, optional
        For single-channel pictures of 16 or 32 bits or floats: the value that becomes 255. By default 255, so that
        pixels keep their values, where none is greater (labels, 8 bits in a wider file); 65535 for other integers;
        1 for floats in 0..1. Name it where all pictures of a data set must be scaled alike.

    Returns
    -------
    uint8 (h, w, 3), (h, w, 4) or (h, w, 1)

    Raises
    ------
    FileNotFoundError, InputError
        Missing; or empty, truncated, no picture, too large, or pixels that fit no scale.
    """
    check_choice("mode", mode, MODES)
    background = check_background(background)
    max_pixels = check_integer("max_pixels", max_pixels)
    max_value = None if max_value is None else check_number("max_value", max_value, above=0)
    data, name = read_bytes(source, "image")
    with open_image(data, name, max_pixels) as image, decoder_errors(name, max_pixels):
        array = to_uint8(image, mode, background, name, max_value)
        check_size(image, name, max_pixels)  # again: an icon's real size is known only when it is decoded
        return array


def check_background(background) -> tuple[int, int, int]:
    """Return `background` as three integers 0..255, or raise InputError."""
    try:
        values = tuple(background)
    except TypeError:
        values = ()
    if len(values) != 3 or isinstance(background, str | bytes):
        problem = f"expected three integers 0..255, got {describe(background)}"
        raise InputError("background", problem, "for white, pass (255, 255, 255)")
    red, green, blue = (check_integer("background", value, 0, 255) for value in values)
    return red, green, blue


_limit_lock = threading.RLock()


@contextlib.contextmanager
def decoder_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Turn whatever a decoder raises into InputError; Pillow's raise some twenty kinds on damaged files."""
    try:
        with warnings.catch_warnings(), _pillow_limit(max_pixels):
            warnings.simplefilter("ignore")  # about damaged metadata, which is not used
            yield
    except InputError:
        raise
    except MemoryError:
        raise InputError(name, "does not fit in memory", "shrink it, or lower max_pixels to refuse it early") from None
    except Exception as error:
        lines = str(error).splitlines()
        reason = re.sub(r"<[^>]* at 0x[0-9a-fA-F]+>", "it", lines[0]) if lines else type(error).__name__
        remedy = "check that it is whole, and one of " + ", ".join(FORMATS[:-1])
        raise InputError(name, f"cannot be decoded as a picture ({reason})", remedy) from None


@contextlib.contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Raise Pillow's own limit, which is global, where the caller asks for more."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or max_pixels <= 2 * limit:  # it warns above its limit, and refuses above twice that
        yield
        return
    with _limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def open_image(data: bytes, name: str, max_pixels: int = 50_000_000):
    """Pillow's image of `data`, with its size checked and nothing decoded yet."""
    from PIL import Image

    with decoder_errors(name, max_pixels):
        Image.init()
        formats = [format for format in FORMATS if format in Image.OPEN]
        if is_heic(data) and "HEIF" not in formats:
            remedy = (
                "save it as JPEG, or run `pip install pillow-heif` and, before reading, "
                "`import pillow_heif; pillow_heif.register_heif_opener()`"
            )
            raise InputError(name, "a HEIC picture, as iPhones take them, which Pillow alone cannot decode", remedy)
        if is_avif(data) and "AVIF" not in formats:
            remedy = "install a newer Pillow (pip install -U pillow), or save it as JPEG or PNG"
            raise InputError(name, "an AVIF picture, which this Pillow was built without", remedy)
        if is_video(data):
            raise InputError(name, "a video, not a picture", "read it with mmcourse.preprocess.video.read")
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except Image.DecompressionBombError:
            raise InputError(name, f"more than {max_pixels:,} pixels", "raise max_pixels if you trust it") from None
        except Image.UnidentifiedImageError:
            raise ValueError(foreign_format(data) or "no known format") from None
        check_size(image, name, max_pixels)
        if image.format == "JPEG2000" and b"\xff\xd9" not in data:
            raise ValueError("the end of its code stream is missing")  # OpenJPEG decodes what there is, without a word
    return image


def check_size(image, name: str, max_pixels: int) -> None:
    """Refuse a Pillow image of more than `max_pixels`."""
    if image.width * image.height > max_pixels:
        problem = f"{image.width} x {image.height} is more than {max_pixels:,} pixels"
        raise InputError(name, problem, "shrink it, or raise max_pixels if you trust it")


def to_uint8(image, mode: str, background, name: str, max_value: float | None = None) -> np.ndarray:
    """Turn one Pillow frame, whatever its mode, into an upright uint8 array (h, w, c)."""
    from PIL import Image, ImageOps

    tiles = getattr(image, "tile", ())  # how the pixels are stored; forgotten once they are decoded
    wide_color = image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[3]) for tile in tiles)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _scale_gray(image, name, max_value)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
    if mode == "L" and image.mode != "L":
        image = image.convert("RGB").convert("L")
    array = np.array(image.convert(mode))
    if wide_color and not array[..., :3].any():
        problem = "its 16-bit colors are all below 256, and would turn black"
        raise InputError(name, problem, "save it with 8 bits per channel")
    return array[..., None] if array.ndim == 2 else array


def _scale_gray(image, name, max_value):
    """A Pillow image of one wide channel ("I;16", "I" or "F") as "L", or "LA" if one of its values is transparent."""
    from PIL import Image

    values = np.asarray(image)
    gray = Image.fromarray(_to_eight_bits(values, name, max_value))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return gray
    alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (gray, alpha))


def _to_eight_bits(values, name, max_value):
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(name, "holds NaN or infinite pixels", "repair them before saving")
    if max_value is None and values.dtype.kind == "f":
        max_value = 1.0 if 0 <= low and high <= 1 else 255.0
    elif max_value is None:
        max_value = 255.0 if high <= 255 else 65535.0  # labels, or 8-bit pixels in a wider file
    if low < 0 or round(float(high) / max_value * 255) > 255:
        problem = f"pixels from {low} to {high} fit no 8-bit or 16-bit scale"
        if low < 0:
            raise InputError(name, problem, "shift them so that none is negative, before saving")
        raise InputError(name, problem, f"pass max_value={high}, which will become 255")
    return np.round(values.astype(np.float64) * (255 / max_value)).astype(np.uint8)


def check_image(image, where: str = "image") -> np.ndarray:
    """Return `image` as an array (..., h, w, c) or (h, w) of uint8 or floats, or say what is wrong with it."""
    try:
        image = np.asarray(image)
    except ValueError:  # lists of different lengths
        raise InputError(where, "its rows have different lengths", "pass an array (h, w) or (h, w, c)") from None
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise InputError(where, f"expected uint8 or floats, got {image.dtype}", "convert it first")
    if image.ndim < 2 or 0 in image.shape:
        raise InputError(where, f"expected (h, w) or (h, w, c) with pixels in it, got shape {image.shape}", "check it")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(where, "holds NaN or infinite pixels", "repair them first")
    return image


def check_height_width(size) -> tuple[int, int]:
    """Return `size` as (height, width), or raise InputError."""
    try:
        height, width = size
        return check_integer("size", height), check_integer("size", width)
    except (TypeError, ValueError):  # InputError is a ValueError
        problem = f"expected (height, width), two whole numbers of at least 1, got {describe(size)}"
        raise InputError("size", problem, "mind the order: height first") from None


def resize_weights(n: int, new: int, method: str = "bilinear", antialias: bool = True) -> np.ndarray:
    """How much of each of `n` old pixels goes into each of `new` ones, float64 (new, n), rows summing to 1.

    Center of new pixel i, in old pixels: (i + ½) n/new. Weight of old pixel j: f((j + ½ - center) / s), where f is a
    triangle of half-width 1 (bilinear) or a box of half-width ½ (area). With `antialias`, s grows to n/new when
    shrinking, so that every old pixel counts; without it s stays 1, and fine detail aliases.
    """
    check_choice("method", method, ("nearest", "bilinear", "area"))
    n, new = check_integer("n", n), check_integer("new", new)
    scale, old = n / new, np.arange(n)
    if method == "nearest":
        center = np.cumsum([scale / 2] + [scale] * (new - 1))[:, None]  # added up as Pillow does: ties round alike
        return (old == np.minimum(center.astype(int), n - 1)).astype(np.float64)
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
    height, width = check_height_width(size)
    whole = image.dtype == np.uint8
    out = (image[..., None] if image.ndim == 2 else image).astype(np.float64 if whole else image.dtype)
    for axis, new in ((-2, width), (-3, height)):
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
    image = to_float(image)
    mean, std = _check_channels("mean", mean, image), _check_channels("std", std, image)
    if not (std > 0).all():
        raise InputError("std", f"expected finite positive numbers, got {std}", "leave a constant channel out")
    return (image - mean) / std


def _check_channels(name, values, image):
    """One number, or one per channel, as float32."""
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        array = np.array(np.nan, np.float32)
    if not np.isfinite(array).all():
        raise InputError(name, f"expected finite numbers, got {describe(values)}", "pass one number per channel")
    if array.ndim > 1 or array.size not in (1, image.shape[-1]):
        problem = f"expected one number for each of the {image.shape[-1]} channels, got shape {array.shape}"
        raise InputError(name, problem, "check that the channels are last")
    return array


def to_channels_first(image) -> np.ndarray:
    """(..., h, w, c) to (..., c, h, w): a view with the axes moved, which a reshape would not do."""
    return np.moveaxis(_check_three_axes(image), -1, -3)


def to_channels_last(image) -> np.ndarray:
    """(..., c, h, w) to (..., h, w, c)."""
    return np.moveaxis(_check_three_axes(image), -3, -1)


def _check_three_axes(image):
    if np.ndim(image) < 3:
        problem = f"expected at least three axes, got shape {np.shape(image)}"
        raise InputError("image", problem, "add the channels: image[..., None]")
    return image
