"""Frames of KITTI's object set: image, lidar, calibration, labels, and the way from one to the other.

Geiger, Lenz, Urtasun 2012, *Are we ready for autonomous driving?* License CC BY-NC-SA 3.0: for research and teaching,
not for commerce; the course ships none of it. Frames 0 to 2 are checked byte for byte, others are read as they are.
Axes: lidar x forward, y left, z up; camera x right, y down, z forward.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcourse.preprocess.image import read as read_image

__all__ = ["Frame", "Label", "pixel_from_lidar", "read_calibration", "read_frame", "read_labels", "read_points"]

SHAPES = {"P0": 12, "P1": 12, "P2": 12, "P3": 12, "R0_rect": 9, "Tr_velo_to_cam": 12}
KNOWN = {
    "calib/000000.txt": "29b89ca9fa49b2cad778bf73910ff7210c7998badae39796cf29666081992d7f",
    "calib/000001.txt": "5813c05a89e33e67244891c62e153e0a572692d42365b8665e38cc242c7d4918",
    "calib/000002.txt": "5813c05a89e33e67244891c62e153e0a572692d42365b8665e38cc242c7d4918",
    "image_2/000000.png": "bf103e7a67c33549053fd3faa22b4c079434acc967b24995da3bdc7f8ece8c65",
    "image_2/000001.png": "40acaf855260376103a5e0d97e9dce15d51811c0f419ff308e948fefdd880bf6",
    "image_2/000002.png": "5c23307c68d2372fdd34c8a9f71e49ba41c8a998adf784f6d0892f414bc7fbef",
    "label_2/000000.txt": "6627ff300809ccdb8f0402c1003b7c691a64e3027ceaf0ce7cabfeef9809d0c3",
    "label_2/000001.txt": "36eef20c544fb5cd648ea3144683a6f0e7a6869c94c1347cb7e6997e0253aefd",
    "label_2/000002.txt": "6c9295ac0a8dbf9d018db0a5e47a217d21d77b764819fda8c91052a3ae414c11",
    "velodyne/000000.bin": "0e09c85e3f6078ecbdd1e706ee9624519f1bd29417437167a9ed7fbe6f54b4b1",
    "velodyne/000001.bin": "59a02fdaaab3b7e903713cb618e8f53efcaf71c144436ddfcdf4f28bdbd73d20",
    "velodyne/000002.bin": "8bffebb1a97e4c5a13083a84934d68030e6c137f86a4e43d45698ba1f8106c43",
}


@dataclass(frozen=True)
class Label:
    """One labeled thing: class, how hidden it is (0 to 3), its box in the picture, and in space (camera's axes).

    `bottom` is the middle of its bottom face; `size` is height, width, length in meters, `yaw` about the camera's y.
    """

    kind: str
    truncated: float
    occluded: int
    box: tuple[float, float, float, float]
    size: tuple[float, float, float]
    bottom: tuple[float, float, float]
    yaw: float


@dataclass(frozen=True)
class Frame:
    """One moment: `image` uint8 (h, w, 3), `points` float32 (p, 4): x, y, z, reflectance in the lidar's axes."""

    image: np.ndarray
    points: np.ndarray
    calibration: dict[str, np.ndarray]
    labels: list[Label]


def read_calibration(path: str | Path) -> dict[str, np.ndarray]:
    """The matrices of a calibration file: "P0" … "P3" (3, 4), "R0_rect" (3, 3), "Tr_velo_to_cam" (3, 4).

    Raises
    ------
    ValueError
        A matrix is missing, has another number of values, or holds something that is no finite number.
    """
    found = {}
    for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
        name, colon, values = line.partition(":")
        if not colon or name.strip() not in SHAPES:
            continue
        try:
            numbers = np.array([float(value) for value in values.split()])
        except ValueError as error:
            raise ValueError(f"{path}: {name}: expected numbers, got {values.strip()[:60]!r}") from error
        if len(numbers) != SHAPES[name] or not np.isfinite(numbers).all():
            raise ValueError(f"{path}: {name}: expected {SHAPES[name]} finite numbers, got {len(numbers)} values")
        found[name] = numbers.reshape(3, -1)
    if missing := sorted(set(SHAPES) - set(found)):
        raise ValueError(
            f"{path}: expected KITTI's matrices, but {', '.join(missing)} is missing; is it of the object set?"
        )
    return found


def read_points(path: str | Path) -> np.ndarray:
    """A lidar sweep, float32 (p, 4): x, y, z in meters and reflectance from 0 to 1.

    Raises
    ------
    ValueError
        The file is empty, is no whole number of points, or holds values that no lidar measures.
    """
    data = Path(path).read_bytes()
    if not data or len(data) % 16:
        raise ValueError(f"{path}: expected 16 bytes for each point (four float32), got {len(data)} bytes; was it cut?")
    points = np.frombuffer(data, "<f4").reshape(-1, 4)
    if not np.isfinite(points).all() or np.abs(points[:, :3]).max() > 500:
        raise ValueError(f"{path}: expected coordinates within 500 m, got others; are these little-endian float32?")
    return points


def read_labels(path: str | Path) -> list[Label]:
    """The things of a label file, without "DontCare".

    Raises
    ------
    ValueError
        A line that has not 15 fields (16 with a score), or fields that are no numbers.
    """
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="ascii", errors="replace").splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] == "DontCare":
            continue
        if len(fields) not in (15, 16):
            raise ValueError(f"{path}, line {number}: expected 15 fields (16 with a score), got {len(fields)}")
        try:
            v = [float(field) for field in fields[1:15]]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: expected numbers after the class, got {line[:60]!r}") from error
        box, size, bottom = (tuple(v[3:7]), tuple(v[7:10]), tuple(v[10:13]))
        found.append(Label(fields[0], v[0], int(v[1]), box, size, bottom, v[13]))  # type: ignore[arg-type]
    return found


def read_frame(folder: str | Path, name: str = "000000") -> Frame:
    """A frame of a folder with KITTI's own subfolders calib, image_2, label_2 and velodyne.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        A file of frames 0 to 2 is not the published one, byte for byte; or a file cannot be read.
    """
    folder = Path(folder)
    parts = {"calib": "txt", "image_2": "png", "label_2": "txt", "velodyne": "bin"}
    paths = {part: folder / part / f"{name}.{ending}" for part, ending in parts.items()}
    for part, path in paths.items():
        if not path.is_file():
            raise FileNotFoundError(
                f"KITTI frame {name}: expected {path}; is {folder} the folder with {', '.join(parts)}?"
            )
        wanted = KNOWN.get(f"{part}/{path.name}")
        if wanted and hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise ValueError(f"{path}: not the published file (its SHA-256 differs); copy it again")
    return Frame(
        read_image(paths["image_2"]),
        read_points(paths["velodyne"]),
        read_calibration(paths["calib"]),
        read_labels(paths["label_2"]),
    )


def pixel_from_lidar(calibration: Mapping[str, np.ndarray], rectify: bool = True) -> np.ndarray:
    """P2 · R0_rect · Tr_velo_to_cam, (3, 4): lidar → camera 0 → rectified → pixels of the left color camera.

    Parameters
    ----------
    rectify : False leaves R0_rect out, a common mistake
    """
    camera_from_lidar, rectified, pixel = np.eye(4), np.eye(4), calibration["P2"]
    camera_from_lidar[:3] = calibration["Tr_velo_to_cam"]
    if rectify:
        rectified[:3, :3] = calibration["R0_rect"]
    return pixel @ rectified @ camera_from_lidar
