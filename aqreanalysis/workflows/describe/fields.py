"""What is in a file or folder of fields, as a build would read it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from aqreanalysis.fields.opening import open_fields
from aqreanalysis.fields.sites import SiteFields
from aqreanalysis.fields.source import FieldSource


@dataclass
class FieldFacts:
    """What `describe` states about fields."""

    path: str
    source: str
    simulated: bool
    variables: dict[str, str]    # name -> long name and unit
    derived: list[str]           # those of them that follow from others
    place: str                   # sites or area
    first: np.datetime64         # stamps, UTC, END of the hour
    last: np.datetime64
    fingerprint: str             # of all their files, as a build of the whole period notes it
    notes: list[str] = field(default_factory=list)   # how they are read


def field_facts(path: str) -> FieldFacts:
    """Open fields and hash their files; of grids no value is read.

    Raises
    ------
    UserError : as `open_fields`.
    """
    source = open_fields(path)
    first, last = source.period()
    variables = {name: f"{of.long_name} ({of.units})" for name, of in source.variables.items()}
    return FieldFacts(path, source.source, source.simulated, variables,
                      [name for name in variables if name not in source.stored], _place_in_words(source), first, last,
                      source.fingerprint(first, last)[:16], source.notes())


def _place_in_words(source: FieldSource) -> str:
    if not isinstance(source, SiteFields):
        return str(source.area)
    places = source.sites[["lon", "lat"]].dropna()
    if places.empty:
        return "one place that holds everywhere"
    (west, south), (east, north) = places.min(), places.max()
    count = f"{len(source.sites)} site{'s' * (len(source.sites) > 1)}"
    return (f"{count}, {west:.2f} to {east:.2f} E, {south:.2f} to {north:.2f} N; each holds within "
            f"{source.reach_km:g} km")
