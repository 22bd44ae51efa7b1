"""The front end of Whisper: equal to the feature extractor of transformers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.whisper import log10_mel, whisper_features


@pytest.fixture(scope="module")
def extractor():
    transformers = pytest.importorskip("transformers")
    return transformers.WhisperFeatureExtractor()


def sound(seed: int, length: int, loudness: float, silent: float) -> np.ndarray:
    """Noise and a tone, with a silent beginning."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(size=length) * 0.3 + np.sin(np.arange(length) * rng.uniform(0.02, 2))
    wave[: int(silent * length)] = 0
    return (wave * loudness).astype(np.float32)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    length=st.integers(201, 500_000),
    loudness=st.sampled_from([1e-4, 0.01, 0.2]),
    silent=st.floats(0, 0.9),
)
def test_equal_to_transformers(extractor, seed, length, loudness, silent):
    wave = sound(seed, length, loudness, silent)
    want = extractor(wave, sampling_rate=16_000, return_tensors="np").input_features[0].T
    found = whisper_features(wave)
    assert found.shape == want.shape == (3000, 80) and found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=1e-4)


def test_128_bands_as_in_large_v3(extractor):
    from transformers import WhisperFeatureExtractor

    wave = sound(1, 40_000, 0.1, 0.2)
    want = WhisperFeatureExtractor(feature_size=128)(wave, sampling_rate=16_000, return_tensors="np").input_features[0]
    np.testing.assert_allclose(whisper_features(wave, n_mels=128), want.T, atol=1e-4)


def test_what_it_promises():
    wave = sound(2, 16_080, 0.1, 0.3)
    level = log10_mel(wave)
    assert level.shape == (100, 80) and level[0, 0] == -10  # silence, and no 101st frame
    fast = log10_mel(wave, dtype=np.float32)
    np.testing.assert_allclose(fast, level, atol=2e-3)
    found = whisper_features(wave, seconds=None)
    assert found.shape == (100, 80)
    assert found.max() - found.min() == pytest.approx(2.0, abs=1e-6)  # 8 bels, over 4
    assert whisper_features(wave, seconds=0.5).shape == (50, 80)
    np.testing.assert_allclose(log10_mel(10 * wave)[50:], level[50:] + 2, atol=1e-4)  # ten times as loud: two bels
    # a frame depends on 25 ms of sound and on nothing else
    other = wave.copy()
    other[9_000:] = 0
    np.testing.assert_array_equal(log10_mel(other)[: (9_000 - 200) // 160], level[: (9_000 - 200) // 160])


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (np.zeros((2, 900)), "expected mono sound"),
        (np.zeros(200), "expected more than 200 samples, got 200"),
        (np.array([0.0, np.nan] * 300), "wave"),
    ],
)
def test_bad_input(wave, words):
    with pytest.raises(InputError, match=words):
        log10_mel(wave)
