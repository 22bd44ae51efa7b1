"""Print the hostile table as Markdown: `python -m tests.classroom.table`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from class_of import attacked, slug  # noqa: E402


def table() -> str:
    """One row for each attack: the points that it cheats for, those of the honest rest, and what held it back."""
    with tempfile.TemporaryDirectory() as folder:
        graded, attacks, _ = attacked(Path(folder))
    records = {record["student"]: record for record in graded.records}
    lines = ["| attack | points for it | for the honest rest | contained by | seconds | what the student reads |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, attack in attacks.items():
        record = records[slug(name)]
        first, *rest = record["exercises"]
        honest = f"{sum(x['points'] for x in rest):g} of {sum(x['max'] for x in rest):g}"
        said = first["note"] or "; ".join(sorted({part[3] for part in first["parts"] if not part[2]}))
        row = [name, f"{first['points']:g} of {first['max']:g}", honest, attack.contained, record["seconds"], said]
        lines.append("| " + " | ".join(str(x).replace("|", "\\|") for x in row) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
