"""Metadata of product files: CF-1.11 and ACDD-1.3 attributes, and the kinds of file that exist.

In this order: the kinds of file and their variables; what the maker of a product states (:class:`About`,
:class:`Contact`); global attributes; attributes of coordinates; attributes of data variables. The numbers are
written elsewhere in :mod:`aqreanalysis.output`. References: CF Conventions 1.11 (https://cfconventions.org),
Attribute Convention for Data Discovery 1.3 (ESIP).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from aqreanalysis.fields.static import ELEVATION_SOURCE, PLACES_SOURCE
from aqreanalysis.geo import EARTH_RADIUS_KM
from aqreanalysis.grids import Grid
from aqreanalysis.models import error_correlation
from aqreanalysis.models.error_correlation import CorrelatedErrors
from aqreanalysis.schema import LAT, LON, LOWER, QUALITY, STANDARD_ERROR, STANDARD_NAMES, TARGET, TIME, UNITS, UPPER
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, UTC_OFFSET_HOURS

CONVENTIONS = "CF-1.11, ACDD-1.3"
EPOCH = np.datetime64("2013-01-01T00", "h")  # the year the network began
EPOCH_UNITS = f"hours since {EPOCH.astype('datetime64[s]').item():%Y-%m-%d %H:%M:%S}"
QUALITY_FLAG, OBSERVATIONS = "quality_flag", "number_of_observations"
FIELDS_FLAG, FIELDS_MEANINGS = "fields_flag", ("with_fields", "without_fields")
HOURS_USED, DISTANCE = "number_of_hours", "distance_to_nearest_station"
STATION_ID, HEIGHT, CRS = "station_id", "height", "crs"
INLET_HEIGHT_M = 10.0  # nominal; HJ 664-2013 asks for inlets of automatic stations 3 to 20 m above the ground
UNIFORM_STEP_DEG = 1e-6  # steps of an axis that differ by less are equal

# Bits of mantissa that are kept. A relative error of 2^-11 (0.05 %) is far below what an instrument
# resolves, and 2^-8 (0.4 %) far below what is known of an error; the dropped bits would not compress.
# Bounds are rounded outwards, by less than 2^-8, and not to the nearest: each stays on its side of the estimate.
MANTISSA_BITS = {TARGET: 10, STANDARD_ERROR: 7, LOWER: 8, UPPER: 8}
OUTWARDS = {LOWER: "down", UPPER: "up"}

# Written out rather than asked of PROJ, whose text for EPSG:4326 grows with each realisation of
# WGS 84: the same product has the same bytes under any PROJ.
WGS84_WKT = (
    'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563,'
    'LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]],'
    'CS[ellipsoidal,2],AXIS["geodetic latitude (Lat)",north,ORDER[1],ANGLEUNIT["degree",'
    '0.0174532925199433]],AXIS["geodetic longitude (Lon)",east,ORDER[2],ANGLEUNIT["degree",'
    '0.0174532925199433]],ID["EPSG",4326]]')


@dataclass(frozen=True)
class Frequency:
    """A kind of product file: what it holds, how long a step is and which variables it has."""

    name: str
    hours: int
    resolution: str  # ISO 8601 duration
    fields: tuple[str, ...]  # variables (time, *grid)
    content: str = "analysis"


HOURLY = Frequency("hourly", 1, "PT1H", (TARGET, STANDARD_ERROR, LOWER, UPPER, QUALITY_FLAG, OBSERVATIONS,
                                         FIELDS_FLAG))
DAILY = Frequency("daily", 24, "P1D", (TARGET, STANDARD_ERROR, LOWER, UPPER, QUALITY_FLAG, HOURS_USED))
TRUTH = Frequency("hourly", 1, "PT1H", (TARGET,), "truth")  # of the twin


def fields_of(frequency: Frequency, about: About) -> tuple[str, ...]:
    """The variables (time, *grid) of a file: bounds only where there is a calibration, the flag of fields only where a
    model was given some that it can do without."""
    return tuple(name for name in frequency.fields if (about.bounds or name not in OUTWARDS)
                 and (about.fields_flag or name != FIELDS_FLAG))


def hours_since_epoch(stamps: np.ndarray) -> np.ndarray:
    """Whole hours since :data:`EPOCH`, int32 (times,), of datetime64 stamps (times,)."""
    return ((np.asarray(stamps).astype("datetime64[h]") - EPOCH) // HOUR).astype(np.int32)


class Contact(BaseModel):
    """Who answers for a published file: the section `contact` of a recipe. What is not given is left out of the file.

    Files without a contact are valid CF; ACDD's checker then asks for the attributes that :func:`contact_attributes`
    makes, and for nothing else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, min_length=1, description="Who makes the product.")
    type: Literal["person", "group", "institution", "position"] = Field(
        default="person", description="What `name` is; a person is ACDD's own default.")
    email: str | None = Field(default=None, pattern=r"^\S+@\S+$", description="Address for questions.")
    url: str | None = Field(default=None, pattern=r"^https?://\S+$", description="Page about the product.")
    institution: str | None = Field(default=None, min_length=1, description="Where it is made; CF's `institution`.")


