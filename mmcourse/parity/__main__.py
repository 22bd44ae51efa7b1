"""``python -m mmcourse.parity [--markdown] [part of a topic or name]`` prints the parity table, or its page.

Exit code 1 where a backend differs.
"""

import sys

from .case import parity_cases
from .compare import table
from .page import markdown

part, as_page = "".join(sys.argv[1:]).replace("--markdown", ""), "--markdown" in sys.argv
found = parity_cases(part)
lines = []
for line in markdown(found) if as_page else table(found):
    print(line, flush=True)
    lines.append(line)
sys.exit(not found or any("FAULT" in line for line in lines))
