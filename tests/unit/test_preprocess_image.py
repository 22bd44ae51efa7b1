"""Pictures: every mode comes out right, resizing equals Pillow's, and damaged files say what is wrong."""

import io
import os
import re
import struct
import sys
import zlib

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from PIL import Image, features

from mmcourse.preprocess import augment, edges, image, video
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
    assert (image.read(save(gray)) == gray[..., None]).all()  # gray to three equal channels
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


@pytest.mark.parametrize(
    "format, options",
    [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("GIF", {}), ("WEBP", {}),
     ("WEBP", {"lossless": True}), ("BMP", {}),
     ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {}), ("ICO", {}), ("AVIF", {}),
     ("JPEG2000", {})],
)  # fmt: skip
def test_a_file_cut_anywhere_gives_every_pixel_or_an_error(format, options):
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    data = save(rng().integers(0, 256, (16, 16, 3), dtype=np.uint8), format, **options)
    expected = image.read(data)
    refused = 0
    for length in sorted({*range(1, 60), *np.linspace(60, len(data) - 1, 150).astype(int)}):
        try:
            assert np.array_equal(image.read(data[:length]), expected), length
        except InputError as error:
            refused += 1
            assert not re.search(r"0x[0-9a-f]{6,}", str(error))
    assert refused > 100


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(color_type, values, transparent=None):
    """A PNG of one row and 16 bits, which Pillow itself cannot write for all color types."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color_type]
    head = struct.pack(">IIBBBBB", len(values) // channels, 1, 16, color_type, 0, 0, 0)
    body = zlib.compress(b"\0" + struct.pack(f">{len(values)}H", *values))
    extra = png_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    chunks = png_chunk(b"IHDR", head) + extra + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, ">u2", np.float32])
def test_labels_in_a_wide_file_keep_their_values(dtype):
    labels = np.arange(20).reshape(4, 5)
    assert (image.read(save(labels.astype(dtype), "TIFF"), "L")[..., 0] == labels).all()
    if dtype == np.uint16:
        assert (image.read(save(labels.astype(dtype)), "L")[..., 0] == labels).all()
        assert image.read(save(labels.astype(dtype)), "L", max_value=65535).max() == 0  # if that is what is wanted


def test_one_scale_for_all_pictures_of_a_data_set():
    dark, bright = np.array([[0, 100, 200]], np.uint16), np.array([[0, 1000, 2000]], np.uint16)
    assert image.read(save(dark), "L", max_value=2000)[0, :, 0].tolist() == [0, 13, 26]
    assert image.read(save(bright), "L", max_value=2000)[0, :, 0].tolist() == [0, 128, 255]
    wide = save(np.array([[0, 2**20]], np.int32), "TIFF")
    with pytest.raises(InputError, match="Pass max_value=1048576") as error:
        image.read(wide)
    value = int(re.search(r"max_value=(\d+)", str(error.value))[1])
    assert image.read(wide, "L", max_value=value)[0, :, 0].tolist() == [0, 255]
    with pytest.raises(InputError, match="negative"):
        image.read(save(np.array([[-1000, 300]], np.int32), "TIFF"))


def test_wide_colors():
    assert image.read(png16(2, [65535, 0, 257, 1, 2, 3])).tolist() == [[[255, 0, 1], [0, 0, 0]]]
    with pytest.raises(InputError, match="below 256, and would turn black"):
        image.read(png16(2, [1, 2, 3, 200, 100, 255]))
    assert image.read(png16(6, [65535, 0, 0, 65535, 1, 2, 3, 0])).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert image.read(png16(0, [0, 257, 65535], [257])).tolist() == [[[0] * 3, [255] * 3, [255] * 3]]
    assert image.read(png16(0, [0, 257, 65535], [257]), "RGBA")[0, :, 3].tolist() == [255, 0, 255]


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1", "CMYK", "YCbCr", "LAB"])
def test_every_mode_of_a_file_gives_three_channels(mode):
    source = Image.fromarray(picture())
    if mode == "LAB":  # Pillow reads it, but cannot convert to it without profiles: a gray one, L = 128
        source = Image.frombytes("LAB", (16, 12), np.full((12, 16, 3), (128, 0, 0), np.uint8).tobytes())
    out = image.read(save(source.convert(mode), "TIFF" if mode in ("CMYK", "YCbCr", "LAB") else "PNG"))
    assert out.shape == (12, 16, 3)
    if mode == "LAB":
        assert np.ptp(out) <= 3 and 110 < out.mean() < 130
    elif mode != "1":
        expected = image.grayscale(picture())[..., None] if mode == "LA" else picture()
        assert np.abs(out.astype(int) - expected).max() <= (51 if mode == "P" else 4)  # Pillow dithers to a web palette


def test_a_partly_transparent_palette_is_laid_on_the_background():
    palette = Image.new("P", (3, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for i in range(3):
        palette.putpixel((i, 0), i)
    data = save(palette, transparency=bytes([255, 128, 0]))
    assert image.read(data, background=(0, 0, 0))[0].tolist() == [[10, 20, 30], [20, 25, 30], [0, 0, 0]]
    assert image.read(data, "RGBA")[0, :, 3].tolist() == [255, 128, 0]


def test_the_limit_can_be_raised_by_argument():
    data = save(Image.new("1", (20_000, 20_000)))  # 400 million pixels
    for limit in (50_000_000, 399_999_999):
        with pytest.raises(InputError, match=f"more than {limit:,} pixels. .*aise max_pixels"):
            image.open_image(data, "scan.png", limit)
    before = Image.MAX_IMAGE_PIXELS
    assert image.open_image(data, "scan.png", 400_000_000).size == (20_000, 20_000)
    assert before == Image.MAX_IMAGE_PIXELS
    small = save(picture())
    with pytest.raises(InputError, match="12 is more than 100 pixels"):
        image.read(small, max_pixels=100)
    assert image.read(small, max_pixels=192).shape == (12, 16, 3)


def test_a_lower_limit_of_pillow_is_raised_only_while_we_read(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for data in (save(picture()), save(picture(), "GIF"), save(picture(), "ICO")):
        assert image.read(data).size
    assert Image.MAX_IMAGE_PIXELS == 10


def iso_file(major, *compatible):
    body = b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)
    return struct.pack(">I", len(body) + 4) + body + bytes(100)


@pytest.mark.parametrize(
    "brands",
    [(b"heic", b"mif1"), (b"heix",), (b"hevc", b"mif1"), (b"hevx",), (b"heim",), (b"heis",), (b"msf1", b"heic"),
     (b"mif1", b"heic"), (b"mif1", b"miaf", b"MiHB"), (b"avci",)],
)  # fmt: skip
def test_heic_is_named_and_is_no_video(brands):
    for read in (image.read, video.read):
        with pytest.raises(InputError, match="HEIC") as error:
            read(iso_file(*brands))
        assert not re.search("a (video|film)", str(error.value)) and "JPEG" in str(error.value)


@pytest.mark.parametrize(
    "brands", [(b"isom", b"mp41"), (b"mp42",), (b"qt  ",), (b"M4V ",), (b"3gp5",), (b"iso6", b"mif1")]
)
def test_a_video_is_named(brands):
    with pytest.raises(InputError, match="a video, not a picture. Read it with mmcourse.preprocess.video.read"):
        image.read(iso_file(*brands))


def test_heic_is_read_as_the_message_says():
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs the optional package pillow-heif")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(np.full((32, 32, 3), (200, 30, 30), np.uint8))).save(file)
    with pytest.raises(InputError, match="pip install pillow-heif.*register_heif_opener"):
        image.read(file.getvalue())
    saved = dict(Image.OPEN), list(Image.ID)
    try:
        heif.register_heif_opener()
        assert np.abs(image.read(file.getvalue()).astype(int) - (200, 30, 30)).max() < 20
        assert video.read(file.getvalue())[0].shape == (1, 32, 32, 3)
    finally:
        Image.OPEN.clear()
        Image.OPEN.update(saved[0])
        Image.ID[:] = saved[1]


@pytest.mark.parametrize(
    "data, words",
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        (b"<?xml version='1.0'?>\n<svg></svg>", "SVG"),
        (b"<!DOCTYPE html><html>please log in</html>", "web page"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"PK\3\4", "ZIP"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a sound"),
        (b"\x93NUMPY\1\0", "np.load"),
    ],
)
def test_what_is_no_picture_is_named(data, words):
    with pytest.raises(InputError, match=words):
        image.read(data + bytes(50))


BACKGROUNDS = [
    "white",
    (1, 2),
    (1, 2, 3, 4),
    (0, 0, 256),
    (-1, 0, 0),
    (0.5, 0, 0),
    (True, 0, 0),
    (np.nan, 0, 0),
    7,
    None,
]


@pytest.mark.parametrize("background", BACKGROUNDS, ids=repr)
def test_an_odd_background_is_the_callers_fault(background):
    clear = save(Image.new("RGBA", (3, 3), (0, 0, 0, 0)))
    with pytest.raises(InputError, match="^background: expected"):
        image.read(clear, background=background)
    assert (image.read(clear, background=np.array([9, 8, 7])) == (9, 8, 7)).all()


ODD = [0, -1, 2.5, float("nan"), float("inf"), True, "3", [4]]


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    "name, call",
    [
        ("max_pixels", lambda x: image.read(save(picture()), max_pixels=x)),
        ("size", lambda x: image.resize(picture(), (x, 4))),
        ("size", lambda x: image.resize(picture(), (4, x))),
        ("size", lambda x: augment.random_crop(picture(), (x, 4), rng())),
        ("sigma", lambda x: edges.gaussian_kernel(-1 if x is True or x == 2.5 else x)),
        ("p", lambda x: augment.random_horizontal_flip(picture(), rng(), 2 if x == 0 else x)),
        ("max_frames", lambda x: video.read(save(picture()), max_frames=x)),
        ("n", lambda x: video.sample_indices(4, x)),
        ("t", lambda x: video.sample_indices(x, 4)),
    ],
)
def test_odd_numbers_are_the_callers_fault(name, call, value):
    with pytest.raises(InputError, match=f"^{name}: expected"):
        call(value)


@pytest.mark.parametrize(
    "name, call",
    [
        ("mode", lambda: image.read(save(picture()), None)),
        ("mode", lambda: image.read(save(picture()), ["RGB"])),
        ("mode", lambda: video.read(save(picture()), "CMYK")),
        ("max_value", lambda: image.read(save(picture()), max_value=0)),
        ("max_value", lambda: image.read(save(picture()), max_value=float("nan"))),
        ("size", lambda: image.resize(picture(), 4)),
        ("size", lambda: image.resize(picture(), "ab")),
        ("method", lambda: image.resize(picture(), (4, 4), None)),
        ("mean", lambda: image.normalize(picture(), (0.1, np.nan, 0.1))),
        ("mean", lambda: image.normalize(picture(), "gray")),
        ("mean", lambda: image.normalize(picture(), (0.5, 0.5))),
        ("std", lambda: image.normalize(picture(), 0.5, -1)),
        ("image", lambda: image.to_channels_first(np.zeros((3, 3)))),
        ("image", lambda: image.resize([[1.0, 2.0], [3.0]], (4, 4))),
        ("image", lambda: augment.color_jitter(picture()[..., 0], rng())),
        ("pad", lambda: augment.random_crop(picture(), (4, 4), rng(), pad=-1)),
        ("brightness", lambda: augment.color_jitter(picture(), rng(), brightness=np.nan)),
        ("rng", lambda: augment.random_crop(picture(), (4, 4), 0)),
        ("rng", lambda: augment.random_horizontal_flip(picture(), np.random)),
        ("pad_mode", lambda: edges.convolve2d(np.ones((4, 4)), np.ones((3, 3)), "repeat")),
        ("kernel", lambda: edges.convolve2d(np.ones((4, 4)), np.full((3, 3), np.nan))),
        ("high", lambda: edges.canny(np.ones((4, 4)), 0.5, 0.2)),
        ("gray", lambda: edges.canny(np.ones((4, 4, 3)))),
        ("seconds", lambda: video.to_gif(picture()[None], np.nan)),
    ],
)
def test_other_odd_arguments_are_the_callers_fault(name, call):
    with pytest.raises(InputError, match=f"^{name}: "):
        call()


class Pieces(io.RawIOBase):
    """An unbuffered file that gives seven bytes at a time, as a network connection does."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        return self.data.read(min(size, 7))


