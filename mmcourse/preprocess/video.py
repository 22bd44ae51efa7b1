"""Video as an array of frames, ``(t, h, w, c)``: from animated pictures, folders of pictures, and video files."""

import io
import os
import re

import numpy as np

from mmcourse.preprocess import image as images
from mmcourse.preprocess.arguments import check_choice, check_generator, check_integer, check_number
from mmcourse.preprocess.errors import InputError
from mmcourse.preprocess.signatures import is_video
from mmcourse.preprocess.source import expand_home, is_folder, read_bytes

PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
DEFAULT_SECONDS = 0.1  # for frames that state no duration; browsers do the same
WHITE = (255, 255, 255)


def read(source, mode: str = "RGB", max_frames: int = 1_000, max_pixels: int = 200_000_000):
    """Decode an animated GIF, PNG, WebP, AVIF or TIFF, a folder of pictures in the order of their numbers, or a video.

    Video files (MP4, WebM, …) need the package `av`, which is optional.

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
        Missing; empty, damaged, cut short, too large; frames of several sizes; a video file without `av`.
    """
    check_choice("mode", mode, images.MODES)
    max_frames, max_pixels = check_integer("max_frames", max_frames), check_integer("max_pixels", max_pixels)
    folder = expand_home(source) if isinstance(source, str | os.PathLike) and os.fspath(source) else None
    if folder is not None and is_folder(folder):
        name, pairs = str(folder), _read_folder(folder, mode, max_pixels)
    else:
        data, name = read_bytes(source, "video")
        decode = _read_video if is_video(data) else _read_pictures
        pairs = decode(data, name, mode, max_pixels)
    return _stack(pairs, name, max_frames, max_pixels)


def _stack(pairs, name, max_frames, max_pixels):
    frames: list[np.ndarray] = []
    seconds: list[float] = []
    for frame, duration in pairs:
        if frames and frame.shape != frames[0].shape:
            problem = f"frame {len(frames)} has shape {frame.shape}, the first {frames[0].shape}"
            raise InputError(name, problem, "resize the pictures to one size first")
        if len(frames) == max_frames or (len(frames) + 1) * frame.shape[0] * frame.shape[1] > max_pixels:
            problem = f"more than {max_frames:,} frames or {max_pixels:,} pixels in all"
            raise InputError(name, problem, "cut it, shrink it, or raise max_frames or max_pixels")
        frames.append(frame)
        seconds.append(duration)
    if not frames:
        remedy = f"put pictures ({', '.join(sorted(PICTURES))}) into it, or name a video file"
        raise InputError(name, "holds no frame", remedy)
    return np.stack(frames), np.array(seconds)


def _read_pictures(data, name, mode, max_pixels):
    with images.open_image(data, name, max_pixels) as image:
        with images.decoder_errors(name, max_pixels):
            if image.format == "GIF" and not _gif_is_complete(data):
                raise ValueError("it was cut short: the mark that ends a GIF is missing")  # Pillow drops frames
            count = getattr(image, "n_frames", 1)
        for index in range(count):
            with images.decoder_errors(name, max_pixels):
                image.seek(index)
                images.check_size(image, name, max_pixels)  # a TIFF's pages may differ
                frame = images.to_uint8(image, mode, WHITE, name)
                seconds = float(image.info.get("duration") or 0) / 1000
            yield frame, seconds if 0 < seconds < 3600 else DEFAULT_SECONDS


def _gif_is_complete(data: bytes) -> bool:
    """Whether the blocks of a GIF lead to its trailer (GIF89a specification)."""

    def color_table(flags):
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    position = 13 + color_table(data[10])
    while position < len(data):
        kind = data[position]
        if kind == 0x3B:  # the trailer
            return True
        if kind == 0x21:  # an extension and its label
            position += 2
        elif kind == 0x2C and position + 9 < len(data):  # a frame: its place and size, its colors, the code's size
            position += 10 + color_table(data[position + 9]) + 1
        else:
            return False
        while position < len(data) and data[position]:  # blocks, each after its length; 0 ends them
            position += 1 + data[position]
        position += 1
    return False


def _read_folder(folder, mode, max_pixels):
    def number(path):  # frame9 before frame10
        return [int(part) if part.isdigit() else part for part in re.split("([0-9]+)", path.name)]

    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    except OSError as error:
        raise InputError(folder, f"cannot be opened ({error.strerror})", "check its permissions") from None
    for path in sorted(paths, key=number):
        yield images.read(path, mode, max_pixels=max_pixels), DEFAULT_SECONDS


def _read_video(data, name, mode, max_pixels):
    try:
        import av
    except ImportError:
        remedy = (
            "run pip install av; or turn it into pictures (ffmpeg -i video.mp4 frames/%04d.png) and read the folder"
        )
        raise InputError(name, "a video file, which needs the package av", remedy) from None
    with images.decoder_errors(name, max_pixels), av.open(io.BytesIO(data), mode="r") as container:
        rate = float(container.streams.video[0].average_rate or 1 / DEFAULT_SECONDS)
        for frame in container.decode(video=0):
            if frame.width * frame.height > max_pixels:
                raise InputError(name, f"frames of {frame.width} x {frame.height}", "shrink it, or raise max_pixels")
            yield images.to_uint8(frame.to_image(), mode, WHITE, name), 1 / rate


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
    t, n = check_integer("t", t), check_integer("n", n)
    within = np.full(n, 0.5) if rng is None else check_generator(rng).random(n)
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
    """Animated GIF of uint8 (t, h, w, 3), to show in a page; at most 256 colors per frame."""
    from PIL import Image

    video, seconds = check_video(video), check_number("seconds", seconds, 0.01, 600)
    if video.dtype != np.uint8 or video.shape[-1] != 3:
        raise InputError("video", f"expected uint8 (t, h, w, 3), got {video.dtype} {video.shape}", "convert it first")
    first, *rest = (Image.fromarray(frame) for frame in video)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=round(seconds * 1000), loop=0)
    return file.getvalue()
