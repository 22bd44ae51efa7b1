"""Video: the same frames from every container, and indices that cover the whole."""

import io

import numpy as np
import pytest
from PIL import Image

from mmcourse.preprocess import video
from mmcourse.preprocess.errors import InputError


def clip(t=6, h=8, w=10):
    """A white square that moves one pixel to the right at each step."""
    frames = np.zeros((t, h, w, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[2:5, i % w : i % w + 3] = 255
    return frames


def animation(frames, format, **options):
    first, *rest = (Image.fromarray(frame) for frame in frames)
    file = io.BytesIO()
    first.save(file, format, save_all=True, append_images=rest, duration=40, **options)
    return file.getvalue()


@pytest.mark.parametrize("format, options", [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_animations_give_their_frames(format, options):
    frames, seconds = video.read(animation(clip(), format, **options))
    assert (frames == clip()).all() and frames.dtype == np.uint8
    np.testing.assert_allclose(seconds, 0.1 if format == "TIFF" else 0.04)


def test_one_picture_is_a_video_of_one_frame():
    frames, seconds = video.read(animation(clip(1), "PNG"), mode="L")
    assert frames.shape == (1, 8, 10, 1) and seconds.tolist() == [0.1 if seconds[0] == 0.1 else 0.04]


def test_to_gif_comes_back():
    frames, seconds = video.read(video.to_gif(clip(), 0.05))
    assert (frames == clip()).all()
    np.testing.assert_allclose(seconds, 0.05)


def test_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for i, frame in enumerate(clip(12)):
        Image.fromarray(frame).save(tmp_path / f"frame{i}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    frames, seconds = video.read(tmp_path)
    assert (frames == clip(12)).all() and len(seconds) == 12
    Image.fromarray(clip(1, 5, 5)[0]).save(tmp_path / "frame99.png")
    with pytest.raises(InputError, match="frame 12 has shape"):
        video.read(tmp_path)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="holds no frame"):
        video.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such video file"):
        video.read(tmp_path / "none.gif")
    with pytest.raises(InputError, match="empty"):
        video.read(b"")
    with pytest.raises(InputError, match="cannot be decoded"):
        video.read(b"GIF89a" + bytes(4))
    with pytest.raises(InputError, match="more than 3 frames"):
        video.read(animation(clip(), "GIF"), max_frames=3)
    with pytest.raises(InputError, match="pixels"):
        video.read(animation(clip(), "GIF"), max_pixels=3 * 80)
    for wrong in (np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 2, 2, 3), int)):
        with pytest.raises(InputError, match="video: expected"):
            video.frame_difference(wrong)
    with pytest.raises(InputError, match="uint8"):
        video.to_gif(clip() / 255)
    with pytest.raises(InputError, match="^t: expected a whole number"):
        video.sample_indices(0, 3)


def test_truncated_animation_says_so():
    noise = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    for format in ("GIF", "PNG", "WEBP"):
        data = animation(noise, format)
        with pytest.raises(InputError, match="cannot be decoded"):
            video.read(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_cut_anywhere_loses_no_frame_silently(format):
    noise = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)
    data = animation(noise, format)
    expected = video.read(data)[0]
    assert len(expected) == 5
    for length in sorted({*range(1, 60), *np.linspace(60, len(data) - 1, 250).astype(int), len(data) - 1}):
        try:
            assert np.array_equal(video.read(data[:length])[0], expected), length
        except InputError as error:
            assert "decoded" in str(error) or "empty" in str(error)


def test_what_follows_the_end_of_a_gif_does_no_harm():
    assert len(video.read(animation(clip(), "GIF") + bytes(9))[0]) == 6
    assert len(video.read(animation(clip(), "GIF") + b"junk")[0]) == 6


def test_a_video_file_without_its_package_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match="pip install av"):
        video.read(b"\0\0\0\x18ftypmp42" + bytes(40))


def test_a_video_file_is_read_where_its_package_is():
    av = pytest.importorskip("av", reason="films need the optional package av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in clip(5, 48, 64):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
    frames, seconds = video.read(file.getvalue())
    assert frames.shape == (5, 48, 64, 3)
    np.testing.assert_allclose(seconds, 0.1)
    assert np.abs(frames.astype(int) - clip(5, 48, 64)).mean() < 10
    with pytest.raises(InputError, match="cannot be decoded"):
        video.read(file.getvalue()[:60])


def test_sampling_covers_the_whole_in_order():
    assert video.sample_indices(16, 4).tolist() == [2, 6, 10, 14]
    assert video.sample_indices(2, 4).tolist() == [0, 0, 1, 1]
    for seed in range(50):
        drawn = video.sample_indices(16, 4, np.random.default_rng(seed))
        assert (drawn // 4 == np.arange(4)).all()
    assert video.sample_frames(clip(16), 4).shape == (4, 8, 10, 3)


def test_difference_and_motion():
    frames = clip(4)
    change = video.frame_difference(frames)
    assert change.dtype == np.float32 and change.shape == (3, 8, 10, 3)
    assert change[0, 3, 0, 0] == -1 and change[0, 3, 3, 0] == 1 and change[0, 3, 1, 0] == 0
    np.testing.assert_allclose(video.motion(frames), 2 * 3 / 80)
    assert not video.motion(np.repeat(frames[:1], 3, axis=0)).any()
