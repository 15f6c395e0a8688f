"""At which temperature and pressure China's network reports concentrations, and conversions between states.

Until 2018-08-31 all pollutants were reported at 273 K and 1013.25 hPa (GB 3095-2012, "standard state").
From 2018-09-01 gases are reported at 298.15 K and 1013.25 hPa ("reference state") and particles at the
temperature and pressure of the air they were sampled from (amendment of GB 3095-2012, MEE announcement 2018
no. 29). Reported PM2.5 fell by about 8 % at the change (Atmosphere 2020, 11, 1199).
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from aqreanalysis.schema import POLLUTANTS

CHANGED = dt.date(2018, 9, 1)   # calendar day in UTC+8
STANDARD_K, REFERENCE_K, PRESSURE_HPA = 273.0, 298.15, 1013.25
PARTICLES = ("pm25", "pm10")
ZERO_CELSIUS_K = 273.15

_BEFORE = "273 K and 1013.25 hPa, as China's network reported until 2018-08-31"
_SINCE = ("actual temperature and pressure for particles, and to 298.15 K and 1013.25 hPa for gases, as China's "
          "network reports from 2018-09-01")
SIMULATED = "Simulated concentrations have no reference state."


def of_period(first, last) -> str:
    """The sentence for the attribute `reference_state` of what covers calendar days UTC+8, both included.

    Days are dates or datetime64[D]; those of stamps are `clock.local_days(stamps)`. A period across the change
    says so, with the day.
    """
    first, last = (np.datetime64(day, "D").item() for day in (first, last))
    if last < CHANGED:
        return f"Concentrations refer to {_BEFORE}."
    if first >= CHANGED:
        return f"Concentrations refer to {_SINCE}."
    return (f"The reference state changes within the period: concentrations refer to {_BEFORE}, and to {_SINCE}. "
            "Reported PM2.5 fell by about 8 % at the change.")


def to_actual(values, pollutant: str, temperature_degC, pressure_hPa, day) -> np.ndarray:
    """Concentrations as reported on a day, at the actual temperature and pressure of the air.

    Parameters
    ----------
    values : as reported; any unit of mass by volume, which the result has too.
    pollutant : name of schema.POLLUTANTS.
    temperature_degC, pressure_hPa : of the air. NaN gives NaN where they are needed.
    day : calendar day UTC+8, a date or datetime64[D]. All arguments broadcast against each other.

    The ideal gas law: the same mass lies in a volume V = nRT / p, so concentrations go with p / T.
    """
    kelvin, pressure = _air(temperature_degC, pressure_hPa)
    factor = _density_ratio(kelvin, pressure, _reported_kelvin(day), PRESSURE_HPA)
    return np.asarray(values) * np.where(_at_actual(pollutant, day), 1.0, factor)


def to_standard(values, pollutant: str, temperature_degC, pressure_hPa, day) -> np.ndarray:
    """Concentrations as reported on a day, at 273 K and 1013.25 hPa. Arguments as of :func:`to_actual`.

    Temperature and pressure are used for particles since the change only; gases need none.
    """
    kelvin, pressure = _air(temperature_degC, pressure_hPa)
    actual = _at_actual(pollutant, day)
    factor = np.where(actual, _density_ratio(STANDARD_K, PRESSURE_HPA, kelvin, pressure),
                      _reported_kelvin(day) / STANDARD_K)
    return np.asarray(values) * factor


def _density_ratio(to_kelvin, to_hpa, from_kelvin, from_hpa):
    """How much denser air is at one state than at another."""
    return (from_kelvin / to_kelvin) * (to_hpa / from_hpa)


def _air(temperature_degC, pressure_hPa) -> tuple[np.ndarray, np.ndarray]:
    kelvin, pressure = np.asarray(temperature_degC, float) + ZERO_CELSIUS_K, np.asarray(pressure_hPa, float)
    if (kelvin <= 150).any() or (kelvin > 350).any():
        raise ValueError("temperatures are in degrees Celsius, and of air")
    if (pressure < 300).any() or (pressure > 1100).any():
        raise ValueError("pressures are in hPa, at stations")
    return kelvin, pressure


def _since_change(day) -> np.ndarray:
    return np.asarray(day, "datetime64[D]") >= np.datetime64(CHANGED)


def _at_actual(pollutant: str, day) -> np.ndarray:
    """Whether a pollutant was reported at actual conditions."""
    if pollutant not in POLLUTANTS:
        raise ValueError(f"{pollutant!r} is none of {', '.join(POLLUTANTS)}")
    return _since_change(day) & (pollutant in PARTICLES)


def _reported_kelvin(day) -> np.ndarray:
    """The temperature that a gas, or a particle before the change, was reported at."""
    return np.where(_since_change(day), REFERENCE_K, STANDARD_K)
