"""What a command will use of its observations and what it will not, told before it computes.

One value, `Inventory`, is shown on the screen, kept in run.json and written into the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aqreanalysis.errors import UserError
from aqreanalysis.observations import checks, quality
from aqreanalysis.observations.coverage import SPARSE_SHARE, Coverage, measure_coverage, usable_stations
from aqreanalysis.observations.readers.archive import Archive, Inspection, Stamp, as_hour

LEAST_STATIONS = 2     # that an analysis needs
SILENT = "no PM2.5 value in the period"
IDS_SHOWN = 3
ODD_SHOWN = 2          # sentences on what may be why nothing passes quality control


@dataclass(frozen=True)
class Inventory:
    """Of an archive, for a period."""

    source: str
    stations: int                  # with a place
    inspection: Inspection
    left_out: dict[str, str]       # station_id -> why
    warnings: list[str]            # what is strange in the observations
    coverage: Coverage | None = None   # None where it was not measured
    minimum_hours: int | None = None   # hours that a valid day needs, where days are made

    @property
    def lists(self) -> dict[str, list[str]]:
        """Sentences by kind: what was not read, what is odd in what was, how it was read."""
        found = self.inspection
        return {"skipped": found.skipped, "passed over": found.passed_over, "odd": found.anomalies,
                "note": found.notes, "warning": self.warnings}

    def rows(self) -> list[tuple[str, str]]:
        """A name and a text for each line that is shown."""
        files = self.inspection.good
        found = [("observations", f"{self.source.rstrip('.')} ({files} file{'s' * (files != 1)})"),
                 ("stations", self._stations_in_words())]
        if cover := self.coverage:
            silent = cover.hours - cover.hours_observed
            hours = f"{cover.hours_observed:,} of {cover.hours:,} hours observed"
            hours += f"; {silent:,} {'has' if silent == 1 else 'have'} no observation" if silent else ""
            found.append(("hours", f"{hours}; {cover.share:.1%} of the hours of {cover.used:,} stations"))
            if self.minimum_hours:
                found.append(("days", f"{cover.whole_days(self.minimum_hours):,} of {len(cover.days):,} have "
                                      f"{self.minimum_hours} observed hours or more"))
        return found

    def _stations_in_words(self) -> str:
        used = self.coverage.used if self.coverage else self.stations
        every = self.stations + sum(why != SILENT for why in self.left_out.values())
        if not self.left_out:
            return f"{used:,} used"
        texts = [", ".join(ids[:IDS_SHOWN]) + (f" and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else "")
                 + f" ({why})" for why, ids in self.left_out_by_reason().items()]
        return f"{used:,} of {every:,} used; left out: {'; '.join(texts)}"

    def left_out_by_reason(self) -> dict[str, list[str]]:
        """Why stations are left out, in few words -> their ids."""
        kinds: dict[str, list[str]] = {}
        for station, why in self.left_out.items():
            kinds.setdefault(why.partition(":")[0], []).append(station)
        return kinds

    def facts(self) -> dict[str, Any]:
        """For run.json."""
        found = self.inspection
        facts: dict[str, Any] = {
            "stations": self.stations, "files": found.good, "files_skipped": found.skipped,
            "files_passed_over": found.passed_over, "oddities": found.anomalies, "reading": found.notes,
            "warnings": self.warnings, "stations_left_out": self.left_out}
        if cover := self.coverage:
            facts |= {"stations_used": cover.used, "hours": cover.hours,
                      "hours_without_observations": cover.hours - cover.hours_observed,
                      "share_of_station_hours_observed": round(cover.share, 4)}
            if self.minimum_hours:
                facts |= {"days": len(cover.days), "days_with_enough_hours": cover.whole_days(self.minimum_hours)}
        return facts


def take_inventory(archive: Archive, start: Stamp, end: Stamp, inspection: Inspection,
                   minimum_hours: int | None = None, measured: bool = True) -> Inventory:
    """The inventory of an archive between two stamps, both included.

    Parameters
    ----------
    inspection : of the same hours, perhaps with margins.
    minimum_hours : hours that a valid day needs, where days are made of them.
    measured : whether to read all values, and to look for what is strange in some of them.

    Raises
    ------
    UserError : where a unit can't be right.
    """
    warnings = checks.of_archive(archive, start, end) if measured else []
    coverage = measure_coverage(archive, as_hour(start), as_hour(end)) if measured else None
    table = archive.stations.attrs
    left_out = dict.fromkeys(table.get("without_coordinates", []), "no coordinates") | dict(table.get("left_out", {}))
    if coverage:
        left_out |= dict.fromkeys(map(str, coverage.silent()), SILENT)
        warnings = warnings + _of_coverage(coverage, minimum_hours)
    return Inventory(archive.source, len(archive.stations), inspection, left_out, warnings, coverage, minimum_hours)


def _of_coverage(coverage: Coverage, minimum_hours: int | None) -> list[str]:
    """Sentences on hours and months that nobody observed."""
    found = []
    days = coverage.whole_days(minimum_hours) if minimum_hours else len(coverage.days)
    if coverage.is_sparse or days < SPARSE_SHARE * len(coverage.days):
        found.append(f"sparse: {coverage.hours - coverage.hours_observed:,} of {coverage.hours:,} hours have no "
                     f"observation; their estimates come from hours before and after alone"
                     + (f", and {days} of {len(coverage.days)} days have the {minimum_hours} observed hours that a "
                        "valid day needs" if minimum_hours else ""))
    if coverage.is_thin and not coverage.is_sparse:
        found.append(f"sparse: the {coverage.used:,} stations have a value in {coverage.share:.1%} of their hours")
    if len(constant := coverage.constant()):
        value = coverage.low[coverage.stations == constant[0]][0]
        found.append(f"constant: {len(constant)} station{'s have' if len(constant) > 1 else ' has'} one and the same "
                     f"value in every hour, as {constant[0]} has {value:g} ug m-3: a stuck sensor, or a column that "
                     "was filled; quality control may not see it where all do")
    months = coverage.silent_months()
    if months and coverage.hours_observed:
        found.append(f"no station has a PM2.5 value in {', '.join(months[:6])}{' ...' if len(months) > 6 else ''}")
    return found


def check_usable(archive: Archive, inventory: Inventory, where: str, settings: quality.QualitySettings,
                 least: int = LEAST_STATIONS) -> None:
    """UserError where fewer stations than an analysis needs have a value, or a value that passes quality control."""
    coverage = inventory.coverage
    if coverage is None:
        return
    first, last = coverage.days[0], coverage.days[-1]
    rule = f"An analysis needs at least {least} stations."
    fix = f"Give observations of more stations, or another period: `aqreanalysis describe {where}` shows what is there."
    if coverage.used < least:
        told = "".join(f"; {len(ids)} left out, {why}" for why, ids in inventory.left_out_by_reason().items())
        raise UserError(f"{where} has PM2.5 of {coverage.used} station{'s' * (coverage.used != 1)} from {first} to "
                        f"{last}{told}.", rule, fix)
    if (count := usable_stations(archive, coverage, settings, least)) < least:
        odd = "".join(f"; {text}" for text in inventory.inspection.anomalies[:ODD_SHOWN])
        raise UserError(f"Of the {coverage.used} stations of {where} with PM2.5 from {first} to {last}, {count} "
                        f"{'has' if count == 1 else 'have'} a value that passes quality control{odd}.", rule,
                        "Look at the flags with `aqreanalysis describe`, correct the values, or change the section "
                        "`quality` of the recipe.")
