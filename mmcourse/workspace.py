"""The learner's folder: a working copy of lessons and exercises, in which nothing that somebody wrote is overwritten.

`prepare` makes the folder or brings it up to date, `bring_back` renews one lesson, `lay_out_jupyterlab` lets JupyterLab
open with the start page and the table of contents. What was handed out is kept as hashes in `.mmcourse/course.json`:
a file with the same bytes is untouched, one with the same text was only run, any other was edited.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mmcourse
from mmcourse.authoring import Lesson, lessons, notebooks_dir
from mmcourse.authoring.catalogue import course_map
from mmcourse.authoring.fingerprint import text_sha, was_edited
from mmcourse.io import atomic_write, dated_name, keep_dated_copy, remove_stale_parts
from mmcourse.progress import COURSE, STATE, Task, write_start_page

LAYOUT = "course"  # name of JupyterLab's saved layout; the learner's own layouts elsewhere stay as they are
LAB_CONFIG = Path(__file__).with_name("lab_config")
_TASK = re.compile(r"\bcheck\(\s*[\"']([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)+)[\"']")
_SOLUTION_LINK = re.compile(r"\[([^\]]*)\]\(\.\./solutions/[^)]*\)")


@dataclass
class Handed:
    """What was handed out as one notebook: where it went, hashes of its bytes and of its text.

    `beside` is the path of a new version that lies beside an edited notebook, `beside_bytes` the hash of its bytes.
    """

    path: str
    bytes: str
    text: str
    beside: str = ""
    beside_bytes: str = ""


@dataclass
class Changes:
    """What `prepare` did. `lines` has one sentence for each notebook that a learner must know about."""

    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Everything that changed, one line each."""
        counts = []
        if self.new:
            counts.append(f"{_number(len(self.new))} added")
        if self.renewed:
            counts.append(f"{_number(len(self.renewed))} brought up to date")
        return [*([", ".join(counts)] if counts else []), *self.lines]


@dataclass(frozen=True)
class Notebook:
    """One notebook of the course: its key, which survives a new number, and its path in the learner's folder.

    `is_own_work`: somebody wrote into the course's own copy, so this is not what the course hands out.
    """

    key: str
    path: str
    content: bytes
    text: str
    is_own_work: bool


def default_folder() -> Path:
    """The learner's folder: `MMCOURSE_FOLDER` where it is set, else `mmcourse-notebooks` in the home folder."""
    chosen = os.environ.get("MMCOURSE_FOLDER")
    return Path(chosen).expanduser() if chosen else Path.home() / "mmcourse-notebooks"


def prepare(folder: Path | None = None, root: Path | None = None) -> Changes:
    """Make the learner's folder, or bring new and improved notebooks into it. Nothing that was edited is touched.

    Parameters
    ----------
    folder
        By default `default_folder()`.
    root
        Folder that holds ``notebooks/``; by default the checkout, or what the installed package carries.

    Raises
    ------
    ValueError
        The folder is a part of the course itself, or a file is in its place.
    OSError
        It cannot be written. What was written before stays, each file whole.
    """
    folder = checked_folder(folder or default_folder(), root)
    course = _Course(folder, root)
    changes = Changes()
    for notebook in course.notebooks:
        _offer(folder, course, notebook, changes)
    for page in course.pages:
        beside = Changes()
        _offer(folder, course, page, beside)
        changes.lines += beside.lines  # the count is one of notebooks
    course.save()
    return changes


def bring_back(lesson: Lesson, folder: Path | None = None, root: Path | None = None) -> list[str]:
    """Put a lesson's notebooks back as the course has them; edited ones are kept beside, under a name with the date.

    Returns one line for each notebook. Errors as in `prepare`.
    """
    folder = checked_folder(folder or default_folder(), root)
    course = _Course(folder, root)
    lines = []
    for notebook in course.notebooks:
        if notebook.key.split("/")[0] != lesson.slug:
            continue
        if notebook.is_own_work:
            lines.append(f"{notebook.path}: left alone, since the course's own copy of it was edited too")
            continue
        kept = course.replace(notebook)
        names = ", ".join(path.relative_to(folder).as_posix() for path in kept)
        lines.append(f"{notebook.path}: as new" + (f"; yours is kept as {names}" if kept else ""))
    course.save()
    return lines