@dataclass(frozen=True)
class About:
    """What only the maker of a product knows, in sentences that are copied into its files.

    Nothing is taken from the clock or the machine, so the same product has the same bytes.
    """

    product: str  # name of the recipe
    grid_name: str
    period: str  # label of the period: "2016"
    simulated: bool  # the observations are the built-in twin's
    observations: str  # where the observations come from, a sentence
    model: str  # checkpoint and kind of model
    model_reference: str  # how to cite it
    reference_state: str  # temperature and pressure that concentrations refer to, a sentence
    created: str  # ISO date that the caller decides on
    software_version: str
    history: str  # the command that made it
    quality: str  # how the classes of quality_flag are defined in an hour
    daily_quality: str  # and in a day
    standard_error: str  # what the standard error holds, and how it was calibrated
    neighbours: int | None  # how many stations an estimate is made from at most; None: all
    minimum_hours: int  # hours that a valid day needs
    hours: tuple[int, int] | None = None  # of the period: in which any station observed, and all; None: not counted
    bounds: str = ""  # what the bounds hold; nothing where there are none, for want of a calibration
    errors: CorrelatedErrors | None = None  # how errors of places and times are correlated
    calibrated_on: str = ""  # which stations and days the errors were calibrated on, sentences
    fields: str = ""  # which fields the model was given besides observations, and of what origin; "" for none
    fields_flag: bool = False  # whether it goes on where they are unknown, so that the file says where
    comment: str = ""
    contact: Contact = Contact()
    license: str = ("Creative Commons Attribution 4.0 International (CC BY 4.0); the observations keep the "
                    "terms of their publisher.")

    @property
    def observed(self) -> str:
        """How many hours of the period were observed, a sentence; "" where they were not counted."""
        if self.hours is None:
            return ""
        return (f"Some station observed PM2.5 in {self.hours[0]} of the period's {self.hours[1]} hours "
                f"({self.hours[0] / self.hours[1]:.1%}).")

    @property
    def is_sparse(self) -> bool:
        """Whether half of the hours of the period or more were not observed by any station."""
        return self.hours is not None and 2 * self.hours[0] <= self.hours[1]


_SUMMARY_OF_CONTENT = {
    "analysis": "with standard errors and quality flags, from hourly observations of a network of stations",
    "truth": "which the simulated observations were sampled from and the analysis can be compared with",
}


def global_attributes(about: About, grid: Grid, stamps: np.ndarray, frequency: Frequency) -> dict[str, Any]:
    """Global attributes of a file with ``stamps``, datetime64 (steps,), END of each step, on ``grid``."""
    mark = "SIMULATED " if about.simulated else ""
    places = f"{grid.size} {'points' if grid.kind == 'points' else 'cells'}"
    made_of = f"Observations: {about.observations} Model: {about.model}."
    made_of += f" Fields: {about.fields}." if about.fields else ""
    sparse = f", from {about.hours[0]} of {about.hours[1]} hours" if about.hours and about.is_sparse else ""
    counted = f" {about.observed}" if about.observed and frequency != TRUTH else ""
    attributes: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": (f"{mark}PM2.5 {frequency.content}, {frequency.name}, {about.product}, "
                  f"{about.grid_name}, {about.period}{sparse}"),
        "summary": (f"{mark}{frequency.content}, {frequency.name}{'' if sparse else ' and gap-free'}, of surface PM2.5 "
                    f"at {places}, {_SUMMARY_OF_CONTENT[frequency.content]}. {made_of}{counted}"),
        "source": f"{mark}o{made_of[1:]}" if mark else made_of,
        "simulated": "true" if about.simulated else "false",
        "reference_state": about.reference_state,
        **({"references": about.model_reference} if about.model_reference else {}),
        "history": about.history,
        "comment": " ".join(part for part in (stamp_rule(frequency), counted.strip(), about.comment)
                            if part),
    }
    if about.hours and frequency != TRUTH:
        attributes |= {"hours_observed": np.int32(about.hours[0]), "hours_of_period": np.int32(about.hours[1])}
    if about.calibrated_on and frequency != TRUTH:
        attributes["calibrated_on"] = about.calibrated_on
    if about.errors and frequency != TRUTH:
        attributes |= error_correlation.to_attributes(about.errors, frequency.name)
    if frequency == DAILY:
        attributes["minimum_hours_per_day"] = np.int32(about.minimum_hours)
    if grid.kind == "points":
        attributes["featureType"] = "timeSeries"
    credit = observations_credit(about.observations)
    if frequency != TRUTH:
        credit["acknowledgement"] += f" Static covariates: {PLACES_SOURCE}; elevation: {ELEVATION_SOURCE}."
    return (attributes | _discovery_attributes(about, frequency) | credit | contact_attributes(about.contact)
            | extent(grid, stamps, frequency))


