"""Sound: every step equals Librosa or SciPy, and every damaged file says what is wrong with it."""

import io
import re
import struct
import warnings

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soundfile

from mmcourse.preprocess import audio, containers
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.mel import mel_to_hz

RATE = 16_000


def chirp(seconds=1.0, rate=RATE, dtype=np.float64):
    t = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 1500 * t**2))).astype(dtype)


def sound(wave, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, wave, rate, **{"format": "WAV", "subtype": "PCM_16"} | options)
    return file.getvalue()


def test_dft_equals_numpy():
    x = np.random.default_rng(0).standard_normal((3, 64))
    np.testing.assert_allclose(audio.dft(x), np.fft.fft(x), atol=1e-10)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman"])
def test_windows_equal_scipy(name):
    np.testing.assert_allclose(audio.get_window(name, 400), scipy.signal.get_window(name, 400), atol=1e-12)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("n_fft, hop_length", [(512, 256), (400, 160), (255, 100)])
def test_stft_equals_librosa(n_fft, hop_length, center, pad_mode):
    ours = audio.stft(chirp(), n_fft, hop_length, center=center, pad_mode=pad_mode)
    theirs = librosa.stft(chirp(), n_fft=n_fft, hop_length=hop_length, center=center, pad_mode=pad_mode)
    np.testing.assert_allclose(ours.T, theirs, atol=1e-5)
    assert len(ours) == audio.num_frames(RATE, n_fft, hop_length, center)


def test_stft_is_the_dft_of_each_windowed_frame():
    wave = chirp(0.1)
    ours = audio.stft(wave, 64, 32, center=False)
    frame = wave[3 * 32 : 3 * 32 + 64] * audio.get_window("hann", 64)
    np.testing.assert_allclose(ours[3], audio.dft(frame)[:33], atol=1e-10)


@pytest.mark.parametrize("htk", [False, True])
def test_mel_scale_equals_librosa_and_inverts(htk):
    hz = np.linspace(0, 8000, 500)
    np.testing.assert_allclose(audio.hz_to_mel(hz, htk), librosa.hz_to_mel(hz, htk=htk), atol=1e-9)
    np.testing.assert_allclose(mel_to_hz(audio.hz_to_mel(hz, htk), htk), hz, atol=1e-8)


@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("norm", ["slaney", None])
def test_filterbank_equals_librosa(htk, norm):
    ours = audio.mel_filterbank(22_050, 1024, 64, 20, 8_000, htk, norm)
    theirs = librosa.filters.mel(
        sr=22_050, n_fft=1024, n_mels=64, fmin=20, fmax=8_000, htk=htk, norm=norm, dtype=np.float64
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("dtype, atol", [(np.float64, 1e-8), (np.float32, 1e-5)])
@pytest.mark.parametrize("htk", [False, True])
def test_log_mel_and_mfcc_equal_librosa(dtype, atol, htk):
    wave = audio.add_noise(chirp(dtype=dtype), 30, np.random.default_rng(0))
    mel = librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=512, hop_length=256, n_mels=40, htk=htk, dtype=dtype)
    ours = audio.mel_spectrogram(wave, RATE, htk=htk)
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours.T, mel, atol=1e-5 * mel.max(), rtol=1e-5)
    np.testing.assert_allclose(
        audio.log_mel(wave, RATE, htk=htk).T, librosa.power_to_db(mel, top_db=None), atol=10 * atol
    )
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=13)
    np.testing.assert_allclose(audio.mfcc(wave, RATE, htk=htk).T, theirs, rtol=1e-5, atol=20 * atol)


