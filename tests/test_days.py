"""A month's days until the file of all days is written: whole or not there, and read as they are asked for."""

import numpy as np
import pytest

from aqreanalysis.errors import UserError
from aqreanalysis.output import daily

FIELDS = ("pm25", "quality_flag", "number_of_hours")


def means(count, points, seed=0):
    rng = np.random.default_rng(seed)
    return {"pm25": rng.normal(50, 9, (count, points)).astype(np.float32),
            "quality_flag": rng.integers(0, 5, (count, points)).astype(np.int8),
            "number_of_hours": rng.integers(0, 25, (count, points)).astype(np.int8)}


def test_what_was_written_in_tiles_and_weeks_comes_back(tmp_path):
    whole, path = means(9, 20), tmp_path / "days.npy"
    with daily.MonthDays(path, FIELDS, 9, 20) as file:
        for points in (slice(0, 12), slice(12, 20)):
            for first in (0, 7):
                file.write(first, points, {name: array[first:first + 7, points] for name, array in whole.items()})
    found = daily.read_month_days(path, FIELDS)
    for name, array in whole.items():
        np.testing.assert_array_equal(found[name], array)
        assert isinstance(found[name], np.memmap)
    assert [file.name for file in tmp_path.iterdir()] == ["days.npy"]


def test_missing_days_are_nan(tmp_path):
    values = means(2, 3)
    values["pm25"][1, 2] = np.nan
    with daily.MonthDays(tmp_path / "days.npy", FIELDS, 2, 3) as file:
        file.write(0, slice(None), values)
    found = daily.read_month_days(tmp_path / "days.npy", FIELDS)
    assert np.isnan(found["pm25"]).tolist() == [[False] * 3, [False, False, True]]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with daily.MonthDays(tmp_path / "days.npy", FIELDS, 2, 3) as file:
            file.write(0, slice(None), means(2, 3))
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(UserError, match="days.npy could not be written"):
        with daily.MonthDays(tmp_path / "gone" / "days.npy", FIELDS, 1, 1):
            pass
