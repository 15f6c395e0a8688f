"""Product files: rounding by its definition, what comes back, whole or nothing, the same bytes."""

import hashlib
import os
import signal
import time

import netCDF4
import numpy as np
import product_samples as samples
import pytest
import xarray as xr
from forked import Forked
from hypothesis import given
from hypothesis import strategies as st

from aqreanalysis import files, output, time_axis
from aqreanalysis.errors import BadFile, UserError
from aqreanalysis.output import encoding

NORMAL = st.floats(2.0**-126, 2.0**126, width=32) | st.floats(-(2.0**126), -(2.0**-126), width=32)


@pytest.fixture
def grid(tmp_path):
    return samples.grid("regular", tmp_path)


@given(value=NORMAL, bits=st.integers(1, 23))
def test_rounding_error_is_at_most_half_of_the_last_bit(value, bits):
    rounded = float(encoding.round_mantissa(np.float32([value]), bits)[0])
    assert abs(rounded - value) <= abs(value) * 2.0 ** -(bits + 1)
    mantissa = np.float32(rounded).view(np.uint32) & 0x7FFFFF
    assert mantissa & ((1 << (23 - bits)) - 1) == 0
    assert encoding.round_mantissa(np.float32([rounded]), bits)[0] == rounded


@given(value=NORMAL, bits=st.integers(1, 23))
def test_rounding_down_and_up_is_in_magnitude_and_by_less_than_the_last_bit(value, bits):
    down, up = (float(encoding.round_mantissa(np.float32([value]), bits, way)[0]) for way in ("down", "up"))
    assert abs(down) <= abs(value) <= abs(up)
    assert max(abs(value) - abs(down), abs(up) - abs(value)) < abs(value) * 2.0**-bits


def test_rounding_goes_to_the_even_neighbour_from_the_middle():
    # With two bits the numbers from 1 to 2 are 1, 1.25, 1.5, 1.75, 2.
    values = np.float32([1.125, 1.375, 1.625, 1.875, 1.126, 1.374, -1.375, 0.0, -0.0])
    expected = np.float32([1.0, 1.5, 1.5, 2.0, 1.25, 1.25, -1.5, 0.0, -0.0])
    rounded = encoding.round_mantissa(values, 2)
    np.testing.assert_array_equal(rounded, expected)
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(expected))


def test_rounding_keeps_what_is_not_a_number():
    special = np.float32([np.nan, np.inf, -np.inf])
    special_bits = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)  # NaN that a carry would spoil
    np.testing.assert_array_equal(encoding.round_mantissa(special, 7), special)
    assert np.isnan(encoding.round_mantissa(special_bits, 7)).all()


@pytest.mark.parametrize("bits", [0, 24])
def test_bits_outside_float32_are_refused(bits):
    with pytest.raises(ValueError, match="1 to 23"):
        encoding.round_mantissa(np.ones(1, np.float32), bits)


@pytest.mark.parametrize("layout", samples.LAYOUTS)
@pytest.mark.parametrize("steps", [168, 72, 31, 1])
def test_what_was_written_comes_back(tmp_path, layout, steps):
    grid = samples.grid(layout, tmp_path)
    hourly = samples.fields(grid.size)
    with xr.open_dataset(samples.hourly_file(tmp_path / "h.nc", grid, steps)) as file:
        for name, values in hourly.items():
            found = file[name].values.reshape(values.shape)
            bound = {"pm25": 2.0**-11, "pm25_standard_error": 2.0**-8, "pm25_lower": 2.0**-8,
                     "pm25_upper": 2.0**-8}.get(name, 0)
            np.testing.assert_allclose(found, values, rtol=bound, atol=0, equal_nan=True)
            assert found.dtype == values.dtype
        assert file["pm25"].dims == ("time", *grid.dims)
        np.testing.assert_array_equal(file["time"].values, samples.HOURS)
        np.testing.assert_array_equal(file["distance_to_nearest_station"].values.ravel(), samples.distance(grid.size))


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_blocks_do_not_change_the_content(tmp_path, layout):
    """A file longer than a chunk, in one block and in blocks across the chunks' seams."""
    grid = samples.grid(layout, tmp_path)
    hours = time_axis.complete_hours("2016-01-01T00", "2016-01-17T15")  # 400 hours, 168 + 168 + 64
    whole = samples.hourly_file(tmp_path / "whole.nc", grid, 400, hours=hours)
    pieces = samples.hourly_file(tmp_path / "pieces.nc", grid, 97, hours=hours)
    with xr.open_dataset(whole) as one, xr.open_dataset(pieces) as other:
        xr.testing.assert_identical(one.load(), other.load())