def _discovery_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    """Attributes by which catalogues find the data set and keep it apart from others."""
    simulated = "simulated " if about.simulated else ""
    parts = ("pm25", frequency.name, about.product, about.grid_name, about.period)
    kind = ("truth",) * (frequency == TRUTH) + ("simulated",) * about.simulated
    return {
        "id": ".".join(re.sub(r"[^\w.-]+", "-", part) for part in parts + kind),
        "naming_authority": "aqreanalysis",
        "product_version": about.software_version,
        "keywords": ("EARTH SCIENCE > ATMOSPHERE > AIR QUALITY > PARTICULATES, "
                     "EARTH SCIENCE > ATMOSPHERE > AEROSOLS > PARTICULATE MATTER"),
        "keywords_vocabulary": "NASA/GCMD Science Keywords",
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "processing_level": "gridded analysis of quality-controlled observations",
        "project": "aqreanalysis",
        "program": "aqreanalysis",
        "platform": f"{simulated}ground-based stations of an air-quality network",
        "platform_vocabulary": "none, plain words",
        "instrument": f"{simulated}continuous monitors of PM2.5",
        "instrument_vocabulary": "none, plain words",
        "license": about.license,
        "date_created": about.created, "date_modified": about.created,
        "date_issued": about.created, "date_metadata_modified": about.created,
    }


def observations_credit(observations: str) -> dict[str, Any]:
    """Acknowledgement of the network that a file's observations come from; `observations` is a sentence."""
    return {"acknowledgement": f"Observations: {observations}",
            "contributor_name": "publisher of the observations named in source",
            "contributor_role": "observations"}


def contact_attributes(contact: Contact) -> dict[str, Any]:
    """Attributes that say who made and who publishes a file; nothing for what the contact leaves open."""
    attributes = {"institution": contact.institution, "metadata_link": contact.url}
    for role in ("creator", "publisher"):
        attributes |= {f"{role}_name": contact.name, f"{role}_type": contact.type if contact.name else None,
                       f"{role}_email": contact.email, f"{role}_url": contact.url,
                       f"{role}_institution": contact.institution}
    return {name: text for name, text in attributes.items() if text is not None}


def extent(grid: Grid, stamps: np.ndarray, frequency: Frequency) -> dict[str, Any]:
    """Extent in space and time; ACDD asks for the values of the coordinates themselves, not the edges of cells."""
    start, end = (f"{np.datetime64(stamp, 's')}Z" for stamp in (stamps[0], stamps[-1]))
    hours = len(stamps) * frequency.hours
    whole_days = hours % HOURS_PER_DAY == 0
    attributes = {
        "time_coverage_start": start, "time_coverage_end": end,
        "time_coverage_duration": f"P{hours // HOURS_PER_DAY}D" if whole_days else f"PT{hours}H",
        "time_coverage_resolution": frequency.resolution,
        "geospatial_bounds": _bounds_wkt(grid), "geospatial_bounds_crs": "EPSG:4326",
        "geospatial_bounds_vertical_crs": "height above the ground",
        "geospatial_vertical_min": INLET_HEIGHT_M, "geospatial_vertical_max": INLET_HEIGHT_M,
        "geospatial_vertical_units": "m", "geospatial_vertical_positive": "up",
        "geospatial_vertical_resolution": "one level",
    }
    for name, values, units in ((LAT, grid.lat, "degrees_north"), (LON, grid.lon, "degrees_east")):
        attributes |= {f"geospatial_{name}_min": float(values.min()),
                       f"geospatial_{name}_max": float(values.max()),
                       f"geospatial_{name}_units": units,
                       f"geospatial_{name}_resolution": _axis_resolution(grid, name)}
    return attributes


