"""The files for a cluster say the same as the course: version, user, home, and a start command that exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

import mmcourse
from mmcourse.authoring import notebooks_dir, select

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


def test_the_start_command_fills_a_home_once(tmp_path):
    code = VALUES["singleuser"]["lifecycleHooks"]["postStart"]["exec"]["command"][2]
    assert code == "from mmcourse.workspace import prepare; prepare()"
    home = Path(VALUES["singleuser"]["storage"]["homeMountPath"]).relative_to("/")
    environment = os.environ | {"HOME": str(tmp_path / home), "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    environment.pop("MMCOURSE_FOLDER", None)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    own = tmp_path / home / "mmcourse-notebooks" / select(["start_here"])[0].exercise.relative_to(notebooks_dir())
    assert own.is_file()
    own.write_text("my work")
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert own.read_text() == "my work"
