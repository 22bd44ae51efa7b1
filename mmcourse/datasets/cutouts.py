"""Cut-out photographs of birds, mammals, flowers, and fruit: the stamps of Tux Paint, where they are installed.

::

    from mmcourse.datasets import cutouts

    folder = cutouts.find()  # None where Tux Paint's stamps are not installed
    if folder is not None:
        pictures, labels, names = cutouts.load(folder)

Tux Paint is a drawing program for children (www.tuxpaint.org); its stamps are photographs that volunteers cut out and
published under the GPL, version 2. They do not come with the course: on Debian and Ubuntu they are the package
``tuxpaint-stamps-default``, elsewhere a part of Tux Paint's own installer. The stored results of lesson `vision` were
made with version 2022.06.04.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("bird", "mammal", "flower", "fruit")  # fruit and vegetables
FOLDERS = {
    "bird": ("animals/birds",),
    "mammal": ("animals/mammals",),
    "flower": ("plants/flowers",),
    "fruit": ("food/fruit", "food/vegetables"),
}
NOT_PHOTOGRAPHS = ("cartoon", "toys", "plastic", "_mirror", "_flip", "hedgehog", "echidna")  # drawn, or a second time
PLACES = (
    "/usr/share/tuxpaint/stamps",
    "/usr/local/share/tuxpaint/stamps",
    "/Applications/Tux Paint.app/Contents/Resources/share/tuxpaint/stamps",
    "C:/Program Files/TuxPaint/data/stamps",
)
VARIABLE = "MMCOURSE_STAMPS"  # a folder elsewhere
SIDE = 128  # height and width in pixels


def find() -> Path | None:
    """The folder with the stamps, or None; the variable `MMCOURSE_STAMPS` names another place to look in."""
    places = [os.environ[VARIABLE]] if os.environ.get(VARIABLE) else list(PLACES)
    return next((Path(place) for place in places if Path(place).is_dir()), None)


def load(folder: Path | str, side: int = SIDE) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All photographs, each fitted into a square, with what is transparent around it.

    Returns
    -------
    pictures : uint8 (n, side, side, 4)
        Red, green, blue, and alpha: 255 on the thing, 0 beside it.
    labels : int (n,)
        Positions in `CLASSES`.
    names : list of str

    Raises
    ------
    ValueError
        If one of the four classes has no picture there.
    """
    pictures, labels, names = [], [], []
    for label, (kind, folders) in enumerate(FOLDERS.items()):
        files = sorted(path for part in folders for path in (Path(folder) / part).rglob("*.png"))
        files = [path for path in files if not any(word in path.as_posix() for word in NOT_PHOTOGRAPHS)]
        if not files:
            raise ValueError(
                f"{folder}: expected Tux Paint's stamps, with pictures of the class {kind} in {' or '.join(folders)}; "
                "found none. Install tuxpaint-stamps-default, or set MMCOURSE_STAMPS to the folder that holds `animals`"
            )
        for path in files:
            pictures.append(_fit(path, side))
            labels.append(label)
            names.append(path.stem)
    return np.stack(pictures), np.array(labels), names


def place_on(pictures: np.ndarray, background: np.ndarray | float) -> np.ndarray:
    """Cut-outs (n, h, w, 4) on a background, a picture (h, w, 3) or a gray level: uint8 (n, h, w, 3)."""
    alpha = pictures[..., 3:] / 255.0
    mixed = alpha * pictures[..., :3] + (1 - alpha) * np.asarray(background, dtype=float)
    return np.round(mixed).astype(np.uint8)


def _fit(path: Path, side: int) -> np.ndarray:
    """One file in the middle of a transparent square, as large as it fits."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    scale = side / max(picture.size)
    size = [max(1, round(length * scale)) for length in picture.size]
    picture = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(square)