def test_power_to_db_and_dct_equal_librosa_and_scipy():
    power = np.random.default_rng(1).exponential(size=(30, 40)) ** 8
    np.testing.assert_allclose(audio.power_to_db(power, 2.0, top_db=60), librosa.power_to_db(power, ref=2.0, top_db=60))
    np.testing.assert_allclose(audio.dct(power), scipy.fft.dct(power, norm="ortho"), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("rate, new", [(44_100, 16_000), (8_000, 16_000), (16_000, 11_025), (16_000, 16_000)])
def test_resample_equals_librosa(rate, new):
    wave = chirp(0.5, rate)
    theirs = librosa.resample(wave, orig_sr=rate, target_sr=new, res_type="polyphase")
    ours = audio.resample(wave, rate, new)
    np.testing.assert_allclose(ours, theirs[: len(ours)], atol=1e-5)


def test_resample_removes_what_would_fold_back():
    tone = np.sin(2 * np.pi * 6_000 * np.arange(RATE) / RATE)
    assert np.abs(audio.resample(tone, RATE, 8_000)[500:-500]).max() < 0.01
    assert np.abs(tone[::2]).max() > 0.9  # every second sample alone: 6 kHz is heard as 2 kHz


def test_preemphasis_equals_librosa():
    wave = chirp()
    np.testing.assert_allclose(audio.preemphasis(wave), librosa.effects.preemphasis(wave, zi=[0.0]), atol=1e-12)


@pytest.mark.parametrize("snr", [-5, 0, 20])
def test_noise_has_the_ratio_that_was_asked_for(snr):
    wave = np.stack([chirp(), 0.01 * chirp()])
    noise = audio.add_noise(wave, snr, np.random.default_rng(0)) - wave
    ratio = 10 * np.log10((wave**2).mean(-1) / (noise**2).mean(-1))
    np.testing.assert_allclose(ratio, snr, atol=1e-6)


def test_spec_augment_hides_at_most_what_was_asked_and_leaves_its_input():
    mel = np.random.default_rng(0).standard_normal((8, 60, 40)).astype(np.float32)
    before = mel.copy()
    out = audio.spec_augment(mel, np.random.default_rng(1), 1, 10, 1, 5)
    changed = out != mel
    assert (mel == before).all() and changed.any()
    assert (changed.all(axis=2).sum(axis=1) <= 10).all() and (changed.all(axis=1).sum(axis=1) <= 5).all()
    assert (out == audio.spec_augment(mel, np.random.default_rng(1), 1, 10, 1, 5)).all()


def test_a_batch_is_its_clips_one_by_one():
    waves = np.random.default_rng(0).standard_normal((2, 3, 4_000)).astype(np.float32)
    waves *= np.float32(10) ** -np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    batch = audio.log_mel(waves, RATE, top_db=60)
    assert batch.shape == (2, 3, 16, 40) and batch.dtype == np.float32
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(batch[i], audio.log_mel(waves[i], RATE, top_db=60), atol=1e-4)
    assert audio.log_mel(np.zeros((0, 4_000), np.float32), RATE).shape == (0, 16, 40)


def test_silence_is_finite():
    np.testing.assert_allclose(audio.log_mel(np.zeros(RATE, np.float32), RATE), -100, rtol=1e-6)
    assert np.isfinite(audio.mfcc(np.zeros(RATE, np.float32), RATE)).all()


@pytest.mark.parametrize(
    "format, subtype, atol",
    [("WAV", "PCM_U8", 0.01), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-6),
     ("WAV", "FLOAT", 1e-6), ("WAV", "DOUBLE", 1e-6), ("FLAC", "PCM_16", 1e-4), ("FLAC", "PCM_24", 1e-6),
     ("OGG", "VORBIS", 0.1), ("WAV", "ULAW", 0.05), ("MP3", "MPEG_LAYER_III", 1.0)],
)  # fmt: skip
def test_read_gives_the_same_sound_from_every_format(format, subtype, atol):
    wave, rate = audio.read(sound(chirp(), format=format, subtype=subtype))
    assert rate == RATE and wave.dtype == np.float32 and wave.ndim == 1
    assert abs(len(wave) - RATE) <= (0 if format != "MP3" else 3000)
    if format != "MP3":
        np.testing.assert_allclose(wave, chirp(), atol=atol)


