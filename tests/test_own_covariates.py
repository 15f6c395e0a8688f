"""A user's own covariates: sampled as their files say, chosen strictly, standardised on the training stations."""

import gzip
import json
import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
import yaml
from rasterio.transform import from_origin

from aqreanalysis import recipes
from aqreanalysis.errors import UserError
from aqreanalysis.fields.covariates import CovariateChoice, CovariateSources, Standardisation, missing_values
from aqreanalysis.fields.own import CovariateFile, open_layer, sample
from aqreanalysis.training.analysis_run import fitted_covariates, missing_covariates, network_sizes

LAT, LON = 30 + np.arange(41) * 0.25, 105 + np.arange(61) * 0.25


def plane(lat, lon):
    """What bilinear interpolation gives back everywhere."""
    return 3.0 * lat - 2.0 * lon + 500.0


def write_netcdf(path, lat=LAT, lon=LON, values=None, **attributes):
    values = plane(lat[:, None], lon[None, :]) if values is None else values
    lights = (("time", "lat", "lon"), values[None], {"units": "nW cm-2 sr-1", **attributes})  # a single time
    xr.Dataset({"lights": lights}, coords={"lat": ("lat", lat, {"units": "degrees_north"}),
                                           "lon": ("lon", lon, {"units": "degrees_east"})}).to_netcdf(path)
    return path


def write_tiff(path, values, transform, crs="EPSG:4326", **options):
    bands = np.atleast_3d(values) if values.ndim == 2 else values.transpose(1, 2, 0)
    with rasterio.open(path, "w", driver="GTiff", height=bands.shape[0], width=bands.shape[1], count=bands.shape[2],
                       dtype=bands.dtype, crs=crs, transform=transform, **options) as image:
        for band in range(bands.shape[2]):
            image.write(bands[:, :, band], band + 1)
    return path


def values_of(path, lat, lon, **options):
    of = CovariateFile(name="mine", file=str(path), **options)
    return sample(open_layer(of), np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float)),
                  of.interpolation)


@pytest.mark.parametrize("lat, lon", [(LAT, LON), (LAT[::-1], LON), (LAT, LON - 360), (LAT, LON + 360),
                                      (LAT[[0, 1, 3, 6, 10, 20, 40]], LON)])
def test_netcdf_is_linear_between_centres_whatever_the_order_of_rows_and_the_turn_of_longitude(tmp_path, lat, lon):
    path = write_netcdf(tmp_path / "a.nc", lat, lon, plane(lat[:, None], (lon % 360)[None, :]))
    rng = np.random.default_rng(0)
    y, x = rng.uniform(30, 40, 50), rng.uniform(105, 120, 50)
    assert values_of(path, y, x) == pytest.approx(plane(y, x), abs=1e-3)
    assert values_of(path, y, x - 360) == pytest.approx(plane(y, x), abs=1e-3)


@pytest.mark.parametrize("crs, transform, lat, lon, row, column", [
    ("EPSG:4326", from_origin(104.875, 40.125, 0.25, 0.25), 39.6, 105.3, 1.6, 1.2),  # the first centre: 40 N, 105 E
    ("EPSG:4326", from_origin(104.875 - 360, 40.125, 0.25, 0.25), 39.6, 105.3, 1.6, 1.2),
    # the meridian of UTM 50 N: x is 500 km; GDAL's own y of 39 N
    ("EPSG:32650", from_origin(300_000, 4_500_000, 5000, 5000), 39.0, 117.0, (4_500_000 - 4_316_776.583) / 5000 - 0.5,
     39.5)])
def test_geotiff_is_linear_between_centres_in_its_own_coordinates(tmp_path, crs, transform, lat, lon, row, column):
    i, j = np.mgrid[0:41, 0:61].astype("f4")
    path = write_tiff(tmp_path / "a.tif", 7 * i + j, transform, crs)
    assert values_of(path, lat, lon) == pytest.approx([7 * row + column], abs=1e-3)
    nearest = 7 * np.floor(row + 0.5) + np.floor(column + 0.5)
    assert values_of(path, lat + 1e-6, lon + 1e-6, interpolation="nearest") == [nearest]


