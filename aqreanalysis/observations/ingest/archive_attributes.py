"""Attributes of a station archive: CF-1.11 discrete sampling geometry and ACDD-1.3."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import numpy as np

from aqreanalysis import schema
from aqreanalysis.observations.readers.station_archive import (
    FLAG,
    FORMAT,
    FORMAT_ATTRIBUTE,
    SETTINGS_ATTRIBUTE,
    SOURCE,
    TABLES,
)
from aqreanalysis.output import cf

REFERENCES = ("Kinds of outliers: Wu et al. (2018), Adv. Atmos. Sci., doi:10.1007/s00376-018-8067-9. The tests and "
              "thresholds of quality control are those of aqreanalysis; see quality_settings.")


@dataclass(frozen=True)
class ArchiveAbout:
    """What only the maker of an archive knows. Nothing depends on the clock: the same files give the same bytes."""

    observations: str        # where they come from, a phrase
    sources: tuple[str, ...]  # names, in order of precedence
    simulated: bool
    settings: dict           # of the quality control, as JSON can hold them
    reference_state: str     # a sentence
    created: str             # ISO date: that of the newest source file
    software_version: str
    contact: cf.Contact = cf.Contact()
    license: str = "The observations keep the terms of their publisher; see source."


def settings_text(settings: dict) -> str:
    """The settings as JSON, keys in order."""
    return json.dumps(settings, sort_keys=True)


def archive_global_attributes(about: ArchiveAbout, grid, hours: np.ndarray) -> dict:
    """Of an archive with `hours` (datetime64, END of each) at the points of `grid`."""
    simulated = "SIMULATED " if about.simulated else ""
    first, last = (np.datetime64(stamp, "D") for stamp in (hours[0], hours[-1]))
    names = ", ".join(about.sources)
    settings = settings_text(about.settings)
    own = {
        "Conventions": cf.CONVENTIONS, "featureType": "timeSeries", FORMAT_ATTRIBUTE: FORMAT,
        "title": f"{simulated}hourly surface observations of air quality at {grid.size} stations, {first} to {last}",
        "summary": (f"{simulated}observations of PM2.5, PM10, SO2, NO2, CO and O3 as they were reported, on a complete "
                    f"hourly axis, each with flags of quality control. Made from {names}."),
        "source": about.observations, "simulated": "true" if about.simulated else "false",
        "reference_state": about.reference_state,
        "history": f"aqreanalysis {about.software_version} ingest: {names}",
        "references": REFERENCES,
        "comment": (f"{cf.stamp_rule(cf.HOURLY)} Values are the original ones, whatever their flags: use those whose "
                    "flag is 0. The group provenance names every source file."),
        SETTINGS_ATTRIBUTE: settings,
        f"{SETTINGS_ATTRIBUTE}_sha256": hashlib.sha256(settings.encode()).hexdigest(),
    }
    return (own | _archive_discovery(about, first, last) | cf.observations_credit(about.observations)
            | cf.contact_attributes(about.contact) | cf.extent(grid, hours, cf.HOURLY))


def _archive_discovery(about: ArchiveAbout, first, last) -> dict:
    simulated = "simulated " if about.simulated else ""
    return {
        "id": re.sub(r"[^\w.-]+", "-", f"{simulated}stations.{'.'.join(about.sources)}.{first}.{last}"),
        "naming_authority": "aqreanalysis", "product_version": about.software_version,
        "keywords": ("EARTH SCIENCE > ATMOSPHERE > AIR QUALITY > PARTICULATES, "
                     "EARTH SCIENCE > ATMOSPHERE > AIR QUALITY > TROPOSPHERIC OZONE, "
                     "EARTH SCIENCE > ATMOSPHERE > AIR QUALITY > CARBON MONOXIDE, "
                     "EARTH SCIENCE > ATMOSPHERE > AIR QUALITY > NITROGEN OXIDES, "
                     "EARTH SCIENCE > ATMOSPHERE > AIR QUALITY > SULFUR OXIDES"),
        "keywords_vocabulary": "NASA/GCMD Science Keywords",
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "processing_level": "observations as reported, with flags of quality control",
        "project": "aqreanalysis", "program": "aqreanalysis",
        "platform": f"{simulated}ground-based stations of an air-quality network",
        "platform_vocabulary": "none, plain words",
        "instrument": f"{simulated}continuous monitors of particles and gases",
        "instrument_vocabulary": "none, plain words",
        "license": about.license,
        "date_created": about.created, "date_modified": about.created,
        "date_issued": about.created, "date_metadata_modified": about.created,
    }


def variable_attributes(name: str, about: ArchiveAbout) -> dict:
    """Attributes of a variable (time, station)."""
    if name.endswith(FLAG):
        own = _flag_attributes(name.removesuffix(FLAG))
    elif name.endswith(SOURCE):
        own = _source_attributes(name.removesuffix(SOURCE), about)
    else:
        own = _value_attributes(name, about)
    coordinates = [schema.LAT, schema.LON, cf.STATION_ID, cf.HEIGHT]
    return own | {"coordinates": " ".join(coordinates), "grid_mapping": cf.CRS}


def _value_attributes(name: str, about: ArchiveAbout) -> dict:
    simulated = "simulated " if about.simulated else ""
    concentration = "mass concentration of " if name in schema.POLLUTANTS else ""
    attributes = {"standard_name": schema.STANDARD_NAMES[name], "units": schema.UNITS[name],
                  "long_name": f"{simulated}hourly {concentration}{schema.LONG_NAMES[name]}, as reported",
                  "coverage_content_type": "physicalMeasurement"}
    if name in schema.POLLUTANTS:
        attributes |= {"cell_methods": f"{schema.TIME}: mean", "comment": about.reference_state}
    if schema.UNITS[name] == "degC":
        attributes["units_metadata"] = "temperature: on_scale"
    if name == "rain":
        attributes["cell_methods"] = f"{schema.TIME}: sum"
    ancillary = [name + FLAG] * (name in schema.POLLUTANTS) + [name + SOURCE] * (len(about.sources) > 1)
    return attributes | ({"ancillary_variables": " ".join(ancillary)} if ancillary else {})


def _flag_attributes(name: str) -> dict:
    bits = schema.OBSERVATION_FLAGS
    return {"standard_name": "quality_flag", "units": "1",
            "long_name": f"quality control of {schema.LONG_NAMES[name]}",
            "flag_masks": np.array(list(bits.values()), schema.FLAG_DTYPE), "flag_meanings": " ".join(bits),
            "coverage_content_type": "qualityInformation",
            "comment": "0 is a good value. Thresholds stand in the file's attribute quality_settings."}


def _source_attributes(name: str, about: ArchiveAbout) -> dict:
    words = ["none", *(re.sub(r"[^\w.-]+", "-", text) for text in about.sources)]
    return {"long_name": f"source of the value of {schema.LONG_NAMES[name]}", "units": "1",
            "flag_values": np.arange(len(words), dtype=np.uint8), "flag_meanings": " ".join(words),
            "coverage_content_type": "auxiliaryInformation"}


STATION_TEXTS = {
    "name": {"standard_name": "platform_name", "long_name": "name of the station"},
    "city": {"long_name": "city of the station"},
    "province": {"long_name": "province of the station"},
}

_COLUMNS = {
    ("source", "name"): "name of the folder or file",
    ("source", "phrase"): "what it holds",
    ("source", "station_table"): "sha256 of its own station table, if any; datum and offset that were given",
    ("file", "source"): "number of the source, from 1",
    ("file", "name"): "path below the source",
    ("file", "sha256"): "sha256 of the file",
    ("file", "bytes"): "size of the file",
    ("file", "modified"): "nanoseconds from 1970-01-01 00:00:00 UTC to the file's time of modification",
    ("file", "first"): "end of the first hour that was read from the file, in UTC",
    ("file", "last"): "end of the last hour that was read from the file, in UTC",
    ("file", "values"): "values of all pollutants that the source has in the hours of the file",
    ("file", "vanished"): "1 where the file was gone at the last ingest; what was read from it is kept",
    ("remark", "source"): "number of the source, from 1",
    ("remark", "kind"): "skipped, refused, passed over: files that were not used; odd, note: those that were",
    ("remark", "first"): "end of the first hour that it concerns, in UTC",
    ("remark", "last"): "end of the last hour that it concerns, in UTC",
    ("remark", "text"): "what was found",
}
assert set(_COLUMNS) == {(table, column) for table, columns in TABLES.items() for column in columns}

COUNT_TEXTS = {
    "values": "values of all pollutants that a source has in an hour",
    "repeated": "values that an earlier source has too, and that were not taken",
    "differing": "those of them that differ by more than 0.1 %",
}


def column_attributes(table: str, column: str) -> dict:
    """Attributes of a column of the provenance."""
    attributes = {"long_name": _COLUMNS[table, column]}
    if column in ("first", "last"):
        attributes |= {"units": cf.EPOCH_UNITS, "calendar": "standard", "units_metadata": "leap_seconds: none"}
    elif column in ("source", "bytes", "modified", "values", "vanished"):
        attributes["units"] = {"bytes": "byte", "modified": "ns"}.get(column, "1")
    return attributes
