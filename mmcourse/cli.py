"""The command line: lab, run, doctor, data, chat, serve, build, classroom, capstone. Each loads what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from mmcourse.capstone.commands import capstone
from mmcourse.classroom.commands import classroom, term
from mmcourse.environment import expand_home, make_output_printable, use_writable_caches
from mmcourse.terminal import cell_progress, error_console, fail, one_line, show, table

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mmcourse.authoring import Lesson
    from mmcourse.datasets.public import Source
    from mmcourse.figures.aims import Row

app = typer.Typer(
    name="mmcourse",
    help="A course from raw pixels, words and sound to a multimodal model that you trained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(no_args_is_help=True, help="Public data that some lessons can use: list, fetch, verify.")
app.add_typer(data, name="data")

Numbers = Annotated[list[str], typer.Argument(metavar="SLUG…", help="Lessons by slug or number, or all.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Data by name; all by default.")]


def main() -> None:
    """Entry point: what a person can mend is one line on stderr and exit 2, not a traceback."""
    make_output_printable()
    use_writable_caches()  # kernels and JupyterLab inherit them
    try:
        app(prog_name="mmcourse")
    except BrokenPipeError:  # `mmcourse doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False) -> None:
    if version:
        from mmcourse import __version__

        print(f"mmcourse {__version__}")
        raise typer.Exit


Folder = Annotated[Path | None, typer.Option("--folder", metavar="DIR", help="Your folder, if not the usual one.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    lesson: Annotated[str, typer.Argument(metavar="[LESSON]", help="Lesson to open, by name or number.")] = "",
    folder: Folder = None,
    fresh: Annotated[str, typer.Option(metavar="LESSON", help="Bring a lesson back as new; yours is kept.")] = "",
    solution: Annotated[str, typer.Option(metavar="LESSON", help="Add the solved exercises of a lesson.")] = "",
) -> None:
    """Open JupyterLab on your own copy of the course. Further options go to JupyterLab: --no-browser --port 8899.

    Your folder is ~/mmcourse-notebooks, or what MMCOURSE_FOLDER says. New and improved lessons come into it each time;
    what you edited is never overwritten.
    """
    extra = list(context.args)
    if lesson.startswith("-"):  # `lab --no-browser`: an option, not a lesson
        lesson, extra = "", [lesson, *extra]
    require("jupyterlab", "ipykernel")
    from mmcourse import workspace
    from mmcourse.progress import START

    wanted = lesson or fresh or solution
    chosen = select([wanted])[0] if wanted else None
    if chosen and not chosen.notebook.is_file():
        fail(f"lesson {chosen.name} is not built yet; run `mmcourse build {chosen.slug}`")
    try:
        here = workspace.checked_folder(folder or workspace.default_folder())
        lines = workspace.prepare(here).sentences()
        lines += workspace.bring_back(select([fresh])[0], here) if fresh else []
        page = workspace.path_of(chosen, here) if chosen else START
        if solution:
            page = workspace.add_solution(select([solution])[0], here).relative_to(here).as_posix()
        options = workspace.lay_out_jupyterlab(here)
    except (OSError, ValueError) as error:
        fail(_reason(error))
    print("\n".join([f"Your folder: {here}", *lines]), flush=True)
    root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # a container has no other user
    command = [sys.executable, "-m", "jupyterlab", *options]
    command += [f"--LabApp.default_url=/lab/workspaces/{workspace.LAYOUT}/tree/{page}", *root, *extra]
    _become(command, workspace.jupyter_environment())


def _become(command: list[str], environment: dict[str, str]) -> None:
    """Run a command in place of this process, so that Ctrl-C and signals reach it; on Windows, wait for it."""
    if os.name == "nt":
        raise typer.Exit(subprocess.run(command, env=environment).returncode)
    os.execve(command[0], command, environment)


@app.command()
def progress(folder: Folder = None) -> None:
    """Show points, exercises and blanks of each lesson, and what comes next."""
    from mmcourse.progress import find_folder, read_progress
    from mmcourse.workspace import default_folder

    try:
        here = find_folder(folder or Path.cwd()) or (None if folder else find_folder(default_folder()))
        if here is None:
            fail(f"{folder or default_folder()} is not a course folder yet; `mmcourse lab` makes one")
        found = read_progress(here)
    except (OSError, ValueError) as error:
        fail(_reason(error))
    rows = table("Lesson", ">Points", ">Exercises", ">Blanks")
    for lesson in found.lessons:
        counts = [lesson.count(is_blank=False), lesson.count(is_blank=True)]
        rows.add_row(
            lesson.heading,
            f"{lesson.points} of {lesson.max_points}" if lesson.max_points else "",
            *[f"{passed} of {number}" if number else "" for passed, number in counts],
        )
    totals = [found.points, found.total(is_blank=False), found.total(is_blank=True)]
    rows.add_section()
    rows.add_row("All", *[f"{reached} of {number}" for reached, number in totals])
    show(rows)
    print(f"Next: {found.next.text}")
    if found.next.notebook:
        print(f"      {here / found.next.notebook}")


def _reason(error: Exception) -> str:
    """One line for what a person can mend."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'your folder'}: {error.strerror}; choose another folder with --folder"
    return one_line(str(error))


