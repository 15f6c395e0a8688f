"""`aqreanalysis describe --json`: what the tables of cli/tables.py say, as one JSON object.

A name is that of the fact's field; a number that is not known is null. Stamps are UTC and mark the END of the hour.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from aqreanalysis import __version__, schema
from aqreanalysis.cli.tables import worse_than_kriging
from aqreanalysis.models.checkpoint import Card, content_of
from aqreanalysis.time_axis import HOUR
from aqreanalysis.workflows.describe.archive import STATION_SHARES, ArchiveFacts
from aqreanalysis.workflows.describe.fields import FieldFacts
from aqreanalysis.workflows.describe.product import FrequencyFacts, ProductFacts

Facts = ArchiveFacts | ProductFacts | FieldFacts | Card


def as_text(what: str, found: Mapping[str, Any]) -> str:
    """The JSON object of some facts, in ASCII; `what` says what they are of."""
    return json.dumps({"verb": "describe", "version": __version__, "what": what} | plain(found), indent=1,
                      allow_nan=False)


def facts_as_text(facts: Facts) -> str:
    """The JSON object of what `describe` found."""
    if isinstance(facts, ArchiveFacts):
        return as_text("archive", _of_archive(facts))
    if isinstance(facts, ProductFacts):
        return as_text("product", _of_product(facts))
    if isinstance(facts, FieldFacts):
        return as_text("fields", {**_of(facts), "hours": int((facts.last - facts.first) / HOUR) + 1})
    warnings = list(filter(None, [worse_than_kriging(facts)]))
    return as_text("checkpoint", {**content_of(facts), "identity": facts.identity, "warnings": warnings})


def plain(value: Any) -> Any:
    """A value of facts in what JSON has: a dataclass as its fields, a stamp as text, null for what is no number."""
    if is_dataclass(value):
        return plain(_of(value))
    if isinstance(value, Mapping):
        return {str(name): plain(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [plain(of) for of in value]
    if isinstance(value, np.datetime64):
        return f"{value.astype('datetime64[s]')}Z"
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _of(facts: Any) -> dict[str, Any]:
    return {of.name: getattr(facts, of.name) for of in fields(facts)}


def _of_archive(facts: ArchiveFacts) -> dict[str, Any]:
    low = (None, *STATION_SHARES[:-1])
    shares = [{"over": over, "up_to": up_to, "stations": n}
              for over, up_to, n in zip(low, STATION_SHARES, facts.stations_by_share, strict=True)]
    values = {name: {"unit": schema.UNITS[name], **_of(of), "mean": of.mean} for name, of in facts.values.items()}
    for of in values.values():
        del of["total"]
    gaps = [{"first": first, "hours": hours} for first, hours in facts.gaps]
    return {**_of(facts), "hours": facts.hours, "values": values, "gaps": gaps, "stations_by_share": shares}


def _of_product(facts: ProductFacts) -> dict[str, Any]:
    found = _of(facts)
    return {**found, "kinds": {name: _of_frequency(of) for name, of in facts.kinds.items()},
            "simulated": facts.attributes.get("simulated") == "true", "run": found.pop("record")}


def _of_frequency(of: FrequencyFacts) -> dict[str, Any]:
    ranges = {name: {"steps": one.steps, "values": one.values, "missing": one.missing, "low": one.low, "mean": one.mean,
                     "high": one.high} for name, one in of.fields.items()}
    return {**_of(of), "fields": ranges, "classes": dict(zip(schema.QUALITY, of.classes, strict=True)),
            "with_fields": of.with_fields if of.with_fields.hours else None}
