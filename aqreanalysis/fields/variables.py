"""Time-dependent fields by name: what they are, their units, how files call them, and what follows from others.

A field of an hour is its mean over the hour that ends at the stamp, UTC; `tp` is what fell in that hour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aqreanalysis.errors import UserError

INSTANT, MEAN, SUM = "point", "mean", "sum"  # a value at the stamp, the mean, or the sum, of a time that ends at it
KELVIN = 273.15
HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class FieldVariable:
    """One field."""

    name: str
    long_name: str
    standard_name: str
    units: str
    lowest: float              # of what air does, in `units`: values beyond say that units are wrong
    highest: float
    names: tuple[str, ...] = ()  # in gridded files, lower case, besides its own
    also: tuple[str, ...] = ()   # other standard names of it
    height: float | None = None  # m above the ground
    over_time: str = INSTANT       # what a file's values are where it does not say

    @property
    def attributes(self) -> dict[str, str]:
        """As CF writes them."""
        return {"standard_name": self.standard_name, "long_name": self.long_name, "units": self.units,
                "cell_methods": f"time: {'sum' if self.name == 'tp' else 'mean'}"}


_ALL = (
    FieldVariable("u10", "eastward wind at 10 m", "eastward_wind", "m s-1", -80, 80, ("10u", "u10m"), height=10.0),
    FieldVariable("v10", "northward wind at 10 m", "northward_wind", "m s-1", -80, 80, ("10v", "v10m"), height=10.0),
    FieldVariable("ws10", "wind speed at 10 m", "wind_speed", "m s-1", 0, 120, ("si10", "10si", "wspd10"), height=10.0),
    FieldVariable("t2m", "air temperature at 2 m", "air_temperature", "K", 190, 340, ("2t",), height=2.0),
    FieldVariable("d2m", "dew point at 2 m", "dew_point_temperature", "K", 170, 320, ("2d", "t2mdew"), height=2.0),
    FieldVariable("q2m", "specific humidity at 2 m", "specific_humidity", "1", 0, 0.06, ("qv2m", "2sh"), height=2.0),
    FieldVariable("rh", "relative humidity at 2 m", "relative_humidity", "%", -5, 130, ("r2m", "2r", "r2", "rh2m"),
                  height=2.0),
    FieldVariable("sp", "surface pressure", "surface_air_pressure", "Pa", 40_000, 110_000, ("ps",)),
    FieldVariable("blh", "height of the boundary layer", "atmosphere_boundary_layer_thickness", "m", 0, 12_000,
                  ("pblh", "hpbl")),
    FieldVariable("tp", "precipitation of the hour", "lwe_thickness_of_precipitation_amount", "mm", -1, 400,
                  ("prectotcorr", "prectot"), ("precipitation_amount", "precipitation_flux", "rainfall_flux",
                                               "lwe_precipitation_rate"), over_time=SUM),
    FieldVariable("ssrd", "downward solar radiation", "surface_downwelling_shortwave_flux_in_air", "W m-2", -20, 1600,
                  ("swgdn",), ("surface_downwelling_shortwave_flux", "surface_downwelling_shortwave_energy"),
                  over_time=SUM),
    FieldVariable("tcc", "cloud cover", "cloud_area_fraction", "1", -0.01, 1.01, ("cldtot",)),
    FieldVariable("aod", "aerosol optical depth at 550 nm",
                  "atmosphere_optical_thickness_due_to_ambient_aerosol_particles", "1", -0.1, 20,
                  ("aod550", "totexttau"), ("atmosphere_optical_thickness_due_to_ambient_aerosol",)),
)
FIELDS = {variable.name: variable for variable in _ALL}
TRAINING_ONLY = ("aod",)  # constrains a loss; no model reads it when it estimates

# What a unit is called, and what its values are multiplied with and added to.
_SPELLINGS = {
    "m s-1": {"m s-1": 1.0, "m/s": 1.0, "ms-1": 1.0, "meter second-1": 1.0, "km h-1": 1 / 3.6, "km/h": 1 / 3.6,
              "knots": 0.514444, "kt": 0.514444, "knot": 0.514444},
    "Pa": {"pa": 1.0, "hpa": 100.0, "mbar": 100.0, "mb": 100.0, "millibars": 100.0, "kpa": 1000.0},
    "%": {"%": 1.0, "percent": 1.0, "1": 100.0, "(0 - 1)": 100.0, "0-1": 100.0},
    "m": {"m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0, "km": 1000.0},
    "mm": {"mm": 1.0, "kg m-2": 1.0, "kg/m2": 1.0, "m": 1000.0, "m of water equivalent": 1000.0, "mm h-1": 1.0,
           "mm/h": 1.0, "mm/hr": 1.0, "kg m-2 s-1": HOUR_SECONDS, "kg/m2/s": HOUR_SECONDS, "mm s-1": HOUR_SECONDS,
           "m s-1": 1000.0 * HOUR_SECONDS},
    "W m-2": {"w m-2": 1.0, "w/m2": 1.0, "j m-2": 1 / HOUR_SECONDS, "j/m2": 1 / HOUR_SECONDS},
    "1": {"1": 1.0, "(0 - 1)": 1.0, "0-1": 1.0, "~": 1.0, "dimensionless": 1.0, "kg kg-1": 1.0, "kg/kg": 1.0,
          "g kg-1": 0.001, "g/kg": 0.001, "%": 0.01, "percent": 0.01},
}
_TEMPERATURE = {"k": 0.0, "kelvin": 0.0, "degc": KELVIN, "celsius": KELVIN, "degrees_celsius": KELVIN, "°c": KELVIN,
                "deg c": KELVIN, "degree_celsius": KELVIN, "c": KELVIN, "℃": KELVIN}


def plain_units(text: object) -> str:
    """Units as they are compared: `m s**-1`, `m s^-1` and `m.s-1` are `m s-1`.

    >>> plain_units("W m**-2"), plain_units(" M S^-1 ")
    ('w m-2', 'm s-1')
    """
    bare = str(text).strip().lower().replace("**", "").replace("^", "")
    return re.sub(r"(?<=[a-z])\.(?=[a-z])", " ", bare)


def conversion(name: str, units: object, where: str) -> Callable[[np.ndarray], np.ndarray]:
    """What turns values in `units` into those of a field; sums are of one hour.

    Raises UserError where the units are unknown or not given.
    """
    wanted, given = FIELDS[name].units, plain_units(units) if units is not None else None
    known = _TEMPERATURE if wanted == "K" else _SPELLINGS[wanted]
    if given not in known:
        said = f"in {units!r}" if units is not None else "without units"
        raise UserError(f"{where} has {name} {said}.",
                        f"{FIELDS[name].long_name.capitalize()} is read in {', '.join(known)}.",
                        "Convert it, or mend its attribute: `ncatted -a units,NAME,o,c,UNITS FILE.nc`.")
    number = known[given]
    if wanted == "K":
        return lambda values: values + np.float32(number)
    return (lambda values: values) if number == 1.0 else lambda values: values * np.float32(number)


def check_values(name: str, values: np.ndarray, where: str) -> None:
    """UserError where the values of a field, in its units, are none that air has: units or a fill value are wrong."""
    of = FIELDS[name]
    known = values[np.isfinite(values)]
    if known.size and (known.min() < of.lowest or known.max() > of.highest):
        worst = known.min() if known.min() < of.lowest else known.max()
        raise UserError(f"{where}: {name} is {worst:g} {of.units}.",
                        f"{of.long_name.capitalize()} lies between {of.lowest:g} and {of.highest:g} {of.units}.",
                        "Check the units that the file gives, and its fill value.")


# --- what follows from other fields ----------------------------------------------------------------

def vapour_pressure(temperature: np.ndarray) -> np.ndarray:
    """Over water at saturation, Pa, of temperatures in K: Alduchov and Eskridge 1996, J. Appl. Meteorol. 35, 601."""
    celsius = temperature - np.float32(KELVIN)
    return np.float32(610.94) * np.exp(np.float32(17.625) * celsius / (celsius + np.float32(243.04)))


def _humidity_of_dew_point(t2m: np.ndarray, d2m: np.ndarray) -> np.ndarray:
    return np.minimum(100.0 * vapour_pressure(d2m) / vapour_pressure(t2m), np.float32(100.0))


def _humidity_of_specific(t2m: np.ndarray, q2m: np.ndarray, sp: np.ndarray) -> np.ndarray:
    pressure = q2m * sp / (np.float32(0.622) + np.float32(0.378) * q2m)
    return np.minimum(100.0 * pressure / vapour_pressure(t2m), np.float32(100.0))


def _speed(u10: np.ndarray, v10: np.ndarray) -> np.ndarray:
    return np.hypot(u10, v10)


@dataclass(frozen=True)
class Derivation:
    """A field from others of the same hour and place."""

    name: str
    needs: tuple[str, ...]
    of: Callable[..., np.ndarray]


DERIVATIONS = (Derivation("ws10", ("u10", "v10"), _speed),
               Derivation("rh", ("t2m", "d2m"), _humidity_of_dew_point),
               Derivation("rh", ("t2m", "q2m", "sp"), _humidity_of_specific))


def derivation(name: str, have: object) -> Derivation | None:
    """How a field follows from those that are there (any container of names); None where it does not."""
    return next((way for way in DERIVATIONS if way.name == name
                 and all(need in have for need in way.needs)), None)  # type: ignore[operator]


def with_derived(have: tuple[str, ...]) -> tuple[str, ...]:
    """The names in the order of FIELDS, with what follows from them."""
    return tuple(name for name in FIELDS if name in have or derivation(name, have))


def wind_components(speed: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Towards the east and the north, of a wind that comes FROM a direction in degrees, clockwise from north.

    A calm (speed 0) is 0 whatever the direction, also none.

    >>> [part.round(6).tolist() for part in wind_components(np.array([2.0, 0.0]), np.array([270.0, np.nan]))]
    [[2.0, 0.0], [0.0, 0.0]]
    """
    angle = np.radians(np.where(speed == 0, 0.0, direction))
    return -speed * np.sin(angle) + 0.0, np.where(speed == 0, 0.0, -speed * np.cos(angle))


COMPASS = {point: 22.5 * number for number, point in enumerate(
    "N NNE NE ENE E ESE SE SSE S SSW SW WSW W WNW NW NNW".split())}  # degrees from which the wind comes