@app.command()
def run(
    numbers: Numbers,
    to: Annotated[Path, typer.Option(help="Folder for the executed notebooks.")] = Path("mmcourse-run"),
    exercises: Annotated[bool, typer.Option("--exercises", help="Also run the blank exercise notebooks.")] = False,
) -> None:
    """Run lessons without a browser, and show time and peak memory. Exit 1 if one fails."""
    require("nbclient", "nbformat", "ipykernel", "psutil", "jupyter_client")
    chosen = select(numbers)
    notebooks = [x.notebook for x in chosen] + [x.exercise for x in chosen if exercises and x.exercise.is_file()]
    if missing := [path.name for path in notebooks if not path.is_file()]:
        fail(f"not built yet: {', '.join(missing)}; run `mmcourse build`")
    writable(to, chosen[0].folder)
    failures, rows = [], table("Lesson", ">Time", ">Peak memory", "Result")
    for path in notebooks:
        seconds, peak_mb, error = run_one(path, to / path.relative_to(chosen[0].folder))
        memory = f"{peak_mb:,.0f} MB" if peak_mb else "–"
        rows.add_row(str(path.relative_to(chosen[0].folder)), f"{seconds:.1f} s", memory, "failed" if error else "ran")
        failures += [f"{path.stem}: {error}"] if error else []
    show(rows)
    print(f"Executed notebooks: {to.resolve()}")
    for failure in failures:
        print(f"mmcourse: {failure}", file=sys.stderr)
    raise typer.Exit(1 if failures else 0)


@app.command()
def doctor() -> None:
    """Say whether the course runs here: versions, processor, memory, disk, every lesson, and how to mend what fails."""
    from rich.console import Console

    from mmcourse.doctor import diagnose

    with Console(stderr=True).status("Loading every package that a lesson needs"):
        found = diagnose()
    for title, findings in (("Machine", found.machine), ("Packages", found.packages), ("Lessons", found.lessons)):
        rows = table(title, "", "", "Will it run?" if title == "Lessons" else "")
        for finding in findings:
            good = "yes" if title == "Lessons" else ""
            rows.add_row("✗" if finding.problem else "✓", finding.name, finding.value, finding.problem or good)
        show(rows)
    remedies = {finding.remedy: finding for finding in reversed(found.problems)}
    for remedy, finding in reversed(remedies.items()):
        print(f"{finding.name}: {finding.problem}\n  → {remedy}")
    if not found.lessons:
        print("No lesson was found\n  → install the course again, or run this in its folder")
    can = sum(not finding.problem for finding in found.lessons)
    print(f"{can} of {len(found.lessons)} lessons can run here.")
    raise typer.Exit(0 if found.ready else 1)


