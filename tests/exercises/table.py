"""Print exercise × wrong answer × message: `python -m tests.exercises.table [NN]`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from exercise_harness import attacks, known_answers  # noqa: E402

from mmcourse.check import info, judge  # noqa: E402


def table(lesson: str = "") -> str:
    """Markdown, one row for each known-wrong answer and each generic attack."""
    lines = ["| exercise | wrong answer | message |", "|---|---|---|"]
    for id, known in known_answers().items():
        if not id.startswith(lesson):
            continue
        rows = [(fragment, answer) for fragment, answer in ((f, a) for a, f in known.wrong)]
        rows += [(f"attack: {name}", bad) for name, bad in attacks(known.right[0], known.skip).items()]
        for name, answer in rows:
            result = judge(id, answer)
            message = result.message.replace("\n", " ").replace("|", "\\|")
            lines.append(f"| {id} {info(id).title} | {name} | {result.status}: {message} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(*sys.argv[1:2]))
