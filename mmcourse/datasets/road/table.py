"""The joint distribution of road: what stands at a place, the weather, and what each of three sensors makes of it.

In the clear, camera and lidar are good and radar is fair. At night the camera overlooks people. Fog *blinds* the
camera: it says "nothing", whatever is there; and it scatters the lidar's light, so that its reading is often any of the
four. Radar sees through fog. So fog does not merely add noise: it biases the camera, and it changes whom to believe.
Given class and weather, the three sensors err independently.
"""

import numpy as np

CLASSES = ("nothing", "car", "cyclist", "pedestrian")
WEATHERS = ("clear", "fog", "night")
MODALITIES = ("camera", "lidar", "radar")
BLINDED = 0.9  # p(the camera says "nothing" whatever is there | fog)
SCATTERED = 0.8  # p(the lidar says any of the four | fog)

PRIOR = np.array([0.40, 0.25, 0.15, 0.20])
WEATHER = np.array([0.4, 0.3, 0.3])

# Rows: what is there. Columns: what the sensor says, both as in CLASSES.
CLEAR_CAMERA = np.array(
    [[0.88, 0.04, 0.04, 0.04], [0.05, 0.88, 0.04, 0.03], [0.08, 0.05, 0.70, 0.17], [0.08, 0.04, 0.16, 0.72]]
)
NIGHT_CAMERA = np.array(
    [[0.94, 0.03, 0.015, 0.015], [0.10, 0.84, 0.03, 0.03], [0.45, 0.04, 0.36, 0.15], [0.55, 0.02, 0.13, 0.30]]
)
CLEAR_LIDAR = np.array(
    [[0.90, 0.04, 0.03, 0.03], [0.03, 0.91, 0.05, 0.01], [0.06, 0.06, 0.66, 0.22], [0.06, 0.02, 0.20, 0.72]]
)
ANY_RADAR = np.array(
    [[0.80, 0.10, 0.05, 0.05], [0.04, 0.82, 0.10, 0.04], [0.10, 0.12, 0.60, 0.18], [0.20, 0.04, 0.18, 0.58]]
)


def mixed(table: np.ndarray, share: float, instead: np.ndarray) -> np.ndarray:
    """With chance `share` the sensor says what `instead` (4,) has, whatever is there."""
    return (1 - share) * table + share * instead


def sensor_tables(blinded: float = BLINDED, scattered: float = SCATTERED) -> np.ndarray:
    """p(says | class, weather) of each sensor: float64 (sensor, weather, class, says).

    Parameters
    ----------
    blinded : chance that fog makes the camera say "nothing", whatever is there
    scattered : chance that fog makes the lidar say any of the four
    """
    nothing, anything = np.eye(4)[0], np.full(4, 0.25)
    camera = np.stack([CLEAR_CAMERA, mixed(CLEAR_CAMERA, blinded, nothing), NIGHT_CAMERA])
    lidar = np.stack([CLEAR_LIDAR, mixed(CLEAR_LIDAR, scattered, anything), CLEAR_LIDAR])
    return np.stack([camera, lidar, np.stack([ANY_RADAR] * 3)])


def evenly_noisy(tables: np.ndarray) -> np.ndarray:
    """The same tables with fog as *plain noise*: as often right as before, each error equally likely."""
    noisy = tables.copy()
    for sensor in range(len(tables)):
        right = (PRIOR[:, None] * tables[sensor, 1]).max(axis=0).sum()  # its best accuracy alone in fog
        noisy[sensor, 1] = (1 - right) / 3
        np.fill_diagonal(noisy[sensor, 1], right)
    return noisy


def joint_table(tables: np.ndarray | None = None) -> np.ndarray:
    """p(class, weather, camera, lidar, radar), float64 (4, 3, 4, 4, 4)."""
    camera, lidar, radar = sensor_tables() if tables is None else tables
    return np.einsum("y,w,wya,wyb,wyc->ywabc", PRIOR, WEATHER, camera, lidar, radar)


SENSORS = sensor_tables()
JOINT = joint_table()