@app.command()
def build(
    numbers: Annotated[list[str] | None, typer.Argument(metavar="[SLUG…]", help="Lessons; all by default.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Build nothing; exit 1 if a notebook is stale.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build over edited notebooks, and keep a copy.")] = False,
) -> None:
    """For authors: make the notebooks of lessons from notebooks/src, or check that they are fresh."""
    require("jupytext", "nbclient", "nbformat", "psutil")
    chosen = [lesson.slug for lesson in select(numbers or ["all"])]
    from mmcourse.authoring import build as build_lessons
    from mmcourse.authoring.builder import BuildError

    try:
        with cell_progress() as progress:
            built = build_lessons(chosen, check=check, progress=progress, force=force)
    except (BuildError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    if check:
        print(f"Fresh: {', '.join(chosen)}")
        return
    rows = table("Notebook", ">Time", ">Peak memory", "")
    for item in built:
        name = str(item.path.relative_to(item.path.parents[1]))
        rows.add_row(name, f"{item.seconds:.1f} s", f"{item.peak_mb:,.0f} MB", "written" if item.changed else "same")
    show(rows)
    for item in built:
        for note in item.notes:  # what `build --check` will refuse
            print(f"{item.path.relative_to(item.path.parents[1])}: {note}")


@app.command()
def exercises(
    lessons: Annotated[list[str] | None, typer.Argument(metavar="[SLUG…]", help="Lessons; all by default.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Also show which part shows each sentence and mistake.")] = False,
) -> None:
    """For authors: list every exercise with the number of its parts, mistakes and statement rows."""
    from rich.markup import escape

    from mmcourse.exercise import find_lesson
    from mmcourse.exercise.verify import rows_and_parts

    found = [find_lesson(lesson.slug) for lesson in select(lessons or ["all"])]
    known = [x for lesson in found if lesson for x in lesson.exercises]
    shown = table("Exercise", "Title", ">Points", ">Minutes", ">Parts", ">Mistakes", ">Statement rows")
    for x in known:
        shown.add_row(x.id, x.title, str(x.points), str(x.minutes), *map(str, x.counts()))
    show(shown)
    for data in known if rows else []:
        details = table(data.id, "Shown by")
        for text, parts in rows_and_parts(data):
            details.add_row(escape(text), ", ".join(parts) or "nothing!")
        show(details)
    minutes = sum(x.minutes for x in known)
    print(f"{len(known)} exercises, {sum(x.points for x in known)} points, {minutes} minutes.")


@app.command()
def stale() -> None:
    """For authors: weights, stored figures and notebooks that other versions of the frameworks made."""
    require("jupytext", "nbformat")
    from mmcourse.authoring.stale import stale_files

    rows = table("File", "What is different")
    found = stale_files()
    for name, difference in found:
        rows.add_row(name, difference)
    show(rows) if found else print("Everything was made with the versions that are installed here.")


@app.command()
def figures(
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="[SLUG…]", help="Lessons with a shipped model; all by default.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="Compute anew, on so many test samples.", show_default="1000")
    ] = None,
    again: Annotated[bool, typer.Option("--recompute", help="Compute anew, from the weights.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw a sheet: ten right samples, ten wrong ones.")
    ] = None,
) -> None:
    """Hold the figures of the shipped models of Part 4 against their aims, and what is possible.

    Without a lesson, or with several: the stored figures, at once; with --recompute or -n computed anew, which takes
    minutes. One lesson: all its figures, computed anew.
    """
    chosen = list(dict.fromkeys(lessons or ()))
    if sheet is not None:
        return _draw_sheet(chosen, n, sheet, as_json or again)
    from mmcourse.figures import NAMES

    if unknown := [slug for slug in chosen if slug not in NAMES]:
        fail(f"no shipped model of lesson {unknown[0]!r}; expected some of {', '.join(NAMES)}")
    if len(chosen) == 1:
        return _figures_of(chosen[0], 1000 if n is None else n, as_json)
    from mmcourse.figures import aims

    computed = again or n is not None
    if computed:
        require("torch", extra="torch")
    rows = []
    for slug in chosen or NAMES:
        try:
            rows += aims.recompute(slug, 1000 if n is None else n) if computed else aims.read_stored(slug)
        except (ValueError, OSError) as error:
            fail(one_line(str(error)))
    source = f"computed anew, on {1000 if n is None else n:,} samples" if computed else "stored beside the weights"
    if as_json:
        import json

        print(json.dumps({"source": source, "figures": [row.as_json() for row in rows]}, indent=1, ensure_ascii=False))
        return
    print(f"Figures {source}" + ("." if computed else " (figures.json); --recompute computes them anew."))
    _show_aims(rows)


def _figures_of(lesson: str, n: int, as_json: bool) -> None:
    """All figures of one lesson, computed anew."""
    require("torch", extra="torch")
    import json

    from mmcourse.figures import aims
    from mmcourse.figures import figures as compute

    try:
        found = compute(lesson, n)
    except (ValueError, FileNotFoundError) as error:
        fail(str(error))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    aimed = {aim.figure: aim for aim in aims.AIMS if aim.lesson == lesson}
    rows = table("Figure", ">Value", "Aim", "Reached")
    for name, value in found.items():
        aim = aimed.get(name)
        said = "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
        rows.add_row(name, said, str(aim or "").replace("–", ""), _yes(aim.reached(value) if aim else None))
    show(rows)


def _yes(reached: bool | None) -> str:
    return "" if reached is None else "yes" if reached else "no"


