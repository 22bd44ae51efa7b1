"""What a learner's environment holds when the course starts: settings left by other courses, caches, the terminal."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

KERAS_DEFAULTS: dict[str, Any] = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
CACHES = {  # variable → folder that takes its place; without the variable, each library writes into the home
    "NUMBA_CACHE_DIR": "numba",  # librosa does not import without one
    "MPLCONFIGDIR": "matplotlib",
    "KERAS_HOME": "keras",
    "HF_HOME": "huggingface",
    "TRITON_CACHE_DIR": "triton",
    "IPYTHONDIR": "ipython",
    "JUPYTER_CONFIG_DIR": "jupyter/config",
    "JUPYTER_DATA_DIR": "jupyter/data",
    "JUPYTER_RUNTIME_DIR": "jupyter/runtime",  # no kernel starts without one
}


def count_threads(default: int) -> int:
    """Threads a framework may use: what ``OMP_NUM_THREADS`` says in any form that OpenMP allows, else `default`.

    OpenMP allows a list, one number for each level of nesting (``"4,2"``), and spaces. The first number counts. A value
    that OpenMP refuses is warned of and replaced by `default`, since libraries disagree on what they make of it.
    """
    text = os.environ.get("OMP_NUM_THREADS", "")
    if not text.strip():
        os.environ.pop("OMP_NUM_THREADS", None)
        return default
    numbers = [part.strip() for part in text.split(",")]
    if all(part.isascii() and part.removeprefix("+").isdigit() and int(part) > 0 for part in numbers):
        return int(numbers[0])
    message = f"OMP_NUM_THREADS: expected a positive number or a list such as 4,2; got {text!r}. Using {default}"
    warnings.warn(message, stacklevel=3)
    os.environ["OMP_NUM_THREADS"] = str(default)
    return default


def require_keras_on_tensorflow() -> None:
    """Have Keras run on TensorFlow with its own defaults, whatever another course left behind.

    ``KERAS_BACKEND`` is set in this process, and limits of training are taken back. Where ``keras.json`` changes a
    default that changes numbers, Keras is sent to a configuration folder of the course. A warning says each.

    Raises
    ------
    RuntimeError
        Keras is already loaded, on another backend.
    """
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "backend"):
        if (loaded := keras.backend.backend()) != "tensorflow":
            raise RuntimeError(
                f"Keras is already loaded on {loaded!r}; the course runs it on TensorFlow. "
                "Restart the kernel and run the set-up cell before anything imports keras"
            )
        return
    if (chosen := os.environ.get("KERAS_BACKEND", "")) not in ("", "tensorflow"):
        message = f"KERAS_BACKEND is set to {chosen!r}; the course runs Keras on TensorFlow and uses that here"
        warnings.warn(message, stacklevel=3)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED"):
        if limit := os.environ.pop(name, ""):
            warnings.warn(f"{name}={limit} is set and would change the training; it is ignored here", stacklevel=3)
    config = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser() / "keras.json"
    if found := _keras_json_faults(config):
        home = cache_folder() / "keras"
        home.mkdir(parents=True, exist_ok=True)
        (home / "keras.json").unlink(missing_ok=True)
        os.environ["KERAS_HOME"] = str(home)
        warnings.warn(f"{config} {found}; the course uses Keras's own defaults here", stacklevel=3)


def use_writable_caches() -> list[str]:
    """Point caches that cannot be written to a folder that can; returns the names of the variables that were set.

    A home that cannot be written (a container, a lab machine, an HPC node) is common. Some libraries then fail late,
    with a message that names no cache, and no kernel starts.
    """
    home_writable = _writable(Path.home() / ".cache") if _home() else False
    changed: list[str] = []
    for name, folder in CACHES.items():
        chosen = os.environ.get(name, "")
        if _writable(Path(chosen).expanduser()) if chosen else home_writable:
            continue
        try:
            target = cache_folder() / folder
            target.mkdir(parents=True, exist_ok=True)
        except OSError:  # nothing at all can be written, as in a read-only container: what needs no cache still runs
            return changed
        os.environ[name] = str(target)
        changed.append(name)
    return changed


def cache_folder() -> Path:
    """A folder for caches that can be written: in the user's cache, else a private one among temporary files."""
    if _home():
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser()
        if _writable(base):
            return base / "mmcourse"
    user = getattr(os, "getuid", lambda: "user")()
    shared = Path(tempfile.gettempdir()) / f"mmcourse-{user}"
    try:
        shared.mkdir(mode=0o700, exist_ok=True)
        found = shared.lstat()
        private = stat.S_ISDIR(found.st_mode) and (
            os.name == "nt" or (found.st_uid == user and not found.st_mode & 0o077)
        )
    except OSError:
        private = False
    if private and _writable(shared):
        return shared
    private_folder = Path(tempfile.mkdtemp(prefix="mmcourse-"))  # another user made a folder of that name
    os.environ["XDG_CACHE_HOME"] = str(private_folder)
    return private_folder


def make_output_printable() -> None:
    """A terminal that cannot show a character shows "?" in its place: no command ends in a traceback because of one."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def expand_home(path: Path) -> Path:
    """``~`` and ``~name`` at the start, as a shell would expand them (it does not in ``--to=~/x``)."""
    try:
        return path.expanduser()
    except RuntimeError:  # no such user: a folder may be called so
        return path


def _home() -> bool:
    try:
        Path.home()
    except RuntimeError:  # no HOME, and the user is in no password file
        return False
    return True


def _writable(folder: Path) -> bool:
    """Whether a file can be made in `folder`, or `folder` itself made: tried, since permissions do not tell all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, ValueError):
        return False


def _keras_json_faults(config: Path) -> str:
    """What `config` changes that changes numbers, or why it cannot be read; "" where it is absent or harmless."""
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f"cannot be read ({type(error).__name__})"
    if not isinstance(settings, dict):
        return "holds no settings"
    changed = {k: settings[k] for k, v in KERAS_DEFAULTS.items() if k in settings and settings[k] != v}
    known = {*KERAS_DEFAULTS, "backend"}  # a backend there is overruled by KERAS_BACKEND
    changed |= {k: v for k, v in settings.items() if k not in known and v}  # limits of training, such as max_epochs
    return "sets " + ", ".join(f"{k}={v!r}" for k, v in changed.items()) if changed else ""