def test_read_averages_channels_resamples_and_ignores_the_extension(tmp_path):
    path = tmp_path / "speech.mp3.txt"
    path.write_bytes(sound(np.stack([chirp(rate=8000), np.zeros(8000)], axis=1), 8000))
    wave, rate = audio.read(path)
    np.testing.assert_allclose(wave, chirp(rate=8000) / 2, atol=1e-4)
    assert rate == 8000
    wave, rate = audio.read(open(path, "rb"), sample_rate=RATE)
    assert rate == RATE and len(wave) == RATE


def test_read_clips_overshoot_and_takes_one_sample_and_silence():
    wave, _ = audio.read(sound(np.array([1.2, -1.2, 0.5]), subtype="FLOAT"))
    np.testing.assert_allclose(wave, [1, -1, 0.5])
    assert len(audio.read(sound(np.zeros(1)))[0]) == 1
    assert not audio.read(sound(np.zeros(100)))[0].any()


BAD = {
    "empty": (b"", "empty"),
    "not a sound": (b"hello, this is a letter" * 20, "cannot be decoded"),
    "header only": (sound(chirp())[:44], "promises 32,000 bytes of sound, but it holds 0"),
    "half a header": (sound(chirp())[:20], "cannot be decoded"),
    "no samples": (sound(np.zeros(0)), "no samples"),
    "NaN": (sound(np.array([0, np.nan, 0]), subtype="FLOAT"), "NaN"),
    "inf": (sound(np.array([0, np.inf, 0]), subtype="FLOAT"), "NaN or inf"),
    "integers saved as floats": (sound(np.array([0.0, 32_000]), subtype="FLOAT"), "full scale"),
    "rate of 1 Hz": (sound(chirp(), 1), "sample rate"),
    "too long": (sound(np.zeros(4_001 * 600), 4_000), "more than 600"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_what_is_wrong(name):
    data, message = BAD[name]
    with pytest.raises(InputError, match=message):
        audio.read(data)


CONTAINERS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"),
    ("WAV", "GSM610"), ("WAV", "G721_32"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
    ("AIFF", "PCM_16"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT"), ("AIFF", "IMA_ADPCM"), ("AIFF", "DWVW_16"),
    ("AU", "PCM_16"), ("AU", "G721_32"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("NIST", "PCM_16"),
    ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip


def whole(format, subtype):
    """Noise, so that each byte of a compressed file carries sound."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    return sound(noise, 8_000 if subtype == "GSM610" else RATE, format=format, subtype=subtype)


@pytest.mark.parametrize("format, subtype", CONTAINERS)
def test_a_file_cut_anywhere_is_refused(format, subtype):
    data = whole(format, subtype)
    n = len(audio.read(data)[0])
    assert 8_000 <= n < 8_000 + (2 * 1152 if format == "MP3" else 256)
    padding = subtype == "GSM610"  # the chunk's size is odd, and the last byte only aligns what would follow
    for length in sorted({*range(1, 100, 3), *np.linspace(100, len(data) - 1 - padding, 40).astype(int)}):
        with pytest.raises(InputError, match="cut short|whole|no samples"):
            audio.read(data[:length])


@pytest.mark.parametrize("format, subtype", CONTAINERS)
def test_what_follows_the_sound_is_not_decoded_and_never_dropped_silently(format, subtype):
    data = whole(format, subtype)
    expected = audio.read(data)[0]
    for tail in (b"TAG" + bytes(125),) + ((bytes(100),) if format != "FLAC" else ()):
        if format != "MP3" or tail[:3] == b"TAG":
            assert np.array_equal(audio.read(data + tail)[0], expected)
    if format == "MP3":
        assert len(audio.read(data + data)[0]) > 2 * 8_000  # two streams in one are a stream
    else:
        with pytest.raises(InputError, match="more bytes follow|several"):
            audio.read(data + data)


def patched(format, mark, offset, layout, value, **options):
    """A file whose field of `layout`, `offset` bytes after the first `mark`, states another `value`."""
    data = bytearray(sound(chirp(), format=format, **options))
    struct.pack_into(layout, data, data.index(mark) + offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        *(patched("WAV", b"data", 4, "<I", size) for size in (0, 0x7FFFFFFF, 0x7FFF0000, 0x80000000, 0xFFFFFFFF)),
        patched("RF64", b"RF64", 4, "<I", 0),
        patched("AIFF", b"SSND", 4, ">I", 0),
        patched("AIFF", b"SSND", 4, ">I", 0xFFFFFFFF),
        patched("AIFF", b"COMM", 10, ">I", 0),
        patched("AU", b".snd", 8, ">I", 0xFFFFFFFF),
        patched("AU", b".snd", 8, ">I", 0),
        patched("CAF", b"data", 4, ">q", -1),
        patched("FLAC", b"fLaC", 22, ">I", 0),
    ],
)
def test_a_stream_that_states_no_length_is_read_to_its_end(data):
    wave, rate = audio.read(data)
    assert rate == RATE
    np.testing.assert_allclose(wave, chirp(), atol=1e-4)


@pytest.mark.parametrize("factor", [0.5, 2])
@pytest.mark.parametrize(
    "format, mark, offset, layout, size",
    [
        ("WAV", b"data", 4, "<I", 2 * RATE), ("RF64", b"ds64", 16, "<q", 2 * RATE),
        ("W64", b"data", 16, "<q", 2 * RATE), ("AIFF", b"SSND", 4, ">I", 2 * RATE),
        ("AIFF", b"COMM", 10, ">I", RATE), ("AU", b".snd", 8, ">I", 2 * RATE),
        ("CAF", b"data", 4, ">q", 2 * RATE), ("FLAC", b"fLaC", 22, ">I", RATE),
    ],
)  # fmt: skip
def test_a_header_that_states_another_length_is_refused(format, mark, offset, layout, size, factor):
    with pytest.raises(InputError, match="promises|states") as error:
        audio.read(patched(format, mark, offset, layout, int(factor * size)))
    assert ("wrong" if factor < 1 or mark == b"COMM" else "cut short") in str(error.value)


def mp3(bitrate_mode="VARIABLE", rate=RATE):
    """Half a minute that begins quietly, so that an estimate from the first frames is far too short."""
    rng, t = np.random.default_rng(0), np.arange(rate) / rate
    tone = np.sin(2764 * t)
    wave = np.concatenate([tone / 2000, rng.standard_normal(20 * rate) / 5, np.tile(tone / 2, 9)]).astype(np.float32)
    file = io.BytesIO()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": 0.5, "bitrate_mode": bitrate_mode}
    with soundfile.SoundFile(file, "w", rate, 1, **options) as target:
        target.write(wave)
    return file.getvalue()


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 8_000])
def test_mp3_without_a_tag_is_read_to_its_end(rate):
    data = mp3(rate=rate)
    first = containers.parse_frame(data, 0).length
    for start in (b"", b"ID3\x04" + bytes(5) + b"\x14" + bytes(20), b"\x01\x02\x03junk"):
        wave, _ = audio.read(start + data[first:])
        assert abs(len(wave) / rate - 30) < 0.3
        assert np.abs(wave[-5 * rate : -2 * rate]).max() > 0.3  # the tone at the end is there
    assert abs(len(audio.read(data)[0]) / rate - 30) < 0.3


def test_mp3_whose_tag_states_another_number_of_frames():
    data = bytearray(mp3("CONSTANT"))
    place = data.index(b"Info" if b"Info" in data[:200] else b"Xing") + 8
    frames = struct.unpack_from(">I", data, place)[0]
    n = len(audio.read(bytes(data))[0])
    struct.pack_into(">I", data, place, frames // 3)
    assert len(audio.read(bytes(data))[0]) == n
    struct.pack_into(">I", data, place, frames * 2)
    with pytest.raises(InputError, match=f"promises {2 * frames:,} frames, but it holds {frames:,}"):
        audio.read(bytes(data))


def test_mp3_damaged_in_the_middle_is_refused():
    data = bytearray(mp3())
    data[20_000:24_000] = bytes(range(1, 251)) * 16
    with pytest.raises(InputError, match="cannot be decoded as MP3"):
        audio.read(bytes(data))


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"])
def test_telephone_codecs_that_cannot_seek_are_read(subtype):
    wave, rate = audio.read(sound(chirp(rate=8_000), 8_000, subtype=subtype))
    assert rate == 8_000 and 8_000 <= len(wave) < 8_400
    assert np.corrcoef(wave[:8_000], chirp(rate=8_000))[0, 1] > 0.9


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\0\0\0\x20ftypM4A " + bytes(200), "M4A"),
        (b"\x1aE\xdf\xa3" + bytes(200), "WebM"),
        (b"#!AMR\n" + bytes(200), "AMR"),
        (b"MThd" + bytes(200), "MIDI"),
        (b"RIFF\x10\0\0\0WAVEfmt " + bytes(200), "header ends before any sound"),
        (b"OggS" + bytes(200), "decoded|ends the stream"),
        (b"fLaC" + bytes(200), "decoded"),
    ],
)
def test_no_message_holds_an_address_or_an_inner_name(data, words):
    with pytest.raises(InputError, match=words) as error:
        audio.read(data)
    assert not re.search(r"0x[0-9a-f]{4,}|_Bytes|object at|\n", str(error.value))


@pytest.mark.parametrize("n_fft, n_mels", [(256, 128), (512, 256), (64, 40)])
def test_empty_mel_filters_are_warned_of_and_each_remedy_works(n_fft, n_mels):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match=rf"of {n_mels} mel bands .* n_fft={n_fft}") as caught:
            mel = audio.log_mel(noise, RATE, n_fft=n_fft, n_mels=n_mels)
    text = str(caught[0].message)
    dead = int((mel.max(axis=0) <= -99.9).sum())
    assert text.startswith(f"{dead} of ") and dead
    remedies = {key: int(value) for key, value in re.findall(r"(n_fft|n_mels)=(\d+)", text.split("; pass ")[1])}
    assert set(remedies) == {"n_fft", "n_mels"}
    for name, value in remedies.items():
        settings = {"n_fft": n_fft, "n_mels": n_mels, name: value}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert (audio.log_mel(noise, RATE, **settings).max(axis=0) > -99.9).all()
            audio.mel_filterbank(RATE, **settings)
    with pytest.warns(UserWarning, match="mel bands"):
        audio.mel_filterbank(RATE, n_fft, n_mels)


def test_more_coefficients_than_bands_are_refused_and_the_remedy_works():
    with pytest.raises(InputError, match="Pass n_mfcc=20 or less, or n_mels=21 or more"):
        audio.mfcc(chirp(), RATE, 21, n_mels=20)
    assert audio.mfcc(chirp(), RATE, 20, n_mels=20).shape[1] == audio.mfcc(chirp(), RATE, 21, n_mels=21).shape[1] - 1
    with pytest.raises(InputError, match="at most 5"):
        audio.dct(np.ones(5), 6)


ODD = [0, -1, 2.5, float("nan"), float("inf"), True, "3", None, [4]]


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    "name, call",
    [
        ("n_fft", lambda x: audio.stft(chirp(), x)),
        ("n_fft", lambda x: audio.mel_filterbank(RATE, x)),
        ("n_fft", lambda x: audio.log_mel(chirp(), RATE, x)),
        ("hop_length", lambda x: audio.log_mel(chirp(), RATE, hop_length=x)),
        ("hop_length", lambda x: audio.num_frames(100, 10, x)),
        ("n_mels", lambda x: audio.log_mel(chirp(), RATE, n_mels=x)),
        ("n_mels", lambda x: audio.mel_filterbank(RATE, 512, x)),
        ("n_mfcc", lambda x: audio.mfcc(chirp(), RATE, x)),
        ("n", lambda x: audio.get_window("hann", x)),
        ("sample_rate", lambda x: audio.resample(chirp(), x, RATE)),
        ("new_sample_rate", lambda x: audio.resample(chirp(), RATE, x)),
        ("sample_rate", lambda x: audio.read(sound(chirp()), 3 if x is None else x)),
    ],
)
def test_odd_whole_numbers_are_the_callers_fault(name, call, value):
    with pytest.raises(InputError, match=f"^{name}: expected a whole number"):
        call(value)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), True, "3", [4]], ids=repr)
@pytest.mark.parametrize(
    "name, call",
    [
        ("max_seconds", lambda x: audio.read(sound(chirp()), max_seconds=x)),
        ("snr_db", lambda x: audio.add_noise(chirp(), x, np.random.default_rng(0))),
        ("coefficient", lambda x: audio.preemphasis(chirp(), x)),
        ("top_db", lambda x: audio.log_mel(chirp(), RATE, top_db=x)),
        ("fmin", lambda x: audio.log_mel(chirp(), RATE, fmin=x)),
        ("fmax", lambda x: audio.log_mel(chirp(), RATE, fmax=x)),
        ("sample_rate", lambda x: audio.mel_filterbank(x)),
        ("amin", lambda x: audio.power_to_db(np.ones((2, 2)), amin=x)),
    ],
)
def test_odd_numbers_are_the_callers_fault(name, call, value):
    with pytest.raises(InputError, match=f"^{name}: expected"):
        call(value)


def test_odd_choices_and_limits_are_the_callers_fault():
    for call, name in (
        (lambda: audio.stft(chirp(), pad_mode="mirror"), "pad_mode"),
        (lambda: audio.stft(chirp(), window=None), "window"),
        (lambda: audio.mel_filterbank(RATE, norm="l2"), "norm"),
        (lambda: audio.read(sound(chirp()), max_seconds=0), "max_seconds"),
        (lambda: audio.read(sound(chirp()), max_seconds=-1), "max_seconds"),
        (lambda: audio.spec_augment(np.ones((4, 4)), np.random.default_rng(0), num_time_masks=-1), "num_time_masks"),
    ):
        with pytest.raises(InputError, match=f"^{name}: expected"):
            call()
    long = sound(np.zeros(4_001 * 600), 4_000)
    assert len(audio.read(long, max_seconds=601)[0]) == 4_001 * 600  # the remedy of "too long" works


def test_missing_folder_and_wrong_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such sound file"):
        audio.read(tmp_path / "none.wav")
    with pytest.raises(InputError, match="folder"):
        audio.read(tmp_path)
    with pytest.raises(InputError, match="expected a path"):
        audio.read(3)
    with pytest.raises(InputError, match="opened as text"):
        audio.read(io.StringIO("x"))
    for wave, message in (
        (np.zeros(9, np.int16), "32768"),
        (np.zeros((2, 0)), "shape"),
        (np.array([np.nan]), "NaN"),
        (np.array(1.0), "shape"),
        (np.array(["a"]), "floats"),
    ):
        with pytest.raises(InputError, match=message):
            audio.log_mel(wave, RATE)
    with pytest.raises(InputError, match="do not fill one frame"):
        audio.log_mel(np.zeros(100, np.float32), RATE, center=False)
    with pytest.raises(InputError, match="highest frequency"):
        audio.log_mel(chirp(), RATE, fmax=9_000)
    with pytest.raises(InputError, match="window: expected one of"):
        audio.get_window("triangle", 4)
    with pytest.raises(InputError, match="silent"):
        audio.add_noise(np.zeros(10), 10, np.random.default_rng(0))
    with pytest.raises(InputError, match="whole number"):
        audio.resample(chirp(), RATE, 0)