def _show_aims(rows: list[Row]) -> None:
    """The table, how many aims are reached, and what to know of the others."""

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.4f}"

    shown = table("Lesson", "Figure", ">Reached", "Aim", ">Limit", "Reached?")
    for row in rows:
        lacking = "not measured" if row.value is None and str(row.aim) != "–" else _yes(row.reached)
        shown.add_row(row.aim.lesson, row.aim.figure, number(row.value), str(row.aim), number(row.limit), lacking)
    show(shown)
    aimed = [row for row in rows if str(row.aim) != "–"]
    missed = [row for row in aimed if not row.reached]
    print(f"{len(aimed) - len(missed)} of {len(aimed)} aims are reached." + (" Not reached:" if missed else ""))
    for row in missed:
        note = f": {row.note}" if row.note else ""
        print(f"  {row.aim.lesson} {row.aim.figure}, {number(row.value)}, aim {row.aim}{note}")


def _draw_sheet(lessons: list[str], n: int | None, path: Path, others: bool) -> None:
    """Write a sheet of samples, or leave with one line before anything is computed."""
    if others:
        fail("--sheet goes with -n only, not with --json or --recompute")
    require("torch", extra="torch")
    from mmcourse.figures import sheets

    if len(lessons) != 1 or lessons[0] not in sheets.LESSONS:
        got = f", got {', '.join(lessons)}" if lessons else ""
        fail(f"--sheet: expected one lesson of {', '.join(sheets.LESSONS)}{got}")
    if path.suffix.lower() != ".png":
        fail(f"--sheet {path}: the name must end with .png")
    if not path.parent.is_dir():
        fail(f"--sheet {path}: there is no folder {path.parent}")
    if path.is_dir():
        fail(f"--sheet {path}: that is a folder")
    from mmcourse.io import atomic_write

    try:
        png, summary = sheets.draw_sheet(lessons[0], n)
        atomic_write(path, png)
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        fail(one_line(f"--sheet {path}: {reason}"))
    print(f"{summary}; written to {path}")


@app.command()
def chat(
    scene: Annotated[int, typer.Option(metavar="NUMBER", help="Which of the course's test scenes to talk about.")] = 0,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Your own picture instead of a scene.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the picture as PNG, to look at it.")] = None,
) -> None:
    """Talk about a picture with the chat model. One line is one turn; Ctrl-D ends."""
    require("torch", extra="torch")
    if scene < 0:
        fail(f"--scene: expected 0 or more, got {scene}")
    from mmcourse.datasets.scenes import world
    from mmcourse.datasets.scenes.drawing import draw
    from mmcourse.figures.scenes import SEED
    from mmcourse.preprocess import image
    from mmcourse.preprocess.errors import InputError

    try:
        pixels = draw(world.make(SEED, scene)) if picture is None else image.resize(image.read(picture), (64, 64))
    except (InputError, OSError) as error:
        fail(_reason(error) if isinstance(error, InputError) else f"--picture {picture}: {error.strerror or error}")
    from mmcourse.torch.chat import ChatModel

    try:
        if save is not None:
            from PIL import Image

            Image.fromarray(pixels).resize((512, 512), Image.Resampling.NEAREST).save(save, format="PNG")
        talk = ChatModel.from_pretrained("chat").start(pixels)
    except (OSError, ValueError) as error:
        fail(one_line(str(error)))
    print(f"About {picture or f'scene {scene}'}. Ask for example: What do you see? Ctrl-D ends.", flush=True)
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except (EOFError, KeyboardInterrupt):
            break
        except UnicodeDecodeError:
            print("mmcourse: this line is no UTF-8 text", file=sys.stderr)
            continue
        if not line:
            continue
        try:
            reply = talk.ask(line)
        except ValueError as error:
            print(f"mmcourse: {one_line(str(error))}", file=sys.stderr)
            continue
        for call, result in reply.calls:
            print(f"  [tool] {call}: {result}")
        print(reply.text, flush=True)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    model: Annotated[
        str, typer.Option(metavar="FILE", help="Another ONNX file, such as model.int8.onnx.")
    ] = "model.onnx",
    review: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep 1 % of consenting requests, 30 days.")
    ] = None,
    settle: Annotated[float, typer.Option(min=0, help="Seconds between not ready and closing the port.")] = 1.0,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Load the assistant (/v1/ask, needs PyTorch) now, not with the first question."),
    ] = False,
) -> None:
    """Put the course's first model behind a page and an HTTP service. Ctrl-C ends it, after the last answer."""
    require("fastapi", "uvicorn", "onnxruntime", "prometheus_client", "python_multipart", extra="serve")
    from mmcourse.serve.server import serve as run_service

    try:
        run_service(host, port, model, review, settle, ask)
    except OSError as error:
        fail(one_line(str(error)))


