"""The network's reference states: which one a period has."""

import datetime as dt

import numpy as np
import product_samples as samples
import pytest
import xarray as xr

from aqreanalysis import schema, time_axis


@pytest.mark.parametrize(("first", "last", "words", "not_words"), [
    ("2013-12-05", "2018-08-31", ["273 K and 1013.25 hPa"], ["298.15", "changes"]),
    ("2018-09-01", "2019-12-31", ["actual temperature and pressure for particles", "298.15 K"], ["273 K", "changes"]),
    ("2018-08-31", "2018-09-01", ["changes within the period", "273 K", "2018-08-31", "2018-09-01", "8 %"], []),
])
def test_a_period_says_its_state(first, last, words, not_words):
    for days in ((dt.date.fromisoformat(first), dt.date.fromisoformat(last)),
                 (np.datetime64(first, "D"), np.datetime64(last, "D"))):
        text = schema.reference_state(*days)
        assert all(word in text for word in words) and not any(word in text for word in not_words)


def test_the_change_is_at_local_midnight():
    """The stamp 2018-08-31T16:00Z is midnight in China and ends the last day of the old state."""
    stamps = np.array(["2018-08-31T16", "2018-08-31T17"], "datetime64[h]")
    texts = [schema.reference_state(day, day) for day in time_axis.local_days(stamps)]
    assert "until 2018-08-31" in texts[0] and "from 2018-09-01" in texts[1]


@pytest.mark.parametrize("write", [samples.hourly_file, samples.daily_file, samples.truth_file])
def test_every_product_file_says_its_state(tmp_path, write):
    with xr.open_dataset(write(tmp_path / "x.nc", samples.grid("regular", tmp_path))) as file:
        assert file.attrs["reference_state"] == samples.about().reference_state
