"""The instructor's commands: release · grade · slides · term · hub, and the student's submit; `cli.py` has them."""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from mmcourse.terminal import fail, progress_bar, show, table, visible

classroom = typer.Typer()
term = typer.Typer(no_args_is_help=True, help="For instructors: plans for a term, and a dry run of one.")


@classroom.command()
def release(
    numbers: Annotated[list[str], typer.Argument(metavar="SLUG…", help="Lessons by slug or number, or all.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the release.")],
    roster: Annotated[Path | None, typer.Option(help="CSV with a column `student`.")] = None,
    points: Annotated[str, typer.Option(help="fusion.1=2,fusion.2=3, or a CSV file: exercise,points.")] = "",
    secret: Annotated[Path | None, typer.Option(help="The course's secret; made once by default.")] = None,
    format: Annotated[str, typer.Option(help="mmcourse, or nbgrader for its source/ folder.")] = "mmcourse",
    bank: Annotated[Path | None, typer.Option(metavar="DIR", help="Your own exercises: DIR/SLUG/exercises.py.")] = None,
) -> None:
    """Hand out exercises: a notebook for each student, the solutions, and a table of points."""
    _use_bank(bank, verify=True)
    from mmcourse.authoring.source import SourceError
    from mmcourse.classroom.release import release as make

    try:
        made = make(numbers, to, roster, points, secret, format)
    except (OSError, SourceError, ValueError) as error:
        fail(str(error))
    rows = table("Exercise", "Title", ">Points", "Variants")
    for x in made.exercises:
        rows.add_row(x.id, x.title, f"{x.points:g}", "yes" if x.id in made.cells else "")
    show(rows)
    who = "everyone" if made.students == ("everyone",) else f"{len(made.students)} students"
    then = "Hand out students/; keep the rest to yourself."
    if made.format == "nbgrader":
        then = f"There, run `nbgrader generate_assignment {made.lessons[0]} --create`."
    print(f"{', '.join(made.lessons)} for {who}: {to.resolve()}\n{then}")


