"""The files for a cluster say the same as the course: version, user, home, and a start command that exists."""

import re
from pathlib import Path

import yaml

import mmcourse
from mmcourse import cli

FOLDER = Path(mmcourse.__file__).parent / "classroom" / "kubernetes"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")


def test_image_and_values_agree_with_each_other_and_with_the_course():
    seat = VALUES["singleuser"]
    assert seat["image"]["tag"] == mmcourse.__version__
    assert f"{seat['image']['name']}:{seat['image']['tag']}" in (FOLDER / "README.md").read_text(encoding="utf-8")
    user, uid = re.search(r"useradd --create-home --uid (\d+) (\w+)", DOCKERFILE).group(2, 1)
    assert (seat["uid"], seat["storage"]["homeMountPath"]) == (int(uid), f"/home/{user}")


def test_students_code_reaches_no_network():
    assert not any(VALUES["singleuser"]["networkPolicy"]["egressAllowRules"].values())


def test_the_image_holds_a_wheel_and_no_checkout():
    final = DOCKERFILE.split("FROM ")[-1]
    copied = re.findall(r"^COPY (.+)$", final, flags=re.M)
    assert copied == ["--from=wheel /wheels /wheels", "constraints.txt /wheels/"]


def test_the_start_command_fills_a_home_once(tmp_path, monkeypatch):
    code = VALUES["singleuser"]["lifecycleHooks"]["postStart"]["exec"]["command"][2]
    assert code == "from mmcourse.cli import select, workbench; workbench(select(['start_here'])[0].folder)"
    shipped = tmp_path / "_notebooks"
    (shipped / "exercises").mkdir(parents=True)
    (shipped / "exercises" / "00_start_here.ipynb").write_text("blank")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    own = cli.workbench(shipped) / "exercises" / "00_start_here.ipynb"
    own.write_text("my work")
    cli.workbench(shipped)
    assert own.read_text() == "my work"
