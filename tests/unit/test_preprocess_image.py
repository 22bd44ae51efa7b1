"""Pictures: every mode comes out right, resizing equals Pillow's, and damaged files say what is wrong."""

import io

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from PIL import Image, features

from mmcourse.preprocess import augment, edges, image
from mmcourse.preprocess.errors import InputError

FILTERS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "area": Image.Resampling.BOX}


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(h=12, w=16, c=3):
    """Smooth, so that a lossy format keeps it."""
    rows, columns, channels = np.mgrid[0:h, 0:w, 0:c]
    return (rows * 8 + columns * 5 + channels * 30).astype(np.uint8)


def save(array_or_image, format="PNG", **options):
    source = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    file = io.BytesIO()
    source.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_every_format_gives_the_picture(format):
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    out = image.read(save(picture(), format))
    assert out.shape == (12, 16, 3) and out.dtype == np.uint8
    tolerance = 0 if format in ("PNG", "BMP", "TIFF", "PPM", "JPEG2000") else 60
    assert np.abs(out.astype(int) - picture()).max() <= tolerance


def test_modes():
    gray, flat = picture(c=1)[..., 0], np.full((4, 4), 200, np.uint8)
    assert (image.read(save(gray), "L") == gray[..., None]).all()
    assert (image.read(save(gray)) == gray[..., None]).all()  # grey to three equal channels
    bits = image.read(save(Image.fromarray(gray).convert("1")))
    assert set(np.unique(bits)) <= {0, 255}
    sixteen = np.array([[0, 257, 32_896, 65_535]], np.uint16)
    for order in ("<u2", ">u2"):
        assert image.read(save(sixteen.astype(order), "TIFF"))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert image.read(save(sixteen))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert (image.read(save(flat.astype(np.float32) / 255, "TIFF")) == 200).all()
    assert (image.read(save(flat.astype(np.float32), "TIFF")) == 200).all()
    cmyk = Image.fromarray(picture()).convert("CMYK")
    assert (image.read(save(cmyk, "TIFF")) == picture()).all()
    palette = Image.fromarray(picture()).quantize(200)
    assert (image.read(save(palette)) == np.asarray(palette.convert("RGB"))).all()
    with pytest.raises(InputError, match="mode: expected"):
        image.read(save(gray), "HSV")