def add_solution(lesson: Lesson, folder: Path | None = None, root: Path | None = None) -> Path:
    """Copy a lesson's solved exercises to `solutions/` in the learner's folder, if they are not there yet.

    Raises
    ------
    FileNotFoundError
        This copy of the course carries no solutions.
    """
    folder = checked_folder(folder or default_folder(), root)
    if not lesson.solution.is_file():
        raise FileNotFoundError(f"the solutions of lesson {lesson.name} are not in this copy of the course")
    target = folder / "solutions" / lesson.solution.name
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        content = _personal(_read(lesson.solution), lesson.name)
        atomic_write(target, content)
        _trust([content])
    return target


def path_of(lesson: Lesson, folder: Path | None = None) -> str:
    """Path of a lesson's notebook in the learner's folder, also where an edited one still has an older number."""
    folder = folder or default_folder()
    handed = _read_handed(folder).get(f"{lesson.slug}/lesson")
    return handed.path if handed else lesson.notebook.relative_to(lesson.folder).as_posix()


def lay_out_jupyterlab(folder: Path) -> list[str]:
    """JupyterLab's options for this folder, and its first layout: the table of contents open at the left.

    A layout that is there already stays: the learner may have closed the panel.
    """
    from jupyterlab_server.workspaces_handler import WORKSPACE_EXTENSION, slugify

    layouts = folder / STATE / "jupyterlab"
    layouts.mkdir(parents=True, exist_ok=True)
    left = {
        "collapsed": False,
        "visible": True,
        "current": "@jupyterlab/toc:plugin",
        "widgets": ["filebrowser", "running-sessions", "@jupyterlab/toc:plugin"],
    }
    layout = {"layout-restorer:data": {"main": {}, "left": left, "relativeSizes": [0.2, 0.8, 0]}}
    file = layouts / f"{slugify(LAYOUT)}{WORKSPACE_EXTENSION}"
    if not file.exists():
        atomic_write(file, json.dumps({"data": layout, "metadata": {"id": LAYOUT}}))
    return [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.workspaces_dir={layouts}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",  # the other one asks a package index for its list
    ]