def test_missing_pixels_edges_and_the_outside(tmp_path):
    """Of the four pixels those with a value count; where they hold less than half the weight nothing is known."""
    values = np.array([[1, 2, -9], [3, 4, 5], [6, 7, 8]], "i2")
    path = write_tiff(tmp_path / "a.tif", values, from_origin(110, 36, 1, 1), nodata=-9)
    x, y = [112.0, 112.1, 112.3, 112.5, 110.0, 109.99, 113.0, np.nan], [35.0, 35.4, 35.4, 35.5, 36.0, 35.0, 33.0, 35.0]
    found = values_of(path, y, x)
    # at 112 E, 35 N the four have equal shares; at 112.1 E, 35.4 N those with a value hold .36 + .04 + .06
    assert found[:2] == pytest.approx([(2 + 4 + 5) / 3, np.nan], nan_ok=True)
    assert np.isnan(found[2:4]).all() and found[4] == 1 and np.isnan(found[5]) and found[6] == 8 and np.isnan(found[7])
    assert values_of(path, 34.5, 112.4, interpolation="nearest") == [5]


def test_scales_fills_and_masks_of_files_are_applied(tmp_path):
    packed = write_netcdf(tmp_path / "a.nc", LAT[:2], LON[:2], np.array([[1, 2], [3, -99]], "i2"), scale_factor=0.5,
                          add_offset=10.0, _FillValue=np.int16(-99))
    assert values_of(packed, [30.0, 30.25], [105.0, 105.25]) == pytest.approx([10.5, np.nan], nan_ok=True)
    path = write_tiff(tmp_path / "a.tif", np.array([[1, 2], [3, 4]], "u1"), from_origin(110, 36, 1, 1))
    with rasterio.open(path, "r+") as image:
        image.scales, image.offsets = (2.0,), (100.0,)
    assert values_of(path, 35.5, 110.5) == [102.0]


def test_valid_ranges_booleans_and_masks(tmp_path):
    corner = ([30.0, 30.25], [105.0, 105.25])
    of = {"scale_factor": 0.5, "add_offset": 10.0, "valid_range": np.array([0, 2], "i2")}  # of packed values
    path = write_netcdf(tmp_path / "a.nc", LAT[:2], LON[:2], np.array([[1, 2], [3, 4]], "i2"), **of)
    assert values_of(path, *corner) == pytest.approx([10.5, np.nan], nan_ok=True)
    path = write_netcdf(tmp_path / "b.nc", LAT[:2], LON[:2], np.array([[1, 2], [3, 4]], "f4"), valid_min=2.0)
    assert values_of(path, *corner) == pytest.approx([np.nan, 4.0], nan_ok=True)
    forest = write_netcdf(tmp_path / "c.nc", LAT[:2], LON[:2], np.array([[True, False], [False, False]]))
    assert values_of(forest, *corner).tolist() == [1, 0]
    tiff = write_tiff(tmp_path / "a.tif", np.array([[1, 2], [3, 4]], "f4"), from_origin(110, 36, 1, 1))
    with rasterio.open(tiff, "r+") as image:
        image.write_mask(np.array([[255, 255], [255, 0]], "u1"))
    assert values_of(tiff, [35.5, 34.5], [110.5, 111.5]) == pytest.approx([1, np.nan], nan_ok=True)


@pytest.mark.parametrize("fill", [-9999, -32768, -3.4028235e38, 9.96921e36, 1e20])
def test_fill_values_that_are_not_declared_are_no_values(tmp_path, fill):
    values = np.full((4, 4), 5.0, "f4")
    values[2:] = fill
    path = write_tiff(tmp_path / "a.tif", values, from_origin(110, 36, 1, 1))
    assert values_of(path, 35.5, 110.5) == [5]  # of what is not asked for nothing is said
    with pytest.raises(UserError, match=r"a.tif has pixels of .*[0-9] and does not say .* -a_nodata"):
        values_of(path, 34.0, 111.0)
    write_tiff(path, values, from_origin(110, 36, 1, 1), nodata=values[3, 3])
    assert values_of(path, [34.4, 33.0], [111.0, 111.0]) == pytest.approx([5, np.nan], nan_ok=True)


def test_a_file_that_was_cut_off_is_told(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.ones((50, 50), "f4"), from_origin(110, 36, 0.1, 0.1))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="a.tif can't be read to its end"):
        values_of(path, 31.5, 112.5)


