"""Every fusion method."""

from mmcourse.torch.fusion_sums import *  # noqa: F403
