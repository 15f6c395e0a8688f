"""Which variable of a file is PM2.5, in which unit, and which of its levels is at the ground."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError

STANDARD_NAMES = ("mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
                  "mass_concentration_of_pm2p5_ambient_aerosol_in_air",
                  "mass_concentration_of_pm2p5_dry_aerosol_particles_in_air",
                  "mass_concentration_of_pm2p5_dry_aerosol_in_air")
# Names in lower case without signs; the first that a file has is taken: ours, CAMS (global, Europe), CHAP and TAP,
# ACAG, WRF-Chem, CMAQ, GEOS-Chem, MERRA-2 by CNN.
NAMES = ("pm25", "pm2p5", "pm2p5conc", "particulatematter25um", "gwrpm25", "pm25dry", "pm25tot", "pm25rh35gcc",
         "pm25rh35gc", "merra2cnnsurfacepm25", "pm25conc", "pm25concentration", "pm25mean", "pm25total", "mpm25")
OTHER_THINGS = re.compile(r"err|unc|std|sigma|flag|count|number|bnds|lower|upper|bias|anom|trend|qual", re.IGNORECASE)
# Units in lower case without blanks, dots, carets and brackets -> factor to ug m-3.
MICRO, KILO, MILLI, GRAM, NANO = 1.0, 1e9, 1e3, 1e6, 1e-3
_MASSES = {"ug": MICRO, "mcg": MICRO, "microgram": MICRO, "micrograms": MICRO, "kg": KILO, "mg": MILLI, "g": GRAM,
           "ng": NANO, "milligram": MILLI, "milligrams": MILLI, "gram": GRAM, "grams": GRAM, "kilogram": KILO,
           "kilograms": KILO, "1e-9kg": MICRO, "1e-6g": MICRO, "10^-9kg": MICRO}
_VOLUME = re.compile(r"(?:/|per|-)?(?:m|cubicmeter|cubicmetre|meter|metre)s?(?:-?3)?(?:-1)?$")
UNITS_RULE = "It is a mass of PM2.5 in a volume of air: ug m-3, µg/m³, kg m-3, mg m-3, g m-3 or ng m-3."
PLAUSIBLE = (0.1, 2000.0)  # ug m-3, of a median over the region
GROUND_WORDS = ("bottom_top", "lay", "layer", "level_height")  # dimensions whose first entry is the lowest
LEVELS = re.compile(r"^(lev|level|levels|lay|layer|z|height|altitude|bottom_top|plev|pressure|pressure_level|"
                    r"isobaric.*|model_level|hybrid|ilev|alt|depth|height_above_ground)$", re.IGNORECASE)
UNIT_KEYS = ("units", "unit", "Units", "Unit", "UNITS")


@dataclass(frozen=True)
class LevelChoice:
    """Which entry of a dimension of levels is taken, and words on it."""

    dimension: str
    index: int
    words: str


def find_variable(dataset: xr.Dataset, source: Path, wanted: str | None = None) -> str:
    """The name of PM2.5 in a file: what was asked for, else a known name, else by its standard_name.

    Raises
    ------
    UserError : where there is none, or several and none of a known name.
    """
    fields = {str(name): v for name, v in dataset.variables.items() if v.ndim >= 2 and v.dtype.kind in "fiu"}
    listed = ", ".join(fields) or "no field"
    if wanted is not None:
        if wanted not in fields:
            raise UserError(f"--variable {wanted} is not in {source}.", f"It has {listed}.", "Name one of these.")
        return wanted
    by_name = [(NAMES.index(plain), name) for name in fields if (plain := _plain(name)) in NAMES]
    if by_name:
        return min(by_name)[1]
    found = [name for name, v in fields.items() if v.attrs.get("standard_name") in STANDARD_NAMES]
    found = [name for name in found if not OTHER_THINGS.search(name)] or found
    if not found:
        found = [name for name, v in fields.items() if re.search(r"pm2[._]?p?5|particulate_matter_2", name.lower())
                 and not OTHER_THINGS.search(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{source} has several variables of PM2.5: {', '.join(found)}.", "One is compared.",
                        f"Name it: --variable {found[0]}.")
    raise UserError(f"{source} has no PM2.5; it has {listed}.",
                    "It is found by its standard_name or by a known name (PM2.5, pm2p5, GWRPM25, PM2_5_DRY ...).",
                    "If one of these is, name it with --variable.")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def factor_of(variable: xr.Variable, name: str, source: Path, units: str | None = None) -> tuple[float, str]:
    """The factor from a variable's unit to ug m-3, and the unit; `units`: as the user says, whatever the file does.

    Raises UserError where there is no unit, or one that is no mass in a volume.
    """
    told = units if units is not None else next(
        (str(variable.attrs[key]) for key in UNIT_KEYS if variable.attrs.get(key)), "")
    fix = "Say it with --units, as --units 'ug m-3'."
    if not told.strip():
        raise UserError(f"{source}: {name} has no unit.", UNITS_RULE, fix)
    plain = re.sub(r"[µμ]", "u", told.strip().lower()).replace("³", "3")
    plain = re.sub(r"\*\*|[\s·.^(){}\[\]]", "", plain).replace("_", "")
    for mass in sorted(_MASSES, key=len, reverse=True):
        if plain.startswith(mass) and _VOLUME.fullmatch(plain[len(mass):]):
            return _MASSES[mass], told.strip()
    given = "--units" if units is not None else f"{source}: {name} in"
    raise UserError(f"{given} {told!r} is not a concentration.", UNITS_RULE, fix)


def check_plausible(values: np.ndarray, source: Path, units: str) -> None:
    """UserError where a field's median in ug m-3 can't be right: the unit is another one than the file says."""
    there = values[np.isfinite(values) & (values > 0)]
    if there.size and not PLAUSIBLE[0] <= (middle := float(np.median(there))) <= PLAUSIBLE[1]:
        raise UserError(f"{source}: the median over the region is {middle:.3g} ug m-3, taken as {units!r}.",
                        f"PM2.5 of a region lies between {PLAUSIBLE[0]:g} and {PLAUSIBLE[1]:g} ug m-3.",
                        "Say the unit that the numbers have with --units, as --units 'kg m-3'.")


def ground_level(dataset: xr.Dataset, dimension: str, source: Path, wanted: int | None = None) -> LevelChoice:
    """The lowest of the levels along a dimension, or number `wanted` from 0.

    Raises UserError where it can't be known which is the lowest, and for dimensions that are no levels.
    """
    size = dataset.sizes[dimension]
    values = dataset[dimension].variable if dimension in dataset.variables else None
    if wanted is not None:
        if not 0 <= wanted < size:
            raise UserError(f"--level {wanted} is not in {source}.", f"{dimension} has the levels 0 to {size - 1}.")
        return LevelChoice(dimension, wanted, _level_words(dimension, wanted, size, values))
    if size == 1:
        return LevelChoice(dimension, 0, "" if values is None else _level_words(dimension, 0, 1, values))
    if not LEVELS.match(dimension):
        raise UserError(f"{source}: PM2.5 has {size} entries along {dimension}.",
                        "It is a field over time, with levels at most.",
                        f"Choose one: `ncks -d {dimension},0 IN.nc OUT.nc`.")
    index = _lowest(values, dimension)
    if index is None:
        raise UserError(f"{source}: it is not said which of the {size} entries of {dimension} is the lowest.",
                        "Levels have a unit (Pa, hPa, m) or say which way is up (positive).",
                        f"Say it: --level 0 for the first, --level {size - 1} for the last.")
    return LevelChoice(dimension, index, _level_words(dimension, index, size, values))


def _lowest(values: xr.Variable | None, dimension: str) -> int | None:
    if dimension.lower() in GROUND_WORDS:
        return 0
    if values is None:
        return None
    units, positive = (str(values.attrs.get(key, "")).lower() for key in ("units", "positive"))
    numbers = np.asarray(values.values, float)
    if positive == "up" or (not positive and units in ("m", "meter", "meters", "metre", "metres", "km")):
        return int(np.argmin(numbers))
    if positive == "down" or units in ("pa", "hpa", "millibars", "mbar", "mb"):
        return int(np.argmax(numbers))
    return None


def _level_words(dimension: str, index: int, size: int, values: Any) -> str:
    if values is None:
        return f"level {index} of {size} along {dimension}"
    at = f"{np.asarray(values.values).ravel()[index]:g} {values.attrs.get('units', '')}".strip()
    return f"level {index} of {size} along {dimension} ({at})"
