"""Road: its ceilings are exact, its scenes hide nothing, and each sensor's reading can be got from what is drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmcourse.ceilings import bayes_accuracy, loglinear_accuracy, marginal
from mmcourse.datasets import SPLITS, data_dir, load, road
from mmcourse.datasets.road import sensors, table, world
from mmcourse.numpy.geometry import project, transform

SUBSETS = list(road.ceilings())


# -- the table
def test_table_is_a_distribution():
    assert road.JOINT.shape == (4, 3, 4, 4, 4) and road.JOINT.min() >= 0 and road.JOINT.sum() == pytest.approx(1)
    np.testing.assert_allclose(table.SENSORS.sum(axis=-1), 1)
    np.testing.assert_allclose(table.evenly_noisy(table.SENSORS).sum(axis=-1), 1)
    np.testing.assert_allclose(road.JOINT.sum(axis=(0, 2, 3, 4)), road.WEATHER)


@pytest.mark.parametrize("weather", [None, *road.WEATHERS])
def test_bayes_accuracy_against_simulation(weather):
    cues = road.draw_cues(300_000, np.random.default_rng(1))
    kept = slice(None) if weather is None else cues["weather"] == road.WEATHERS.index(weather)
    for names in SUBSETS:
        axes = [0, *(1 + road.MODALITIES.index(m) for m in names)]
        says = marginal(road.JOINT, axes).argmax(axis=0)[tuple(cues[m][kept] for m in ("weather", *names))]
        assert (says == cues["label"][kept]).mean() == pytest.approx(road.bayes_accuracy(names, weather), abs=0.006)


def test_sensors_help_and_weathers_add_up():
    whole = road.ceilings()
    for names, value in whole.items():
        parts = [road.bayes_accuracy(names, w) for w in road.WEATHERS]
        assert road.WEATHER @ parts == pytest.approx(value)
        assert road.bayes_accuracy(names, told=False) <= value + 1e-12
    assert whole[road.MODALITIES] == max(whole.values()) == pytest.approx(0.8514, abs=5e-4)
    assert road.bayes_accuracy((), "fog") == pytest.approx(0.4) == road.bayes_accuracy((), told=False)


def test_what_a_gate_can_win():
    """A vote whose camera knows the weather stays two points below; where only the camera is blind, it does not."""
    gain = {}
    for name, tables in (
        ("road", table.SENSORS),
        ("blinded", table.sensor_tables(scattered=0)),
        ("plain", table.evenly_noisy(table.sensor_tables(scattered=0))),
    ):
        joint = table.joint_table(tables)
        gain[name] = bayes_accuracy(joint) - loglinear_accuracy(joint.reshape(4, 12, 4, 4))
    assert gain["road"] > 0.02 > 0.01 > gain["blinded"] > -1e-9 and gain["plain"] < 0.01


@pytest.mark.parametrize("bad", [("smell",), "smell"])
def test_unknown_names_are_named(bad):
    with pytest.raises(ValueError, match="camera, lidar, radar"):
        road.bayes_accuracy(bad)
    with pytest.raises(ValueError, match="clear, fog, night"):
        road.bayes_accuracy(("camera",), "rain")


# -- scenes
def test_splits_are_always_the_same_and_differ():
    first = [load("road", split)[0]["camera"] for split in SPLITS]
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])
    world.draw_world(5, np.random.default_rng(0))
    assert np.array_equal(first[2], load("road", "test")[0]["camera"])


def test_contract():
    data = load("road", "validation")
    sample = data[3]
    assert set(sample) == {*road.MODALITIES, "target"} and sample["camera"].shape == (32, 96, 3)
    assert sample["camera"].dtype == np.uint8 and sample["lidar"].shape[1] == sample["radar"].shape[1] == 4
    few = data.subset([5, 3]).with_missing(pattern={"lidar": np.array([True, False])})
    assert few[1]["lidar"] is None and np.array_equal(few[1]["camera"], sample["camera"])
    batch = data.features().batch(np.array([3, 5]))
    assert batch["inputs"]["lidar"].shape == (2, 16, 16, 4) and batch["inputs"]["radar"].shape == (2, 16, 16, 3)
    assert batch["target"]["classes"].shape == (2, road.MOST) and len(data.column("radar")[:4]) == 4
    assert (batch["target"]["classes"][batch["target"]["cells"] < 0] == -1).all()
    assert (data_dir() / "road" / "README.md").is_file()


def test_drawn_frequencies_are_the_tables():
    drawn = world.draw_world(4000, np.random.default_rng(5))
    there = drawn.there
    counts = np.bincount(drawn.classes[there], minlength=4) / there.sum()
    np.testing.assert_allclose(counts, road.PRIOR, atol=0.015)
    for w in range(3):
        scenes = there & (drawn.weather == w)[:, None]
        for m in range(3):
            for kind in range(4):
                says = drawn.says[scenes & (drawn.classes == kind), m]
                np.testing.assert_allclose(
                    np.bincount(says, minlength=4) / len(says), road.SENSORS[m, w, kind], atol=0.06
                )


def test_no_thing_hides_another_and_all_are_in_view():
    drawn = road.world_of("test")
    for i in range(0, 1200, 7):
        found = sensors.boxes(drawn, i, "camera")
        spans = []
        for thing in found:
            center, size, yaw = thing.center, thing.size, thing.yaw
            corners = np.array([[x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]) * size[:2]
            turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
            at = corners @ turn.T + center[:2] - sensors.CAMERA_AT[:2]
            spans.append(np.sort(np.arctan2(at[:, 1], at[:, 0]))[[0, -1]])
        spans = sorted(map(tuple, spans))
        for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
            assert start > end - 0.05
        cells = drawn.cells()[i][drawn.there[i]]
        assert (cells >= 0).all() and len(set(cells)) == len(cells)


# -- sensors
def test_each_sensor_shows_what_it_says():
    """Lidar: top height in the cell; radar: strength; camera: a picture that differs from the empty road's, or not."""
    drawn = road.world_of("validation")
    views = load("road", "validation").features()
    lidar, radar = (views[m].reshape(400, 256, -1) for m in ("lidar", "radar"))
    scenes, place = np.nonzero(drawn.there)
    cell = drawn.cells()[scenes, place]
    says = drawn.says[scenes, place]
    row, column = np.divmod(cell, 16)
    padded = np.pad(lidar.reshape(400, 16, 16, -1)[..., 1], ((0, 0), (1, 1), (1, 1)))
    near = np.stack([padded[scenes, row + 1 + i, column + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    top = near.max(axis=0)  # a beam meets the near side of a car, which may lie in the cell before
    assert (top[says[:, 1] > 0] > 0.5).mean() > 0.97 and (lidar[scenes, cell, 1][says[:, 1] == 0] == 0).mean() > 0.97
    strength = 20 * radar[scenes, cell, 1] - 12
    for kind in (1, 2, 3):
        seen = strength[says[:, 2] == kind]
        assert np.median(seen) == pytest.approx(sensors.STRENGTH[kind], abs=1.0)


def test_what_is_drawn_depends_on_readings_alone():
    """Other classes, the same readings: not a pixel or point changes; else a network could pass its ceiling."""
    drawn = road.world_of("validation")
    other = dataclasses.replace(drawn, classes=(drawn.classes + 1) % 4)
    for sensor in road.MODALITIES:
        for i in range(30):
            first, second = (road.render(w, "validation", sensor, i) for w in (drawn, other))
            assert np.array_equal(first, second)


def test_a_pixel_is_where_projection_puts_it():
    """Ray casting and projection are each other's inverse: a box's pixels surround its projected center."""
    drawn = road.world_of("test")
    checked = 0
    for i in range(60):
        found = sensors.boxes(drawn, i, "camera")
        _, which = sensors.cast(sensors.CAMERA_AT, sensors.PIXEL_RAYS, sensors.PIXEL_AZIMUTHS, found)
        for number, thing in enumerate(found):
            center = thing.center
            (u, v), _ = (
                part[0] for part in project(transform(center[None], sensors.CAMERA_FROM_EGO), sensors.INTRINSICS)
            )
            rows, columns = np.nonzero(which == number)
            if len(rows):
                checked += 1
                assert rows.min() - 1 <= v <= rows.max() + 2 and columns.min() - 1 <= u <= columns.max() + 2
    assert checked > 40


def test_clocks_matter_and_motion_is_taken_back():
    """At 20 m/s the lidar's frame is a meter behind the camera's; compensated, a pedestrian stands at its place."""
    moved = sensors.to_camera_time("lidar", 20.0, 0.0)
    np.testing.assert_allclose(moved[:3, 3], [-1.0, 0, 0], atol=1e-9)
    data, drawn = load("road", "test"), road.world_of("test")
    errors = {True: [], False: []}
    scenes, places = np.nonzero(drawn.there & (drawn.says[:, :, 1] == 3) & (drawn.ego_speed > 16)[:, None])
    for i, k in list(zip(scenes, places, strict=True))[:40]:
        points = data[int(i)]["lidar"][:, :3].astype(float)
        for compensate, found in errors.items():
            move = sensors.to_camera_time("lidar", drawn.ego_speed[i], drawn.yaw_rate[i]) if compensate else np.eye(4)
            at = transform(points, move @ sensors.EGO_FROM_LIDAR)
            near = (at[:, 2] > 0.3) & (np.linalg.norm(at[:, :2] - drawn.places[i, k], axis=1) < 2.5)
            if near.any():
                found.append(np.linalg.norm(at[near, :2].mean(axis=0) - drawn.places[i, k]))
    assert np.median(errors[True]) < 0.4 < 0.6 < np.median(errors[False])


def test_radar_knows_the_speed():
    from mmcourse.numpy.geometry import ego_speed

    drawn = road.world_of("test")
    errors = []
    for i in range(80):
        detections = road.render(drawn, "test", "radar", i)
        errors.append(ego_speed(detections[:, 1], detections[:, 2]) - drawn.ego_speed[i])
    assert np.median(np.abs(errors)) < 0.15
