"""The fields that a model reads: checked before a run, then read round the months of it by each process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.sampling import sample_fields
from aqreanalysis.fields.source import FieldCheck, FieldSource
from aqreanalysis.fields.variables import FIELDS, TRAINING_ONLY
from aqreanalysis.grids import Grid
from aqreanalysis.models.base import ReadsFields
from aqreanalysis.schema import LAT, LON
from aqreanalysis.simulation.weather import FieldChoice
from aqreanalysis.time_axis import HOUR, Period

DOCS = "docs/fields.md says which files are read and where ERA5 comes from."


@dataclass(frozen=True)
class ModelFields:
    """The fields of a run; sent to its workers, who open them again."""

    choice: FieldChoice
    names: tuple[str, ...]
    optional: bool            # the model goes on where they are unknown
    fingerprint: str          # of all that they are read from
    state: tuple[tuple[str, int, int], ...]  # of their files, when they were checked
    hours: tuple[np.datetime64, np.datetime64]  # that may be read

    def around(self, model: ReadsFields, hours: np.ndarray, lat, lon) -> xr.Dataset:
        """As a model is handed them: of hours (hours,) with what it reads before and after, round places in degrees.

        UserError where a file is no longer the one that was checked.
        """
        source = self.choice.open()
        if source.state(*self.hours) != self.state:
            raise UserError(f"Files of the fields {self.choice.name} changed while they were read.",
                            "A run reads one state of its fields.", "Let nothing write there, and run again.")
        first, last = hours.min() - model.history * HOUR, hours.max() + model.future * HOUR
        return source.read(np.arange(first, last + HOUR, HOUR), self.names, lat, lon)

    def of_grid(self, model: ReadsFields, hours: np.ndarray, grid: Grid, cube: xr.Dataset) -> xr.Dataset:
        """As `around`, round the cells of a grid and the stations of a cube."""
        return self.around(model, hours, *(np.append(getattr(grid, name), cube[name].values) for name in (LAT, LON)))

    @property
    def in_words(self) -> str:
        """For the files of a product."""
        return f"{', '.join(self.names)} of {self.choice.open().source}"


def choose_fields(path: str | None, model: ReadsFields, twin_seed: int | None = None) -> FieldChoice | None:
    """The fields of a run by what was asked for: those at `path`, else the twin's where observations are (its seed),
    else none.

    Raises
    ------
    UserError : where a model has no use for them, or can't do without them.
    """
    if not model.fields:
        if path is not None:
            raise UserError(f"--fields {path} was given, and {model.name} reads none.",
                            "Fields are for models that were trained with them.",
                            "Leave --fields out, or name another model with --checkpoint.")
        return None
    if banned := [name for name in model.fields if name in TRAINING_ONLY]:
        raise UserError(f"{model.name} asks for {', '.join(banned)}.", "Optical depth constrains training alone; no "
                        "estimate is made from it.", "Train the model without it among its inputs.")
    if path is None and twin_seed is None and not model.fields_optional:
        wanted = ", ".join(f"{name} ({FIELDS[name].long_name})" for name in model.fields)
        raise UserError(f"{model.name} reads fields, and none were given.", f"It needs {wanted}, hourly.",
                        f"Give them with --fields PATH. {DOCS}")
    return FieldChoice(path, twin_seed or 0) if path is not None or twin_seed is not None else None


def check_fields_of(choice: FieldChoice, model: ReadsFields, period: Period, places: tuple[np.ndarray, np.ndarray],
                    stations: tuple, simulated: bool) -> tuple[ModelFields, list[str]]:
    """The fields of a run, and what is to be told of them.

    Parameters
    ----------
    places, stations : latitudes and longitudes, degrees: what is estimated, and what from.
    simulated : whether the observations are.

    Raises
    ------
    UserError : where a field is not there, or its units or values are wrong; where it does not cover the period or the
        places, unless the model goes on without; where they are simulated and the observations are not.
    """
    source = choice.open()
    choice.refuse_mixture(simulated)
    source.require(model.fields, model.name)
    first, last = period.hours[0] - model.history * HOUR, period.hours[-1] + model.future * HOUR
    found = source.check(first, last, *places, model.fields)
    if not model.fields_optional:
        _refuse_gaps(source, found, model, period)
    made = ModelFields(choice, tuple(model.fields), model.fields_optional, source.fingerprint(first, last)[:16],
                       source.state(first, last), (first, last))
    return made, [f"fields: {made.in_words}", *_gaps_in_words(found, model), *found.notes,
                  *_stations_in_words(source, model, period, stations)]


def _refuse_gaps(source: FieldSource, found: FieldCheck, model: ReadsFields, period: Period) -> None:
    begin, end = (str(found.hours[at].astype("datetime64[m]")).replace("T", " ") for at in (0, -1))
    if outside := int(found.outside.sum()):
        where = f"cover {source.area}" if source.area else "are of sites, and hold 120 km round each"
        raise UserError(f"{outside:,} of {found.outside.size:,} places lie outside the fields, which {where}.",
                        f"{model.name} needs them at every place that is estimated.",
                        "Get fields of the whole grid, two degrees wider, or choose a smaller grid with --grid.")
    if hours := found.missing_hours():
        begins, ends = (str(of.astype("datetime64[m]")).replace("T", " ") for of in source.period())
        raise UserError(f"The fields lack {hours}; they begin at {begins} and end at {ends} UTC.",
                        f"{model.name} reads {', '.join(model.fields)} from {begin} to {end} UTC: "
                        f"{period.first} to {period.last}, {model.history} h before and {model.future} h after.",
                        "Get what is missing, or choose days that are covered.")


def _gaps_in_words(found: FieldCheck, model: ReadsFields) -> list[str]:
    """Where a model does without: sentences."""
    said = [f"the fields lack {hours}; {model.name} goes on without them there"] if (
        hours := found.missing_hours()) else []
    said += [f"fields: {hours}"] if (hours := found.silent_points()) else []
    if outside := int(found.outside.sum()):
        said.append(f"{outside:,} of {found.outside.size:,} places lie outside the fields; {model.name} goes on "
                    "without them there")
    return said


def _stations_in_words(source: FieldSource, model: ReadsFields, period: Period,
                       stations: tuple) -> list[str]:
    """Stations that lie outside: a sentence."""
    hour = period.hours[0]
    lat, lon = stations
    outside = int(source.check(hour, hour, lat, lon, model.fields).outside.sum()) if len(lat) else 0
    if not outside:
        return []
    return [f"{outside:,} of {len(stations[0]):,} stations lie outside the fields; they take part without"]


def unknown_fields(fields: xr.Dataset, hours: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Where one of the fields is not known, bool (hours, points)."""
    sampled = sample_fields(fields, hours, lat, lon)
    return ~np.logical_and.reduce([np.isfinite(of.values) for of in sampled.data_vars.values()])
