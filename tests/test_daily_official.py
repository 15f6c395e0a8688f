"""Our daily means against the network's own: PM2.5_24h at 00:00 is the official mean of the day that ends there.

The files of the first of each month have it; 1 January's day lies before the archive. What is compared is the
function that makes the days of a product, fed with stations in place of cells.
"""

import csv
import datetime as dt
import io
import zipfile

import numpy as np
import pytest

from aqreanalysis import time_axis
from aqreanalysis.models import uncertainty
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.recipes import ProductRecipe

pytestmark = pytest.mark.archive
DAYS = [dt.date(2019, month, 1) - dt.timedelta(days=1) for month in range(2, 13)]
REVISED = dt.date(2019, 5, 31)   # the file holds other hours than those that the official means were made of


def official(archive_path, day, stations):
    """PM2.5_24h at the end of a day, by the csv module alone, NaN where there is none."""
    stamp = day + dt.timedelta(days=1)
    with zipfile.ZipFile(archive_path / "cnemc-2019" / f"china_sites_{stamp:%Y%m}.zip") as container:
        text = container.read(f"china_sites_{stamp:%Y%m%d}.csv").decode("utf-8-sig")
    row, = (row for row in csv.DictReader(io.StringIO(text)) if (row["type"], row["hour"]) == ("PM2.5_24h", "0"))
    return np.array([float(row.get(station) or "nan") for station in stations])


@pytest.fixture(scope="module")
def days(archive_path):
    """Arrays (days, stations): our mean, its hours, the official mean."""
    archive = open_archive(archive_path / "cnemc-2019")
    found = []
    for day in DAYS:
        hours = time_axis.hours_of_days(day, day)
        pm25 = archive.read(hours[0], hours[-1]).pm25
        ours = uncertainty.daily(pm25.values, np.ones(pm25.shape), np.zeros(pm25.shape, np.int8),
                                 ProductRecipe(name="x").minimum_hours, uncertainty.exponential_correlation(6.5))
        found.append((ours["pm25"][0], ours["number_of_hours"][0], official(archive_path, day, pm25.station.values)))
    return tuple(np.stack(parts) for parts in zip(*found, strict=True))


def test_whole_days_are_the_official_means_but_for_their_rounding(days):
    """The publisher gives whole numbers: with all 24 hours nothing but half a unit is between us."""
    ours, hours, theirs = days
    whole = (hours == 24) & np.isfinite(theirs)
    assert whole.sum() > 4500
    usual = whole & (np.array(DAYS) != REVISED)[:, None]
    assert np.abs(ours - theirs)[usual].max() < 0.501   # float32
    assert np.abs(ours - theirs)[whole].max() < 1.1


def test_valid_days_agree(days):
    """With 20 to 23 hours as well: the official mean was made of hours that these files lack."""
    ours, hours, theirs = days
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert both.sum() > 8000
    assert np.median(np.abs(ours - theirs)[both]) <= 0.5
    assert np.corrcoef(ours[both], theirs[both])[0, 1] > 0.999
    assert np.abs(np.mean((ours - theirs)[both])) < 0.2


def test_a_valid_day_has_20_hours(days):
    ours, hours, theirs = days
    np.testing.assert_array_equal(np.isfinite(ours), hours >= 20)   # the default of recipes
    assert np.isfinite(theirs[hours >= 20]).mean() > 0.99   # what is valid to us is to the publisher
