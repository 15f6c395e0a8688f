"""Fields of a product: checked before the run, part of its identity, handed to the model, and what the file says."""

import datetime as dt
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from models_fixtures import lively_calibration, lively_graph_model
from test_describe import shown, words

import aqreanalysis
from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.fields.sampling import sample_fields
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.base import PointwiseModel
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.models.supplied import Supplied
from aqreanalysis.product import map_stations, month, report
from aqreanalysis.product.map_fields import MapPeriod, open_for_maps
from aqreanalysis.product.map_stations import hidden_map
from aqreanalysis.product.plan import BuildRequest, prepare
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.simulation.weather import TwinFields
from aqreanalysis.time_axis import Period, parse_period
from aqreanalysis.workflows.build import build
from aqreanalysis.workflows.describe import describe
from aqreanalysis.workflows.simulate import write_fields

PERIOD = parse_period(None, "2016-01-31", "2016-02-01")
WIDE, SMALL = (105.0, 126.0), (112.0, 118.0)  # degrees east


@dataclass(frozen=True)
class Windy(PointwiseModel):
    """PM2.5 is 100 minus the wind's speed squared, 50 where it is unknown: what a model was given shows in it."""

    name: str = "windy"
    fields: tuple[str, ...] = ("u10", "v10")
    fields_optional: bool = False
    history: int = 2

    def predict(self, stations, targets, fields=None):
        shape = targets.sizes["time"], targets.sizes["point"]
        pm25 = np.full(shape, 50.0)
        if fields is not None:
            wind = sample_fields(fields, targets.time.values, targets.lat.values, targets.lon.values)
            assert fields.time.values[0] <= targets.time.values[0] - np.timedelta64(self.history, "h")
            square = wind.u10.values**2 + wind.v10.values**2
            pm25 = np.where(np.isfinite(square), 100.0 - square, pm25)
        return schema.make_estimate(targets, np.maximum(pm25, 0.0), np.ones(shape))


