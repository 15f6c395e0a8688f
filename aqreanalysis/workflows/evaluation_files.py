"""What `aqreanalysis evaluate` writes: the table of scores, the sums that it is made of, figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import xarray as xr

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.figure_sums import of_evaluation
from aqreanalysis.figures.identity import Identity
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.figures.scores import score_figures
from aqreanalysis.figures.validation import validation_figures
from aqreanalysis.product.report.evaluation_page import Evaluated, write_evaluation
from aqreanalysis.product.validation.hidden import REFERENCE
from aqreanalysis.workflows.evaluate_analysis import Result

REPORT = "report.html"
EVALUATION_FIX = "choose another place with --out."


def check_out(out: str | None) -> None:
    """A UserError where :func:`write_result` has no use for a name; to be called before anything is computed."""
    if out and not _is_table(out):
        files.folder_named(out)
    elif out and Path(out).is_dir():
        raise UserError(f"--out {out} is a folder.", "A name that ends in .csv is that of the table alone.",
                        "Name a file, or a folder without that ending.")


def _is_table(out: str) -> bool:
    return Path(out).suffix.lower() == ".csv" and not out.endswith("/")


def write_result(result: Result, out: str, command: str = "") -> list[Path]:
    """The table as a .csv file; or a folder with scores.csv, scores.nc (the sums), figures and report.html.

    `command` is the line that asked for them, which the page shows.
    """
    path = Path(out)
    if _is_table(out):
        return [_write_table(result.table, path)]
    written = [_write_table(result.table, path / "scores.csv"), _write_sums(result, path / "scores.nc")]
    ours = result.model.label
    figures = score_figures(result.table, ours)
    if result.stations is not None:
        figures |= validation_figures(of_evaluation(result.sums, result.stations, ours, REFERENCE, result.about,
                                                    result.simulated))
    about = {"source": result.about, "simulated": str(result.simulated).lower()}
    pictures = {name: save_figure(figure, path / f"{name}.png", Identity.of(f"Validation: {name}", about))
                for name, figure in figures.items()}
    written += pictures.values()
    found = Evaluated(result.table, ours, REFERENCE, result.about, result.simulated, result.notes, result.facts,
                      result.model.reference, result.inventory, [name.name for name in written], command)
    return [*written, write_evaluation(path / REPORT, found, pictures, EVALUATION_FIX)]


def _write_sums(result: Result, path: Path) -> Path:
    """A group for each kind of sums."""
    with files.whole(path, EVALUATION_FIX) as part:
        xr.Dataset(attrs={"notes": "\n".join(result.notes)}).to_netcdf(part, engine="netcdf4")
        for name, sums in vars(result.sums).items():
            if name == "station" and result.stations is not None:
                sums = _with_places(sums, result.stations)
            encoding: dict[str, dict] = {str(key): {"dtype": "S1"} for key, of in sums.variables.items()
                                         if of.dtype.kind in "OU"}
            encoding |= {str(key): {"zlib": True, "complevel": 1} for key in sums.data_vars}
            sums.to_netcdf(part, mode="a", group=name, engine="netcdf4", encoding=encoding)
    return path


def _with_places(sums: xr.Dataset, stations: pd.DataFrame) -> xr.Dataset:
    """With the places of its stations, degrees."""
    at = stations.set_index("station_id").loc[list(sums.station.values)]
    return sums.assign_coords(lat=("station", at["lat"].to_numpy(float), {"units": "degrees_north"}),
                              lon=("station", at["lon"].to_numpy(float), {"units": "degrees_east"}))


def _write_table(table: pd.DataFrame, path: Path) -> Path:
    with files.whole(path, EVALUATION_FIX) as part:
        table.to_csv(part, index=False, float_format="%.6g")
    return path