@classroom.command()
def grade(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of DIR/<student>/*.ipynb, or a release.")],
    out: Annotated[Path, typer.Option(help="Folder for grades.csv, feedback/ and summary.html.")] = Path("results"),
    release: Annotated[Path | None, typer.Option(metavar="DIR", help="The release that was handed out.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = os.cpu_count() or 1,
    dask: Annotated[str, typer.Option(metavar="ADDRESS", help="Grade on this Dask cluster instead.")] = "",
    seconds: Annotated[float, typer.Option(min=1, help="Most time of one submission.")] = 120,
    memory: Annotated[int, typer.Option(min=500, help="Most memory of one submission, in MB.")] = 3000,
    back: Annotated[Path | None, typer.Option("--return", metavar="DIR", help="Pages also to DIR/<student>/.")] = None,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="No sandbox: only for code that you trust.")] = False,
    secret: Annotated[Path | None, typer.Option(metavar="FILE", help="The class's secret, without a release.")] = None,
    hidden_seed: Annotated[str, typer.Option(help="Fix the hidden inputs; drawn anew for each regrade.")] = "",
    lower: Annotated[bool, typer.Option("--lower", help="A regrade may lower points that were returned.")] = False,
    due: Annotated[str, typer.Option(metavar="TIME|FILE", help="Deadline, or a TOML file with the policy.")] = "",
    zone: Annotated[str, typer.Option("--time-zone", help="Of the deadline, such as Asia/Shanghai.")] = "",
    late_days: Annotated[int, typer.Option(min=0, max=365, help="Free late days of each student.")] = 0,
    penalty: Annotated[float, typer.Option(min=0, max=100, help="Percent off per further day.")] = 10.0,
    late_used: Annotated[
        list[Path] | None, typer.Option(metavar="CSV", help="late.csv of earlier homework: days that are spent.")
    ] = None,
    times: Annotated[Path | None, typer.Option(metavar="CSV", help="student,time: instead of the files' own.")] = None,
    gradebook: Annotated[str, typer.Option(metavar="moodle|canvas", help="Also write that gradebook's file.")] = "",
    roster: Annotated[Path | None, typer.Option(metavar="CSV", help="Names and numbers for the gradebook.")] = None,
    bank: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your own exercises, if the release has some.")
    ] = None,
    delete: Annotated[
        str, typer.Option("--delete-personal-data", metavar="STUDENT|all", help="Grade nothing: list what is theirs.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Delete what --delete-personal-data lists.")] = False,
) -> None:
    """Grade a class: each submission in a sandbox, judged from outside. Stopped and started again, it goes on."""
    from mmcourse.classroom.feedback import return_feedback, write_gradebook, write_reports
    from mmcourse.classroom.grade import grade as run
    from mmcourse.classroom.grade import with_lateness
    from mmcourse.classroom.release import is_own_release
    from mmcourse.classroom.sandbox import Limits, NoSandbox
    from mmcourse.classroom.untrusted import Unreadable

    limits = Limits(total=seconds, cpu=int(seconds) + 1, memory_mb=memory)
    settings: dict[str, Any] = {"limits": limits, "unsafe": unsafe, "jobs": jobs, "dask": dask}
    settings |= {"secret": secret, "hidden_seed": hidden_seed, "lower": lower}
    _use_bank(bank)
    if yes and not delete:
        fail("--yes belongs to --delete-personal-data STUDENT, or all")
    deadline = _late_policy(due, zone, late_days, penalty, times, late_used or [])
    book = _gradebook_people(gradebook, roster)
    if back and not back.is_dir():  # asked before the long part
        fail(
            f"--return {back}: no such folder; expected one with a folder for each student, such as {back}/ada/. "
            "Make it, or name the folder that students hand in to"
        )
    try:
        named_twice = release is not None and release.resolve() == folder.resolve()  # then it is read with care
        if named_twice or (release is None and is_own_release(folder)):
            folder, release = _handed_in(folder), folder
        if delete:
            _delete(delete, yes, folder, out, release, back, secret)
            return
        with progress_bar("submissions") as progress:
            graded = run(folder, out, release, progress=progress, **settings)
        if deadline:
            graded = with_lateness(graded, *deadline)
        summary = write_reports(graded, out)
        imported = write_gradebook(graded, out, gradebook, book) if gradebook else None
        returned = return_feedback(out, back, graded) if back else []
    except Unreadable as error:
        fail(f"--return {back}: {error}")
    except (NoSandbox, OSError, ValueError) as error:
        fail(str(error))
    for student, file, why in graded.problems:
        print(f"mmcourse: {visible(student)}: {visible(file)}: {visible(why)}", file=sys.stderr)
    for change in graded.changes:
        print(f"Changed: {change}")
    students = len({record["student"] for record in graded.records})
    print(f"{len(graded.records)} submissions of {students} students, {graded.done_now} graded now")
    print(f"Grades: {(out / 'grades.csv').resolve()}\nSummary: {summary.resolve()}")
    if deadline:
        late = sum(x.days > 0 for x in graded.late.values())
        print(f"Late: {late} of {len(graded.late)} submissions: {(out / 'late.csv').resolve()}")
    if imported:
        print(f"Gradebook for {gradebook.capitalize()}: {imported[0].resolve()}\n{imported[1]}")
    if back:
        print(f"Returned to {len(returned)} students: {back.resolve()}")


def _delete(who: str, yes: bool, *folders: Path | None) -> None:
    """List what is held of a student or of all, and delete it where that was asked for."""
    from mmcourse.classroom.personal import deletion

    handed_in, out, release, back, secret = folders
    assert handed_in and out
    made = deletion(who, handed_in, out, release, back, secret)
    for line in made.lines():
        print(visible(line))
    for path in made.kept:
        print(f"mmcourse: {visible(str(path))} is not the course's own and stays", file=sys.stderr)
    of = "all students" if who == "all" else who
    if not yes:
        print(f"This is what the course holds of {of}. Nothing was deleted; --yes deletes it.")
        return
    left = made.run()
    for path in left:
        print(f"mmcourse: {visible(str(path))} still holds a name; look at it", file=sys.stderr)
    print(f"Deleted: {len(made.gone)} files and folders of {of}.")
    if not left:
        print("Searched what is left: no name is in it.")
    print("Not the course's, so still there: your roster, your own policy files, your platform's copies, backups.")
    if who != "all":
        print("Run the same command without these options to make summary, leaderboard and gradebook again.")


def _use_bank(folder: Path | None, verify: bool = False) -> None:
    """Open an instructor's bank; leaves with one line if it cannot be used."""
    if folder is None:
        return
    from mmcourse.classroom.bank import open_bank

    try:
        open_bank(folder, verify=verify)
    except (OSError, ValueError) as error:
        fail(str(error))


def _late_policy(
    due: str, zone: str, late_days: int, penalty: float, times: Path | None, used: list[Path]
) -> tuple[Any, ...] | None:
    """(policy, hand-in times, days spent before), or None without a deadline; leaves with one line if it is wrong."""
    from mmcourse.classroom import late

    if not due:
        if zone or late_days or times or used:
            fail("--time-zone, --late-days, --late-used and --times need a deadline: --due '2027-03-01 23:59'")
        return None
    try:
        if Path(due).is_file():
            if zone or late_days:
                fail(f"--due {due}: a policy's file says its own time_zone and late_days; leave the options out")
            policy = late.read_policy(Path(due))
        else:
            policy = late.make_policy(due, zone=zone, late_days=late_days, penalty=penalty)
        return policy, late.read_times(times, policy.zone) if times else {}, late.read_used(used)
    except (OSError, ValueError) as error:
        fail(str(error))


def _gradebook_people(kind: str, roster: Path | None) -> Any:
    """Names and numbers for a gradebook, read before the long part; leaves with one line if they are wrong."""
    from mmcourse.classroom.gradebook import KINDS, read_people

    if kind and kind not in KINDS:
        fail(f"--gradebook {kind}: expected {' or '.join(KINDS)}")
    if roster and not kind:
        fail("--roster belongs to --gradebook moodle or --gradebook canvas")
    try:
        return read_people(roster) if roster else None
    except (OSError, ValueError) as error:
        fail(str(error))


def _handed_in(release: Path) -> Path:
    """Where the students' folders of a release are: what nbgrader collected, or what was handed out to each.

    Raises
    ------
    FileNotFoundError
        It was made for everyone: no student's folder can be in it.
    """
    from mmcourse.classroom.release import EVERYONE

    collected, students = release / "submitted", release / "students"
    if collected.is_dir():
        return collected
    if students.is_dir() and {path.name for path in students.iterdir() if path.is_dir()} <= set(EVERYONE):
        raise FileNotFoundError(
            f"{students}: these are the notebooks for everyone, not what students handed in. Collect that in a "
            "folder with one folder for each student, such as handed_in/ada/, then: "
            f"mmcourse grade handed_in --release {release}"
        )
    return students


@classroom.command()
def slides(
    lessons: Annotated[list[str], typer.Argument(metavar="SLUG…", help="Lessons by slug or number, or all.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the decks.")] = Path("slides"),
) -> None:
    """Slides for a lecture from a built lesson: its drawings, charts, formulas, guesses. One HTML file, no network."""
    from mmcourse.authoring import select
    from mmcourse.classroom.slides import write_decks

    try:
        chosen = select(lessons)
        if "all" in lessons:
            chosen = [lesson for lesson in chosen if lesson.notebook.is_file()]
        written = [path for lesson in chosen for path in write_decks(lesson, to)]
    except (OSError, ValueError) as error:
        fail(str(error))
    for path in written:
        print(path.resolve())
    print("Arrow keys move, n shows the notes, d changes light and dark, p prints (or saves as PDF).")


@term.command()
def plan(
    weeks: Annotated[int, typer.Option(help="12 or 24.")] = 12,
    format: Annotated[str, typer.Option(help="md, or csv for a spreadsheet.")] = "md",
) -> None:
    """Print a plan for a term: lessons, reading, exercises and assessment of each week, with counted hours."""
    from mmcourse.classroom import plans

    found = plans.plans()
    if weeks not in found:
        fail(f"--weeks {weeks}: there is a plan for {' and for '.join(map(str, sorted(found)))} weeks")
    if format not in ("md", "csv"):
        fail(f"--format {format}: expected md or csv")
    chosen = found[weeks]
    print(plans.as_markdown(chosen) if format == "md" else plans.as_csv(chosen), end="")


@term.command("dry-run")
def dry_run(
    to: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the made-up class.")],
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the log there.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 2,
) -> None:
    """Play a whole term with 30 made-up students: hand out, collect, grade, mend, regrade, return, delete."""
    from mmcourse.classroom.dry_run import dry_run as play
    from mmcourse.io import atomic_write

    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    try:
        play(to, _run_here, say, jobs)
    except (OSError, ValueError) as error:
        fail(str(error))
    if log:
        atomic_write(log, "\n".join(lines) + "\n")


def _run_here(arguments: list[str]) -> str:
    """Run one of these commands in this process; returns what it printed.

    Raises
    ------
    ValueError
        It failed; the message is what it said.
    """
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = typer.main.get_command(classroom).main(arguments, prog_name="mmcourse", standalone_mode=False)
    if status:
        raise ValueError(f"mmcourse {arguments[0]} failed: {said.getvalue().strip()}")
    return said.getvalue()


@classroom.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def hub(
    context: typer.Context,
    to: Annotated[Path, typer.Option("--dir", help="The class folder: accounts, homes, submissions.")] = Path("class"),
    students: Annotated[str, typer.Option(help="Names with commas between, for accounts.")] = "ada,ben",
    port: Annotated[int, typer.Option(help="Port on this machine's loopback address.")] = 8000,
    memory: Annotated[str, typer.Option(help="Most memory of one student, all processes together.")] = "4G",
) -> None:
    """Start a small JupyterHub with the course in it, on this machine alone. Further options go to JupyterHub."""
    from mmcourse.runtime import how_to_install

    for program, remedy in (("bwrap", "apt install bubblewrap"), ("jupyterhub", how_to_install("classroom"))):
        if not (shutil.which(program) or (Path(sys.executable).parent / program).is_file()):
            fail(f"{program} is needed and not here; {remedy}")
    from mmcourse.classroom import hub as house

    folder = to.resolve()
    try:
        accounts = house.prepare(folder, house.names(students, folder))
        house.require_free(port)
    except (OSError, ValueError) as error:
        fail(str(error))
    rows = table("Student", "Password")
    for account in accounts.items():
        rows.add_row(*account)
    show(rows)
    print(
        f"Class folder: {folder}\nOpen http://{house.HOST}.localhost:{port} and log in; stop with Ctrl-C.", flush=True
    )
    os.environ |= {"MMCOURSE_CLASS": str(folder), "MMCOURSE_HUB_PORT": str(port), "MMCOURSE_HUB_MEMORY": memory}
    os.chdir(folder / "hub")
    config = Path(__file__).with_name("jupyterhub_config.py")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub", "-f", str(config), *context.args])


@classroom.command()
def submit(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="Your exercise notebook, saved.")],
) -> None:
    """Hand in an exercise notebook, where a class collects them. Handing in again replaces it."""
    from mmcourse.authoring.catalogue import lessons
    from mmcourse.classroom.challenges import ENDINGS
    from mmcourse.classroom.submission import NO_ANSWERS, code_cells, holds_answers, lesson_of
    from mmcourse.classroom.untrusted import MOST_BYTES, Unreadable
    from mmcourse.io import atomic_write

    box = os.environ.get("MMCOURSE_SUBMISSIONS")
    if not box:
        fail("no class collects here (MMCOURSE_SUBMISSIONS is not set); send the file as your instructor asked")
    if not Path(box).is_dir():
        fail(f"{box}: no folder; your class collects there (MMCOURSE_SUBMISSIONS): tell your instructor")
    names = [lesson.name for lesson in lessons() if lesson.exercise.is_file()]
    if notebook.suffix in ENDINGS:
        _submit_challenge(notebook, Path(box), names)
        return
    if not notebook.is_file() or notebook.suffix != ".ipynb":
        fail(f"{notebook}: no such notebook; name the .ipynb file that you saved, or SLUG.challenge.npz")
    try:
        data = notebook.read_bytes()
        cells = code_cells(data)
        lesson = lesson_of(notebook, cells, names)
        if not holds_answers(cells, lesson):
            raise Unreadable(NO_ANSWERS.format(lesson=lesson))
        if len(data) > MOST_BYTES:
            raise Unreadable(f"larger than {MOST_BYTES >> 20} MB; clear its outputs")
        atomic_write(Path(box) / f"{lesson}.ipynb", data)
    except Unreadable as error:
        fail(f"{visible(str(notebook))} was not handed in: {error}")
    except OSError as error:
        fail(f"{visible(str(notebook))} was not handed in: {error.strerror}")
    print(f"Handed in: {lesson}.ipynb, {len(data):,} bytes")


def _submit_challenge(path: Path, box: Path, lessons: list[str]) -> None:
    """Hand in a file of arrays, where it holds what the challenge asks for."""
    from mmcourse.classroom.challenges import ENDINGS
    from mmcourse.classroom.submission import are_inputs, read_challenge
    from mmcourse.classroom.untrusted import File, Unreadable, read_file
    from mmcourse.io import atomic_write

    shown = visible(str(path))
    try:
        if are_inputs(path.name):
            raise Unreadable("these are the inputs; hand in SLUG.challenge.npz, which `save_hand_in` writes")
        handed = read_challenge("", File(Path(path.name), read_file(str(path))), lessons)
        if handed.problem:
            raise Unreadable(handed.problem)
        atomic_write(box / f"{handed.challenge}{handed.ending}", handed.data)
        for other in ENDINGS - {handed.ending}:
            (box / f"{handed.challenge}{other}").unlink(missing_ok=True)  # handing in again replaces
    except Unreadable as error:
        fail(f"{shown} was not handed in: {visible(str(error))}")
    except OSError as error:
        fail(f"{shown} was not handed in: {error.strerror}")
    print(f"Handed in: {handed.challenge}{handed.ending}, {len(handed.data):,} bytes")
