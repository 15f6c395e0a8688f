"""At which temperature and pressure China's network reports concentrations.

Until 2018-08-31 all pollutants were reported at 273 K and 1013.25 hPa (GB 3095-2012, "standard state").
From 2018-09-01 gases are reported at 298.15 K and 1013.25 hPa ("reference state") and particles at the
temperature and pressure of the air they were sampled from (amendment of GB 3095-2012, MEE announcement 2018
no. 29). Reported PM2.5 fell by about 8 % at the change (Atmosphere 2020, 11, 1199).
"""

from __future__ import annotations

import datetime as dt

import numpy as np

CHANGED = dt.date(2018, 9, 1)   # calendar day in UTC+8

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
