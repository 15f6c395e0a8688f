"""Finished products as the verbs that use one read them: any format and grid, in blocks; what is wrong is told."""

import json
import shutil

import numpy as np
import product_samples as samples
import pytest

from aqreanalysis import output, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.product import derived, reading
from aqreanalysis.product.reading import DAYS, HOURS, open_finished, read_blocks

FEBRUARY_29 = time_axis.parse_period(None, "2016-02-29", "2016-02-29")


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Products of every grid, and one as Zarr; nobody changes them."""
    folder = tmp_path_factory.mktemp("products")
    grids = {layout: samples.grid(layout, folder) for layout in samples.LAYOUTS}
    made = {layout: samples.product(folder / layout, grid, samples.fields(grid.size)) for layout, grid in grids.items()}
    zarr = samples.product(folder / "zarr", grids["regular"], samples.fields(grids["regular"].size),
                           file_format="zarr")
    return made | {"zarr": zarr}


def joined(product, frequency, name, **how):
    """A variable (steps, points) from its blocks, and its stamps."""
    found, stamps = {}, {}
    for block in read_blocks(product, frequency, [name], **how):
        found.setdefault(block.points.start, []).append(block.arrays[name])
        stamps.setdefault(block.points.start, []).append(block.stamps)
    assert len({np.concatenate(of).tobytes() for of in stamps.values()}) == 1
    return np.concatenate([np.concatenate(found[at]) for at in sorted(found)], axis=1), np.concatenate(stamps[0])


@pytest.mark.parametrize("kind", [*samples.LAYOUTS, "zarr"])
def test_blocks_hold_what_was_written_on_any_grid_and_in_any_format(products, kind):
    product = open_finished(products[kind], (HOURS, DAYS))
    written = samples.fields(product.grid.size)
    assert product.notes == () and not product.simulated and product.identity["checkpoint"] == "aqnet-1 4567"
    assert set(product.variables[HOURS]) == set(written) and product.days().tolist() == samples.DAYS.tolist()
    for points in (None, reading.row_slices(product.grid, 20)):
        values, stamps = joined(product, HOURS, "pm25", points=points)
        np.testing.assert_array_equal(values, output.encoding.rounded("pm25", written["pm25"]))
        np.testing.assert_array_equal(stamps, samples.HOURS.astype("datetime64[h]"))
    values, stamps = joined(product, HOURS, "number_of_observations", period=FEBRUARY_29)
    np.testing.assert_array_equal(values, written["number_of_observations"][24:48])
    values, stamps = joined(product, DAYS, "pm25")
    np.testing.assert_allclose(values, samples.daily_fields(written)["pm25"], rtol=2**-11)
    assert stamps.astype("datetime64[D]").tolist() == samples.DAYS.tolist()


def test_whole_rows_of_at_most_so_many_points(products):
    grid = open_finished(products["regular"]).grid  # 7 rows of 9
    assert [(s.start, s.stop) for s in reading.row_slices(grid, 20)] == [(0, 18), (18, 36), (36, 54), (54, 63)]
    assert len(reading.row_slices(grid, 1)) == 7


def test_one_file_is_read_like_a_product_and_has_its_identity(products):
    file = products["regular"] / "pm25_daily_2016.nc"
    whole, alone = open_finished(products["regular"]), open_finished(file)
    assert alone.hashes == whole.hashes and alone.sha256 == whole.sha256
    said = whole.provenance("summarise --every month")
    assert said["history"] == "2017-01-02: aqreanalysis build\naqreanalysis 1.2.3 summarise --every month"
    assert said["source_product"] == "pm25.daily.aqnet-analysis.test-grid.20160228-20160301"
    assert said["source_checkpoint"] == "aqnet-1 4567"
    store = next(products["zarr"].glob("pm25_hourly_*.zarr"))
    assert open_finished(store, (HOURS,)).stamps(HOURS).size == 72


@pytest.mark.parametrize("damage, words", [
    (lambda p: shutil.rmtree(p), ["There is no"]),
    (lambda p: (p / "run.json").unlink(), ["no run.json", "aqreanalysis build"]),
    (lambda p: (p / "run.json").write_text("{"), ["run.json can't be read"]),
    (lambda p: (p / "pm25_daily_2016.nc").unlink(), ["no daily files", "goes on"]),
    (lambda p: (p / "pm25_daily_2016.nc").write_bytes(b"x"), ["1 of 1 files", "not what its build wrote"]),
    (lambda p: shutil.copy(p / "pm25_hourly_201602.nc", p / "pm25_daily_2016.nc"), ["not what its build wrote"]),
])
def test_what_is_no_whole_product_is_refused(products, tmp_path, damage, words):
    product = shutil.copytree(products["regular"], tmp_path / "p")
    damage(product)
    with pytest.raises(UserError) as caught:
        open_finished(product)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("name, frequency, word", [
    ("pm25_hourly_201602.nc", DAYS, "is a file of hourly values"), ("pm25_daily_2016.nc", HOURS, "of daily values"),
    ("run.json", DAYS, "can't be read")])
def test_what_is_no_file_of_a_product_is_refused(products, name, frequency, word):
    with pytest.raises(UserError, match=word):
        open_finished(products["regular"] / name, (frequency,))


def test_what_is_missing_is_told(products, tmp_path):
    """A file that is gone, and a build that has not ended: what there is can be used."""
    product = shutil.copytree(products["regular"], tmp_path / "p")
    (product / "pm25_hourly_201603.nc").unlink()
    opened = open_finished(product, (HOURS,))
    assert opened.notes == ("1 of its hourly files are gone: pm25_hourly_201603.nc",) and len(opened.days(HOURS)) == 2
    record = json.loads((product / "run.json").read_text())
    del record["months"]["2016-03"]
    (product / "run.json").write_text(json.dumps(record))
    assert open_finished(product, (HOURS,)).notes == (
        "its build has not ended: 1 of 2 months are not made, 2016-03",)


def test_memory_does_not_grow_with_the_period(tmp_path):
    """Blocks of a year are as large as those of a week."""
    grid = samples.grid("points", tmp_path)
    days = samples.daily_fields(samples.fields(grid.size, 400 * 24))
    dates = np.arange("2016-01-01", "2017-02-04", dtype="datetime64[D]")
    output.write_daily(tmp_path / "pm25_daily_2016.nc", grid, dates, [days], samples.about())
    sizes = [block.arrays["pm25"].shape for block in
             read_blocks(open_finished(tmp_path / "pm25_daily_2016.nc"), DAYS, ["pm25"])]
    assert sizes == [(168, 4), (168, 4), (64, 4)]


# --- jobs that are kept ------------------------------------------------------------------------------

CALLS = []


def squares(shared, job):
    CALLS.append(job)
    if job == shared["fails"]:
        raise KeyboardInterrupt
    return {"square": np.array([job**2]), "of": np.array(job)}


def test_a_run_that_was_killed_goes_on_and_other_options_begin_anew(tmp_path):
    to, jobs = tmp_path / "out.nc", {str(number): number for number in range(4)}
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt), derived.kept_jobs(to, {"every": "month"}) as kept:
        kept.run(squares, jobs, {"fails": 2})
    told = []
    with derived.kept_jobs(to, {"every": "month"}) as kept:
        kept.run(squares, jobs, {"fails": None}, progress=lambda done, of: told.append((done, of)))
        assert [int(kept.load(name)["square"][0]) for name in jobs] == [0, 1, 4, 9]
    assert CALLS == [0, 1, 2, 2, 3] and told == [(2, 4), (3, 4), (4, 4)]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), derived.kept_jobs(to, {"every": "month"}) as kept:
        kept.run(squares, jobs, {"fails": 1})
    with derived.kept_jobs(to, {"every": "year"}) as kept:
        kept.run(squares, {"0": 0}, {"fails": None})
    assert CALLS[5:] == [0, 1, 0]


def test_what_a_cluster_still_does_for_a_killed_run_is_not_taken_for_the_next_ones(tmp_path):
    """A worker ends a job, 3 squared, of a command with other options, while the next one has its own of that name."""
    to = tmp_path / "out.nc"
    with pytest.raises(KeyboardInterrupt), derived.kept_jobs(to, {"every": "month"}) as killed:
        killed.run(squares, {"0": 3}, {"fails": 3})
    with derived.kept_jobs(to, {"every": "year"}) as kept:
        kept.run(squares, {"0": 5}, {"fails": None})
        derived._keep((squares, {"fails": None}, killed.folder), ("0", 3))
        assert kept.load("0")["square"] == 25
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_make_one_file(tmp_path):
    with derived.kept_jobs(tmp_path / "a.nc", {}), pytest.raises(UserError, match="Another process is making"):
        with derived.kept_jobs(tmp_path / "a.nc", {}):
            pass


def test_kept_arrays_have_the_same_bytes_each_time(tmp_path):
    contents = []
    for name in ("a", "b"):
        with derived.kept_jobs(tmp_path / name, {}) as kept:
            kept.run(squares, {"3": 3}, {"fails": None})
            contents.append(kept._path("3").read_bytes())
    assert contents[0] == contents[1]
