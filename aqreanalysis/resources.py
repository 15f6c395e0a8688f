"""Where the files that ship with the package lie: in it when installed, beside it in a checkout."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder `recipes` or `grids`."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def data_folder() -> Path:
    """Where archives of observations are looked for: AQREANALYSIS_DATA or the platform's data folder."""
    return Path(os.environ.get("AQREANALYSIS_DATA") or platformdirs.user_data_dir("aqreanalysis"))
