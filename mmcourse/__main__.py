"""`python -m mmcourse`: the command line, also where no script was put on the path and there is no make."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):  # before any import that such a Python may not manage
    sys.exit(
        "mmcourse: the course needs Python 3.11, 3.12 or 3.13, and this is {}.{}. Install Python 3.13 "
        "(from python.org, or with uv: uv venv --python 3.13) and make the environment with it.".format(
            *sys.version_info[:2]
        )
    )

from mmcourse.cli import main  # noqa: E402

main()