def _bounds_wkt(grid: Grid) -> str:
    """WKT of the rectangle of all positions, in the axis order of EPSG:4326 (latitude first)."""
    import shapely

    corners = shapely.MultiPoint([(float(grid.lat.min()), float(grid.lon.min())),
                                  (float(grid.lat.max()), float(grid.lon.max()))])
    return shapely.to_wkt(corners.envelope, rounding_precision=6)


def _axis_resolution(grid: Grid, name: str) -> str:
    """Step of an axis of the grid with its unit, or "not uniform"."""
    if grid.kind != "regular":
        return "not uniform"
    steps = np.diff(grid.axis_lat if name == LAT else grid.axis_lon)
    if steps.size == 0 or np.ptp(steps) > UNIFORM_STEP_DEG:
        return "not uniform"
    return f"{steps.mean():.6g} degree"


def stamp_rule(frequency: Frequency) -> str:
    """What a time stamp means, in a sentence."""
    if frequency.hours == 1:
        return ("Times are UTC and mark the END of the hour that a value is the mean of; "
                "time_bnds holds both ends.")
    return (f"A day is a calendar day in UTC+{UTC_OFFSET_HOURS} (China Standard Time), 16:00 to 16:00 UTC. "
            "Times are UTC and mark the END of the day, so the date of a time stamp is the calendar day; "
            "time_bnds holds both ends.")


def axis_attributes(grid: Grid, frequency: Frequency, distance: bool) -> dict[str, dict[str, Any]]:
    """Attributes of the coordinates of a file, by variable. Bounds have none (CF 7.1)."""
    latitude = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
    longitude = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
    if grid.kind == "regular":
        latitude["axis"], longitude["axis"] = "Y", "X"
    if grid.lat_bounds is not None:
        latitude["bounds"], longitude["bounds"] = f"{LAT}_bnds", f"{LON}_bnds"
    step = "hour" if frequency.hours == 1 else f"calendar day UTC+{UTC_OFFSET_HOURS}"
    axes = {
        TIME: {"standard_name": "time", "long_name": f"end of the {step}, in UTC", "axis": "T",
               "units": EPOCH_UNITS, "calendar": "standard", "units_metadata": "leap_seconds: none",
               "bounds": f"{TIME}_bnds", "comment": stamp_rule(frequency)},
        LAT: latitude, LON: longitude,
        HEIGHT: {"standard_name": "height", "long_name": "nominal height of the inlets above the ground",
                 "units": "m", "positive": "up", "axis": "Z",
                 "comment": "Inlets of automatic stations are 3 to 20 m above the ground (HJ 664-2013)."},
    }
    if distance:
        # A coordinate, since CF has no standard name for it and a place's distance is fixed.
        axes[DISTANCE] = {"long_name": "distance to the nearest station", "units": "km",
                          "comment": f"Great circle on a sphere of {EARTH_RADIUS_KM} km."}
    if grid.kind == "points":
        axes[STATION_ID] = {"long_name": "identifier of the station", "cf_role": "timeseries_id"}
    return {name: a | {"coverage_content_type": "coordinate"} for name, a in axes.items()}


def crs_attributes() -> dict[str, Any]:
    """The grid mapping: latitude and longitude on WGS 84."""
    return {"grid_mapping_name": "latitude_longitude", "longitude_of_prime_meridian": 0.0,
            "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
            "long_name": "WGS 84 (EPSG:4326)", "crs_wkt": WGS84_WKT,
            "coverage_content_type": "referenceInformation"}


def field_attributes(name: str, about: About, grid: Grid, frequency: Frequency, distance: bool) -> dict[str, Any]:
    """Attributes of one variable over time; ``distance``: whether the file has the distance to the stations."""
    attributes = _FIELD_ATTRIBUTES[name](about, frequency)
    if name == TARGET:
        where = "" if grid.kind == "points" else " area: point"
        least = f" (interval: 1 hour comment: at least {about.minimum_hours} of them observed)"
        hours = least if frequency == DAILY else ""
        attributes["cell_methods"] = f"time: mean{hours}{where}"
        if ancillary := [n for n in fields_of(frequency, about) if n != TARGET]:
            attributes["ancillary_variables"] = " ".join(ancillary)
    positions = {"regular": [], "curvilinear": [LAT, LON], "points": [LAT, LON, STATION_ID]}[grid.kind]
    coordinates = [*positions, HEIGHT, *([DISTANCE] if distance else [])]
    return attributes | {"coordinates": " ".join(coordinates), "grid_mapping": CRS}


