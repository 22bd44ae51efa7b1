"""``python -m mmcourse.parity [--markdown] [part of a topic or name]`` prints the parity table, or its page.

Exit code 1 where a backend differs.
"""

import sys

from .case import parity_cases
from .compare import table
from .page import markdown


def main(arguments: list[str]) -> int:
    """Print the table or the page; 1 where a backend differs or nothing was found."""
    part = "".join(arguments).replace("--markdown", "")
    found = parity_cases(part)
    lines = []
    for line in markdown(found) if "--markdown" in arguments else table(found):
        print(line, flush=True)
        lines.append(line)
    return int(not found or any("FAULT" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
