"""Readers of KITTI frames and of a comma2k19 minute: what they refuse, and what the real files hold."""

from __future__ import annotations

import numpy as np
import pytest

from mmcourse.datasets import comma2k19, kitti
from mmcourse.numpy.geometry import ego_speed

CALIBRATION = "\n".join(f"{name}: " + " ".join(["1.0"] * size) for name, size in kitti.SHAPES.items())


# -- bad input
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is missing"),
        (CALIBRATION.replace("R0_rect", "R_rect_00"), "R0_rect is missing"),
        (CALIBRATION.replace("P2: 1.0", "P2:"), "expected 12"),
        (CALIBRATION.replace("P2: 1.0", "P2: nan"), "finite"),
        (CALIBRATION.replace("P2: 1.0", "P2: one"), "expected numbers"),
    ],
)
def test_bad_calibrations_are_refused(tmp_path, text, told):
    path = tmp_path / "calib.txt"
    path.write_text(text, encoding="ascii")
    with pytest.raises(ValueError, match=told):
        kitti.read_calibration(path)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 15, np.full(4, np.nan, "<f4").tobytes(), np.full(4, 9e9, "<f4").tobytes()]
)
def test_bad_sweeps_are_refused(tmp_path, data):
    path = tmp_path / "sweep.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="expected"):
        kitti.read_points(path)


def test_labels_skip_dont_care_and_refuse_short_lines(tmp_path):
    path = tmp_path / "label.txt"
    good = "Car 0.00 1 1.85 1 2 3 4 1.67 1.87 3.69 -16.53 2.39 58.49 1.57"
    path.write_text(f"{good}\nDontCare {' '.join(['-1'] * 14)}\n\n", encoding="ascii")
    (label,) = kitti.read_labels(path)
    assert label.kind == "Car" and label.occluded == 1 and label.size == (1.67, 1.87, 3.69) and label.yaw == 1.57
    for bad, told in ((good[:-5], "14"), (good.replace("58.49", "far"), "numbers")):
        path.write_text(bad, encoding="ascii")
        with pytest.raises(ValueError, match=told):
            kitti.read_labels(path)


def test_a_missing_frame_says_which_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="calib"):
        kitti.read_frame(tmp_path)


def save(folder, time, value):
    """A signal as comma2k19 keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("t", time), ("value", value)):
        with open(folder / name, "wb") as file:
            np.save(file, array)


@pytest.mark.parametrize(
    ("time", "value", "told"),
    [
        (np.arange(3.0), np.arange(4.0), "one value for each time"),
        (np.array([0.0, 2.0, 1.0]), np.arange(3.0), "backwards"),
        (np.array([0.0, np.nan]), np.arange(2.0), "backwards"),
        (np.arange(2.0), np.array(["a", "b"]), "numbers"),
    ],
)
def test_bad_signals_are_refused(tmp_path, time, value, told):
    save(tmp_path / "speed", time, value)
    with pytest.raises(ValueError, match=told):
        comma2k19.read_signal(tmp_path / "speed")


def test_signals_are_never_unpickled(tmp_path):
    save(tmp_path / "speed", np.arange(2.0), np.arange(2.0))
    np.save(tmp_path / "object.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    (tmp_path / "speed" / "value").write_bytes((tmp_path / "object.npy").read_bytes())
    with pytest.raises(ValueError, match="something else"):
        comma2k19.read_signal(tmp_path / "speed")
    (tmp_path / "speed" / "t").unlink()
    with pytest.raises(FileNotFoundError, match="t, an array"):
        comma2k19.read_signal(tmp_path / "speed")


def test_another_drive_is_read_only_if_asked(tmp_path):
    save(tmp_path / "CAN" / "speed", np.arange(3.0), np.ones((3, 1)))
    save(tmp_path / "CAN" / "radar", np.arange(2.0), np.ones((2, 7)))
    with pytest.raises(ValueError, match="SHA-256"):
        comma2k19.read_drive(tmp_path)
    drive = comma2k19.read_drive(tmp_path, verify=False)
    assert drive.speed.value.shape == (3,) and drive.radar.value.shape == (2, 4)
    save(tmp_path / "CAN" / "radar", np.arange(2.0), np.ones((2, 5)))
    with pytest.raises(ValueError, match="7 columns"):
        comma2k19.read_drive(tmp_path, verify=False)


# -- the real files
@pytest.mark.parametrize(
    ("name", "behind", "front"), [("000000", 12475, 20285), ("000001", 16951, 18630), ("000002", 20675, 20210)]
)
def test_projection_on_real_frames(real_data, name, behind, front):
    if not (real_data / "kitti").is_dir():
        pytest.skip("KITTI's frames are not in the folder of real data")
    frame = kitti.read_frame(real_data / "kitti", name)
    height, width = frame.image.shape[:2]
    homogeneous = np.column_stack([frame.points[:, :3], np.ones(len(frame.points))])
    scaled = homogeneous @ kitti.pixel_from_lidar(frame.calibration).T
    pixels = scaled[:, :2] / scaled[:, 2:]
    inside = ((pixels >= 0) & (pixels < [width, height])).all(axis=1)
    assert (inside & (scaled[:, 2] < 0)).sum() == behind and (inside & (scaled[:, 2] > 0)).sum() == front
    other = homogeneous @ kitti.pixel_from_lidar(frame.calibration, rectify=False).T
    shift = np.linalg.norm(other[:, :2] / other[:, 2:] - pixels, axis=1)[inside & (scaled[:, 2] > 0)]
    assert 6 < np.median(shift) < 8
    assert frame.labels and all(label.bottom[2] > 0 for label in frame.labels)


def test_a_damaged_real_frame_is_noticed(real_data, tmp_path):
    if not (real_data / "kitti").is_dir():
        pytest.skip("KITTI's frames are not in the folder of real data")
    for part in ("calib", "image_2", "label_2", "velodyne"):
        (tmp_path / part).mkdir()
        for path in (real_data / "kitti" / part).glob("000000.*"):
            (tmp_path / part / path.name).write_bytes(path.read_bytes())
    calibration = tmp_path / "calib" / "000000.txt"
    calibration.write_bytes(calibration.read_bytes().replace(b"7.070493000000e+02", b"7.170493000000e+02"))
    with pytest.raises(ValueError, match="not the published file"):
        kitti.read_frame(tmp_path)


def test_the_minute_and_its_speed_from_radar(real_data):
    if not (real_data / "comma2k19").is_dir():
        pytest.skip("the comma2k19 minute is not in the folder of real data")
    drive = comma2k19.read_drive(real_data / "comma2k19")
    assert drive.radar.value.shape == (10100, 4) and drive.speed.value.shape == (4974,)
    second = np.floor(drive.radar.time - drive.radar.time[0]).astype(int)
    errors = []
    for k in range(60):
        ahead, left, rate, _ = drive.radar.value[second == k].T
        truth = np.interp(drive.radar.time[second == k].mean(), drive.speed.time, drive.speed.value)
        errors.append(ego_speed(np.arctan2(left, ahead), rate) - truth)
    errors = np.abs(errors)
    assert np.median(errors) < 0.3 and 0.7 < (errors < 1).mean() < 0.85