@pytest.fixture(autouse=True)
def models(monkeypatch, tmp_path):
    monkeypatch.setenv("AQREANALYSIS_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(report, "draw_maps", lambda plan, workers: [])
    monkeypatch.setattr(report.page, "hidden_charts", lambda folder, model: [])
    for name, optional in (("windy", False), ("all-weather", True)):
        model = Windy(name=name, fields_optional=optional)
        monkeypatch.setitem(registry.BASELINES, name, registry.Baseline(lambda k, m=model: m, "wind", "", 8.0, None,
                                                                        chooses=False))


@pytest.fixture(scope="module")
def weather(tmp_path_factory):
    """The twin's weather of the period and three days on either side, as files."""
    folder = tmp_path_factory.mktemp("weather")
    list(write_fields(PERIOD, folder, seed=0))
    return folder


@pytest.fixture
def request_of(tmp_path):
    (tmp_path / "places.csv").write_text("station_id,lon,lat\nA,116.4,39.9\nB,113.0,36.0\n")

    def make(**more):
        return replace(BuildRequest(start="2016-01-31", end="2016-02-01", grid=str(tmp_path / "places.csv"),
                                    calibration="checkpoint", checkpoint="windy", out=str(tmp_path / "product")),
                       **more)

    return make


def cut(weather, folder, hours=slice(None), lon=WIDE):
    """The weather of some hours and longitudes alone."""
    folder.mkdir()
    for path in weather.glob("*.nc"):
        with xr.open_dataset(path) as whole:
            part = whole.sel(lon=slice(*lon), time=hours)
            if part.sizes["time"]:
                part.to_netcdf(folder / path.name)
    return str(folder)


def expected():
    wind = TwinFields(0).sample(PERIOD.hours, [39.9, 36.0], [116.4, 113.0], ("u10", "v10"))
    return np.maximum(100.0 - wind.u10.values**2 - wind.v10.values**2, 0.0)


def hourly(folder):
    with aqreanalysis.open_product(folder, "hourly") as found:
        return found.load()


@pytest.mark.product
def test_a_model_is_handed_the_fields_of_its_product(request_of, weather):
    """Values are as the wind at each place; told in run.json and in the file; resuming with other fields, as the twin's
    own, which are read where none are named, is an error with the key."""
    folder = build(request_of(fields=str(weather)))
    found = hourly(folder)
    np.testing.assert_allclose(found.pm25, expected(), rtol=2.0**-10, atol=0.01)
    assert "fields_flag" not in found and "u10, v10 of SIMULATED" in found.attrs["source"]
    run = json.loads((folder / "run.json").read_text())
    assert len(run["identity"]["fields"]) == 16 and run["facts"]["fields"] == str(weather)
    assert any("u10, v10 of SIMULATED" in text for text in run["facts"]["reading"])
    own = prepare(request_of(out=str(folder.with_name("own")))).job.fields
    assert own.choice.path is None and own.fingerprint != run["identity"]["fields"]
    with pytest.raises(UserError, match="fields = "):
        prepare(request_of())


@pytest.mark.product
def test_days_without_some_stations_are_estimated_with_the_fields_of_the_product(request_of, weather, tmp_path):
    """They were estimated without, in silence. The twin's own fields, or files; other files by now are refused."""
    asked, files = MapPeriod(Period(dt.date(2016, 2, 1), dt.date(2016, 2, 1))), cut(weather, tmp_path / "files")
    product, twin = open_for_maps(build(request_of(fields=files))), TwinArchive(0)
    found, stations = hidden_map(product, twin, asked)
    np.testing.assert_allclose(found["value"], expected()[24:].mean(axis=0), rtol=1e-3)
    assert stations.hidden.any()
    own = prepare(request_of(out=str(tmp_path / "own"))).job
    of_twin = replace(product, identity=product.identity | {"fields": own.fields.fingerprint})
    assert map_stations._fields_of(of_twin, twin, own.description, None) == own.fields
    for path in Path(files).glob("*.nc"):
        with xr.open_dataset(path) as whole:
            other = whole.load()
        other.assign(u10=(1.5 * other.u10).assign_attrs(other.u10.attrs)).to_netcdf(path)
    with pytest.raises(UserError, match="made with fields"):
        map_stations._fields_of(product, twin, own.description, files)


@pytest.mark.product
def test_a_model_that_can_goes_on_without_and_the_file_says_where(request_of, weather, tmp_path):
    """Hours after 12 UTC of the second day have no wind: there the estimate is without, and flagged so. `describe`
    counts them and names the fields."""
    some = cut(weather, tmp_path / "some", slice(None, "2016-02-01T12"))
    folder = build(request_of(checkpoint="all-weather", fields=some))
    found, told = hourly(folder), words(shown(describe(str(folder))))
    assert "without fields somewhere in 4 of 48 hours; that is 8.33 % of all hours and places" in told
    run = json.loads((folder / "run.json").read_text())
    assert "fields u10, v10 of SIMULATED some (" in told and f"hash {run['identity']['fields']}" in told
    lacks = "the fields lack 4 hours (2016-02-01 13:00 to 2016-02-01 16:00 UTC) everywhere; all-weather goes on"
    assert any(text.startswith(lacks) for text in run["facts"]["reading"])
    each, = (text for text in run["facts"]["reading"] if text.startswith("fields: of the"))  # 50 hours, two before
    points = int(re.search(r"hours of (\d+) grid points", each)[1])
    assert each == f"fields: of the {50 * points} hours of {points} grid points, {4 * points} are missing"
    assert each in (folder / "report.html").read_text(encoding="utf-8") and each.removeprefix("fields: ") in told
    without = found.time.values > np.datetime64("2016-02-01T12")
    assert 0 < without.sum() == found.fields_flag.values[:, 0].sum() == 4
    assert np.array_equal(found.fields_flag.values == 1, np.broadcast_to(without[:, None], found.fields_flag.shape))
    assert (found.pm25.values[without] == 50.0).all()
    np.testing.assert_allclose(found.pm25[~without], expected()[~without], rtol=2.0**-10, atol=0.01)
    assert found.fields_flag.attrs["flag_meanings"] == "with_fields without_fields"
    assert "fields_flag" in found.pm25.attrs["ancillary_variables"]


@pytest.fixture
def breezy(tmp_path, request_of):
    """A request for a network of weather on observations of twelve stations; two instants of it are missing."""
    weather = WeatherInputs(("u10", "v10"), (0.0, 0.0), (3.0, 3.0))
    model = lively_graph_model("spin", weather=weather)
    facts = checkpoint.AnalysisFacts(stations=[["T0", 36.5, 113.5, -1]], graph={
        "settings": vars(model.settings), "weather": weather.asdict(), "fields_optional": True})
    checkpoint.save(tmp_path / "spin", model.network, checkpoint.Card(
        name="spin", kind="spin-analysis", created="2026-01-31", network=model.network.sizes.asdict(), scaler={}, k=0,
        training={}, withheld={}, versions={}, calibration=lively_calibration().asdict(), analysis=facts))
    write_rows(tmp_path / "rows.csv")
    axes = {"time": np.datetime64("2016-01-29T00", "ns") + np.delete(np.arange(120), [70, 71]) * np.timedelta64(1, "h"),
            "lat": np.arange(34.0, 43.0), "lon": np.arange(110.0, 121.0)}
    values = np.random.default_rng(0).normal(0, 3, (2, 118, 9, 11))
    fields = xr.Dataset({name: (tuple(axes), of, {"units": "m s-1"}) for name, of in
                         zip(weather.names, values, strict=True)}, coords=axes)
    for name, sign in (("wind", 1), ("other", -1)):
        (sign * fields).assign_attrs(title=name).to_netcdf(tmp_path / f"{name}.nc")
    return request_of(checkpoint=str(tmp_path / "spin"), observations=str(tmp_path / "rows.csv"),
                      fields=str(tmp_path / "wind.nc"))


@pytest.mark.product
def test_a_product_of_a_graph_network_goes_on_to_the_same_bytes_and_with_no_other_fields(breezy, tmp_path, monkeypatch):
    """Ended after its first month; estimates are those of the model with the wind of the file."""
    whole, again = build(replace(breezy, out=str(tmp_path / "whole"))), replace(breezy, out=str(tmp_path / "again"))
    with monkeypatch.context() as patch:
        patch.setattr("aqreanalysis.workflows.build.analyse_month", ends_in_february)
        with pytest.raises(KeyboardInterrupt):
            build(again)
    assert list(json.loads((tmp_path / "again" / "run.json").read_text())["months"]) == ["2016-01"]
    with pytest.raises(UserError, match="again holds a product with fields = '.*'; now fields = "):
        build(replace(again, fields=str(tmp_path / "other.nc")))
    folder = build(again)
    contents = [{path.name: path.read_bytes() for path in of.rglob("*.nc")} for of in (whole, folder)]
    assert contents[0] == contents[1] and len(contents[0]) == 5
    found = hourly(folder)
    without = np.isin(found.time.values, np.datetime64("2016-01-31T22", "ns") + np.arange(3) * np.timedelta64(1, "h"))
    np.testing.assert_array_equal(found.fields_flag, np.repeat(without[:, None], 2, 1))
    hours = PERIOD.hours
    before = np.arange(hours[0] - np.timedelta64(48, "h"), hours[-1] + np.timedelta64(1, "h"), np.timedelta64(1, "h"))
    wind, other = (aqreanalysis.open_fields(tmp_path / f"{name}.nc").read(
        before, ("u10", "v10"), [35.0, 41.0], [111.0, 119.0]) for name in ("wind", "other"))
    model, asked = registry.load_model(breezy.checkpoint), schema.make_targets(hours, [39.9, 36.0], [116.4, 113.0])
    direct, turned = (model.predict(mock_cube(), asked, of).pm25 for of in (wind, other))
    np.testing.assert_allclose(found.pm25, direct, rtol=2.0**-10, atol=0.02)
    assert np.abs(turned - direct).max() > 1, "the wind counts"
    assert "all stations; a day needs" in words(shown(describe(str(folder))))


def ends_in_february(job, period):
    if period.first.month == 2:
        raise KeyboardInterrupt
    return month.analyse_month(job, period)


def mock_cube():
    """Twelve stations round the period."""
    return schema.mock_station_cube(hours=120, stations=12, missing=0.0).assign_coords(
        time=np.datetime64("2016-01-29T00", "ns") + np.arange(120) * np.timedelta64(1, "h"))


def write_rows(path):
    rows = mock_cube().pm25.to_dataframe().reset_index().rename(columns={"station": "station_id"})
    rows.to_csv(path, index=False)


def test_what_does_not_cover_the_product_is_an_error_before_the_run(request_of, weather, tmp_path):
    """Hours, the two before the period among them; places; a field; each by name."""
    with pytest.raises(UserError, match="and windy|reads none") as refused:
        prepare(request_of(checkpoint="idw", fields=str(weather)))
    assert "idw reads none" in str(refused.value)
    late = cut(weather, tmp_path / "late", slice("2016-01-30T17", None))
    with pytest.raises(UserError, match=r"lack 2 hours \(2016-01-30 15:00 to 2016-01-30 16:00 UTC\)"):
        prepare(request_of(fields=late))
    with pytest.raises(UserError, match="1 of 2 places lie outside the fields, which cover 115 to 126 E"):
        prepare(request_of(fields=cut(weather, tmp_path / "east", lon=(115.0, 126.0))))
    for path in (tmp_path / "late").glob("*.nc"):
        xr.load_dataset(path).drop_vars("v10").to_netcdf(path)
    with pytest.raises(UserError, match="has no v10"):
        prepare(request_of(fields=late))
    assert not (tmp_path / "product").exists()


def test_a_model_that_needs_fields_says_so(request_of, tmp_path):
    """With real observations and none given; simulated weather beside them is refused."""
    write_rows(tmp_path / "rows.csv")
    with pytest.raises(UserError, match=r"windy reads fields.*u10 \(eastward wind at 10 m\).*--fields PATH"):
        prepare(request_of(observations=str(tmp_path / "rows.csv")))
    list(write_fields(PERIOD, tmp_path / "weather", seed=0))
    with pytest.raises(UserError, match="are simulated, and the observations are not"):
        prepare(request_of(observations=str(tmp_path / "rows.csv"), fields=str(tmp_path / "weather")))


def test_a_model_supplied_with_fields_is_the_model_with_them():
    """For callers that know of none: evaluations."""
    hours = PERIOD.hours
    fields = TwinFields(0).read(np.concatenate([hours[:1] - np.timedelta64(2, "h"), hours[:1] - np.timedelta64(1, "h"),
                                                hours]), ("u10", "v10"), [36.0, 40.0], [113.0, 117.0])
    cube, asked = schema.mock_station_cube(hours=24), schema.make_targets(hours, [39.9], [116.4])
    supplied = Supplied(Windy(), fields)
    assert supplied.predict(cube, asked).equals(Windy().predict(cube, asked, fields))
    assert supplied.prepare(cube, hours).at(asked).equals(supplied.predict(cube, asked))
    assert supplied.fields == ("u10", "v10") and supplied.history == 2
