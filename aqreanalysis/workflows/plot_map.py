"""`aqreanalysis map`: maps of a product, fit to be printed."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis import periods, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.figures import basemap, product_maps
from aqreanalysis.figures.field import MapStations
from aqreanalysis.figures.layout import UNITS_TEXT, check_picture_name, check_sheet, save_figure
from aqreanalysis.figures.maps import Look, mean_map
from aqreanalysis.figures.scales import Scale, check_palette
from aqreanalysis.geo import check_box
from aqreanalysis.grids import grid_of
from aqreanalysis.output.cf import QUALITY_FLAG
from aqreanalysis.product import map_fields
from aqreanalysis.product.map_fields import DAYS_ABOVE, MEAN, MapPeriod
from aqreanalysis.product.map_stations import ObservedStations, hidden_map, observations_of, observed_stations
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct
from aqreanalysis.product.summary_fields import (
    PERIOD_NAME,
    is_summary,
    opened_summary,
    summary_field,
    summary_periods,
)
from aqreanalysis.schema import LAT, LON, QUALITY, SEA, SUPPORTED, TARGET
from aqreanalysis.time_axis import MINIMUM_HOURS, Period, local_days

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 24
PRINT_DPI = 300
LABELS = {"year": r"(\d{4})", "month": r"(\d{4})-(\d{2})", "season": r"(\d{4})-(DJF|MAM|JJA|SON)",
          "day": r"(\d{4}-\d{2}-\d{2})", "hour": r"(\d{4}-\d{2}-\d{2})T(\d{2})(?::?00)?"}
PERIOD_RULE = "A period is 2019, 2019-01, 2019-DJF, 2019-01-12, or an hour by its END in UTC+8, 2019-01-12T08."


@dataclass(frozen=True)
class MapOptions:
    """What is shown and how; None and False are the defaults.

    start, end : days UTC+8; or `period` as 2019, 2019-01, 2019-DJF, 2019-01-12, 2019-01-12T08. Default: all days.
    every : "month", "season", "year" or "day": a panel for each.
    show : of map_fields.KINDS; `above` the limit of its days. minus : another product, which is subtracted.
    stations : draw them as they observed. hide : "single" or "cities": estimate anew without `part` of the stations.
    observations : where they are, if not where the product was made from.
    projection, palette, width, vmax, box, inset, title : of the picture.
    """

    start: str | None = None
    end: str | None = None
    period: str | None = None
    every: str | None = None
    show: str = MEAN
    above: float = map_fields.DAILY_LIMIT_II
    minus: str | None = None
    stations: bool = False
    hide: str | None = None
    part: int = 0
    observations: str | None = None
    projection: str = basemap.LAMBERT
    palette: str | None = None
    width: str = "screen"
    vmax: float | None = None
    box: tuple[float, float, float, float] | None = None
    inset: str | None = None
    title: str | None = None

    @property
    def look(self) -> Look:
        """How it is drawn; UserError for what is unknown."""
        look = Look(check_sheet(self.width), basemap.check_projection(self.projection),
                    self.box and check_box(self.box), parse_inset(self.inset))
        _ = look.inset_box  # an error comes before anything is read
        return look

    def check(self) -> None:
        """A UserError for options that do not go together."""
        if self.palette:
            check_palette(self.palette)
        if self.vmax is not None and not 0 < self.vmax < float("inf"):
            raise UserError(f"--vmax {self.vmax:g} is no end of a scale.", "It is above 0.", "Example: --vmax 150.")
        if self.hide and (self.every or self.minus or self.show != MEAN):
            raise UserError("--hide was given with --every, --minus or --show.", "With --hide the mean is shown.",
                            "Leave them out.")
        if self.every and (self.minus or self.stations):
            raise UserError("--every was given with --minus or --stations.", "Panels show one product each.",
                            "Draw the periods one by one.")
        if self.minus and self.show != MEAN:
            raise UserError(f"--minus has no use with --show {self.show}.", "A difference is of means.",
                            "Leave --show out.")


DEFAULT = MapOptions()


def plot_map(product: str | Path, options: MapOptions = DEFAULT, out: str | Path | None = None,
             say: Callable[[str], None] = lambda text: None) -> Path:
    """Draw a map of a product, or of a file of `summarise`; returns the picture's path.

    out : its name, whose ending is the format; default a PNG in the product's folder maps/.
    say : is told where days had no value, so that the mean is of fewer days than asked for; the title says so too.

    Raises
    ------
    UserError : where the product lacks a day, no day has a value, or an option or `out` is none.
    """
    target = Path(out).expanduser() if out else None
    if target:
        check_picture_name(target)
    figure, field, default = _map_of(product, options, say)
    return save_figure(figure, target or default, product_maps.identity_of(field, options.title), PRINT_DPI)


def draw_map(product: str | Path | xr.Dataset, options: MapOptions = DEFAULT,
             say: Callable[[str], None] = lambda text: None) -> Figure:
    """The same map as a matplotlib Figure, which is not saved; also of a Dataset that `summarise` returned."""
    return _map_of(product, options, say)[0]


def draw_cells(values: xr.DataArray, product: xr.Dataset, title: str, label: str, units: str = UNITS_TEXT,
               difference: bool = False, options: MapOptions = DEFAULT) -> Figure:
    """A map of numbers of your own, as a matplotlib Figure.

    Parameters
    ----------
    values : one a cell, with their latitudes and longitudes: (lat, lon), or as the product's cells are.
    product : Dataset of `open_product` or `summarise` that they were made from. It says whether they are simulated,
        and, if they are at its cells, what is hatched: the class of most of its steps.
    title, label, units : of the map and its colour bar.
    difference : whether values lie on both sides of 0; the colours do then too.
    options : projection, palette, width, vmax, box and inset; the rest has no use here.

    Returns
    -------
    matplotlib.figure.Figure, which is not saved.

    Raises
    ------
    UserError : for values with other dimensions than those of cells, and for options that are unknown.
    """
    options.check()
    axes = [values[axis] for axis in (LAT, LON) if axis in values.coords and values[axis].ndim]
    if len(axes) < 2 or set(values.dims) != {dim for axis in axes for dim in axis.dims}:
        raise UserError(f"Values of {dict(values.sizes)} are not those of cells.", "A map of your own numbers has one "
                        "for each cell, with its lat and lon.", "Take the mean over time, or choose one.")
    grid, flag = grid_of(values.to_dataset(name=TARGET)), _class_of_most(product)
    if not all(np.array_equal(values[axis].values, product[axis].values) for axis in (LAT, LON)):
        flag = np.where(grid.land, SUPPORTED, SEA).reshape(values.shape)
    palette = options.palette or product_maps.PALETTE_OF["error"]
    on_land = [np.where(flag == SEA, np.nan, values.values)]
    scale = Scale.of_differences(on_land, options.vmax) if difference else Scale.of(on_land, options.vmax, palette)
    return mean_map(values.values, grid, title=title, label=label, units=units, flag=flag, scale=scale,
                    note=f"{product.attrs.get('source', '')} {product_maps.BOUNDARIES}".strip(),
                    simulated=product.attrs.get("simulated") == "true", look=options.look)


def _class_of_most(product: xr.Dataset) -> np.ndarray:
    """The quality class of most steps at each cell, of equals the lowest."""
    flags = product[QUALITY_FLAG]
    over = "time" if "time" in flags.dims else ()
    return np.stack([(flags == number).sum(over) for number in range(len(QUALITY))]).argmax(axis=0)


def _map_of(product: str | Path | xr.Dataset, options: MapOptions,
            say: Callable[[str], None]) -> tuple[Figure, xr.Dataset, Path]:
    """The figure, the field that says what it is of, and what its file is called by default."""
    options.check()
    look = options.look
    if isinstance(product, xr.Dataset):
        if PERIOD_NAME not in product.variables:
            raise UserError("The Dataset is none of `summarise`.", "A map is of a product's folder, one of its files, "
                            "or a summary.", "Give the folder; for numbers of your own there is draw_cells.")
        return _summary_map(product, Path("summary.nc"), options, look)
    place = Path(product).expanduser()
    if is_summary(place):
        with opened_summary(place) as file:
            return _summary_map(file, place, options, look)
    of, asked = opened(product, options)
    for note in of.notes:
        say(note)
    figure, field = _drawn(of, asked, options, look, say)
    folder = of.path if of.path.is_dir() and of.path.suffix != ".zarr" else of.path.parent
    return figure, field, folder / "maps" / f"{of.prefix}pm25_{file_label(options, asked)}.png"


def _summary_map(file: xr.Dataset, path: Path, options: MapOptions, look: Look) -> tuple[Figure, xr.Dataset, Path]:
    """A map of a file of `summarise`: of one of its periods, or with --every of all of them."""
    given = {"--start": options.start, "--end": options.end, "--minus": options.minus, "--hide": options.hide,
             "--stations": options.stations}
    if wrong := [name for name, value in given.items() if value]:
        raise UserError(f"{wrong[0]} has no use with {path}.", "It has periods that were summed up.",
                        "Choose one with --period, or give the product.")
    labels = summary_periods(file)
    if options.period is None and len(labels) > 1 and not options.every:
        raise UserError(f"{path} has {len(labels)} periods.", f"They are {', '.join(labels)}.",
                        "Choose one with --period, or draw all with --every.")
    chosen = [options.period] if options.period else labels
    found = [summary_field(file, path, label, _words_of_label(label), options.show, options.above)
             for label in chosen[:MOST_PANELS]]
    fields, grid = [field for field, _ in found], found[0][1]
    common: dict[str, Any] = {"look": look, "palette": options.palette, "vmax": options.vmax, "title": options.title,
                              "grid": grid}
    if options.every:
        fields = [field.assign_attrs(every=options.every) for field in fields]
    figure = product_maps.field_map(fields[0], **common) if not options.every else (
        product_maps.period_maps(fields, **common))
    name = f"{path.stem}_{options.show.replace('-', '_')}_{chosen[0] if len(chosen) == 1 else 'all'}.png"
    return figure, fields[0], path.with_name(name)


def _words_of_label(label: str) -> str:
    """January 2019 for 2019-01; a label that is no calendar period as it is."""
    try:
        return parse_label(label).words
    except UserError:
        return label


def _drawn(of: FinishedProduct, asked: MapPeriod, options: MapOptions, look: Look,
           say: Callable[[str], None]) -> tuple[Figure, xr.Dataset]:
    """The figure, and the field that says what it is of."""
    common: dict[str, Any] = {"look": look, "palette": options.palette, "vmax": options.vmax,
                              "title": options.title, "grid": of.grid}
    if options.every:
        fields = [map_fields.map_field(of, MapPeriod(period), options.show, options.above).assign_attrs(
            every=options.every) for period in panels(of, asked, options.every, say)]
        whole = fields[0].assign_attrs(words=asked.words, label=asked.label)
        return product_maps.period_maps(fields, **common), whole
    if options.hide:
        field, found = hidden_map(of, observations_of(of, options.observations), asked, options.hide, options.part)
        say(f"{int(found.hidden.sum())} of {len(found.hidden)} stations have no part in this map")
        return product_maps.field_map(field, stations=_on_map(found, field), **common), field
    field = map_fields.map_field(of, asked, options.show, options.above)
    if product_maps.used(field):
        say(f"the mean is of {product_maps.used(field)[2:-1]}: the others have no value")
    stations = None
    if options.stations:
        minimum = int(of.attributes.get("minimum_hours_per_day", MINIMUM_HOURS))
        archive = observations_of(of, options.observations)
        stations = _on_map(observed_stations(archive, asked, options.show, options.above, minimum), field)
    if options.minus:
        other, _ = opened(options.minus, options)
        minus = map_fields.map_field(other, asked, options.show, options.above)
        field = map_fields.difference(field, minus, (str(of.path), str(other.path)))
        stations = replace(stations, values=np.full(stations.values.shape, np.nan)) if stations else None
    return product_maps.field_map(field, stations=stations, **common), field


def _on_map(found: ObservedStations, field: xr.Dataset) -> MapStations:
    """The stations in the area of the field, withheld ones last."""
    lat, lon = field["lat"].values, field["lon"].values
    margin = 0.05  # degree: a cell reaches beyond its centre
    inside = ((found.lat > lat.min() - margin) & (found.lat < lat.max() + margin)
              & (found.lon > lon.min() - margin) & (found.lon < lon.max() + margin))
    return MapStations.of(found.lat[inside], found.lon[inside], found.values[inside], found.hidden[inside])


def opened(product: str | Path, options: MapOptions) -> tuple[FinishedProduct, MapPeriod]:
    """A product, its hours or its days as the period needs, and the period."""
    given = [name for name, value in (("--start", options.start), ("--period", options.period)) if value]
    if len(given) > 1 or (options.end and not options.start):
        raise UserError("--start, --end and --period were given together." if len(given) > 1 else
                        "--end was given without --start.", "A period is --start to --end, or --period.",
                        "Leave one out.")
    asked = parse_label(options.period) if options.period else None
    frequency = HOURS if asked is not None and asked.end_of_hour is not None else DAYS
    place = Path(product).expanduser()
    if not place.exists():
        raise UserError(f"There is no {product}.", "A map is drawn from the folder of a product, or one of its files.",
                        "Make one with `aqreanalysis build`.")
    of = map_fields.open_for_maps(place, frequency)
    if asked is None and options.start:
        asked = MapPeriod(time_axis.parse_period(None, options.start, options.end or options.start))
    if asked is None:
        days = local_days(of.stamps(next(iter(of.files))))
        asked = MapPeriod(Period(days.min().item(), days.max().item()))
    return of, asked


def parse_label(text: str) -> MapPeriod:
    """The period of a label, see PERIOD_RULE."""
    for every, pattern in LABELS.items():
        if not (match := re.fullmatch(pattern, text.strip())):
            continue
        try:
            return _of_label(every, match)
        except ValueError:
            break
    raise UserError(f"--period {text} is no period.", PERIOD_RULE, "Example: --period 2019-DJF.")


def _of_label(every: str, match: re.Match) -> MapPeriod:
    if every == "hour":
        hour = int(match[2])
        if not 1 <= hour <= 24:
            raise ValueError("hours end at 1 to 24")
        day = dt.date.fromisoformat(match[1])
        return MapPeriod(Period(day, day), hour)
    if every == "day":
        day = dt.date.fromisoformat(match[1])
        return MapPeriod(Period(day, day))
    month = {"year": 1, "season": 3 * (periods.SEASONS.index(match[2]) + 1) - 2 if every == "season" else 0,
             "month": int(match[2]) if every == "month" else 0}[every]
    first = np.datetime64(dt.date(int(match[1]), month, 1), "D")  # of a winter its January
    whole = periods.periods_of(every, np.array([first]))[0]
    return MapPeriod(Period(whole.first, whole.last))


def panels(of: FinishedProduct, asked: MapPeriod, every: str, say: Callable[[str], None]) -> list[Period]:
    """The periods of panels, as far as the product has them; what is not whole is told."""
    periods.check_every(every, but_not=(periods.HOURLY_PERIOD, periods.WHOLE))
    days = np.unique(local_days(of.stamps(next(iter(of.files)))))
    days = days[periods.span(asked.days.first, asked.days.last).has(days)]
    found = periods.periods_of(every, days)
    if len(found) > MOST_PANELS:
        raise UserError(f"--every {every} gives {len(found)} panels.", f"A figure has at most {MOST_PANELS}.",
                        "Choose fewer days or a longer period.")
    for text in periods.incomplete(found, days):
        say(text)
    return [Period(max(one.first, days[0].item()), min(one.last, days[-1].item())) for one in found]


def file_label(options: MapOptions, asked: MapPeriod) -> str:
    """What a picture is called by default."""
    parts = ["mean" if options.show == MEAN else options.show.replace("-", "_"),
             *(["difference"] if options.minus else []), *([f"hidden_{options.hide}"] if options.hide else []),
             *([f"every_{options.every}"] if options.every else []),
             *([f"{options.above:g}"] if options.show == DAYS_ABOVE else []), asked.label]
    return "_".join(parts)


def parse_inset(text: str | None) -> str | tuple[float, float, float, float] | None:
    """A name of an inset, or W,S,E,N."""
    if text is None or "," not in text:
        return text
    return check_box(text.split(","), "--inset")
