"""`mmcourse capstone`: new · check · card · example · rubric · retest · defend; `cli.py` has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmcourse.terminal import fail, one_line, show, table, visible

if TYPE_CHECKING:
    from mmcourse.capstone.project import Project
    from mmcourse.capstone.retest import Retest

capstone = typer.Typer(no_args_is_help=True, help="The open project: a folder to start from, checks, re-test, defense.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A project's folder.")]


@capstone.command()
def new(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="New folder for the project.")],
    brief: Annotated[str, typer.Option(help="a: the kiosk · b: the triage desk · c: your own class.")],
) -> None:
    """Make a project's folder: brief, proposal, sources, tests, cards, and a notebook with the baseline."""
    from mmcourse.capstone.briefs import find_brief
    from mmcourse.capstone.new import new_project

    try:
        chosen = find_brief(brief)
        made = new_project(name, chosen)
    except (OSError, ValueError) as error:
        fail(one_line(str(error)))
    print(f"{chosen.title}: {len(made)} files in {name.resolve()}")
    print(f"First read BRIEF.md, then write PROPOSAL.md, then run: mmcourse capstone check {name}")


@capstone.command()
def example(
    which: Annotated[str, typer.Argument(metavar="good|tempting", help="Which of the two marked examples.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the copy.")],
) -> None:
    """Copy a marked example: a good project, or one that tempts and is wrong."""
    from mmcourse.capstone.new import copy_example

    try:
        made = copy_example(which, to)
    except (OSError, ValueError) as error:
        fail(one_line(str(error)))
    print(f"{len(made)} files in {to.resolve()}; marks.toml has the marker's words")


@capstone.command()
def rubric() -> None:
    """Print the rubric: 100 points, and what caps them."""
    from mmcourse.capstone.rubric import as_text

    print(as_text())


@capstone.command()
def check(folder: Folder) -> None:
    """Say what is missing or wrong in a project, by rows of the rubric. Exit 1 if there is anything."""
    from mmcourse.capstone.check import check as check_project
    from mmcourse.capstone.check import faults
    from mmcourse.capstone.rubric import rubric as read_rubric

    project = _read(folder)
    found = check_project(project)
    rows, caps = read_rubric()
    titles = {row.name: row.title for row in rows}
    for finding in found:
        print(f"{titles[finding.row]}: {visible(finding.says)}")
    costs = {cap.fault: cap.cost for cap in caps}
    for fault in faults(found):
        print(f"cap: {fault} → {costs[fault]}")
    if not found:
        print(f"{visible(project.name)}: nothing is missing that a machine can see. The rest is for people.")
    raise typer.Exit(1 if found else 0)


@capstone.command()
def card(folder: Folder) -> None:
    """Write cards/model.md and cards/data.md from the report."""
    from mmcourse.capstone.new import write_cards

    _read(folder)
    try:
        made = write_cards(folder)
    except OSError as error:
        fail(one_line(str(error)))
    print(f"{' and '.join(made)} in {folder.resolve()}")


@capstone.command()
def retest(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Projects of a class, or one.")],
    secret: Annotated[Path, typer.Option(metavar="FILE", help="The class's secret: a line of 16 letters or more.")],
    n: Annotated[int | None, typer.Option("-n", min=2, help="Samples to draw (callers, of the example).")] = None,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="No sandbox: only for code that you trust.")] = False,
) -> None:
    """Draw a fresh test split by a hidden seed, run each project's predict on it, and look at the reported interval."""
    from mmcourse.capstone.project import BadProject
    from mmcourse.capstone.retest import retest_in_sandbox
    from mmcourse.classroom.sandbox import NoSandbox

    key = _secret(secret)
    projects = [_read(folder) for folder in folders]
    results: list[Retest] = []
    bad: list[str] = []
    stopped = False
    for project in projects:
        try:
            results.append(retest_in_sandbox(project, key, n, unsafe))
        except BadProject as error:
            bad.append(one_line(str(error)))
        except NoSandbox as error:
            fail(one_line(str(error)))
        except KeyboardInterrupt:  # what was found so far is shown
            stopped = True
            break
    _show(results)
    for line in bad:
        print(f"not tested: {visible(line)}")
    if stopped:
        done = len(results) + len(bad)
        left = ", ".join(visible(project.name) for project in projects[done:])
        print(f"stopped: not tested: {left}")
        raise typer.Exit(130)
    raise typer.Exit(1 if bad or any(result.held is not True for result in results) else 0)


def _show(results: list[Retest]) -> None:
    from mmcourse.capstone.retest import class_coverage

    rows = table("Project", ">Reported", ">Fresh", ">Samples", "Held?", ">Ceiling")
    for it in results:
        verdict = {None: "no interval", True: "yes", False: "no"}[it.held]
        above = " above the ceiling" if it.reported[1] > it.ceiling else ""
        ceiling = f"{it.ceiling:.3f}"
        rows.add_row(visible(it.name), _told(it.reported), _told(it.fresh), f"{it.n:,}", verdict + above, ceiling)
    if results:
        show(rows)
    if any(it.held is not None for it in results):
        held, number, low, high, expected = class_coverage(results)
        share = f": {held / number:.2f} [{low:.2f}, {high:.2f}]" if number > 1 else ""
        print(f"{held} of {number} intervals hold their fresh score{share}")
        print(f"Honest intervals of these widths hold it with probability {expected:.2f}: the re-test has noise, too.")
    for it in results:
        if it.held is None:
            print(f'{visible(it.name)}: report.json has no "test" with "interval": [low, high]; `make all` writes it')


def _told(claim: tuple[float, float, float]) -> str:
    value, low, high = claim
    if value != value:
        return "–"
    return f"{value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low == low else "")


@capstone.command()
def defend(
    folder: Folder,
    secret: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Else anyone can draw the same questions.")
    ] = None,
) -> None:
    """Draw five questions for the oral defense; the same project always gets the same."""
    from mmcourse.capstone.defense import defense_seed, draw_questions

    project = _read(folder)
    key = _secret(secret) if secret else ""
    for place, question in enumerate(draw_questions(project, defense_seed(project, key)), start=1):
        print(f"{place}. {visible(question.text)}")


def _secret(path: Path) -> str:
    """The secret in a file; leaves with one line where it could be guessed."""
    from mmcourse.classroom.seal import typed_secret

    remedy = 'write one with `python -c "import secrets; print(secrets.token_urlsafe())"`'
    try:
        return typed_secret(path)
    except FileNotFoundError:
        fail(f"{one_line(str(path))}: no such file; {remedy}")
    except (OSError, ValueError) as error:
        fail(one_line(str(error).replace("leave --secret out and one is made", remedy)))


def _read(folder: Path) -> Project:
    from mmcourse.capstone.project import BadProject, read_project

    try:
        return read_project(folder)
    except (BadProject, OSError) as error:
        fail(one_line(str(error)))