def test_alpha_is_laid_on_the_background():
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0] = (255, 0, 0, 255)
    for background in ((255, 255, 255), (0, 0, 255)):
        out = image.read(save(clear), background=background)
        assert (out[0] == (255, 0, 0)).all() and (out[1] == background).all()
    assert (image.read(save(clear), "RGBA") == clear).all()
    half = Image.new("LA", (1, 1), (100, 128))
    assert abs(int(image.read(save(half))[0, 0, 0]) - 177) <= 1
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert image.read(save(palette, transparency=1))[0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize(
    "orientation, turn", [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)]
)
def test_exif_rotation_is_applied(orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (image.read(save(picture(), exif=exif)) == turn(picture())).all()


def test_animation_gives_its_first_frame():
    frames = [Image.fromarray(np.full((5, 5, 3), value, np.uint8)) for value in (0, 255)]
    for format in ("GIF", "PNG", "WEBP"):
        assert not image.read(save(frames[0], format, save_all=True, append_images=frames[1:])).any()


def test_one_pixel_and_the_extension_is_ignored(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_bytes(save(picture(1, 1)))
    assert image.read(path).shape == (1, 1, 3)


def png_header(width, height):
    import struct
    import zlib

    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


BAD = {
    "empty": (b"", "empty"),
    "a letter": (b"Dear picture" * 9, "cannot be decoded"),
    "20,000 x 20,000": (png_header(20_000, 20_000), "more than 50,000,000 pixels"),
    "8,000 x 8,000": (png_header(8_000, 8_000), "8000 x 8000 is more"),
    "header only": (png_header(8, 8), "cannot be decoded"),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
    "NaN": (save(np.full((2, 2), np.nan, np.float32), "TIFF"), "NaN"),
    "floats of no scale": (save(np.full((2, 2), -5, np.float32), "TIFF"), "fit no 8-bit"),
    "32-bit": (save(np.full((2, 2), 2**20, np.int32), "TIFF"), "fit no 8-bit"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_what_is_wrong(name):
    data, message = BAD[name]
    with pytest.raises(InputError, match=message):
        image.read(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_files_say_so(format):
    data = save(rng().integers(0, 256, (64, 64, 3), dtype=np.uint8), format)
    with pytest.raises(InputError, match="cannot be decoded"):
        image.read(data[: len(data) * 2 // 3])


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such image file"):
        image.read(tmp_path / "none.png")
    with pytest.raises(InputError, match="folder"):
        image.read(tmp_path)


@pytest.mark.parametrize("method", FILTERS)
def test_resize_equals_pillow_bit_by_bit(method):
    """One side at a time: which side Pillow takes first depends on its version."""
    for _ in range(60):
        h, w, new_h, new_w = rng(_).integers(1, 70, 4).tolist()
        pixels = rng(_).integers(0, 256, (h, w, 3), dtype=np.uint8)
        theirs = Image.fromarray(pixels).resize((new_w, h), FILTERS[method])
        theirs = np.asarray(theirs.resize((new_w, new_h), FILTERS[method]))
        assert (image.resize(pixels, (new_h, new_w), method) == theirs).all()
        at_once = np.asarray(Image.fromarray(pixels).resize((new_w, new_h), FILTERS[method]))
        assert np.abs(theirs.astype(int) - at_once).max() <= 1
        floats = pixels[..., 0].astype(np.float32)
        theirs = np.asarray(Image.fromarray(floats).resize((new_w, new_h), FILTERS[method]))
        np.testing.assert_allclose(image.resize(floats, (new_h, new_w), method), theirs, atol=1e-3)


def test_resize_without_antialias_equals_scipy_inside():
    values = rng().standard_normal((20, 20))
    ours = image.resize(values, (8, 8), antialias=False)
    at = (np.arange(8) + 0.5) * 20 / 8 - 0.5
    theirs = scipy.ndimage.map_coordinates(values, np.meshgrid(at, at, indexing="ij"), order=1)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_resize_batch_and_arguments():
    batch = rng().random((3, 9, 9, 2)).astype(np.float32)
    np.testing.assert_allclose(image.resize(batch, (4, 5))[1], image.resize(batch[1], (4, 5)), rtol=1e-6)
    assert image.resize(picture(), (12, 16)).tolist() == picture().tolist()
    for size in ((0, 4), (4,), (-1, 2)):
        with pytest.raises(InputError, match="height first"):
            image.resize(picture(), size)
    with pytest.raises(InputError, match="method"):
        image.resize(picture(), (4, 4), "cubic")
    for wrong, message in (
        (picture().astype(int), "int64"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.array([[np.nan]]), "NaN"),
        (np.zeros(4), "shape"),
    ):
        with pytest.raises(InputError, match=message):
            image.resize(wrong, (4, 4))


def test_grayscale_equals_pillow():
    pixels = rng().integers(0, 256, (40, 40, 3), dtype=np.uint8)
    gray = image.grayscale(pixels)
    assert (gray == np.asarray(Image.fromarray(pixels).convert("L"))).all()
    np.testing.assert_allclose(image.grayscale(image.to_float(pixels)) * 255, gray, atol=0.51)
    with pytest.raises(InputError, match="channels-first"):
        image.grayscale(image.to_channels_first(picture(7, 9)))


def test_normalize_and_channel_order():
    out = image.normalize(picture(), (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[..., 1], (picture()[..., 1] / 255 - 0.2) / 0.25, atol=1e-6)
    first = image.to_channels_first(picture())
    assert first.shape == (3, 12, 16) and (image.to_channels_last(first) == picture()).all()
    with pytest.raises(InputError, match="std"):
        image.normalize(picture(), (0, 0, 0), (1, 1, 0))


@pytest.mark.parametrize("shape", [(3, 3), (1, 5), (5, 3)])
def test_convolution_equals_scipy_and_is_flipped(shape):
    values, kernel = rng().standard_normal((10, 11)), rng(1).standard_normal(shape)
    ours = edges.convolve2d(values, kernel, "constant")
    np.testing.assert_allclose(ours, scipy.signal.convolve2d(values, kernel, "same"), atol=1e-10)
    np.testing.assert_allclose(edges.convolve2d(values, kernel), scipy.ndimage.convolve(values, kernel, mode="nearest"))
    with pytest.raises(InputError, match="odd"):
        edges.convolve2d(values, np.ones((2, 2)))


def test_sobel_equals_scipy():
    values = rng().standard_normal((10, 11))
    for ours, axis in zip(edges.sobel(values), (1, 0), strict=True):
        np.testing.assert_allclose(ours, scipy.ndimage.sobel(values, axis, mode="nearest"), atol=1e-10)


def test_canny_finds_one_thin_line_round_a_square_and_none_in_noise_free_grey():
    square = np.zeros((40, 40))
    square[10:30, 10:30] = 1
    found = edges.canny(square)
    assert found[20].sum() == 2 and found[:, 20].sum() == 2
    assert scipy.ndimage.label(found, np.ones((3, 3)))[1] == 1
    assert not edges.canny(np.full((9, 9), 0.3)).any()
    weak = square * 0.25 + np.pad(np.ones((10, 3)), ((15, 15), (36, 1)))
    assert edges.canny(weak, 0.1, 0.2)[:, :33].sum() > 60
    assert edges.canny(weak, 0.1, 0.5)[:, :33].sum() == 0  # a weak chain with no strong pixel
    assert edges.canny(weak, 0.1, 0.5)[:, 33:].any()


def test_augmentation_is_seeded_and_leaves_its_input():
    pixels = picture(20, 24)
    crop = augment.random_crop(pixels, (8, 9), rng(3), pad=2)
    assert crop.shape == (8, 9, 3) and (crop == augment.random_crop(pixels, (8, 9), rng(3), pad=2)).all()
    flips = [(augment.random_horizontal_flip(pixels, rng(seed)) == pixels[:, ::-1]).all() for seed in range(200)]
    assert 70 < sum(flips) < 130
    jittered = augment.color_jitter(pixels, rng(0))
    assert jittered.dtype == np.float32 and 0 <= jittered.min() and jittered.max() <= 1
    np.testing.assert_allclose(augment.color_jitter(pixels, rng(0), 0, 0, 0), image.to_float(pixels), atol=1e-6)
    assert (pixels == picture(20, 24)).all()
    with pytest.raises(InputError, match="at most"):
        augment.random_crop(pixels, (21, 4), rng())
