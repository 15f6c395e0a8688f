"""Builds that validate and calibrate themselves: the same bytes however they are made, nothing hidden leaks, and what
is said where stations are too few."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from forked import Forked, command

from aqreanalysis.cli.made import of_product
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.holdout import SINGLE_STATIONS, Fold
from aqreanalysis.models import registry
from aqreanalysis.models.calibrated import with_calibration
from aqreanalysis.product import report
from aqreanalysis.product.folder import open_record
from aqreanalysis.product.plan import BuildRequest, prepare
from aqreanalysis.product.validation import hidden, sample, store
from aqreanalysis.product.validation.sample import Part
from aqreanalysis.schema import SEA
from aqreanalysis.time_axis import parse_period
from aqreanalysis.workflows.build import NoProgress, build
from aqreanalysis.workflows.describe import verify

PERIOD = parse_period(None, "2019-01-28", "2019-02-03")  # a week in two months
VALIDATION = {"validation.csv", "validation.nc", "calibration.json"}
pytestmark = pytest.mark.usefixtures("no_maps")
STATION_DAYS = 60


def write(folder, stations=18, seed=0, change=lambda name, values: values):
    """A tidy file of stations in towns of three, whose air is smooth in space but for a part of their own."""
    rng = np.random.default_rng(seed)
    towns = rng.uniform((113.0, 36.0), (117.0, 40.0), (stations // 3 + 1, 2))
    hours = PERIOD.hours
    day = np.sin(np.arange(len(hours)) / 11.0)
    rows = []
    for number in range(stations):
        lon, lat = np.round(towns[number // 3] + rng.uniform(-0.05, 0.05, 2), 4)
        level = 80 + 8 * (lat - 38) + 6 * (lon - 115)
        values = np.round(level + 25 * day + rng.normal(0, 8, len(hours)) + rng.normal(0, 6), 1).clip(2)
        values = change(f"S{number:02}", values)
        rows += [f"S{number:02},{hour}Z,{lon},{lat},{value}"
                 for hour, value in zip(hours.astype("datetime64[m]"), values, strict=True)]
    folder.mkdir(exist_ok=True)
    (folder / "rows.csv").write_text("station_id,time,lon,lat,pm25\n" + "\n".join(rows) + "\n")
    return str(folder)


@pytest.fixture(scope="module")
def observations(tmp_path_factory):
    return write(tmp_path_factory.mktemp("observations") / "in")


@pytest.fixture(scope="module", autouse=True)
def small_sample():
    """Of so small a network every station would be hidden on each day, in a hundred folds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "STATION_DAYS", STATION_DAYS)
        yield


def request_of(observations, out, **more):
    return BuildRequest(**{"start": "2019-01-28", "end": "2019-02-03", "grid": "1deg", "observations": observations,
                           "checkpoint": "kriging", "out": str(out)} | more)


