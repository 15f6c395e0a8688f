"""The files of a comparison: tables (CSV), maps (NetCDF), pictures, and a page that holds all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import __version__, files
from aqreanalysis.product.comparison.scores import OURS
from aqreanalysis.product.report import html
from aqreanalysis.product.report.key_figures import UNIT, KeyFigure
from aqreanalysis.product.report.validation_charts import ChartWords, charts_of

TEMPLATE = "comparison.html.j2"
OTHERWISE = "choose another folder with --to."
DIGITS = "%.6g"
CHARTS: Mapping[str, ChartWords] = {
    "means": ChartWords("Means of both", "On the same colours.",
                        "Two maps: mean PM2.5 of the product and of the other one"),
    "difference": ChartWords("Their difference", "Red: the other is higher.", "Map: the other less the product"),
    "seasons": ChartWords("Their difference by season", "Red: the other is higher.",
                          "Maps: the other less the product, season by season"),
    "correlation": ChartWords("Correlation", "Where it is low, the two do not rise and fall together.",
                              "Map: correlation over the periods, cell by cell"),
    "density": ChartWords("Pairs of cells and periods", "On the line both are the same; dotted 1:2 and 2:1.",
                          "Scatter density: how often which values of the product (across) and the other (up) stand "
                          "together"),
    "series": ChartWords("Mean of the common cells", "Period by period.",
                         "Lines: the mean of the cells that both have, of the product and of the other"),
    "taylor": ChartWords("Taylor diagram", "The nearer to the mark of the reference, the better they agree.",
                         "Taylor diagram: spread over that of the reference by radius, correlation by angle"),
    "target": ChartWords("FAIRMODE's target diagram of stations", "Inside the circle the error of days is within twice "
                         "the uncertainty of the measurement, whose parameters are from a secondary source.",
                         "Target diagram: centred error across and bias up, a point for each station and product")}
PAIR_HEADS = {"by": "by", "slice": "", "periods": "periods", "pairs": "pairs", "mean_product": "product, µg m⁻³",
              "mean_other": "other", "bias": "bias", "NMB_percent": "bias, %", "MAE": "MAE", "RMSE": "RMSE", "r": "r",
              "held_percent": "within the product's 90 % bounds, %"}
STATION_HEADS = {"stations_are": "stations", "estimate": "estimate of", "independent": "independent of them",
                 "stations": "stations", "pairs": "pairs", "mean_observed": "observed, µg m⁻³", "bias": "bias",
                 "NMB_percent": "bias, %", "MAE": "MAE", "RMSE": "RMSE", "r": "r", "MQI": "MQI"}
PAIR_WORDS = ("Bias is the other less the product. All cells and periods that both have, weighted by the cells' areas; "
              "no product is the truth.")
STATION_WORDS = ("Bias is the estimate less what was observed. A product is not independent of stations that it used: "
                 "there its numbers say how well it repeats them, not how good it is. Of stations that the product's "
                 "build hid, its numbers are those of its model without them (validation.nc). Whether the other used a "
                 "station is not known here.")


def write_tables(folder: Path, prefix: str, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Tables as CSV under their names."""
    found = []
    for name, table in tables.items():
        path = folder / f"{prefix}{name}.csv"
        with files.whole(path, OTHERWISE) as part:
            table.to_csv(part, index=False, float_format=DIGITS)
        found.append(path)
    return found


def write_maps(path: Path, found: xr.Dataset, attributes: Mapping[str, str]) -> Path:
    """Means, differences and correlation as NetCDF."""
    encoding: dict[str, dict[str, Any]] = {str(name): {"_FillValue": None} for name in found.coords}
    encoding |= {str(name): {"zlib": True, "complevel": 1, "shuffle": True} | (
        {"dtype": "float32", "_FillValue": np.float32(9.96921e36)} if found[name].dtype.kind == "f" else {})
        for name in found.data_vars}
    encoding["season"] = {"dtype": str}
    with files.whole(path, OTHERWISE) as part:
        told = found.assign_attrs({"Conventions": "CF-1.11", **attributes})
        told.to_netcdf(part, engine="netcdf4", encoding=encoding)
    return path