def test_missing_values_are_the_fill_value_and_whole_numbers_have_none(tmp_path, grid):
    with netCDF4.Dataset(samples.hourly_file(tmp_path / "h.nc", grid)) as file:
        assert file["pm25"][5, 0, 1] is np.ma.masked
        assert file["pm25"][:].mask.sum() == 1
        assert file["pm25"]._FillValue == np.float32(9.969209968386869e36)
        with_fill = {name for name, variable in file.variables.items() if "_FillValue" in variable.ncattrs()}
        assert with_fill == {"pm25", "pm25_standard_error", "pm25_lower", "pm25_upper"}


def test_bounds_have_no_attributes(tmp_path, grid):
    with netCDF4.Dataset(samples.hourly_file(tmp_path / "h.nc", grid)) as file:
        bounds = [name for name in file.variables if name.endswith("_bnds")]
        assert sorted(bounds) == ["lat_bnds", "lon_bnds", "time_bnds"]
        assert all(file[name].ncattrs() == [] for name in bounds)
        np.testing.assert_allclose(file["lon_bnds"][0], [115.0, 115.1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name, chunk", [
    ("0.25deg", [168, 28, 38]),   # 56 x 76: two by two equal parts
    ("0.1deg", [168, 35, 48]),    # 140 x 190: four parts of 35, and of 48 but for the last
])
def test_chunks_are_a_week_by_equal_parts_of_at_most_45_by_60(tmp_path, name, chunk):
    big = samples.parse_grid(name)
    hours = time_axis.complete_hours("2016-01-01T00", "2016-01-08T00")  # a week and an hour
    with samples.hourly_writer(tmp_path / "h.nc", big, hours) as file:
        nothing = np.zeros((len(hours), big.size), np.float32)
        whole = nothing.astype(np.int8)
        file.write(0, {"pm25": nothing, "pm25_standard_error": nothing, "pm25_lower": nothing, "pm25_upper": nothing,
                       "quality_flag": whole, "number_of_observations": whole})
    with netCDF4.Dataset(tmp_path / "h.nc") as file:
        assert file["pm25"].chunking() == chunk
        assert file["pm25"].filters()["zlib"] and file["pm25"].filters()["shuffle"]
        assert file["pm25"].filters()["complevel"] == 1


@pytest.mark.parametrize("grid, most", [("0.1deg", 26_600), ("0.05deg", 280 * 380), ("0.02deg", 60_000)])
def test_tiles_are_whole_rows_of_chunks_that_cover_the_grid_once(grid, most):
    grid = samples.parse_grid(grid)
    row = encoding.space_chunks(grid)[0] * grid.shape[1]
    tiles = encoding.tiles(grid)
    assert [tile.start for tile in tiles[1:]] == [tile.stop for tile in tiles[:-1]]
    assert tiles[0].start == 0 and tiles[-1].stop == grid.size
    assert all(tile.start % row == 0 and tile.stop - tile.start <= max(most, row) for tile in tiles)


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_tiles_do_not_change_the_content(tmp_path, layout):
    """The same file, written whole and in tiles of two rows."""
    grid = samples.grid(layout, tmp_path)
    whole = samples.hourly_file(tmp_path / "whole.nc", grid)
    values, width = samples.fields(grid.size), grid.size // grid.shape[0]
    with samples.hourly_writer(tmp_path / "tiles.nc", grid) as file:
        for first in range(0, grid.size, 2 * width):
            points = slice(first, min(first + 2 * width, grid.size))
            file.write(0, {name: array[:, points] for name, array in values.items()}, points)
    with xr.open_dataset(whole) as one, xr.open_dataset(tmp_path / "tiles.nc") as other:
        xr.testing.assert_identical(one.load(), other.load())


