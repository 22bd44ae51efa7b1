"""Every fusion method."""

from mmcourse.numpy.fusion_sums import *  # noqa: F403