def test_sources():
    data = save(picture())
    file = io.BytesIO(data)
    assert (image.read(Pieces(data)) == picture()).all()
    assert (image.read(bytearray(data)) == picture()).all() and (image.read(memoryview(data)) == picture()).all()
    assert (image.read(file) == picture()).all()
    with pytest.raises(InputError, match=r"empty .*source.seek\(0\)"):
        image.read(file)
    file.seek(0)
    assert (image.read(file) == picture()).all()
    file.close()
    with pytest.raises(InputError, match="closed"):
        image.read(file)
    for odd in ("a\0b.png", "x" * 5000, ""):
        with pytest.raises(InputError, match="cannot be opened|the path is empty"):
            image.read(odd)
    with pytest.raises(FileNotFoundError, match="This is an address: download it first"):
        image.read("https://example.org/cat.png")


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.png").write_bytes(save(picture()))
    assert (image.read("~/a.png") == picture()).all()
    assert video.read("~")[0].shape[0] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system")
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero", "/dev/null"):
        with pytest.raises(InputError, match="a pipe, a socket or a device") as error:
            image.read(path)
        assert "pass the bytes" in str(error.value)
    with pytest.raises(InputError, match="a pipe"):
        (tmp_path / "film").mkdir()
        os.mkfifo(tmp_path / "film" / "frame1.png")
        video.read(tmp_path / "film")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(save(picture()))
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(InputError, match="cannot be opened"):
        image.read(tmp_path / "a.png")


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


def test_canny_finds_one_thin_line_round_a_square_and_none_in_noise_free_gray():
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