def test_a_tile_that_was_not_written_is_noticed_and_half_a_row_refused(tmp_path, grid):
    values = {name: array[:, :18] for name, array in samples.fields(grid.size).items()}
    with pytest.raises(ValueError, match="72 steps"):
        with samples.hourly_writer(tmp_path / "h.nc", grid) as file:
            file.write(0, values, slice(0, 18))
    with pytest.raises(ValueError, match="not whole rows of 9"):
        with samples.hourly_writer(tmp_path / "h.nc", grid) as file:
            file.write(0, values, slice(1, 19))


def test_the_same_content_gives_the_same_bytes(tmp_path, grid):
    digests = []
    for name in ("a.nc", "b.nc"):
        digests.append(hashlib.sha256(samples.hourly_file(tmp_path / name, grid).read_bytes()).hexdigest())
        time.sleep(1.1)  # a time stamp inside would differ
    assert digests[0] == digests[1]


def test_the_division_into_parts_does_not_change_a_daily_file(tmp_path, grid):
    one, three = (samples.daily_file(tmp_path / f"{n}.nc", grid, parts=n) for n in (1, 3))
    assert one.read_bytes() == three.read_bytes()


def test_daily_stamps_end_the_calendar_day_in_utc_plus_8(tmp_path, grid):
    with xr.open_dataset(samples.daily_file(tmp_path / "d.nc", grid)) as file:
        # Beijing's 29 February 2016 runs from 28 February 16:00 to 29 February 16:00 in UTC.
        assert file["time"].values[1] == np.datetime64("2016-02-29T16:00")
        np.testing.assert_array_equal(file["time_bnds"].values[1],
                                      np.array(["2016-02-28T16:00", "2016-02-29T16:00"], "datetime64[ns]"))
        assert file["pm25"].sel(time="2016-02-29").sizes["time"] == 1


def test_hourly_bounds_span_the_hour_that_ends_at_the_stamp(tmp_path, grid):
    with xr.open_dataset(samples.hourly_file(tmp_path / "h.nc", grid)) as file:
        np.testing.assert_array_equal(file["time_bnds"].values[:, 1], samples.HOURS)
        np.testing.assert_array_equal(file["time_bnds"].values[:, 0], samples.HOURS - np.timedelta64(1, "h"))


@pytest.mark.parametrize("kind", ["hourly", "daily", "truth"])
def test_a_simulated_file_says_so(tmp_path, grid, kind):
    write = {"hourly": lambda p: samples.hourly_file(p, grid, simulated=True),
             "daily": lambda p: samples.daily_file(p, grid, simulated=True),
             "truth": lambda p: samples.truth_file(p, grid)}[kind]
    with xr.open_dataset(write(tmp_path / "s.nc")) as file:
        assert all(file.attrs[name].startswith("SIMULATED ") for name in ("title", "summary", "source"))
        assert file.attrs["simulated"] == "true"
        assert "simulated" in file.attrs["id"] and file["pm25"].attrs["long_name"].startswith("simulated")


def test_a_real_file_does_not_say_simulated(tmp_path, grid):
    with xr.open_dataset(samples.hourly_file(tmp_path / "r.nc", grid)) as file:
        assert file.attrs.pop("simulated") == "false"
        words = [*file.attrs.values(), *(str(v.attrs) for v in file.variables.values())]
        assert not any("simulated" in str(word).lower() for word in words)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_file_leaves_nothing(tmp_path, grid, error):
    folder = tmp_path / "product"
    values = samples.fields(grid.size)
    with pytest.raises(error):
        with samples.hourly_writer(folder / "h.nc", grid) as f:
            f.write(0, values)
            assert [path.name for path in folder.iterdir()] == [files.part_name(folder / "h.nc").name]
            raise error
    assert list(folder.iterdir()) == []


def test_an_interrupted_file_leaves_the_one_before(tmp_path, grid):
    path = samples.hourly_file(tmp_path / "h.nc", grid)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="72 steps"):
        with samples.hourly_writer(path, grid):
            pass
    assert path.read_bytes() == before


