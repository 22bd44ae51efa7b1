"""``python -m mmcourse.authoring [SLUG ...] [--check] [--only lesson|exercises] [--force]``."""

from __future__ import annotations

import argparse
import sys

from . import build


def main(arguments: list[str] | None = None) -> int:
    """Build or check; 0 when all is well, 1 for faults, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m mmcourse.authoring", description="Build notebooks from sources.")
    parser.add_argument("lessons", nargs="*", help="numbers such as 00; all by default")
    parser.add_argument("--check", action="store_true", help="run nothing, only say which notebooks are stale")
    parser.add_argument("--only", choices=("lesson", "exercises"), help="leave the other notebooks alone")
    parser.add_argument("--force", action="store_true", help="build over edited notebooks, and keep a copy of each")
    parser.add_argument("--root", help="folder that holds notebooks/ and pyproject.toml")
    options = parser.parse_args(arguments)

    def progress(name: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{name}  {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    try:
        built = build(options.lessons or None, options.check, options.root, progress, options.only, options.force)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1 if type(error) is not ValueError else 2
    for x in built:
        print(f"{x.path.name:28} {x.path.parent.name:10} {x.seconds:6.1f} s {x.peak_mb:6.0f} MB", *x.bands, sep="  ")
        for note in x.notes:
            print(f"  note: {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
