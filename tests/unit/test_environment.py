"""What other courses, a locked-down machine or an old terminal leave behind must neither stop nor bend the course."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.main import get_command

from mmcourse import cli, environment, runtime

NOWHERE = "/proc/no-such-home"  # cannot be made, not even by root


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`code` in a fresh Python, without this process's own settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MMCOURSE_", "TF_", "OMP_", "KERAS_"))}
    return subprocess.run([sys.executable, "-c", code], env=clean | variables, capture_output=True, text=True)


@pytest.mark.parametrize(
    "text, count",
    [("4,2", 4), (" 3 ", 3), ("2, 1 ,1", 2), ("04", 4), ("+2", 2), ("", 7), ("  ", 7), ("1", 1)],
)
def test_every_form_that_openmp_allows_is_understood(monkeypatch: pytest.MonkeyPatch, text: str, count: int):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert environment.count_threads(7) == count


@pytest.mark.parametrize("text", ["0", "-1", "four", "2.5", "4,", "4,x", "٣", "4;2"])
def test_a_form_that_openmp_refuses_is_said_and_replaced(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with pytest.warns(UserWarning, match="OMP_NUM_THREADS: expected a positive number or a list such as 4,2; got"):
        assert environment.count_threads(7) == 7
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_setup_gives_tensorflow_a_plain_number_and_leaves_the_list():
    code = "import os; from mmcourse.runtime import setup; setup()"
    code += "; print(os.environ['OMP_NUM_THREADS'], os.environ['TF_NUM_INTRAOP_THREADS'])"
    done = python(code, OMP_NUM_THREADS="3,1", TF_NUM_INTRAOP_THREADS="3,1")
    assert (done.stdout, done.stderr) == ("3,1 3\n", "")


@pytest.mark.parametrize("first", ["from mmcourse.runtime import setup; setup()", "import mmcourse.keras"])
def test_a_backend_left_by_another_course_is_named_and_overruled(first: str):
    done = python(f"{first}; import os; print(os.environ['KERAS_BACKEND'])", KERAS_BACKEND="torch")
    assert done.stdout == "tensorflow\n"
    assert "KERAS_BACKEND is set to 'torch'; the course runs Keras on TensorFlow" in done.stderr


def test_keras_already_on_another_backend_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    class Loaded:
        class backend:
            backend = staticmethod(lambda: "jax")

    monkeypatch.setitem(sys.modules, "keras", Loaded)
    with pytest.raises(RuntimeError, match="already loaded on 'jax'.*[\n ]*.*Restart the kernel"):
        environment.require_keras_on_tensorflow()


STRANGE_SETTINGS = [
    ({"floatx": "float16"}, "sets floatx='float16'"),
    ({"image_data_format": "channels_first", "backend": "jax"}, "sets image_data_format='channels_first'"),
    ({"epsilon": 1e-4}, "sets epsilon=0.0001"),
    ({"max_epochs": 1}, "sets max_epochs=1"),
    ("{", "cannot be read (JSONDecodeError)"),
    ([], "holds no settings"),
]
READ_SETTINGS = "import mmcourse.keras, keras; print(keras.config.floatx(), keras.config.epsilon()"
READ_SETTINGS += ", keras.config.image_data_format(), keras.backend.backend(), keras.config.max_epochs())"
# TensorFlow takes most of the start of Keras and reads none of its settings: it is imported once, then a fork for each
FORKS = """
import json, os, sys
sys.modules["keras"] = None  # TensorFlow would import it, and with it the settings of this process
import tensorflow
del sys.modules["keras"]
for i, (code, variables) in enumerate(json.loads(sys.stdin.read())):
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{i}.{stream}", os.O_WRONLY | os.O_CREAT), stream)
        os.environ.update(variables)
        exec(code, {})
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def kerases(tmp_path_factory: pytest.TempPathFactory) -> list[subprocess.CompletedProcess[str]]:
    """What Keras says on each of `STRANGE_SETTINGS`, on its own settings, and under a limit from outside."""
    folder = tmp_path_factory.mktemp("keras")
    plain = {"floatx": "float32", "epsilon": 1e-7, "backend": "torch", "image_data_format": "channels_last"}
    runs = []
    for i, settings in enumerate([*(settings for settings, _ in STRANGE_SETTINGS), plain | {"nnx_enabled": False}]):
        home = folder / f"home{i}"
        home.mkdir()
        (home / "keras.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
        runs.append((READ_SETTINGS, {"KERAS_HOME": str(home)}))
    runs[-1] = ("import mmcourse.keras, os; print(os.environ['KERAS_HOME'])", runs[-1][1])
    limit = "import mmcourse.keras, os; print(os.environ.get('KERAS_MAX_EPOCHS'))"
    runs.append((limit, {"KERAS_MAX_EPOCHS": "1"}))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MMCOURSE_", "TF_", "OMP_", "KERAS_"))}
    clean["TF_CPP_MIN_LOG_LEVEL"] = "3"  # what TensorFlow itself writes as it starts is not what these tests read
    command = [sys.executable, "-c", FORKS]
    done = subprocess.run(command, env=clean, cwd=folder, input=json.dumps(runs), text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    said = [[(folder / f"{i}.{stream}").read_text() for stream in (1, 2)] for i in range(len(runs))]
    return [subprocess.CompletedProcess(list(run), 0, *texts) for run, texts in zip(runs, said, strict=True)]


@pytest.mark.parametrize("case", range(len(STRANGE_SETTINGS)), ids=[said for _, said in STRANGE_SETTINGS])
def test_keras_json_that_changes_numbers_is_left_aside(kerases: list, case: int):
    done, said = kerases[case], STRANGE_SETTINGS[case][1]
    assert done.stdout == "float32 1e-07 channels_last tensorflow None\n", done.stderr
    assert said in done.stderr and str(Path(done.args[1]["KERAS_HOME"]) / "keras.json") in done.stderr


def test_keras_own_settings_are_not_spoken_of(kerases: list):
    done = kerases[len(STRANGE_SETTINGS)]
    assert (done.stdout, done.stderr) == (f"{done.args[1]['KERAS_HOME']}\n", "")


def test_a_limit_of_training_from_outside_is_said_and_ignored(kerases: list):
    done = kerases[-1]
    assert done.stdout == "None\n" and "KERAS_MAX_EPOCHS=1 is set and would change the training" in done.stderr


def test_caches_go_where_one_can_write(tmp_path: Path):
    """A home that cannot be written: every cache lands among temporary files, in a folder of the user's own."""
    code = "import json, os; from mmcourse.environment import CACHES, use_writable_caches"
    code += "; use_writable_caches(); print(json.dumps({name: os.environ[name] for name in CACHES}))"
    variables = {"HOME": NOWHERE, "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": NOWHERE + "/numba"}
    done = python(code, **variables)
    places = json.loads(done.stdout)
    assert set(places) == set(environment.CACHES)
    for place in map(Path, places.values()):
        assert place.is_relative_to(tmp_path) and place.is_dir()
    (private,) = tmp_path.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700


def test_where_nothing_at_all_can_be_written_a_command_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", NOWHERE)
    for name in (*environment.CACHES, "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")

    def nowhere() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(environment.tempfile, "gettempdir", nowhere)
    assert environment.use_writable_caches() == []


def test_a_folder_that_somebody_else_prepared_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", NOWHERE)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(environment.tempfile, "tempdir", str(tmp_path))
    trap = tmp_path / f"mmcourse-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o777)
    chosen = environment.cache_folder()
    assert chosen != trap and chosen.parent == tmp_path and chosen.stat().st_mode & 0o077 == 0


def test_a_home_that_can_be_written_is_left_as_it_is(tmp_path: Path):
    code = "from mmcourse.environment import CACHES, use_writable_caches; import os"
    code += "; [os.environ.pop(name, None) for name in CACHES]; print(use_writable_caches())"
    assert python(code, HOME=str(tmp_path)).stdout == "[]\n"


def ascii_terminal(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **variables}
    command = [sys.executable, "-m", "mmcourse", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, errors="replace")


def command_names() -> list[tuple[str, ...]]:
    """Every command, in a group too."""
    names: list[tuple[str, ...]] = []
    for name, command in get_command(cli.app).commands.items():
        inner = getattr(command, "commands", None)
        names += [(name, sub) for sub in inner] if inner else [(name,)]
    return names


@pytest.mark.parametrize("variables", [{}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "cp1252:strict"}])
def test_lists_print_on_a_terminal_that_is_not_utf8(tmp_path: Path, variables: dict[str, str]):
    done = ascii_terminal("data", "list", MMCOURSE_CACHE=str(tmp_path), **variables)
    assert done.returncode == 0 and "mnist-t10k" in done.stdout, done.stderr


def test_every_command_speaks_on_a_terminal_that_is_not_utf8(tmp_path: Path):
    """Its help, and its answer to a name that no encoding below UTF-8 can show; one process for all, to save starts."""
    script = tmp_path / "all.py"
    script.write_text(
        "import json, sys\n"
        "from mmcourse import cli\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['mmcourse', *words]\n"
        "    try:\n"
        "        cli.main()\n"
        "        status = 0\n"
        "    except SystemExit as left:\n"
        "        status = left.code\n"
        "    print('status of', ascii(words), status)\n"
    )
    asked = [[*name, "--help"] for name in command_names()]
    take_no_name = {("doctor",), ("data", "list"), ("hub",)}
    asked += [[*name, "\u8bed\u8a00-\u2192"] for name in command_names() if name not in take_no_name]
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MMCOURSE_OFFLINE": "1"}
    command = [sys.executable, str(script), json.dumps(asked)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    said = [line for line in done.stdout.splitlines() if line.startswith("status of")]
    assert "Traceback" not in done.stderr and len(said) == len(asked), done.stderr
    for words, line in zip(asked, said, strict=True):
        assert line.endswith(" 0") if "--help" in words else line.endswith((" 1", " 2")), line


def test_the_doctor_report_prints_on_a_terminal_that_is_not_utf8():
    code = (
        r"from mmcourse import cli, doctor; doctor.diagnose = lambda: doctor.Diagnosis([doctor.Finding('GPU', '\u2013',"
    )
    code += r" '\u2717 fehlt', 'gr\xf6\xdfer')], [], []); cli.main()"
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", f"import sys; sys.argv = ['mmcourse', 'doctor']; {code}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace")
    assert "Traceback" not in done.stderr and "0 of 0 lessons" in done.stdout, done.stderr


def test_every_path_that_a_command_takes_has_its_tilde_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also the ones that are still to come: the commands of the tree are walked, not listed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = 0
    for names in command_names():
        command = get_command(cli.app)
        for name in names:
            command = command.commands[name]
        for parameter in command.params:
            if "Path" not in str(get_type_hints(command.callback).get(parameter.name, "")):
                continue
            given = ["~/work"] if parameter.param_type_name == "argument" else [parameter.opts[0] + "=~/work"]
            others = [p for p in command.params if p.required and p is not parameter]
            given += [x for p in others for x in ([p.opts[0], "1"] if p.param_type_name == "option" else ["1"])]
            context = command.make_context(names[-1], given)
            value = context.params[parameter.name]
            values = value if isinstance(value, list | tuple) else [value]
            assert tmp_path / "work" in values, f"{' '.join(names)} {parameter.opts}"
            seen += 1
    assert seen >= 5


def test_a_tilde_of_nobody_stays_a_name():
    assert environment.expand_home(Path("~no-such-user/x")) == Path("~no-such-user/x")


def test_setup_says_what_a_notebook_lacks_and_how_to_get_it(capsys: pytest.CaptureFixture[str]):
    runtime.setup(needs=["numpy", "no_such_tuner"])
    assert capsys.readouterr().out == (
        "Not installed here, and needed by this notebook: no_such_tuner. To install: %pip install no_such_tuner\n"
    )
    runtime.setup(needs=["numpy"])
    assert capsys.readouterr().out == ""