def _rounding_note(name: str) -> str:
    bits, way = MANTISSA_BITS[name], OUTWARDS.get(name)
    return (f"Rounded {way + ' ' if way else ''}to {bits} explicit bits of mantissa, a relative error of at most "
            f"{100 * 2.0 ** -(bits + (way is None)):.2g} %.")


def _pm25_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    words = ["simulated"] * about.simulated + ["true"] * (frequency == TRUTH) + [frequency.name]
    comment = ["Estimated for the position of the coordinates from the observations round it."]
    if frequency == TRUTH:
        comment = ["The truth of the simulation at the position of the coordinates, not an estimate."]
    if frequency == DAILY:
        comment.append(f"A day with fewer than {about.minimum_hours} observed hours is missing.")
    return {"standard_name": STANDARD_NAMES[TARGET], "units": UNITS[TARGET],
            "long_name": f"{' '.join(words)} mean mass concentration of PM2.5",
            "coverage_content_type": "modelResult",
            "comment": " ".join([*comment, about.reference_state, _rounding_note(TARGET)])}


def _standard_error_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    return {"standard_name": f"{STANDARD_NAMES[TARGET]} standard_error", "units": UNITS[TARGET],
            "long_name": f"standard error of the {frequency.name} mean mass concentration of PM2.5",
            "coverage_content_type": "qualityInformation",
            "comment": f"{about.standard_error} {_rounding_note(STANDARD_ERROR)}"}


def _bound_attributes(about: About, frequency: Frequency, name: str) -> dict[str, Any]:
    """The standard name is PM2.5's own: CF has no modifier for a quantile, and ACDD asks for a name."""
    side, where = ("lower", "below") if name == LOWER else ("upper", "above")
    return {"standard_name": STANDARD_NAMES[TARGET], "units": UNITS[TARGET],
            "long_name": (f"{side} bound of the {frequency.name} mean mass concentration of PM2.5: 5 % of what "
                          f"stations observe lies {where}"),
            "coverage_content_type": "qualityInformation",
            "comment": f"{about.bounds} {_rounding_note(name)}"}


def _quality_flag_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    return {"standard_name": "quality_flag", "units": "1",
            "long_name": f"support of the {frequency.name} estimate by observations",
            "flag_values": np.arange(len(QUALITY), dtype=np.int8), "flag_meanings": " ".join(QUALITY),
            "coverage_content_type": "qualityInformation",
            "comment": about.quality if frequency.hours == 1 else f"{about.quality} {about.daily_quality}"}


def _observation_count_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    return {"standard_name": "number_of_observations", "units": "1",
            "long_name": ("how many of the stations that the estimate is made from reported in the hour"
                          + (f", at most {about.neighbours}" if about.neighbours else "")),
            "coverage_content_type": "auxiliaryInformation"}


def _fields_flag_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    return {"standard_name": "status_flag", "units": "1",
            "long_name": "whether the fields that the model reads were known at the place in the hour",
            "flag_values": np.arange(len(FIELDS_MEANINGS), dtype=np.int8), "flag_meanings": " ".join(FIELDS_MEANINGS),
            "coverage_content_type": "qualityInformation",
            "comment": (f"Fields: {about.fields}. Where they are unknown the model, which was trained for it, goes on "
                        "with observations alone; hours before and after may have been known.")}


def _hour_count_attributes(about: About, frequency: Frequency) -> dict[str, Any]:
    return {"standard_name": "number_of_observations", "units": "1",
            "long_name": "number of hours of the day in which a station that the estimate is made from reported",
            "coverage_content_type": "auxiliaryInformation",
            "comment": (f"A day needs {about.minimum_hours} of its 24 hours to be valid. Its mean is of all hours with "
                        "a value; those that were estimated from hours before and after alone are not counted here.")}


_FIELD_ATTRIBUTES: dict[str, Callable[[About, Frequency], dict[str, Any]]] = {
    TARGET: _pm25_attributes, STANDARD_ERROR: _standard_error_attributes,
    LOWER: partial(_bound_attributes, name=LOWER), UPPER: partial(_bound_attributes, name=UPPER),
    QUALITY_FLAG: _quality_flag_attributes, OBSERVATIONS: _observation_count_attributes,
    HOURS_USED: _hour_count_attributes, FIELDS_FLAG: _fields_flag_attributes,
}
