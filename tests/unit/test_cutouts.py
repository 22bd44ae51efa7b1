"""Tux Paint's stamps as labeled photographs: which files count, how they are fitted, and what is said without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmcourse.datasets import cutouts


def make_stamps(folder: Path) -> Path:
    """One picture per folder, 40 wide and 20 high, opaque, red."""
    for parts in cutouts.FOLDERS.values():
        for part in parts:
            place = folder / part
            place.mkdir(parents=True)
            Image.new("RGBA", (40, 20), (255, 0, 0, 255)).save(place / "thing.png")
    return folder


def test_photographs_are_fitted_and_labeled(tmp_path):
    pictures, labels, names = cutouts.load(make_stamps(tmp_path), side=16)
    assert pictures.shape == (5, 16, 16, 4) and pictures.dtype == np.uint8
    assert labels.tolist() == [0, 1, 2, 3, 3] and names == ["thing"] * 5
    assert (pictures[0, 4:12, :, 3] == 255).all()  # as wide as the square, half as high, in the middle
    assert (pictures[0, :4, :, 3] == 0).all() and (pictures[0, 12:, :, 3] == 0).all()


@pytest.mark.parametrize("name", ["cartoon/owl.png", "owl_mirror.png", "owl_flip.png"])
def test_drawings_and_copies_do_not_count(tmp_path, name):
    folder = make_stamps(tmp_path)
    path = folder / "animals/birds" / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGBA", (8, 8)).save(path)
    assert len(cutouts.load(folder, side=16)[0]) == 5


def test_a_folder_without_stamps_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="tuxpaint-stamps-default"):
        cutouts.load(tmp_path)


def test_find_takes_the_variable_first(tmp_path, monkeypatch):
    monkeypatch.setenv(cutouts.VARIABLE, str(tmp_path))
    assert cutouts.find() == tmp_path
    monkeypatch.setenv(cutouts.VARIABLE, str(tmp_path / "nowhere"))
    assert cutouts.find() is None


def test_place_on_mixes_by_alpha():
    picture = np.array([[[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]]], dtype=np.uint8)
    on_white = cutouts.place_on(picture, 255.0)
    assert on_white.tolist() == [[[[200, 100, 0], [255, 255, 255], [244, 224, 204]]]]