@pytest.fixture(scope="module")
def product(observations, tmp_path_factory):
    """By two processes; those below that are made again, here or on a cluster, have its bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_maps", lambda plan, workers: [])
        patch.setattr(report.page, "hidden_charts", lambda folder, model: [])
        return build(request_of(observations, tmp_path_factory.mktemp("product") / "out", workers=2))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())
            if path.suffix in (".nc", ".csv") or path.name == "calibration.json"}


# --- what is written


def test_a_baseline_has_bounds_of_its_own_stations(product):
    assert contents(product).keys() >= VALIDATION
    table = pd.read_csv(product / "validation.csv")
    whole = table[(table["by"] == "all") & (table["design"] == "all designs")].set_index("frequency")
    assert whole.coverage_90["hourly"] == pytest.approx(0.9, abs=0.05)
    assert (table[table["by"] == "all"].skill_percent.abs() < 1e-9).all(), "kriging beside itself"
    with xr.open_dataset(product / "pm25_hourly_201901.nc") as hours:
        assert (hours.pm25_lower <= hours.pm25).all() and (hours.pm25 <= hours.pm25_upper).all()
        assert hours.attrs["calibrated_on"].startswith("This product's own stations: 18 of them, hidden on 7 days")
        assert hours.attrs["calibrated_on"] in hours.pm25_upper.attrs["comment"]
        assert hours.attrs["calibrated_on"] in hours.pm25_standard_error.attrs["comment"]
        assert "season and how many people live round a place" in hours.pm25_upper.attrs["comment"]
        for source in ("GeoNames (https://www.geonames.org), CC BY 4.0", "U.S. Geological Survey"):
            assert source in hours.attrs["acknowledgement"]
    with xr.open_dataset(product / "pm25_daily_2019.nc") as days:
        assert (days.pm25_lower < days.pm25_upper).all() and days.attrs["calibrated_on"]


def test_rows_of_the_file_are_those_that_are_scored(product):
    with xr.open_dataset(product / "validation.nc") as rows:
        assert rows.pm25.dims == ("row", "hour") and set(np.unique(rows.station_id)) == {f"S{n:02}" for n in range(18)}
        table = pd.read_csv(product / "validation.csv")
        mine = rows.design.values == SINGLE_STATIONS
        miss = np.abs(rows.pm25 - rows.observed).values[mine]
        line = table[(table.design == SINGLE_STATIONS) & (table["by"] == "all") & (table.frequency == "hourly")].iloc[0]
        assert np.nanmean(miss) == pytest.approx(line.MAE, rel=2e-3) and np.isfinite(miss).sum() == line.n
        inside = (rows.observed >= rows.pm25_lower) & (rows.observed <= rows.pm25_upper)
        assert inside.values[mine][np.isfinite(miss)].mean() == pytest.approx(line.coverage_90, abs=0.01)


def test_run_json_and_the_report_hold_it(product):
    record = json.loads((product / "run.json").read_text())
    assert record["files"].keys() >= VALIDATION and record["validation"]["calibration"]
    assert record["identity"]["calibration"] == "product"
    text = (product / "report.html").read_text()
    assert record["validation"]["facts"]["headline"] in text.replace("&#39;", "'")
    assert text.index('id="validation"') < text.index('id="made-from"')
    verify(str(product))


def test_how_wide_the_bounds_are_stands_in_run_json_in_the_report_and_on_the_screen(product):
    """Half of what lies between them, in the mean of land."""
    record = json.loads((product / "run.json").read_text())
    width, count = 0.0, 0
    for month in ("201901", "201902"):
        with xr.open_dataset(product / f"pm25_hourly_{month}.nc") as hours:
            on_land = (hours.pm25_upper - hours.pm25_lower).values[(hours.quality_flag != SEA).values]
            width, count = width + on_land.sum(dtype=float), count + on_land.size
    assert record["bounds"] == {"mean_half_width": pytest.approx(width / count / 2, abs=0.01), "cell_hours": count}
    words = f"{record['bounds']['mean_half_width']:.1f}"
    assert f"; 90 % bounds {words} ug m-3 on either side" in of_product(product).scores_in_words
    assert f"the bounds lie\n{words} µg m⁻³" in (product / "report.html").read_text()


# --- the same bytes


def test_a_build_that_was_killed_after_its_validation_goes_on_with_the_same_factors(product, observations, cluster,
                                                                                    tmp_path):
    """Validated by one process, its months are made on a Dask cluster."""
    out = tmp_path / "killed"
    running = Forked(command, {f"{sample.__name__}.STATION_DAYS": STATION_DAYS}, "build", "--start",
                     "2019-01-28", "--end", "2019-02-03", "--grid", "1deg", "--observations", observations,
                     "--checkpoint", "kriging", "--out", out, "--workers", "1")
    assert running.wait_for((out / "calibration.json").exists, 300)
    running.signal(signal.SIGKILL)
    running.ended()
    was_noted = "validation" in json.loads((out / "run.json").read_text())
    before = (out / "calibration.json").stat().st_mtime_ns
    build(request_of(observations, out, scheduler=cluster))
    assert contents(out) == contents(product)
    assert not was_noted or (out / "calibration.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", sorted(VALIDATION))
def test_a_damaged_file_is_told_and_the_validation_no_longer_done(name, product, observations, tmp_path):
    out = shutil.copytree(product, tmp_path / "damaged")
    plan = prepare(request_of(observations, out))
    with open_record(plan.folder, plan.identity) as record:
        assert record.has(store.paths(plan.folder))
        (out / name).write_bytes((out / name).read_bytes()[:-7] + b"damaged")
        assert not record.has(store.paths(plan.folder))
    with pytest.raises(UserError, match=name):
        verify(str(out))


def test_a_validation_is_made_again_and_the_months_are_kept(product, observations, cluster, tmp_path):
    """On a Dask cluster."""
    out = shutil.copytree(product, tmp_path / "damaged")
    (out / "validation.nc").unlink()
    hours = out / "pm25_hourly_201902.nc"
    before = hours.stat().st_mtime_ns
    build(request_of(observations, out, scheduler=cluster))
    assert contents(out) == contents(product) and hours.stat().st_mtime_ns == before
    verify(str(out))


def test_months_that_were_made_with_other_factors_are_made_again(product, observations, tmp_path):
    """A folder whose factors were exchanged, with a note that fits them; all is made by this process."""
    out = shutil.copytree(product, tmp_path / "other")
    record = json.loads((out / "run.json").read_text())
    record["validation"]["calibration"] = "another"
    (out / "calibration.json").unlink()
    (out / "run.json").write_text(json.dumps(record))
    before = (out / "pm25_hourly_201902.nc").stat().st_mtime_ns
    build(request_of(observations, out))
    assert contents(out) == contents(product) and (out / "pm25_hourly_201902.nc").stat().st_mtime_ns != before


def test_a_validation_of_other_versions_is_made_again_unless_a_month_of_it_is_kept(product, observations, tmp_path):
    out = shutil.copytree(product, tmp_path / "other")
    record = json.loads((out / "run.json").read_text())
    record["validation"]["versions"]["torch"] = "1.2.3"
    del record["months"]["2019-02"]
    (out / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="made with torch 1.2.3; now there is torch"):
        build(request_of(observations, out))
    del record["months"]["2019-01"]
    (out / "run.json").write_text(json.dumps(record))
    before, told = (out / "calibration.json").stat().st_mtime_ns, []

    class Shown(NoProgress):
        def message(self, text):
            told.append(text)

    build(request_of(observations, out), Shown)
    assert len(told) == 1 and "was made with torch 1.2.3" in told[0] and "made again" in told[0]
    assert contents(out) == contents(product) and (out / "calibration.json").stat().st_mtime_ns != before
    verify(str(out))


# --- nothing that is hidden leaks


def test_values_of_hidden_stations_change_no_estimate(observations, tmp_path):
    """Neither their own nor, through quality control, others'."""
    out = ("S00", "S01", "S07")
    part = Part(0, tuple(PERIOD.days()[2:5]), (Fold(out, {SINGLE_STATIONS: out}),))

    def changed(name, values):
        return np.where(np.arange(len(values)) % 5 == 0, 900.0, values + 40.0) if name in out else values

    found = []
    for path in (observations, write(tmp_path / "changed", change=changed)):
        plan = prepare(request_of(path, tmp_path / "out"))
        hiding = hidden.HidingJob(plan.job, {f"S{n:02}": n // 3 for n in range(18)})
        found.append(hidden.hide_part(hiding, part)[1])
    assert not np.array_equal(found[0].truth, found[1].truth, equal_nan=True)
    for name in ("estimate", "scale", "kriging"):
        one, other = (getattr(rows, name) for rows in found)
        both = np.isfinite(one) & np.isfinite(other)
        assert both.mean() > 0.5 and np.array_equal(one[both], other[both]), name


# --- too few, and the checkpoint's own


@pytest.mark.parametrize("stations", [3, 7])
def test_too_few_stations_are_told_and_a_baseline_has_no_bounds(stations, tmp_path):
    shown = []

    class Shown:
        def __init__(self, *plan):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        validating = part_validated = month_done = message = lambda self, *told: None

        def validated(self, line):
            shown.append(line)

    out = build(request_of(write(tmp_path / "in", stations), tmp_path / "out"), Shown)
    assert len(shown) == 1 and "too few to calibrate with" in shown[0] and "There are no bounds" in shown[0]
    with xr.open_dataset(out / "pm25_hourly_201901.nc") as hours:
        assert "pm25_lower" not in hours and "too few to calibrate with" in hours.pm25_standard_error.attrs["comment"]
    assert "too few to calibrate with" in (out / "report.html").read_text()


def test_the_networks_factors_stay_where_stations_are_too_few_and_where_they_are_asked_for(tmp_path):
    """The same numbers to the last bit, and both say whose they are."""
    path, kept = write(tmp_path / "in", 5), {}
    for calibration in ("product", "checkpoint"):
        request = request_of(path, tmp_path / calibration, checkpoint=None, calibration=calibration, end="2019-01-31")
        with xr.open_dataset(build(request) / "pm25_hourly_201901.nc") as hours:
            kept[calibration] = hours.load()
    xr.testing.assert_equal(kept["product"], kept["checkpoint"])
    assert "too few" in kept["product"].calibrated_on and "neither wider nor narrower" in kept["product"].calibrated_on
    assert kept["checkpoint"].calibrated_on.startswith("The stations left out in the training of aqnet")
    record = json.loads((tmp_path / "checkpoint" / "run.json").read_text())
    assert "validation" not in record and record["identity"]["calibration"] == "checkpoint"
    assert not VALIDATION & {path.name for path in (tmp_path / "checkpoint").iterdir()}
    with pytest.raises(UserError, match="calibration = 'product'; now calibration = 'checkpoint'"):
        prepare(replace(request_of(path, tmp_path / "product", checkpoint=None, end="2019-01-31"),
                        calibration="checkpoint"))


def test_with_the_checkpoints_calibration_the_model_is_as_it_came(observations, tmp_path):
    plan = prepare(request_of(observations, tmp_path / "x", checkpoint=None, calibration="checkpoint"))
    assert plan.job.calibration is None
    own = registry.load_model().calibration
    assert own == registry.calibration_of() and with_calibration(registry.load_model(), own).calibration == own


def test_an_unknown_calibration_is_refused(observations, tmp_path):
    with pytest.raises(UserError, match="--calibration mine is unknown.*product or checkpoint"):
        prepare(request_of(observations, tmp_path / "x", calibration="mine"))
