"""The script that runs, where it uses worker processes: each of them reads it again, so it needs Python's guard."""

from __future__ import annotations

import sys
from pathlib import Path

from aqreanalysis.errors import UserError

GUARD = 'if __name__ == "__main__":'


def check_guard(workers: int) -> None:
    """UserError where the script that runs would begin its work again in each worker.

    Worker processes import the main script under another name (multiprocessing, "Safe importing of main module"), so
    what stands at its top level runs in each of them, and would start workers of its own. Modules that are run by
    `python -m`, and what is typed or comes from a notebook, are not imported in this way, or have a guard.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None:
        return
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if "__name__" not in text:
        raise UserError(f"{path} asks for {workers} workers, and what it does stands at its top level.",
                        "Worker processes read the script that started them, and would begin its work once more.",
                        f"Put what it does below the line `{GUARD}`, indented; or ask for workers=1.")
