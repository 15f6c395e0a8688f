"""What a verb made: its files and their sizes, its own scores in numbers and in a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

STORE = ".zarr"  # a folder of that ending is shown as one file
KEPT_SCORES = ("design", "frequency", "stations", "n", "MAE", "MAE_kriging", "RMSE", "skill_percent", "NMB_percent",
               "coverage_90")
IN_A_LINE = ("map-matched", "whole cities", "single stations", "regions")  # of designs
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """What a verb made.

    paths : files, stores and folders; of a folder all that is in it.
    scores : own scores, a row for each design, frequency or the like.
    scores_in_words : the same in a line.
    facts : other numbers.
    open_first : what a reader opens first.
    """

    paths: Sequence[Path] = ()
    scores: Sequence[Row] = ()
    scores_in_words: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    open_first: Path | None = None

    def files(self) -> dict[Path, int]:
        """Every file with its size in bytes; a Zarr store is one file, and what is hidden is none."""
        return {file: _bytes(file) for path in self.paths for file in _files(path)}


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir() and path.suffix != STORE:
        for inside in sorted(path.iterdir()):
            if not inside.name.startswith("."):
                yield from _files(inside)
    elif path.exists():
        yield path


def _bytes(path: Path) -> int:
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())


def of_product(folder: Path) -> Made:
    """Of a finished product, with the scores of its own validation."""
    import pandas as pd

    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    table = next(iter(folder.glob("*validation.csv")), None)
    rows = _kept(pd.read_csv(table, dtype={"slice": str}).query("by == 'all'")) if table else []
    width = record.get("bounds", {}).get("mean_half_width")
    words = [in_words(rows)] if rows else ["not validated"]
    words += [f"90 % bounds {width:.1f} ug m-3 on either side in the mean"] if width else []
    return Made([folder], rows, "; ".join(words), {"mean_half_width_of_bounds": width}, folder / "report.html")


def of_checkpoint(folder: Path) -> Made:
    """Of a checkpoint, with the scores on its card."""
    import pandas as pd

    from aqreanalysis.models import checkpoint

    rows = [row for of in checkpoint.read_card(folder).scores.values() for row in _kept(pd.DataFrame(of))]
    return Made([folder], rows, in_words(rows))


def of_evaluation(table: pd.DataFrame, paths: Sequence[Path], ours: str,
                  reference: str = "kriging") -> Made:
    """Of an evaluation: of its table the rows over all stations and hours."""
    whole = table[(table["by"] == "all") & (table["hours"] == "all")].rename(columns={"group": "design"})
    beside = whole[whole["model"] == reference].set_index(["design", "frequency"])["MAE"].rename("MAE_kriging")
    rows = _kept(whole[whole["model"] == ours].join(beside, on=["design", "frequency"]))
    return Made(paths, rows, in_words(rows), open_first=first_page(paths))


def first_page(paths: Sequence[Path]) -> Path | None:
    """The page among some files."""
    return next((path for path in paths if path.suffix == ".html"), None)


def of_table(path: Path, folder: Path) -> Made:
    """Of a run folder, or a file in it, with the scores of a table beside."""
    import pandas as pd

    return Made([folder], _rows(pd.read_csv(path)) if path.exists() else [])


def _kept(table: pd.DataFrame) -> list[dict[str, Any]]:
    return _rows(table[[name for name in KEPT_SCORES if name in table.columns]])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def in_words(rows: Sequence[Row]) -> str:
    """Mean absolute errors of hours by design, beside kriging's, in a line; empty where there are none."""
    hours = {row["design"]: row for row in rows if row["frequency"] == "hourly"}
    each = [f"{design} {hours[design]['MAE']:.2f} (kriging {hours[design]['MAE_kriging']:.2f})"
            for design in IN_A_LINE if design in hours]
    return f"mean absolute error of hours, ug m-3: {', '.join(each)}" if each else ""