def write_page(path: Path, *, title: str, headline: str, simulated: str, figures: Sequence[KeyFigure],
               tables: Sequence[Mapping[str, Any]], drawn: Mapping[str, Path], notes: Sequence[str],
               facts: Mapping[str, str], names: Sequence[str]) -> Path:
    """The page, with its pictures in it; every value is escaped. `drawn`: pictures by CHARTS, `names`: other files."""
    prefix, mark = ("simulated_", "SIMULATED ") if simulated else ("", "")
    charts = charts_of(drawn, bool(simulated), CHARTS)
    cited = [f"{facts['title']}. Made with aqreanalysis {__version__}.",
             facts["source"].replace("product: ", "Product: ", 1)]
    cited += [f"Other: {facts['other_source']}"] * bool(facts["other_source"])
    files.replace_text(path, html.render(
        TEMPLATE, [html.CHARTS_SCRIPT] if charts else [], title=f"{mark}{title}", lead=headline,
        simulated=f"{mark.strip()}: {simulated}" if simulated else "", figures=figures, tables=tables, charts=charts,
        notes=notes, facts={name.replace("_", " "): text for name, text in facts.items()}, names=names, prefix=prefix,
        citation=cited), OTHERWISE)
    return path


def key_figures(pairs: pd.DataFrame, stations: pd.DataFrame | None, other: str, kind: str) -> list[KeyFigure]:
    """How far both are apart; and, where there are stations, the errors of both at those that say most."""
    row = pairs.iloc[0]
    found = [KeyFigure(f"{row.NMB_percent:+.1f} %", f"{other} less the product", f"{row.bias:+.2f} {UNIT}"),
             KeyFigure(f"{row.RMSE:.1f} {UNIT}", "root mean square difference", f"mean absolute {row.MAE:.1f}"),
             KeyFigure(f"{row.r:.2f}", "correlation", f"{row.pairs:,} pairs of cells and {kind}s")]
    if np.isfinite(row.held_percent):
        found.append(KeyFigure(f"{row.held_percent:.0f} %", "of the other's values",
                               "lie within the product's 90 % bounds"))
    if stations is not None:
        first = stations[stations.stations_are == _most_telling(stations)].set_index("estimate")
        found.append(KeyFigure(" · ".join(f"{value:.1f}" for value in first.MAE), f"mean absolute error, {UNIT}",
                               f"product · other, at stations {first.stations_are.iloc[0]}"))
    return found


def _most_telling(stations: pd.DataFrame) -> str:
    """The stations that the product was not given, the most of them; else the most."""
    ours = stations[stations.estimate == OURS]
    return str(ours.sort_values(["independent", "stations"]).stations_are.iloc[-1])


def pair_rows(table: pd.DataFrame) -> dict[str, Any]:
    """The table of both products, as the page shows it."""
    return _shown(table.replace({"slice": {"all": ""}}), PAIR_HEADS, 2, "Both products", PAIR_WORDS, "pairs")


def station_rows(table: pd.DataFrame, names: tuple[str, str], how: str) -> dict[str, Any]:
    """The table of both beside observations, as the page shows it."""
    shown = table.assign(estimate=np.where(table.estimate == OURS, *names),
                         independent=table.independent.map({True: "yes", False: "no"}).fillna("not known"))
    return _shown(shown, STATION_HEADS, 3, "Both beside stations", f"{STATION_WORDS} {how}", "stations")


def _shown(table: pd.DataFrame, heads: Mapping[str, str], text_columns: int, title: str, words: str,
           name: str) -> dict[str, Any]:
    kept = {name: head for name, head in heads.items() if name in table and table[name].notna().any()}
    return {"id": name, "title": title, "label": title, "words": words, "heads": list(kept.values()),
            "text_columns": text_columns,
            "rows": [[_cell(row[name]) for name in kept] for row in table.to_dict("records")]}


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or not np.isfinite(value):
        return ""
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
