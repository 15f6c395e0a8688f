"""Thresholds of quality control: the section `quality` of a recipe.

Deviations are in the logarithm of the value plus the pollutant's `offset`, in which an hour's change is about as
large at 20 as at 200 ug m-3; 0.7 is a factor of two. They are measured in robust standard deviations (1.4826 times
the median absolute deviation) of the station's own window of days.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from aqreanalysis import schema

# No flag depends on hours further away: a month that is read with this margin has the flags of the whole series.
FLAG_REACH_HOURS = 168
SIDE_HOURS = 3     # hours before and after a value that a spike is compared with
LAG_HOURS = 2      # hours by which a front may reach one station before the other

# Added before the logarithm is taken, in schema.UNITS.
OFFSET = {"pm25": 10.0, "pm10": 20.0, "so2": 6.0, "no2": 10.0, "co": 0.3, "o3": 20.0}
# The chance that the next hour has the same value is about level / (level + value): measured on the network of 2019,
# for every pollutant between a tenth and ten times these levels.
REPEAT_LEVEL = {"pm25": 2.0, "pm10": 2.0, "so2": 6.0, "no2": 3.0, "co": 0.8, "o3": 3.0}
RESOLUTION = dict.fromkeys(schema.POLLUTANTS, 1.0) | {"co": 0.1}  # to which values are rounded, in schema.UNITS


class QualitySettings(BaseModel):
    """Thresholds; the defaults were tuned on the twin and on the network of 2019 (benchmarks/quality.py)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neighbours: int = Field(10, ge=3, le=40, description="Stations that a station is compared with, at most.")
    neighbours_km: float = Field(100.0, gt=0, description="How far away they may be.")
    least_neighbours: int = Field(3, ge=3, le=40, description="With fewer in an hour, that hour is not tested.")
    window_days: int = Field(5, ge=1, le=5, description="Days before and after that define what is usual.")
    least_hours: int = Field(72, ge=12, description="Values that a window needs.")
    least_spread: float = Field(0.08, gt=0, description="Usual spread, in log, at least.")
    spike_deviations: float = Field(4.5, gt=0, description="Temporal test: robust standard deviations.")
    spike_least: float = Field(0.5, gt=0, description="Temporal test: and at least this deviation in log.")
    spatial_deviations: float = Field(4.5, gt=0, description="Spatial test: robust standard deviations.")
    spatial_least: float = Field(0.6, gt=0, description="Spatial test: and at least this deviation in log.")
    lasting_deviations: float = Field(1.5, gt=0, description="Spatial test, mean of 24 h: standard deviations.")
    lasting_least: float = Field(0.4, gt=0, description="Spatial test, mean of 24 h: and at least this much in log.")
    periodic_days: int = Field(4, ge=3, le=11, description="Periodic test: days on which an hour must deviate.")
    periodic_deviations: float = Field(2.5, gt=0, description="Periodic test: robust standard deviations.")
    periodic_least: float = Field(0.3, gt=0, description="Periodic test: and at least this deviation in log.")
    stuck_hours: int = Field(12, ge=4, le=48, description="Identical hours of a stuck sensor, at least.")
    stuck_chance: float = Field(1e-8, gt=0, lt=1, description="Chance of a run of repeats, below which it is flagged.")
    still_ratio: float = Field(0.1, ge=0, lt=1, description="Spread over 24 h relative to neighbours: stuck below.")
    still_neighbours: float = Field(0.25, gt=0, description="Spread in log that neighbours must have for that.")
    still_itself: float = Field(0.5, gt=0, description="And spread relative to the station's other days.")
    exclude: tuple[str, ...] = Field((), description="Names of flags that are not set.")

    @field_validator("exclude")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in TESTS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not a test; tests are {', '.join(TESTS)}")
        return names

    @property
    def changes(self) -> str:
        """What differs from the defaults, for run.json: a product can't be continued with other thresholds."""
        changed = [f"{name} {value}" for name, value in self if value != type(self).model_fields[name].default]
        return ", ".join(changed) or "defaults"


TESTS = ("temporally_inconsistent", "spatially_inconsistent", "low_variance", "periodic")
DEFAULT_SETTINGS = QualitySettings()
SINGLE_VALUE_SETTINGS = QualitySettings(exclude=TESTS)  # single values and pairs only
