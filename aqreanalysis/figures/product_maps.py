"""Maps of what `product.map_fields` reads: Dataset in, Figure out.

A Dataset has `value` and `quality_flag` on its grid, and in its attributes what is shown (`kind`) and of which period
(`words`); nothing else is needed, so that a script can change it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from aqreanalysis.figures.field import MapStations
from aqreanalysis.figures.identity import Identity
from aqreanalysis.figures.layout import UNITS_TEXT
from aqreanalysis.figures.maps import LABEL, PLAIN, Look, mean_map, panel_map
from aqreanalysis.figures.scales import AQI, Scale
from aqreanalysis.grids import Grid, grid_of
from aqreanalysis.schema import SEA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE_OF = {"mean": "magma", "error": "viridis", "relative-error": "viridis", "width": "viridis",
              "days-above": "cividis"}
COLUMNS_OF = {1: 1, 2: 2, 3: 3, 4: 2, 6: 3, 9: 3}  # of so many panels at most; else 4
BOUNDARIES = "Boundaries: Natural Earth."


def field_map(field: xr.Dataset, *, look: Look = PLAIN, palette: str | None = None, vmax: float | None = None,
              stations: MapStations | None = None, title: str | None = None, grid: Grid | None = None) -> Figure:
    """One field on a map.

    Parameters
    ----------
    field : as `product.map_fields` gives it: an attribute `kind` says what `value` is.
    look : width, projection, box and inset.
    palette : of figures.scales.PALETTES; default one that fits the kind. `vmax` : end of the colours.
    stations : circles and triangles, coloured by what they observed, on the same scale.
    title : instead of one that says what is shown. `grid` : of the field, where it is at hand.
    """
    grid = grid_of(field) if grid is None else grid
    scale = scale_of([field], palette, vmax, look.box)
    words = words_of(field)
    hatched = field.attrs["kind"] != "flag"
    return mean_map(field["value"].values, grid, title=title or words["title"], subtitle=words["subtitle"],
                    units=words["units"], label=words["label"], scale=scale, stations=stations,
                    flag=field["quality_flag"].values if hatched else _only_sea(field),
                    note=f"{_class_note(palette, field)} {words['note']}".strip(),
                    simulated=field.attrs.get("simulated") == "true", look=look)


def period_maps(fields: Sequence[xr.Dataset], *, look: Look = PLAIN, palette: str | None = None,
                vmax: float | None = None, columns: int | None = None, title: str | None = None,
                grid: Grid | None = None) -> Figure:
    """The same of several periods, as months or seasons, in panels with one scale."""
    grid = grid_of(fields[0]) if grid is None else grid
    words = words_of(fields[0])
    labels = [f"{_capital(field.attrs['words'])}{used(field)}" for field in fields]
    hatched = fields[0].attrs["kind"] != "flag"
    columns = columns or next((wide for most, wide in COLUMNS_OF.items() if len(fields) <= most), 4)
    return panel_map([field["value"].values for field in fields], grid, labels=labels, columns=columns,
                     title=title or _of_each(words["what"], fields[0]), subtitle=words["subtitle"],
                     units=words["units"], label=words["label"], scale=scale_of(fields, palette, vmax, look.box),
                     note=f"{_class_note(palette, fields[0])} {words['note']}".strip(),
                     flags=[field["quality_flag"].values if hatched else _only_sea(field) for field in fields],
                     simulated=fields[0].attrs.get("simulated") == "true", look=look)


def scale_of(fields: Sequence[xr.Dataset], palette: str | None, vmax: float | None,
             box: Sequence[float] | None = None) -> Scale:
    """The colours that fit the kind of some fields, as far as they lie in a box; one scale for all."""
    kind, values = fields[0].attrs["kind"], [_in_box(field, box) for field in fields]
    if kind == "flag":
        return Scale.of_flags()
    if kind == "difference":
        return Scale.of_differences(values, vmax)
    return Scale.of(values, vmax, palette or PALETTE_OF[kind], whole=kind == "days-above")


def _in_box(field: xr.Dataset, box: Sequence[float] | None) -> Any:
    """Values that a map of the box shows: none on the sea, where a grid has cells."""
    shown = field["value"].where(field["quality_flag"] != SEA) if field["value"].ndim == 2 else field["value"]
    if box is not None:
        west, south, east, north = box
        shown = shown.where((field["lon"] >= west) & (field["lon"] <= east) & (field["lat"] >= south)
                            & (field["lat"] <= north))
    return shown.values


def _of_each(what: str, field: xr.Dataset) -> str:
    """The title of panels."""
    joint = {"flag": ", class of most days", "days-above": ""}.get(field.attrs["kind"], ", means")
    return f"{what}{joint} of each {field.attrs['every']}" if "every" in field.attrs else what


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def words_of(field: xr.Dataset) -> dict[str, str]:
    """Title, subtitle, label, units and note of a field; `what` is the title without the period."""
    about = field.attrs
    kind, period, many = about["kind"], about["words"], about["steps"] > 1
    step = "hourly" if about.get("step") == "hours" else "daily"
    what = {"mean": "PM2.5", "error": f"Standard error of {step} PM2.5",
            "relative-error": f"Standard error of {step} PM2.5, per cent of the level",
            "width": f"Width of the 90 % interval of {step} PM2.5", "flag": "Support of PM2.5 by observations",
            "days-above": f"Days with PM2.5 above {about.get('above', 75.0):g} {UNITS_TEXT}",
            "difference": "Difference of PM2.5"}[kind]
    if about.get("of_the_mean") == "true":
        return _of_summary(field, what, kind)
    joint = {"flag": ", class of most days of", "days-above": " in"}.get(kind, ", mean of")
    counted = "" if kind == "days-above" and not used(field) else used(field)
    title = f"{what}{joint} {period}{counted}" if many else (
        f"{what} on {period}{'' if 'UTC' in period else ' (UTC+8)'}")
    return {"title": title, "what": what, **_shared(field)}


def _of_summary(field: xr.Dataset, what: str, kind: str) -> dict[str, str]:
    """The same of a mean with errors of its own."""
    what = {"error": "Standard error of the mean PM2.5", "width": "Width of the 90 % interval of the mean PM2.5",
            "relative-error": "Standard error of the mean PM2.5, per cent of it"}.get(kind, what)
    joint = {"mean": ", mean of", "days-above": " in", "flag": ", class of most days of"}.get(kind, " of")
    return {"title": f"{what}{joint} {field.attrs['words']}{used(field)}", "what": what, **_shared(field)}


def _shared(field: xr.Dataset) -> dict[str, str]:
    """Subtitle, label, units and note of a field."""
    about, kind = field.attrs, field.attrs["kind"]
    label = {"mean": LABEL, "error": "standard error", "relative-error": "standard error / level",
             "width": "upper minus lower bound", "flag": "", "days-above": "days",
             "difference": f"difference of {LABEL}"}[kind]
    units = {"relative-error": "%", "flag": "", "days-above": ""}.get(kind, UNITS_TEXT)
    return {"subtitle": _subtitle(about), "label": label, "units": units,
            "note": f"{about.get('source', '')} {BOUNDARIES}".strip()}


def identity_of(field: xr.Dataset, title: str | None = None) -> Identity:
    """What a figure of it says of itself in its file."""
    return Identity.of(title or words_of(field)["title"], {**field.attrs, "period": field.attrs["words"]})


def used(field: xr.Dataset) -> str:
    """How many of the steps were used, as ` (3 of 5 days)`; empty where all were, and of a single step."""
    about = field.attrs
    if about["fewest"] == about["steps"] or about["steps"] == 1:
        return ""
    number = f"{about['most']}" if about["fewest"] == about["most"] else f"{about['fewest']} to {about['most']}"
    return f" ({number} of {about['steps']} {about['step']})"


def _subtitle(about: Mapping[str, Any]) -> str:
    """The product's title, and how many stations had no part in what is shown."""
    hidden = about.get("hidden_stations")
    without = f" Estimated anew without the {hidden} stations that are triangles." if hidden else ""
    title = str(about.get("title", ""))
    return f"{title}.{without}" if without else title


def _only_sea(field: xr.Dataset) -> Any:
    """Flags without what is hatched: the colours tell it already."""
    flag = field["quality_flag"]
    return flag.where(flag == SEA, 0).values


def _class_note(palette: str | None, field: xr.Dataset) -> str:
    """A sentence where China's classes, which are of days, are shown of something else."""
    about = field.attrs
    if palette != AQI or (about["kind"], about["steps"], about["step"]) == ("mean", 1, "days"):
        return ""
    return "The classes of HJ 633-2012 are of the mean of one day; here they colour another mean."
