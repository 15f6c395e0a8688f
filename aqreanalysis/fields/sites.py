"""Weather at sites: hourly means at places, read once and kept, 4 bytes an hour, site and field."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.fields.hours import HOUR_S
from aqreanalysis.fields.readers.site_layout import SITE_ID, SiteRows
from aqreanalysis.fields.sampling import REACH, REACH_KM
from aqreanalysis.fields.source import FieldSource
from aqreanalysis.fields.variables import FIELDS
from aqreanalysis.schema import LAT, LON, SITE, TIME
from aqreanalysis.time_axis import HOUR

OFF_HOUR_SHARE = 0.5  # of rows off the full hour: more of them, and they are none of hours


class SiteFields(FieldSource):
    """Weather at the sites of some files."""

    def __init__(self, path: Path | str, rows: SiteRows, reach_km: float = REACH_KM):
        """UserError where there is no row, or most are of no full hour."""
        self._rows, self._notes, self.reach_km = rows, list(rows.notes), reach_km
        self.simulated = rows.simulated
        self.sites = rows.places.sort_index()
        self._arrays, self._first = self._cube(str(path))
        placed = "one place that holds everywhere" if not np.isfinite(self.sites.lat).all() else \
            f"{len(self.sites)} sites"
        self.source = f"{'SIMULATED ' * rows.simulated}{Path(path).name} (weather of {placed})"

    def _cube(self, where: str) -> tuple[dict[str, np.ndarray], np.datetime64]:
        """Arrays (hours, sites) by field, and the first hour."""
        number = {str(site): place for place, site in enumerate(self.sites.index)}
        parts, off, lost, total = [], 0, 0, 0
        for batch in self._rows.batches():
            time = batch["time"].to_numpy().astype("datetime64[s]")
            site = batch[SITE_ID].map(number).to_numpy(np.float64, na_value=np.nan)
            wrong = np.isnat(time) | (time.astype(np.int64) % HOUR_S != 0)
            off, lost, total = off + wrong.sum(), lost + np.isnan(site).sum(), total + len(batch)
            good = ~wrong & ~np.isnan(site)
            parts.append((time[good].astype(np.int64) // HOUR_S, site[good].astype(np.int64),
                          {name: batch[name].to_numpy(np.float32)[good] for name in self._rows.names
                           if name in batch}))
        if not total or off > OFF_HOUR_SHARE * total or not any(part[0].size for part in parts):
            raise UserError(f"{where}: {off:,} of {total:,} rows have no time at a full hour.",
                            "A row is the mean of an hour, stamped with its END.", "Make hourly means of it.")
        if off or lost:
            self._notes.append(f"{off:,} rows off the full hour and {lost:,} of sites without a place are not read")
        return self._filled(parts)

    def _filled(self, parts: list) -> tuple[dict[str, np.ndarray], np.datetime64]:
        hour, site = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        first, count = int(hour.min()), int(hour.max() - hour.min()) + 1
        twice = hour.size - len(np.unique((hour - first) * len(self.sites) + site))
        if twice:
            self._notes.append(f"{twice:,} rows repeat a site and hour; the first value is kept")
        arrays = {name: np.full((count, len(self.sites)), np.nan, np.float32) for name in self._rows.names}
        for at, places, values in reversed(parts):  # so that the first stays
            for name, column in values.items():
                known = np.isfinite(column)[::-1]
                arrays[name][(at - first)[::-1][known], places[::-1][known]] = column[::-1][known]
        return arrays, np.datetime64(first, "h").astype("datetime64[ns]")

    @property
    def stored(self) -> tuple[str, ...]:
        """As FieldSource.stored."""
        return self._rows.names

    @property
    def area(self) -> None:
        """Sites have none: they hold as far as `reach_km`."""

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """As FieldSource.period."""
        return self._first, self._first + (len(next(iter(self._arrays.values()))) - 1) * HOUR

    def paths_of(self, start, end) -> list[Path]:
        """As FieldSource.paths_of: all of them, whatever the hours."""
        return self._rows.files

    def fingerprint(self, start, end) -> str:
        """As FieldSource.fingerprint: of all files, whatever the hours."""
        return hashlib.sha256("\n".join(sorted(map(files.sha256_of, self._rows.files))).encode()).hexdigest()

    def notes(self) -> list[str]:
        """As FieldSource.notes."""
        return self._notes

    def _read_stored(self, hours: np.ndarray, names: tuple[str, ...], lat: np.ndarray, lon: np.ndarray) -> xr.Dataset:
        rows = ((hours - self._first) / HOUR).astype(np.int64)
        inside = (rows >= 0) & (rows < len(self._arrays[names[0]]))
        found = {}
        for name in names:
            values = np.full((hours.size, len(self.sites)), np.nan, np.float32)
            values[inside] = self._arrays[name][rows[inside]]
            found[name] = ((TIME, SITE), values, FIELDS[name].attributes)
        coords = {TIME: hours, SITE: self.sites.index.to_numpy(object), LAT: (SITE, self.sites.lat.to_numpy(float)),
                  LON: (SITE, self.sites.lon.to_numpy(float))}
        return xr.Dataset(found, coords=coords, attrs={"source": self.source, REACH: self.reach_km})