def test_a_file_with_hours_that_were_not_written_is_not_kept(tmp_path, grid):
    folder = tmp_path / "product"
    half = {name: values[:36] for name, values in samples.fields(grid.size).items()}
    with pytest.raises(ValueError, match="36 steps .* the first 36, were not written"):
        with samples.hourly_writer(folder / "h.nc", grid) as f:
            f.write(0, half)
    assert list(folder.iterdir()) == []


def test_parts_that_fail_leave_no_daily_file(tmp_path, grid):
    def parts():
        yield {name: values[:1] for name, values in samples.daily_fields(samples.fields(grid.size)).items()}
        raise RuntimeError("the second day")
    folder = tmp_path / "product"
    with pytest.raises(RuntimeError, match="the second day"):
        output.write_daily(folder / "d.nc", grid, samples.DAYS, parts(), samples.about())
    assert list(folder.iterdir()) == []


def write_within(folder, limit):
    """An hourly file, with a limit of the size of files; prints what is told."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    grid = samples.grid("regular", folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        samples.hourly_file(folder / "product" / "h.nc", grid)
    except UserError as error:
        print(error.problem, "|", error.rule, "|", error.fix, flush=True)


@pytest.mark.skipif(os.name == "nt", reason="limits of file size are POSIX")
@pytest.mark.parametrize("limit", [2_000, 30_000])
def test_a_disk_without_space_is_the_users_to_mend(tmp_path, limit):
    """Files may have so many bytes and no more: the system refuses real writes, in the head or in the data."""
    code, told = Forked(write_within, tmp_path, limit).ended()
    assert code == 0, told
    problem, rule, fix = told.split(" | ")
    assert "h.nc could not be written in" in problem and "bytes are free" in problem
    assert "room" in rule and "same command again" in fix
    assert list((tmp_path / "product").iterdir()) == []


def test_a_folder_that_can_not_be_made_is_told(tmp_path, grid):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        samples.hourly_file(tmp_path / "file" / "h.nc", grid)


@pytest.mark.parametrize("spoil, message", [
    (lambda b: b.pop("quality_flag"), "a block has pm25, "),
    (lambda b: b.update(pm25=b["pm25"][:, :-1]), "every array of a block"),
    (lambda b: b.update(quality_flag=b["quality_flag"] + np.int8(3)), "quality_flag is 0 to 4"),
    (lambda b: b.update(number_of_observations=np.full(b["pm25"].shape, 1 << 15)),
     "number_of_observations is 0 to 32767"),
])
def test_a_block_that_does_not_fit_is_refused(tmp_path, grid, spoil, message):
    block = samples.fields(grid.size)
    spoil(block)
    with pytest.raises(ValueError, match=message):
        _write(tmp_path, grid, block)


def _write(tmp_path, grid, block, first=0):
    with samples.hourly_writer(tmp_path / "h.nc", grid) as f:
        f.write(first, block)


@pytest.mark.parametrize("first", [-1, 1])
def test_a_block_outside_the_time_axis_is_refused(tmp_path, grid, first):
    with pytest.raises(ValueError, match="not all among the 72"):
        _write(tmp_path, grid, samples.fields(grid.size), first)


def test_check_accepts_a_whole_file_and_names_what_is_wrong(tmp_path, grid):
    path = samples.hourly_file(tmp_path / "h.nc", grid)
    output.check_file(path, samples.HOURS)
    with pytest.raises(BadFile, match="72 times"):
        output.check_file(path, samples.HOURS + np.timedelta64(1, "h"))
    with pytest.raises(BadFile, match="can't be read"):
        output.check_file(tmp_path / "absent.nc")


def test_check_finds_cut_and_damaged_files(tmp_path, grid):
    whole = samples.hourly_file(tmp_path / "h.nc", grid).read_bytes()
    cut = tmp_path / "cut.nc"
    cut.write_bytes(whole[:-100])
    with pytest.raises(BadFile, match="can't be read"):
        output.check_file(cut, samples.HOURS)
    with netCDF4.Dataset(tmp_path / "h.nc", "a") as file:
        file["quality_flag"][3] = np.int8(-127)  # what netCDF has where nothing was written
    with pytest.raises(BadFile, match="never written"):
        output.check_file(tmp_path / "h.nc", samples.HOURS)


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path, grid):
    samples.hourly_file(tmp_path / "h.nc", grid)
    (tmp_path / ".h.nc.part-elsewhere-123").write_text("half")
    (tmp_path / ".keep").write_text("")
    for folder in ("maps", "stations"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".o.nc.part-elsewhere-123").write_text("half")
    assert output.remove_abandoned(tmp_path) == 3
    assert {path.name for path in tmp_path.rglob("*")} == {"h.nc", ".keep", "grid.txt", "maps", "stations"}


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_the_mean_over_time_is_numpys(tmp_path, layout):
    grid = samples.grid(layout, tmp_path)
    hours = time_axis.complete_hours("2016-01-01T00", "2016-01-17T15")
    path = samples.hourly_file(tmp_path / "h.nc", grid, hours=hours)
    with xr.open_dataset(path) as file:
        stored = file["pm25"].values.astype(np.float64)
    result = output.read_mean(path)
    np.testing.assert_allclose(result["pm25"].values, np.nanmean(stored, axis=0), rtol=1e-6)
    assert result["count"].values.sum() == np.isfinite(stored).sum() == 400 * grid.size - 1
    assert result["pm25"].dims == grid.dims
    assert result.attrs["simulated"] == "false"


def test_a_mean_takes_the_days_of_its_period_from_all_files(tmp_path, grid):
    hourly, daily = samples.hourly_file(tmp_path / "h.nc", grid), samples.daily_file(tmp_path / "d.nc", grid)
    march = time_axis.Period(samples.LAST, samples.LAST)
    np.testing.assert_allclose(output.read_mean(hourly, period=march)["pm25"],
                               samples.fields(grid.size)["pm25"][48:].mean(axis=0).reshape(grid.shape), rtol=2**-11)
    assert (output.read_mean(daily, "number_of_hours", march)["number_of_hours"] == 24).all()
    assert (output.read_mean([hourly, hourly], period=march)["count"] == 48).all()


def test_the_mean_of_nothing_is_missing(tmp_path, grid):
    values = samples.fields(grid.size)
    values["pm25"][:, 3] = np.nan
    result = output.read_mean(samples.hourly_file(tmp_path / "h.nc", grid, values=values))
    assert np.isnan(result["pm25"].values.ravel()[3]) and result["count"].values.ravel()[3] == 0
    assert np.isfinite(np.delete(result["pm25"].values.ravel(), 3)).all()


def test_the_most_frequent_class(tmp_path, grid):
    values = samples.fields(grid.size)
    values["quality_flag"][:] = 2
    values["quality_flag"][:36, 0], values["quality_flag"][:37, 1] = 1, 4  # half of 72 hours, and one more
    found = output.read_most_frequent(samples.hourly_file(tmp_path / "h.nc", grid, values=values))
    assert found.shape == grid.shape
    assert found.ravel()[:3].tolist() == [1, 4, 2]


def test_means_that_can_not_be_made_are_refused(tmp_path, grid):
    path = samples.hourly_file(tmp_path / "h.nc", grid)
    other = samples.hourly_file(tmp_path / "o.nc", samples.grid("curvilinear", tmp_path))
    with pytest.raises(UserError, match="no variable pm10"):
        output.read_mean(path, "pm10")
    with pytest.raises(UserError, match="another grid"):
        output.read_mean([path, other])
    with pytest.raises(UserError, match="has a step in the period 2017"):
        output.read_mean(path, period=time_axis.parse_period(2017, None, None))
    with pytest.raises(UserError, match="can't be read"):
        output.read_mean(tmp_path / "absent.nc")


def test_a_path_has_the_format_of_its_longest_suffix(monkeypatch):
    toy = type("Toy", (), {"suffix": ".toy.nc"})()
    monkeypatch.setitem(output.FORMATS, "toy", toy)
    assert output.format_of("folder/a.toy.nc") is toy
    assert output.format_of("a.nc") is output.format_of("a.without") is output.FORMATS["netcdf"]
    assert output.format_of("a.zarr") is output.FORMATS["zarr"]
