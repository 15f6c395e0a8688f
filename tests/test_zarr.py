"""Zarr stores: what the NetCDF files say, written by parts in any order, and never taken for whole before they are."""

import json
import shutil

import netCDF4
import numpy as np
import product_samples as samples
import pytest
import xarray as xr
import zarr

from aqreanalysis import output
from aqreanalysis.grids import parse_grid
from aqreanalysis.output import cf, zarr_store
from aqreanalysis.workflows.describe import describe
from aqreanalysis.workflows.plot_map import MapOptions, plot_map

MONTHS = (slice(0, 48), slice(48, 72))  # of samples.HOURS: two days of February, one of March
LAYERS = 2
ZARR = output.FORMATS["zarr"]


def part_of(path, number):
    rows = MONTHS[number]
    return output.ProductPart(path, samples.HOURS[rows], rows.start, number)


def write_month(path, grid, number, values=None):
    rows, part = MONTHS[number], part_of(path, number)
    values = samples.fields(grid.size) if values is None else values
    with output.open_part(part, grid, samples.about(), cf.HOURLY, samples.distance(grid.size) + number) as store:
        store.write(0, {name: array[rows] for name, array in values.items()})
    return part


def hourly_store(path, grid, order=(0, 1)):
    ZARR.create(path, grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    for number in order:
        write_month(path, grid, number)
    ZARR.finish(path)
    return path


def content(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def plain(attributes):
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in attributes.items()}


def compare(netcdf, store, but=()):
    """Same variables, dimensions, types, values and attributes through xarray."""
    with xr.open_dataset(netcdf) as one, xr.open_zarr(store, consolidated=True, chunks=None) as other:
        assert set(one.variables) - set(but) == set(other.variables) - set(but)
        assert plain(one.attrs) == other.attrs
        for name in set(one.variables) - set(but):
            assert one[name].dims == other[name].dims, name
            if one[name].dtype.kind in "OTU":
                assert one[name].values.astype(object).tolist() == other[name].values.astype(object).tolist()
            else:
                assert one[name].dtype == other[name].dtype, name
                np.testing.assert_array_equal(one[name].values, other[name].values)
            assert plain(one[name].attrs) == other[name].attrs, name
            written = [set(file[name].encoding.get("coordinates", "").split()) for file in (one, other)]
            assert written[0] - set(but) == written[1], name


@pytest.fixture
def grid(tmp_path):
    return samples.grid("regular", tmp_path)


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_hours_are_those_of_the_netcdf_file(tmp_path, layout):
    grid = samples.grid(layout, tmp_path)
    compare(samples.hourly_file(tmp_path / "h.nc", grid), hourly_store(tmp_path / "h.zarr", grid),
            but=("distance_to_nearest_station", "month"))


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_days_are_those_of_the_netcdf_file(tmp_path, layout):
    grid = samples.grid(layout, tmp_path)
    output.write_daily(tmp_path / "d.zarr", grid, samples.DAYS,
                       [samples.daily_fields(samples.fields(grid.size))], samples.about())
    compare(samples.daily_file(tmp_path / "d.nc", grid), tmp_path / "d.zarr")


def test_each_month_has_its_distances(tmp_path, grid):
    with xr.open_zarr(hourly_store(tmp_path / "h.zarr", grid)) as store:
        found = store["distance_to_nearest_station"]
        assert found.dims == ("month", "lat", "lon") and found.attrs["units"] == "km"
        assert store["month"].values.astype("datetime64[D]").astype(str).tolist() == ["2016-02-01", "2016-03-01"]
        for number in range(LAYERS):
            np.testing.assert_array_equal(found[number].values.ravel(), samples.distance(63) + np.float32(number))


def test_order_repetition_and_time_do_not_change_a_byte(tmp_path, grid):
    one = content(hourly_store(tmp_path / "a.zarr", grid))
    other = content(hourly_store(tmp_path / "b.zarr", grid, (1, 0, 1)))
    assert one == other and len(one) > 20


def test_months_share_no_file(tmp_path, grid):
    """What lets processes write them at once."""
    path = hourly_store(tmp_path / "h.zarr", grid)
    files = [set(zarr_store.stored_files(path, part_of(path, number))) for number in range(len(MONTHS))]
    others = set(zarr_store.stored_files(path, None))
    variables = len(cf.fields_of(cf.HOURLY, samples.about()))
    assert [len(of) for of in files] == [2 * variables + 1, variables + 1]  # a day a variable, and the distances
    assert not files[0] & files[1] and not (files[0] | files[1]) & others
    assert files[0] | files[1] | others == {file for file in path.rglob("*") if file.is_file()}


def test_a_store_has_no_name_and_no_consolidated_metadata_before_it_is_finished(tmp_path, grid):
    path = tmp_path / "h.zarr"
    ZARR.create(path, grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    write_month(path, grid, 0)
    assert not path.exists() and zarr_store.live(path).name == ".h.zarr.part"
    assert "consolidated_metadata" not in json.loads((zarr_store.live(path) / "zarr.json").read_text())
    with pytest.raises(FileNotFoundError):
        xr.open_zarr(path)
    write_month(path, grid, 1)
    ZARR.finish(path)
    assert json.loads((path / "zarr.json").read_text())["consolidated_metadata"]["metadata"].keys() >= {"pm25", "time"}
    assert not zarr_store.hidden(path).exists()


def test_a_month_that_is_not_whole_is_an_error(tmp_path, grid):
    path = tmp_path / "h.zarr"
    ZARR.create(path, grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    part = output.ProductPart(path, samples.HOURS[:48])
    with pytest.raises(ValueError, match="24 steps .* the first 24, were not written"):
        with output.open_part(part, grid, samples.about(), cf.HOURLY, samples.distance(63)) as store:
            store.write(0, {name: array[:24] for name, array in samples.fields(63).items()})


def test_what_a_kill_left_in_a_store_goes_with_its_end(tmp_path, grid):
    path = tmp_path / "h.zarr"
    ZARR.create(path, grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    for number in range(LAYERS):
        write_month(path, grid, number)
    left = zarr_store.live(path) / "pm25" / "c" / "0" / "0" / ".0123.partial"
    left.write_bytes(b"half")
    ZARR.finish(path)
    assert content(path) == content(hourly_store(tmp_path / "b.zarr", grid))


def test_what_a_forgotten_worker_wrote_beside_a_finished_store_is_a_leftover(tmp_path, grid):
    path = hourly_store(tmp_path / "h.zarr", grid)
    ZARR.create(tmp_path / "other.zarr", grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    zarr_store.hidden(path).mkdir()
    (zarr_store.hidden(path) / "c").write_text("")
    assert output.remove_abandoned(tmp_path) == 1
    assert {entry.name for entry in tmp_path.iterdir()} >= {"h.zarr", ".other.zarr.part"}
    ZARR.reopen(path)


def test_a_finished_store_is_opened_again_for_one_month(tmp_path, grid):
    path = hourly_store(tmp_path / "h.zarr", grid)
    before = content(path)
    (path / "pm25" / "c" / "2" / "0" / "0").write_bytes(b"damaged")
    ZARR.reopen(path)
    write_month(path, grid, 1)
    ZARR.finish(path)
    assert content(path) == before


def test_a_fingerprint_tells_which_month_is_damaged(tmp_path, grid):
    path = hourly_store(tmp_path / "h.zarr", grid)
    parts = [part_of(path, number) for number in range(len(MONTHS))]
    before = [output.fingerprint(path, part) for part in (*parts, None)]
    shard = path / "pm25" / "c" / "2" / "0" / "0"
    spoilt = bytearray(shard.read_bytes())
    spoilt[7] ^= 1
    shard.write_bytes(bytes(spoilt))
    after = [output.fingerprint(path, part) for part in (*parts, None)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    assert before[1]["bytes"] == after[1]["bytes"]
    shutil.rmtree(path / "pm25" / "c" / "0")
    assert output.fingerprint(path, parts[0])["bytes"] < before[0]["bytes"]


@pytest.mark.parametrize("name", ["zarr.json", "pm25/zarr.json", "lat/c/0"])
def test_damaged_metadata_are_made_anew_and_the_steps_stay(tmp_path, grid, name):
    path = hourly_store(tmp_path / "h.zarr", grid)
    before, noted = content(path), output.fingerprint(path)
    (path / name).write_bytes(b"\xa0 damaged")
    assert output.fingerprint(path) != noted
    ZARR.reopen(path)
    ZARR.create(path, grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    ZARR.finish(path)
    assert content(path) == before


def test_tiles_of_a_store_are_the_whole(tmp_path, monkeypatch, grid):
    """In tiles of two rows of cells, each a shard of its own."""
    whole = hourly_store(tmp_path / "whole.zarr", grid)
    from aqreanalysis.output import encoding

    monkeypatch.setattr(encoding, "TILE_POINTS", 18)
    monkeypatch.setitem(encoding.SPACE_CHUNKS, "regular", (2, 60))
    path, values = tmp_path / "tiles.zarr", samples.fields(63)
    ZARR.create(path, grid, samples.HOURS, samples.about(), cf.HOURLY, LAYERS)
    for number, rows in enumerate(MONTHS):
        part, distance = part_of(path, number), samples.distance(63) + number
        with output.open_part(part, grid, samples.about(), cf.HOURLY, distance) as store:
            for points in encoding.tiles(grid):
                store.write(0, {name: array[rows, points] for name, array in values.items()}, points)
    ZARR.finish(path)
    assert len(encoding.tiles(grid)) == 4 and zarr.open_group(path)["pm25"].shards == (24, 2, 9)
    with xr.open_zarr(whole) as one, xr.open_zarr(path) as other:
        xr.testing.assert_identical(one.load(), other.load())


def test_means_are_those_of_the_netcdf_file(tmp_path, grid):
    one, other = samples.hourly_file(tmp_path / "h.nc", grid), hourly_store(tmp_path / "h.zarr", grid)
    np.testing.assert_array_equal(output.read_mean(one)["pm25"], output.read_mean(other)["pm25"])
    np.testing.assert_array_equal(output.read_most_frequent(one), output.read_most_frequent(other))


def test_describe_finds_the_same_in_both(tmp_path, grid):
    kinds = [describe(str(path)).kinds["hourly"] for path in (
        samples.hourly_file(tmp_path / "h.nc", grid), hourly_store(tmp_path / "h.zarr", grid))]
    assert kinds[0].fields == kinds[1].fields and kinds[0].variables == kinds[1].variables
    assert kinds[0].classes.tolist() == kinds[1].classes.tolist() and kinds[1].fields["pm25"].missing == 1
    assert kinds[1].bytes == sum(len(part) for part in content(tmp_path / "h.zarr").values())


def test_a_map_is_drawn_from_a_store_of_days(tmp_path, grid):
    path = tmp_path / "pm25_daily_20160228-20160301.zarr"
    output.write_daily(path, grid, samples.DAYS, [samples.daily_fields(samples.fields(grid.size))], samples.about())
    drawn = plot_map(tmp_path, MapOptions("2016-02-29", "2016-03-01"))
    assert drawn.name == "pm25_mean_20160229-20160301.png" and drawn.stat().st_size > 10_000


@pytest.mark.parametrize("layout", samples.LAYOUTS)
def test_a_store_says_what_its_grid_is(tmp_path, layout):
    grid = samples.grid(layout, tmp_path)
    found = parse_grid(hourly_store(tmp_path / "h.zarr", grid))
    assert (found.kind, found.shape, found.fingerprint) == (grid.kind, grid.shape, grid.fingerprint)


def test_a_store_that_is_not_there_is_told():
    with pytest.raises(Exception, match="nowhere.zarr can't be read"):
        parse_grid("nowhere.zarr")


def test_missing_values_are_nan_and_counts_are_whole_numbers(tmp_path, grid):
    raw = zarr.open_group(hourly_store(tmp_path / "h.zarr", grid), mode="r")
    assert np.isnan(raw["pm25"][5, 0, 1]) and np.isnan(raw["pm25"][:]).sum() == 1
    assert raw["quality_flag"].dtype == np.int8 and "_FillValue" not in raw["pm25"].attrs
    with netCDF4.Dataset(samples.hourly_file(tmp_path / "h.nc", grid)) as file:
        assert file["pm25"][5, 0, 1] is np.ma.masked
