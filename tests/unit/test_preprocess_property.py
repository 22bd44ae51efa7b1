"""Whatever a file holds, each loader gives the right result or InputError: no crash, hang, or NaN further on."""

import io
import warnings

import numpy as np
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmcourse.preprocess import audio, bpe, edges, image, text, video
from mmcourse.preprocess.errors import InputError

CASES = settings(
    max_examples=500,
    deadline=10_000,  # ms a case: a hang fails
    derandomize=True,  # the same cases on every machine
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def damaged(draw, files):
    """A file as it is, cut short, with bytes changed, with bytes put in, or doubled; or no file at all."""
    kind = draw(st.sampled_from(["whole", "whole", "cut", "changed", "changed", "longer", "twice", "noise"]))
    if kind == "noise":
        return draw(st.binary(max_size=200)), None
    data, expected = draw(files)
    if kind == "whole" or not data:
        return data, expected
    data = bytearray(data)
    if kind == "cut":
        del data[draw(st.integers(0, len(data))) :]
    elif kind == "changed":
        for _ in range(draw(st.integers(1, 6))):
            data[draw(st.integers(0, min(len(data), 4000) - 1))] = draw(st.integers(0, 255))
    elif kind == "longer":
        place = draw(st.integers(0, len(data)))
        data[place:place] = draw(st.binary(min_size=1, max_size=40))
    else:
        data *= 2
    return bytes(data), None


def pixels(seed, shape, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


MODES = {"1": "PNG", "L": "PNG", "P": "GIF", "LA": "PNG", "RGB": "JPEG", "RGBA": "WEBP", "CMYK": "JPEG", "I;16": "PNG"}
MODES |= {"I": "TIFF", "F": "TIFF", "PA": "PNG", "YCbCr": "JPEG", "RGBX": "TIFF"}


@st.composite
def pictures(draw):
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    mode = draw(st.sampled_from(sorted(MODES)))
    source = Image.fromarray(pixels(draw(seeds), (height, width, 4)), "RGBA") if mode == "RGBA" else None
    if mode in ("I;16", "I"):
        source = Image.fromarray(pixels(draw(seeds), (height, width), np.uint16).astype("u2" if mode != "I" else "i4"))
    elif mode == "F":
        values = draw(st.sampled_from([0.0, 1.0, 255.0, -1.0, 1e9, np.nan, np.inf]))
        source = Image.fromarray(np.full((height, width), values, np.float32))
    elif source is None:
        source = Image.fromarray(pixels(draw(seeds), (height, width, 3)))
        source = source.convert({"PA": "P", "RGBX": "RGB"}.get(mode, mode))
    exif = Image.Exif()
    turn = exif[0x0112] = draw(st.integers(0, 9))
    turned = turn in (5, 6, 7, 8) and MODES[mode] in ("JPEG", "PNG", "WEBP", "TIFF")
    file = io.BytesIO()
    source.save(file, MODES[mode], exif=exif)
    bad = mode == "F" and not (0 <= values <= 255)
    return file.getvalue(), None if bad else ((width, height) if turned else (height, width))


def usable(array):
    """What a lesson does next with a picture (..., h, w, 3)."""
    assert array.dtype == np.uint8 and array.shape[-1] == 3 and array.size
    small = image.resize(array, (5, 7), "area")
    assert np.isfinite(image.normalize(small)).all()
    assert np.isfinite(edges.sobel(image.grayscale(small))).all()


@CASES
@given(damaged(pictures()))
def test_image(case):
    data, expected = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            out = image.read(data, max_pixels=1_000_000)
        except InputError as error:
            assert expected is None and str(error)
            return
    assert expected is None or out.shape == (*expected, 3)
    usable(out)


@st.composite
def animations(draw):
    t, height, width = draw(st.integers(1, 5)), draw(st.integers(1, 16)), draw(st.integers(1, 16))
    frames = pixels(draw(seeds), (t, height, width, 3))
    format = draw(st.sampled_from(["GIF", "PNG", "WEBP", "TIFF"]))
    options = {"lossless": True} if format == "WEBP" else {}
    file = io.BytesIO()
    first, *rest = map(Image.fromarray, frames)
    duration = draw(st.integers(0, 2000))
    first.save(file, format, save_all=True, append_images=rest, duration=duration, **options)
    return file.getvalue(), frames


@CASES
@given(damaged(animations()), st.integers(1, 9))
def test_video(case, n):
    data, expected = case
    try:
        frames, seconds = video.read(data, max_frames=50, max_pixels=1_000_000)
    except InputError as error:
        assert expected is None and str(error)
        return
    assert len(seconds) == len(frames) and (seconds > 0).all() and np.isfinite(seconds).all()
    if expected is not None:
        assert frames.shape == expected.shape
        if data[:3] != b"GIF":  # 256 colors a frame
            assert (frames == expected).all()
    assert len(video.sample_frames(frames, n)) == n and np.isfinite(video.motion(frames)).all()
    usable(frames)


SOUNDS = [("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM")]
SOUNDS += [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"), ("W64", "PCM_16")]


@st.composite
def sounds(draw):
    n, channels = draw(st.sampled_from([0, 1, 2, 15, 512, 3000])), draw(st.integers(1, 3))
    format, subtype = draw(st.sampled_from(SOUNDS))
    rate = draw(st.sampled_from([1, 4_000, 8_000, 16_000, 22_050, 44_100, 192_000, 600_000]))
    if subtype in ("VORBIS", "IMA_ADPCM") or format == "FLAC":
        rate, channels = 16_000, min(channels, 2)
    wave = draw(st.sampled_from([0.0, 0.5, 1.0])) * np.random.default_rng(draw(seeds)).uniform(-1, 1, (n, channels))
    odd = draw(st.sampled_from([None, None, np.nan, np.inf, 1.5, 1e30, 1e-40]))
    bad = n == 0 or not 4_000 <= rate <= 192_000
    if odd is not None and n and subtype in ("FLOAT", "DOUBLE"):
        wave[n // 2] = odd
        bad = bad or not odd < 8
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format, subtype=subtype)
    return file.getvalue(), None if bad else (n, rate, subtype)


@CASES
@given(damaged(sounds()))
def test_audio(case):
    data, expected = case
    try:
        wave, rate = audio.read(data, max_seconds=60)
    except InputError as error:
        assert expected is None and str(error)
        return
    assert wave.dtype == np.float32 and wave.ndim == 1 and len(wave) and np.abs(wave).max() <= 1
    if expected is not None:
        assert rate == expected[1] and (len(wave) == expected[0] or expected[2] == "IMA_ADPCM")
    mel = audio.log_mel(wave[:50_000], rate)
    assert np.isfinite(mel).all() and len(mel) == audio.num_frames(min(len(wave), 50_000))
    assert np.isfinite(audio.mfcc(audio.resample(wave[:2_000], rate, 16_000), 16_000)).all()


LETTERS = st.sampled_from("aAé你好🙂👩\u200d🔬שלוםعربي\u202e\u200b\ufeff\0\r\n\t 　ﬁİßẞ\u0301\u0345ΐᾳ\ud7b0한")
texts = st.one_of(st.text(max_size=60), st.text(LETTERS, max_size=60))
encodings = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "gb18030", "utf-8-sig"])
documents = st.tuples(texts, encodings).map(lambda pair: (pair[0].encode(pair[1]), pair))


@CASES
@given(damaged(documents), st.sampled_from(["strict", "replace"]))
def test_text(case, errors):
    data, expected = case
    try:
        out = text.read(data, expected[1] if expected else "utf-8", errors)
    except InputError as error:
        assert expected is None or not data
        assert "empty" in str(error) or (errors == "strict" and "byte" in str(error))
        return
    assert expected is None or out == expected[0].removeprefix("\ufeff")
    clean = text.normalize(out)
    assert clean == text.normalize(clean) and clean.encode("utf-8") is not None
    tokens = text.tokenize(clean)
    assert not any(set(token) & set(" \n\t\0") for token in tokens)
    assert "".join(tokens) == "".join(c for c in clean if not c.isspace() and (c != "_" or "_" in "".join(tokens)))
    vocabulary = text.Vocabulary.build([tokens])
    ids, padding_mask = vocabulary.encode([tokens, []])
    assert vocabulary.decode(ids[0]) == tokens and padding_mask.sum() == len(tokens)
    assert np.isfinite(text.tf_idf(text.bag_of_words([tokens, []], vocabulary))).all()
    model = bpe.BPETokenizer.train([clean], 40)
    assert model.detokenize(model.tokenize(clean)) == clean.replace("▁", " ").strip()


@CASES
@given(st.text(max_size=80))
def test_any_string_is_normalized_once_and_for_all(raw):
    clean = text.normalize(raw)
    assert clean == text.normalize(clean)
    assert text.normalize(raw, lower=False) == text.normalize(text.normalize(raw, lower=False), lower=False)
