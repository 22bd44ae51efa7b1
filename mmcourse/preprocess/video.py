"""Video as an array of frames, ``(t, h, w, c)``: from animated pictures, folders of pictures, and films."""

import io
import os
import re
from pathlib import Path

import numpy as np

from mmcourse.preprocess import image as images
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.source import read_bytes

PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
DEFAULT_SECONDS = 0.1  # for frames that state no duration; browsers do the same


def read(source, mode: str = "RGB", max_frames: int = 1_000, max_pixels: int = 200_000_000):
    """Decode a GIF, APNG, WebP or other picture, a folder of pictures in the order of their numbers, or a film.

    Films (MP4, WebM, …) need the package `av`, which is optional.

    Parameters
    ----------
    source : path (file or folder), bytes or binary file
    mode : "RGB", "RGBA" or "L"
    max_frames, max_pixels : int
        Refuse more, over all frames.

    Returns
    -------
    frames : uint8 (t, h, w, c)
    seconds : float64 (t,), how long each frame stays

    Raises
    ------
    FileNotFoundError, InputError
        Missing; empty, damaged, too large; frames of several sizes; a film without `av`.
    """
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        name, pairs = str(source), _read_folder(Path(source), mode, max_pixels)
    else:
        data, name = read_bytes(source, "video")
        decode = _read_film if is_video(data) else _read_pictures
        pairs = decode(data, name, mode, max_pixels)
    return _stack(pairs, name, max_frames, max_pixels)


def is_video(data: bytes) -> bool:
    """Whether these bytes are MP4, MOV, WebM, Matroska or AVI: by content, not by name."""
    picture = data[8:12] in (b"avif", b"avis", b"heic", b"mif1")
    return (data[4:8] == b"ftyp" and not picture) or data[:4] == b"\x1aE\xdf\xa3" or data[8:12] == b"AVI "


def _stack(pairs, name, max_frames, max_pixels):
    frames, seconds = [], []
    for frame, duration in pairs:
        if frames and frame.shape != frames[0].shape:
            problem = f"frame {len(frames)} has shape {frame.shape}, the first {frames[0].shape}"
            raise InputError(name, problem, "resize the pictures to one size first")
        if len(frames) == max_frames or (len(frames) + 1) * frame.shape[0] * frame.shape[1] > max_pixels:
            problem = f"more than {max_frames:,} frames or {max_pixels:,} pixels in all"
            raise InputError(name, problem, "cut it, shrink it, or raise the limit")
        frames.append(frame)
        seconds.append(duration)
    if not frames:
        raise InputError(name, "holds no frame", f"expected pictures ({', '.join(sorted(PICTURES))}) or a film")
    return np.stack(frames), np.array(seconds)


def _read_pictures(data, name, mode, max_pixels):
    with images.open_image(data, name, max_pixels) as image:
        with images.guarded(name):
            count = getattr(image, "n_frames", 1)
        for index in range(count):
            with images.guarded(name):
                image.seek(index)
                images.check_size(image, name, max_pixels)  # a TIFF's pages may differ
                frame = images.flatten(image, mode, (255, 255, 255), name)
                seconds = float(image.info.get("duration") or 0) / 1000
            yield frame, seconds if 0 < seconds < 3600 else DEFAULT_SECONDS


def _read_folder(folder, mode, max_pixels):
    def number(path):  # frame9 before frame10
        return [int(part) if part.isdigit() else part for part in re.split("([0-9]+)", path.name)]

    for path in sorted((p for p in folder.iterdir() if p.suffix.lower() in PICTURES), key=number):
        yield images.read(path, mode, max_pixels=max_pixels), DEFAULT_SECONDS


def _read_film(data, name, mode, max_pixels):
    try:
        import av
    except ImportError:
        remedy = "run pip install av; or turn it into pictures (ffmpeg -i film.mp4 frames/%04d.png) and read the folder"
        raise InputError(name, "a film, which needs the package av", remedy) from None
    with images.guarded(name), av.open(io.BytesIO(data)) as film:
        rate = float(film.streams.video[0].average_rate or 1 / DEFAULT_SECONDS)
        for frame in film.decode(video=0):
            if frame.width * frame.height > max_pixels:
                raise InputError(name, f"frames of {frame.width} x {frame.height}", "shrink it, or raise max_pixels")
            yield images.flatten(frame.to_image(), mode, (255, 255, 255), name), 1 / rate


def check_video(video, where: str = "video") -> np.ndarray:
    """Return `video` as an array (t, h, w, c), or say what is wrong with it."""
    video = images.check_image(video, where)
    if video.ndim != 4:
        raise InputError(where, f"expected (t, h, w, c), got shape {video.shape}", "add the missing axis")
    return video


def sample_indices(t: int, n: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """`n` frames of `t`, one from each of n equal pieces: its middle, or a random one. int64 (n,), in order.

    If n > t, frames are repeated. Wang et al. 2016, arXiv 1608.00859.
    """
    if t < 1 or n < 1:
        raise InputError("sample_indices", f"expected at least one frame, got t={t} and n={n}", "check the video")
    within = np.full(n, 0.5) if rng is None else rng.random(n)
    return np.minimum(np.floor((np.arange(n) + within) * t / n).astype(np.int64), t - 1)


def sample_frames(video, n: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """`n` frames spread over (t, h, w, c): see `sample_indices`."""
    video = check_video(video)
    return video[sample_indices(len(video), n, rng)]


def frame_difference(video) -> np.ndarray:
    """Change from each frame to the next, float32 (t - 1, h, w, c), in -1..1: what moves, and what it uncovers."""
    return np.diff(images.to_float(check_video(video)), axis=0)


def motion(video) -> np.ndarray:
    """Mean absolute change from each frame to the next: float32 (t - 1,); 0 where nothing moves."""
    return np.abs(frame_difference(video)).mean(axis=(1, 2, 3))


def to_gif(video, seconds: float = DEFAULT_SECONDS) -> bytes:
    """Animated GIF of uint8 (t, h, w, 3), to show in a page; at most 256 colours a frame."""
    from PIL import Image

    video = check_video(video)
    if video.dtype != np.uint8 or video.shape[-1] != 3:
        raise InputError("video", f"expected uint8 (t, h, w, 3), got {video.dtype} {video.shape}", "convert it first")
    first, *rest = (Image.fromarray(frame) for frame in video)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=round(seconds * 1000), loop=0)
    return file.getvalue()
