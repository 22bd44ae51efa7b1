"""Print the hostile table as Markdown: `python -m tests.classroom.table`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from class_of import attacked, slug  # noqa: E402
from hostile import HUB_ATTACKS, OTHER_ATTACKS  # noqa: E402
from hostile_frameworks import FRAMEWORK_ATTACKS, FrameworkAttack  # noqa: E402

from mmcourse.classroom.hidden import grade_parts, parts, score  # noqa: E402
from mmcourse.classroom.sandbox import Limits  # noqa: E402
from mmcourse.classroom.session import Session, answer_of  # noqa: E402


def table() -> str:
    """One row for each attack: the points that it cheats for, those of the honest rest, and what held it back."""
    with tempfile.TemporaryDirectory() as folder:
        graded, attacks, _ = attacked(Path(folder))
    records = {record["student"]: record for record in graded.records}
    lines = ["| attack | before | points now | for the honest rest | contained by | seconds | what the student reads |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, attack in attacks.items():
        record = records[slug(name)]
        first, *rest = record["exercises"]
        honest = f"{sum(x['points'] for x in rest):g} of {sum(x['max'] for x in rest):g}"
        said = first["note"] or "; ".join(sorted({part[3] for part in first["parts"] if not part[2]}))
        now = f"{first['points']:g} of {first['max']:g}"
        lines.append(line(name, attack.before, now, honest, attack.contained, record["seconds"], said))
    lines += [
        "",
        "| attack by a framework exercise | exercise | before | points now | contained by |",
        "|" + "---|" * 5,
    ]
    for name, framework in FRAMEWORK_ATTACKS.items():
        lines.append(line(name, framework.exercise, framework.before, earned(framework), framework.contained))
    for heading, listed in (
        ("attack from a student's server on the hub", HUB_ATTACKS),
        ("attack by names, files, tables, pages and downloads", OTHER_ATTACKS),
    ):
        lines += ["", f"| {heading} | before | now | contained by | test |", "|" + "---|" * 5]
        lines += [line(x.name, x.before, "held", x.contained, x.test) for x in listed]
    return "\n".join(lines)


def earned(attack: FrameworkAttack) -> str:
    """The share of the points that it earns in the sandbox."""
    parts(attack.exercise, "a secret for the table")
    with Session([attack.setup, attack.code], Limits()) as session:
        answer = answer_of(session, "ANSWER")
        return f"{score(grade_parts(attack.exercise, answer, 'a secret for the table')):.0%}"


def line(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(table())
