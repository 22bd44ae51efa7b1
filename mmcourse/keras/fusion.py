"""Every fusion method."""

from mmcourse.keras.fusion_sums import *  # noqa: F403
