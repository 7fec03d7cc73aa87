"""Holds this implementation, which knows docs/ alone, against docs/vectors: `python3 docs/second/check.py`.

A line for each file, with counts. Exit code 0: all agree; 1: something does not, and the line says where; 2: a file
is missing or cannot be read.
"""

import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
import vectors  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "vectors"


def main(folder: Path) -> int:
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for name, check in vectors.CHECKS.items():
        began = time.monotonic()
        try:
            file = vectors.read(name, (folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as why:
            print(f"{name}: cannot be read: {why}")
            return 2
        try:
            counts = check(file)
        except vectors.Disagreement as why:
            print(f"{name}: {why}")
            return 1
        except Exception as why:  # What is refused or cannot be read where the file says that it is good.
            print(f"{name}: this implementation refuses what is there: {why!r}")
            return 1
        said = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{name}: agrees ({said}; {time.monotonic() - began:.1f} s)", flush=True)
    strange = sorted(there - set(vectors.CHECKS))
    if strange:
        print(f"{', '.join(strange)}: no file that is known here")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