def jupyter_environment() -> dict[str, str]:
    """Environment for JupyterLab: the course's defaults (a person's own settings win), and this Python's kernel."""
    paths = [str(LAB_CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    programs = [str(Path(sys.executable).parent), *filter(None, [os.environ.get("PATH")])]  # for `!mmcourse progress`
    return os.environ | {
        "JUPYTER_CONFIG_PATH": os.pathsep.join(paths),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PATH": os.pathsep.join(programs),
    }


def checked_folder(folder: Path, root: Path | None = None) -> Path:
    """The folder, made if it is missing.

    Raises
    ------
    ValueError, OSError
        As `prepare`.
    """
    folder = Path(os.path.abspath(folder.expanduser()))
    home = notebooks_dir(root)
    for taken in (home, Path(mmcourse.__file__).parent):
        if folder.resolve().is_relative_to(taken.resolve()) or folder.resolve() == home.parent.resolve():
            raise ValueError(f"{folder} is a part of the course itself; choose another folder for your notebooks")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose another folder for your notebooks")
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve().is_relative_to(home.parent.resolve()) and not (folder / ".gitignore").exists():
        atomic_write(folder / ".gitignore", "*\n")  # inside the checkout: no part of it
    return folder


# ---------------------------------------------------------------- one notebook
def _offer(folder: Path, course: _Course, new: Notebook, changes: Changes) -> None:
    """Bring one notebook into the folder in the way that loses nothing."""
    handed = course.handed.get(new.key)
    here = folder / (handed.path if handed else new.path)
    if not here.is_file():
        course.replace(new)
        changes.new.append(new.path)
        return
    if new.is_own_work:
        return  # the course's own copy was edited: what is here is as good
    bytes_here, text_here = _hashes(here)
    if handed is None:  # it lay here before anything was written down
        handed = course.handed[new.key] = Handed(new.path, "", "")
    if bytes_here == handed.bytes:  # untouched
        if bytes_here != _sha(new.content) or handed.path != new.path:
            course.replace(new)
            changes.renewed.append(new.path)
    elif text_here == new.text:  # the new version already, as it is or run
        handed.text = new.text
        handed.bytes = bytes_here if bytes_here == _sha(new.content) else ""
    elif handed.text == new.text:
        return  # edited, and the course has nothing new to say
    elif handed.text and text_here == handed.text:  # only run: the new version takes its place, the outputs are kept
        kept = course.replace(new)[0].relative_to(folder).as_posix()
        changes.lines.append(f"{new.path} is new; the one that you ran is kept as {kept}")
    else:
        _lay_beside(folder, course, new, changes)


def _lay_beside(folder: Path, course: _Course, new: Notebook, changes: Changes) -> None:
    """An edited notebook stays; the new version lies beside it, in place of an older new version left untouched."""
    handed = course.handed[new.key]
    course.remove_untouched_beside(handed)
    target = folder / new.path
    if target.exists():
        target = dated_name(target, "new-")
    course.put(target, new.content)
    handed.bytes, handed.text = "", new.text  # do not offer the same version again
    handed.beside, handed.beside_bytes = target.relative_to(folder).as_posix(), _sha(new.content)
    changes.lines.append(f"{handed.path} stays as you edited it; its new version is {handed.beside}")


class _Course:
    """The course's notebooks as they are to be handed out, and what was handed out before."""

    def __init__(self, folder: Path, root: Path | None) -> None:
        self.folder, self.root = folder, root
        (folder / STATE).mkdir(exist_ok=True)
        remove_stale_parts(folder)
        remove_stale_parts(folder / STATE)
        self.handed = _read_handed(folder)
        handed_out = {lesson: list(_notebooks(lesson)) for lesson in lessons(root)}
        self.lessons = [lesson for lesson, notebooks in handed_out.items() if notebooks]
        self.notebooks = [notebook for notebooks in handed_out.values() for notebook in notebooks]
        self.pages = list(_pages(root))
        self._written: list[bytes] = []

    def replace(self, new: Notebook) -> list[Path]:
        """Hand a notebook out in its place. What lies there and is not untouched is kept; returns those copies."""
        handed = self.handed.get(new.key)
        places = [self.folder / new.path, *([self.folder / handed.path] if handed else [])]
        untouched = {_sha(new.content), *([handed.bytes, handed.beside_bytes] if handed else [])}
        kept = [
            keep_dated_copy(place)
            for place in dict.fromkeys(places)
            if place.is_file() and _sha(place.read_bytes()) not in untouched
        ]
        if handed:
            self.remove_untouched_beside(handed)
        self.put(places[0], new.content)
        if places[-1] != places[0]:  # the lesson has another number now
            places[-1].unlink(missing_ok=True)
        # what somebody wrote into the checkout's own notebook is never taken for the course's
        hashes = ("", "") if new.is_own_work else (_sha(new.content), new.text)
        self.handed[new.key] = Handed(new.path, *hashes)
        return kept

    def remove_untouched_beside(self, handed: Handed) -> None:
        """Remove a new version that lay beside an edited notebook, if nobody touched it."""
        path = self.folder / handed.beside
        if handed.beside and path.is_file() and _sha(path.read_bytes()) == handed.beside_bytes:
            path.unlink()

    def put(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)
        if path.suffix == ".ipynb":
            self._written.append(content)

    def save(self) -> None:
        """Write down what was handed out, and the start page."""
        state = {
            "course": mmcourse.__version__,
            "handed_out": {key: asdict(handed) for key, handed in sorted(self.handed.items())},
            **_described(self.lessons, self.notebooks, self.handed, self.root),
        }
        atomic_write(self.folder / STATE / COURSE, json.dumps(state, indent=1, ensure_ascii=False) + "\n")
        write_start_page(self.folder)
        _trust(self._written)


def _read_handed(folder: Path) -> dict[str, Handed]:
    """What was handed out; nothing if that is not known, and then every notebook there counts as the learner's own."""
    try:
        state = json.loads((folder / STATE / COURSE).read_text(encoding="utf-8"))
        return {key: Handed(**handed) for key, handed in state["handed_out"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _notebooks(lesson: Lesson) -> Iterable[Notebook]:
    """The notebooks that a learner gets of a lesson: the lesson, its second notebook, and the blank exercises."""
    for kind, source in (("lesson", lesson.notebook), ("deeper", lesson.deeper), ("exercises", lesson.exercise)):
        if source.is_file():
            notebook = _read(source)
            is_own_work = was_edited(notebook)
            content = _personal(notebook, source.stem)
            path = source.relative_to(lesson.folder).as_posix()
            yield Notebook(f"{lesson.slug}/{kind}", path, content, text_sha(notebook["cells"]), is_own_work)


def _pages(root: Path | None) -> Iterable[Notebook]:
    """What lessons link to beside notebooks: the glossary."""
    source = notebooks_dir(root) / "glossary.md"
    if source.is_file():
        content = source.read_bytes()
        yield Notebook("glossary/page", source.name, content, _sha(content), is_own_work=False)


def _read(path: Path) -> dict[str, Any]:
    """A notebook of the course as plain data; ValueError if it is damaged."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        text_sha(notebook["cells"]), notebook["metadata"].get("mmcourse", {}).get
        return notebook
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}); install the course again") from None


def _personal(notebook: dict[str, Any], lesson: str) -> bytes:
    """A notebook as this machine's JupyterLab would save it, so that opening it changes nothing.

    JupyterLab writes the running Python's version into a notebook on opening, which marks it as changed.
    """
    notebook["metadata"].setdefault("language_info", {"name": "python"})["version"] = sys.version.split()[0]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            told = rf"\1 (`mmcourse lab --solution {lesson}` puts them into this folder)"
            cell["source"] = _SOLUTION_LINK.sub(told, "".join(cell["source"])).splitlines(keepends=True)
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _trust(contents: list[bytes]) -> None:
    """Sign notebooks that the course made: JupyterLab then shows all of their stored outputs."""
    if not contents:
        return
    import nbformat
    from nbformat.sign import NotebookNotary

    with contextlib.suppress(OSError):  # no place for signatures: outputs show after the first run
        notary = NotebookNotary()
        for content in contents:
            notary.sign(nbformat.reads(content.decode(), as_version=4))


# ---------------------------------------------------------------- for the start page and `mmcourse progress`
def _described(
    found: list[Lesson], notebooks: list[Notebook], handed: dict[str, Handed], root: Path | None
) -> dict[str, Any]:
    """Lessons with their notebooks and tasks, as plain data, and those of the map that are still to be written."""
    entries = _map(root)
    by_slug = {entry["slug"]: entry for entry in entries}
    described = []
    for lesson in found:
        own = {x.key.split("/")[1]: x for x in notebooks if x.key.split("/")[0] == lesson.slug}
        entry = by_slug.get(lesson.slug, {"part": "", "teaches": ""})
        described.append(
            {
                "number": lesson.number,
                "slug": lesson.slug,
                "title": lesson.title,
                "part": entry["part"],
                "teaches": entry["teaches"],
                "notebooks": {kind: handed[x.key].path for kind, x in own.items()},
                "tasks": [
                    asdict(task) for kind, x in own.items() for task in _tasks(kind, x.content, handed[x.key].path)
                ],
            }
        )
    slugs = {lesson.slug for lesson in found}
    return {"lessons": described, "coming": [entry for entry in entries if entry["slug"] not in slugs]}


def _map(root: Path | None) -> list[dict[str, str]]:
    """Every lesson of the course's map: number, slug, part, and what it teaches."""
    entries = course_map(root)
    parts = list(dict.fromkeys(entry.part for entry in entries))
    return [asdict(entry) | {"part": f"Part {parts.index(entry.part)} · {entry.part}"} for entry in entries]


def _tasks(kind: str, content: bytes, path: str) -> Iterable[Task]:
    """Exercises of an exercise notebook, blanks of a lesson, in order; titles and points as registered."""
    from mmcourse.check import blanks, info

    code = ["".join(cell["source"]) for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"]
    for task in dict.fromkeys(id for text in code for id in _TASK.findall(text)):
        is_blank = blanks.ID.fullmatch(task) is not None
        if is_blank != (kind != "exercises"):
            continue
        try:
            title, points = (blanks.find(task).title, 0) if is_blank else (info(task).title, info(task).points)
        except Exception:  # reading a lesson's exercises may need a package that is not installed here
            title, points = "", 0
        yield Task(task, title, points, path, is_blank)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hashes(path: Path) -> tuple[str, str]:
    """Hashes of a notebook's bytes and of its text; the second is empty if it is not a notebook."""
    content = path.read_bytes()
    try:
        return _sha(content), text_sha(json.loads(content)["cells"])
    except (ValueError, LookupError, TypeError):
        return _sha(content), ""


def _number(count: int) -> str:
    return f"{count} notebook" + ("" if count == 1 else "s")