def test_windows_and_the_other_places_change_no_byte(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    path = write_tiff(tmp_path / "a.tif", rng.random((50, 70)).astype("f4"), from_origin(110, 40, 0.1, 0.1))
    lat, lon = rng.uniform(34.5, 40.5, 300), rng.uniform(109.5, 117.5, 300)
    whole = values_of(path, lat, lon)
    assert 0 < np.isnan(whole).sum() < 150
    alone = np.concatenate([values_of(path, y, x) for y, x in zip(lat[:40], lon[:40], strict=True)])
    assert alone.tobytes() == whole[:40].tobytes()
    monkeypatch.setattr("aqreanalysis.fields.own.WINDOW", 7)
    assert values_of(path, lat, lon).tobytes() == whole.tobytes()


@pytest.mark.parametrize("write, options, said", [
    (lambda path: None, {}, "There is no file"),
    (lambda path: path.write_text("lat,lon\n"), {}, "can't be read"),
    (lambda path: path.write_bytes(gzip.compress(b"CDF")), {}, "is a gzip file.*Unpack it"),
    (lambda path: write_tiff(path, np.zeros((3, 3), "c8"), from_origin(110, 36, 1, 1)), {}, "complex values"),
    (lambda path: write_netcdf(path, values=np.zeros((41, 61))), {"band": 1}, "is a NetCDF file and has no band"),
    (lambda path: write_netcdf(path), {"variable": "light"}, r"\(lights\), and covariate mine names light"),
    (lambda path: write_tiff(path, np.zeros((2, 3, 3), "f4"), from_origin(110, 36, 1, 1)), {},
     "has 2 bands .* names none.*band: 1"),
    (lambda path: write_tiff(path, np.zeros((3, 3), "f4"), from_origin(110, 36, 1, 1)), {"variable": "x"},
     "is a GeoTIFF and has no variable"),
    (lambda path: write_tiff(path, np.zeros((3, 3), "f4"), from_origin(110, 36, 1, 1), None), {},
     "no coordinate system"),
    (lambda path: write_netcdf(path, lat=LAT[[0, 2, 1]]), {}, "do not run one way"),
    (lambda path: xr.Dataset({"v": (("time", "lat", "lon"), np.zeros((12, 41, 61)))}, coords={
        "lat": LAT, "lon": LON}).to_netcdf(path), {}, "has 12 steps of time.*ncwa"),
    (lambda path: xr.Dataset({"v": (("y", "x"), np.zeros((3, 3)))}, coords={
        "lat": (("y", "x"), np.eye(3)), "lon": (("y", "x"), np.eye(3) + 1)}).to_netcdf(path), {}, "shape \\(3, 3\\)"),
    (lambda path: xr.Dataset({"v": ("z", np.zeros(3))}).to_netcdf(path), {}, "has no latitude")])
def test_what_is_no_covariate_is_told(tmp_path, write, options, said):
    write(tmp_path / "mine.dat")
    with pytest.raises(UserError, match=said):
        open_layer(CovariateFile(name="mine", file=str(tmp_path / "mine.dat"), **options))


def test_chosen_covariates_come_in_their_order_and_say_where_they_are_missing(tmp_path):
    chosen = CovariateChoice(static=("relief_75km", "population_15km"), files=(
        CovariateFile(name="lights", file=str(write_netcdf(tmp_path / "a.nc")), transform="log"),))
    found = pickle.loads(pickle.dumps(CovariateSources(chosen))).at([39.0, 35.0, 41.0], [116.0, 112.0, 116.0])
    assert tuple(found.data_vars) == chosen.names == ("relief_75km", "population_15km", "lights")
    assert chosen.transforms == ("sqrt", "log", "log")
    assert found.lights.values == pytest.approx([plane(39, 116), plane(35, 112), np.nan], nan_ok=True)
    assert found.lights.attrs["units"] == "nW cm-2 sr-1"
    assert missing_values(found, ["A", "B", "C"]) == ["The covariate lights has no value at 1 of 3 places: C."]
    assert not CovariateSources(CovariateChoice()).at([39.0], [116.0]).data_vars


def covariates_of(**values):
    return xr.Dataset({name: ("point", np.array(of, "f4")) for name, of in values.items()})


def test_standardisation_has_mean_0_and_deviation_1_at_the_training_stations_and_survives_a_checkpoint():
    """By hand: roots -2, 0, 4 of -4, 0, 16 have the mean 2/3; log1p of 0 and e - 1 is 0 and 1."""
    training = covariates_of(height=[-4, 0, 16], people=[0, np.e - 1, np.nan])
    fitted = Standardisation.fit(training, ("sqrt", "log"))
    assert fitted.means == pytest.approx((2 / 3, 0.5)) and fitted.deviations == pytest.approx((np.sqrt(56) / 3, 0.5))
    back = Standardisation.from_dict(json.loads(json.dumps(fitted.asdict())))
    assert back == fitted
    scaled = back.apply(training[["people", "height"]])  # by name, whatever their order
    assert np.nanmean(scaled, axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert np.nanstd(scaled, axis=0) == pytest.approx([1, 1], rel=1e-5) and np.isnan(scaled[2, 1])
    with pytest.raises(UserError, match="no covariate people"):
        back.apply(training[["height"]])


@pytest.mark.parametrize("values, transform, said", [
    ([1, np.nan, np.nan], "none", "has a value at 1 of 3"), ([5, 5, 5], "none", "is 5 at all training stations"),
    ([1, -2, 3], "log", "negative at 1 places .the lowest is -2")])
def test_what_can_not_be_standardised_is_told(values, transform, said):
    with pytest.raises(UserError, match=said):
        Standardisation.fit(covariates_of(x=values), (transform,))


RECIPE = 'name: x\nobservations: data\nstart: "2019-01-01"\nend: "2019-01-31"\ncovariates:\n'


@pytest.mark.parametrize("section, said", [
    ("  statics: [elevation]", r"covariates.statics is unknown. Known keys: static, files"),
    ("  static: [altitude]", "'altitude' is not one of elevation, relief_15km"),
    ("  static: [elevation, elevation]", "elevation is named twice"),
    ("  files: [{name: elevation, file: a.nc}]", "name of a covariate that ships"),
    ("  files: [{name: lights}]", r"covariates.files.0.file is missing"),
    ("  files: [{name: lights, file: a.nc, method: cubic}]", "files.0.method is unknown. Known keys: name, file"),
    ("  files: [{name: Lights 1, file: a.nc}]", "files.0.name is 'Lights 1'"),
    ("  files: [{name: lights, file: a.nc, interpolation: cubic}]", "interpolation is 'cubic'")])
def test_mistakes_in_a_recipe_are_named(tmp_path, section, said):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE + section + "\n")
    with pytest.raises(UserError, match=said):
        recipes.load_recipe(path, recipes.TrainingRecipe)


def test_a_training_standardises_its_covariates_at_the_stations_that_it_sees(tmp_path):
    """And says at which training stations one has no value; withheld ones do not count."""
    path = tmp_path / "mine.yaml"
    lights = write_netcdf(tmp_path / "a.nc")
    path.write_text(RECIPE + f"  static: [elevation]\n  files: [{{name: lights, file: {lights}}}]\n")
    recipe = recipes.load_recipe(path, recipes.TrainingRecipe)
    assert network_sizes(recipe).covariates == 2 == len(recipe.covariates.names)
    lat, lon = np.array([39.0, 37.0, 36.0, 41.0]), np.array([116.0, 113.0, 114.5, 116.0])
    cube = xr.Dataset(coords={"lat": ("station", lat), "lon": ("station", lon)})
    found = fitted_covariates(recipe, cube)
    of_files = np.array([plane(*place) for place in zip(lat[:3], lon[:3], strict=True)])
    assert found.standardisation.names == ("elevation", "lights")
    assert found.standardisation.means[1] == pytest.approx(of_files.mean(), rel=1e-4)
    np.testing.assert_allclose(found.at(lat, lon)[:3, 1], (of_files - of_files.mean()) / of_files.std(), atol=1e-3)
    table = pd.DataFrame({"station_id": list("ABCD"), "lat": lat, "lon": lon})
    for trained, said in ((("A", "D"), ["The covariate lights has no value at 1 of 2 places: D."]), (("A", "B"), [])):
        data = SimpleNamespace(table=table, split=SimpleNamespace(train=trained))
        assert missing_covariates(recipe, data) == said
    none = recipe.model_copy(update={"covariates": CovariateChoice()})
    assert fitted_covariates(none, cube) is None and missing_covariates(none, data) == []


def test_the_page_on_covariates_runs():
    """Its numbers are the ones that come out, and its recipe is one."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "covariates.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.S):
        exec(block, names)
    assert names["covariates"].relief_75km.values.round().tolist() == [-145, 928]
    assert names["scale"].apply(names["at_stations"]).shape == (3, 2)
    section, = re.findall(r"```yaml\ncovariates:\n(.*?)```", page, flags=re.S)
    assert CovariateChoice.model_validate(yaml.safe_load(section)).names[-2:] == ("night_lights", "forest")
