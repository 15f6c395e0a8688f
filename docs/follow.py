"""Follow a page of the documentation word for word: run its blocks of bash and Python, in order, in an empty folder.

    python docs/follow.py docs/tutorial.md [FOLDER]

Python blocks are one session. Ends with the exit code of the first block that fails; prints what each one took.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.M | re.S)


def follow(page: Path, folder: Path) -> None:
    """Run all blocks of a page; CalledProcessError or the block's own error where one fails."""
    session: dict = {}
    for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        began = time.monotonic()
        print(f"\n>>> {block.strip()}", flush=True)
        if kind == "bash":
            subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=folder, check=True)
        else:
            exec(compile(block, str(page), "exec"), session)
        print(f"    ({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    import os

    page = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as empty:
        place = Path(sys.argv[2] if len(sys.argv) > 2 else empty).resolve()
        place.mkdir(parents=True, exist_ok=True)
        os.chdir(place)
        follow(page, place)
