"""The network's reference states: which one a period has, and the ideal gas law by hand."""

import datetime as dt

import numpy as np
import product_samples as samples
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from aqreanalysis import clock, reference_state
from aqreanalysis.schema import POLLUTANTS

BEFORE, SINCE = np.datetime64("2018-08-31"), np.datetime64("2018-09-01")


@pytest.mark.parametrize(("first", "last", "words", "not_words"), [
    ("2013-12-05", "2018-08-31", ["273 K and 1013.25 hPa"], ["298.15", "changes"]),
    ("2018-09-01", "2019-12-31", ["actual temperature and pressure for particles", "298.15 K"], ["273 K", "changes"]),
    ("2018-08-31", "2018-09-01", ["changes within the period", "273 K", "2018-08-31", "2018-09-01", "8 %"], []),
])
def test_a_period_says_its_state(first, last, words, not_words):
    for days in ((dt.date.fromisoformat(first), dt.date.fromisoformat(last)),
                 (np.datetime64(first, "D"), np.datetime64(last, "D"))):
        text = reference_state.of_period(*days)
        assert all(word in text for word in words) and not any(word in text for word in not_words)


def test_the_change_is_at_local_midnight():
    """The stamp 2018-08-31T16:00Z is midnight in China and ends the last day of the old state."""
    stamps = np.array(["2018-08-31T16", "2018-08-31T17"], "datetime64[h]")
    texts = [reference_state.of_period(day, day) for day in clock.local_days(stamps)]
    assert "until 2018-08-31" in texts[0] and "from 2018-09-01" in texts[1]


@pytest.mark.parametrize(("pollutant", "day", "degrees", "pressure", "factor"), [
    # Beijing in July: 30 degC, 1000 hPa. 273 K / 303.15 K * 1000 / 1013.25 = 0.88877
    ("pm25", BEFORE, 30.0, 1000.0, 273 / 303.15 * 1000 / 1013.25), ("pm25", SINCE, 30.0, 1000.0, 1.0),
    # January: -10 degC, 1030 hPa. 273 / 263.15 * 1030 / 1013.25 = 1.05458
    ("pm10", BEFORE, -10.0, 1030.0, 273 / 263.15 * 1030 / 1013.25),
    # a gas since the change: 298.15 / 303.15 * 1000 / 1013.25 = 0.97065
    ("o3", SINCE, 30.0, 1000.0, 298.15 / 303.15 * 1000 / 1013.25),
    ("o3", BEFORE, 30.0, 1000.0, 273 / 303.15 * 1000 / 1013.25),
])
def test_to_actual_by_hand(pollutant, day, degrees, pressure, factor):
    assert reference_state.to_actual(100.0, pollutant, degrees, pressure, day) == pytest.approx(100 * factor, rel=1e-5)


def test_to_standard_by_hand():
    # nothing to do before the change; after it particles are 303.15 / 273 * 1013.25 / 1000 = 1.125153 times as much,
    # gases 298.15 / 273 = 1.092125 whatever the weather is
    found = [float(reference_state.to_standard(100.0, name, 30.0, 1000.0, day))
             for name in ("pm25", "co") for day in (BEFORE, SINCE)]
    assert found == pytest.approx([100, 112.51529, 100, 109.2125], rel=1e-5)
    assert reference_state.to_standard(100.0, "co", np.nan, np.nan, SINCE) == pytest.approx(109.2125, rel=1e-5)


@given(st.sampled_from(POLLUTANTS), st.floats(-40, 45), st.floats(600, 1060))
def test_both_ways_agree_on_how_dense_the_air_is(pollutant, degrees, pressure):
    """Standard over actual is the ratio of molar volumes, RT/p over RT0/p0, of what is reported on any day."""
    for day in (BEFORE, SINCE):
        ratio = (reference_state.to_standard(1.0, pollutant, degrees, pressure, day)
                 / reference_state.to_actual(1.0, pollutant, degrees, pressure, day))
        assert ratio == pytest.approx((degrees + 273.15) / pressure / (273.0 / 1013.25), rel=1e-12)


def test_arrays_broadcast_and_missing_weather_is_missing_where_it_is_needed():
    days = np.array([BEFORE, SINCE])[:, None]
    found = reference_state.to_actual(np.full((2, 2), 10.0), "pm25", [[20.0, np.nan]], 1000.0, days)
    assert np.isnan(found).tolist() == [[False, True], [False, False]]
    assert found[1].tolist() == [10.0, 10.0]


@pytest.mark.parametrize(("degrees", "pressure", "word"), [(293.0, 1000.0, "Celsius"), (20.0, 101325.0, "hPa")])
def test_kelvin_and_pascal_are_refused(degrees, pressure, word):
    with pytest.raises(ValueError, match=word):
        reference_state.to_actual(1.0, "pm25", degrees, pressure, SINCE)
    with pytest.raises(ValueError, match="pm1"):
        reference_state.to_actual(1.0, "pm1", 20.0, 1000.0, SINCE)


@pytest.mark.parametrize("write", [samples.hourly_file, samples.daily_file, samples.truth_file])
def test_every_product_file_says_its_state(tmp_path, write):
    with xr.open_dataset(write(tmp_path / "x.nc", samples.grid("regular", tmp_path))) as file:
        assert file.attrs["reference_state"] == samples.about().reference_state