@data.command("list")
def list_data() -> None:
    """Show the public data, where it comes from, its license, size, and whether it is here."""
    from mmcourse.datasets import sources

    rows = table("Name", "What", "License", ">Size", "Here?")
    for source in sources():
        here = "yes" if source.present() else "no"
        rows.add_row(source.name, source.description, source.license, f"{source.bytes / 1e6:.1f} MB", here)
    show(rows)


@data.command()
def fetch(names: Names = None) -> None:
    """Download public data, verified; a cut download goes on where it stopped."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=error_console()) as bar:
        for source in select_data(names):
            task = bar.add_task(source.name, total=source.bytes)
            try:
                folder = source.fetch(partial(_advance, bar, task))
            except (OSError, ValueError) as error:
                bar.stop()
                fail(str(error), status=1)
            bar.update(task, completed=source.bytes, total=source.bytes)
            print(f"{source.name}: verified in {folder}")


def _advance(bar: Progress, task: TaskID, done: int, total: int | None) -> None:
    bar.update(task, completed=done, total=total)


@data.command()
def verify(names: Names = None) -> None:
    """Read every fetched file again and compare it with its checksum; exit 1 if one is missing or damaged."""
    bad = 0
    for source in select_data(names):
        problems = source.verify() if source.present() else [f"not here; run `mmcourse data fetch {source.name}`"]
        bad += bool(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        print(f"{source.name}: {problems[0] + more if problems else f'all {len(source.registry)} files verified'}")
    raise typer.Exit(1 if bad else 0)


def require(*modules: str, extra: str = "lab") -> None:
    """Leave with one line if a module is not installed."""
    if missing := [name for name in modules if find_spec(name) is None]:
        from mmcourse.doctor import remedy

        fail(f"this needs {', '.join(missing)} (extra `{extra}`), not installed here; {remedy(extra)}")


def select(numbers: list[str]) -> list[Lesson]:
    """The lessons asked for; leaves with one line for an unknown one."""
    from mmcourse.authoring import select as find

    try:
        chosen = find(numbers)
    except ValueError as error:
        fail(str(error))
    return chosen or fail("there are no lessons here; install the course again")


def select_data(names: list[str] | None) -> list[Source]:
    """Public data by name; leaves with one line for an unknown one."""
    from mmcourse.datasets import sources

    known = {source.name: source for source in sources()}
    if unknown := [name for name in names or [] if name not in known]:
        fail(f"there is no data {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in names or known]


def writable(folder: Path, lessons: Path) -> None:
    """Make `folder`; leaves with one line if it cannot be written or is where the lessons themselves lie."""
    if folder.resolve().is_relative_to(lessons.resolve()):
        fail(f"--to {folder}: that is where the lessons themselves lie; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        fail(f"cannot write to {folder}: {error.strerror}; choose another folder")


def run_one(notebook: Path, target: Path) -> tuple[float, float, str]:
    """Execute one notebook into `target`: seconds, peak MB (0 if unknown), and what went wrong in which cell."""
    import nbformat

    from mmcourse.authoring.execute import ExecutionError, execute

    start, error, peak_mb = time.perf_counter(), "", 0.0
    try:
        book = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError) as problem:
        return 0.0, 0.0, f"cannot be read: {one_line(str(problem))}"
    with cell_progress() as progress:
        try:
            # Offline would hide a learner's GPU.
            usage = execute(book, lambda done, total: progress(notebook.stem, done, total), offline=False)
            seconds, peak_mb = usage.seconds, usage.peak_mb
        except ExecutionError as problem:
            seconds, error = time.perf_counter() - start, f"cell {problem.cell + 1}: {one_line(str(problem))}"
        except (OSError, RuntimeError, ValueError) as problem:
            why = one_line(str(problem)) if str(problem) else type(problem).__name__
            return 0.0, 0.0, f"no kernel starts: {why}; `mmcourse doctor` says more"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, target)
    return seconds, peak_mb, error


class HomeCommand(TyperCommand):
    """A command that expands ``~`` in each path it is given: a shell leaves ``--to=~/x`` and quoted paths alone."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context, with paths expanded."""
        context = super().make_context(info_name, args, parent, **extra)
        for name, value in context.params.items():
            if isinstance(value, Path):
                context.params[name] = expand_home(value)
            elif isinstance(value, list | tuple):
                context.params[name] = type(value)(expand_home(x) if isinstance(x, Path) else x for x in value)
        return context


app.registered_commands += classroom.registered_commands  # release, grade, slides, hub, submit
app.add_typer(term, name="term")
app.add_typer(capstone, name="capstone")
groups = (app, data, term, capstone)
for command in [command for group in groups for command in group.registered_commands]:
    command.cls = HomeCommand

if __name__ == "__main__":
    main()
