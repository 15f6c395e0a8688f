"""Elevation, relief and population potential: closed forms, places that anyone can look up, and what ships."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis import geo
from aqreanalysis.errors import UserError
from aqreanalysis.fields import static
from aqreanalysis.fields.population import PopulationPotential
from aqreanalysis.fields.static import STATIC_COVARIATES, static_covariates
from aqreanalysis.fields.terrain import bilinear, disc_statistics

ROOT = Path(__file__).resolve().parents[1]
DEGREE_KM = np.radians(1) * geo.EARTH_RADIUS_KM


@pytest.mark.parametrize("degrees_north", [0.0, 0.05, 0.3, 0.9, 2.5, 6.0])
def test_one_place_counts_its_people_times_exp_of_the_distance_over_the_scale(degrees_north):
    """Near places are exact; far ones interpolated, so that their smooth sum differs by less than 1 %."""
    scales = (5.0, 15.0, 40.0, 100.0)
    distance = degrees_north * DEGREE_KM
    expected = 2e6 * np.exp(-distance / np.array(scales))
    found = PopulationPotential([36.0], [116.2], [2e6], scales).at([36.0 + degrees_north], [116.2])[0]
    assert found == pytest.approx(expected, rel=1e-6 if distance < 60 else 1e-2, abs=1e-6 if distance < 60 else 0.01)


def test_the_real_list_agrees_with_the_plain_sum():
    rng = np.random.default_rng(15)
    lat, lon = rng.uniform(20, 50, 300), rng.uniform(80, 130, 300)
    with np.load(static.DATA / "places.npz") as places:
        away = geo.pairwise_distance_km(lat, lon, places["lat"] / 1000, places["lon"] / 1000)
        people = places["population"].astype(float)
    found = static_covariates(lat, lon)
    alone = static.population_potential(np.append(lat, 60.0), np.append(lon, 110.0), 15.0)
    np.testing.assert_allclose(alone[:-1], found.population_15km, rtol=1e-6)
    assert np.isnan(alone[-1])
    for scale, error in ((5, 0.01), (15, 0.1), (40, 5e-3), (100, 1e-3)):
        exact = (people * np.exp(-away / scale)).sum(axis=1)
        difference = np.abs(found[f"population_{scale}km"].values - exact) / (exact + 100)
        assert difference.max() < error and np.median(difference) < error / 50


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(30, 40), st.floats(110, 120), st.integers(1, 10**7)), min_size=2, max_size=12),
       st.integers(1, 11))
def test_potentials_of_two_lists_add(places, cut):
    lat, lon, people = np.array(places).T
    points = np.array([31.0, 35.5, 36.25]), np.array([112.0, 115.5, 119.75])
    whole, *parts = (PopulationPotential(lat[of], lon[of], people[of], (5.0, 40.0)).at(*points)
                     for of in (slice(None), slice(cut), slice(cut, None)))
    assert whole == pytest.approx(sum(parts), rel=0.02, abs=0.1)


def test_order_and_tiles_change_no_byte():
    rng = np.random.default_rng(3)
    lat, lon = rng.uniform(15, 56, 500), rng.uniform(70, 138, 500)  # some outside
    lat[::50] = np.floor(lat[::50])  # on edges of blocks
    whole, order = static_covariates(lat, lon).to_array().values, rng.permutation(500)
    assert np.isnan(whole).any() and np.isfinite(whole).any()
    mixed = static_covariates(lat[order], lon[order]).to_array().values
    tiles = [static_covariates(lat[i:i + 7], lon[i:i + 7]).to_array().values for i in range(0, 500, 7)]
    assert whole[:, order].tobytes() == mixed.tobytes()
    assert whole.tobytes() == np.concatenate(tiles, axis=1).tobytes()


def test_places_outside_and_no_places():
    """NaN in all covariates or in none; longitudes of any turn are the same place; an error that names the first."""
    lat = np.array([39.9, np.nan, 39.9, 39.9, 10.0, 95.0, 39.9, 39.9, -39.9])
    lon = np.array([116.4, 116.4, np.inf, 476.4, 116.4, 116.4, -243.6, -116.4, 116.4])
    values = static_covariates(lat, lon).to_array().values
    known = np.isfinite(values)
    assert (known == known[0]).all() and known[0].tolist() == [True, False, False, True] + [False] * 2 + [True] + [
        False] * 2
    assert values[:, 0] == pytest.approx(values[:, 3], rel=1e-5) and values[:, 0] == pytest.approx(values[:, 6])
    assert static_covariates([], []).sizes == {"point": 0}
    static.check_covered([39.9], [116.4], "a list")
    with pytest.raises(UserError, match=r"2 of 3 places of the grid x \(the first at 116.4 E, 10 N\) .* 73 to 136 E"):
        static.check_covered([39.9, 10.0, np.nan], [116.4, 116.4, 0], "the grid x")


@pytest.mark.parametrize("place, lat, lon, metres, within", [
    ("Beijing", 39.9, 116.4, 44, 20), ("Taiyuan", 37.78, 112.55, 778, 40), ("Datong", 40.10, 113.33, 1067, 40),
    ("Xi'an", 34.30, 108.93, 398, 40), ("Yinchuan", 38.48, 106.22, 1111, 40), ("Bohai", 38.5, 119.5, 0, 0),
    ("Lhasa, a valley of 5 km", 29.65, 91.1, 3650, 450), ("Turpan", 42.70, 89.20, -150, 30),
    ("Qinghai Lake", 36.9, 100.2, 3196, 30)])
def test_elevation_of_known_places(place, lat, lon, metres, within):
    assert static_covariates([lat], [lon]).elevation[0] == pytest.approx(metres, abs=within + 1e-6), place


def test_relief_is_high_on_mountains_and_low_in_valleys():
    found = static_covariates([39.08, 37.85, 36.5], [113.56, 112.55, 115.5]).to_array().values
    wutai, taiyuan, plain = found[1:6].T
    assert wutai[2] > 500 and wutai[3] > 1000 and taiyuan[2] < -100 and taiyuan[4] > 800
    assert np.abs(plain[:3]).max() < 20
    rough = static_covariates(np.full(200, 36.27), np.linspace(116.9, 117.3, 200))
    assert rough.above_lowest_75km.max() > 450  # Mount Tai, 1533 m, in means over 5 arc minutes


def test_discs_and_interpolation_have_their_closed_forms():
    """A cone of 1 m a km: at its top the mean of a disc lies two thirds of the radius below; a slope is linear."""
    step, lat = 1 / 12, 30 + (np.arange(121) + 0.5) / 12
    lon = 110 + (np.arange(121) + 0.5) / 12
    cone = 1000 - geo.distance_km(*np.meshgrid(lat, lon, indexing="ij"), lat[60], lon[60])
    found = disc_statistics(cone, lat, step, 75.0)
    assert cone[60, 60] - found["mean"][60, 60] == pytest.approx(50, abs=1.5)
    assert cone[60, 60] - found["lowest"][60, 60] == pytest.approx(75, abs=5) and found["highest"][60, 60] == 1000
    slope = 3.0 * np.arange(5)[:, None] + 2.0 * np.arange(7)[None, :]
    assert bilinear(slope, np.array([1.25, 3.0, -9.0]), np.array([4.5, 2.0, 99.0])).tolist() == [12.75, 13.0, 12.0]


def test_elevation_at_the_centre_of_a_cell_is_the_cells_own():
    with np.load(static.DATA / "elevation.npz") as stored:
        elevation = stored["elevation"]
    row, column = np.array([40, 240, 400]), np.array([100, 500, 700])
    found = static_covariates(16 + (row + 0.5) / 12, 71 + (column + 0.5) / 12).elevation
    assert found.values == pytest.approx(elevation[row, column], abs=0.01)


def test_every_covariate_says_what_it_is_and_where_it_comes_from():
    found = static_covariates([36.0], [116.0])
    assert list(found.data_vars) == list(STATIC_COVARIATES) and len(STATIC_COVARIATES) == 10
    for name, variable in found.data_vars.items():
        assert {"long_name", "units", "source"} <= set(variable.attrs) and variable.dtype == np.float32
        assert ("CC BY 4.0" if name.startswith("population") else "U.S. Geological Survey") in variable.attrs["source"]


def test_what_ships_is_small_and_is_in_the_package():
    """Inside the package's folder, which the wheel and the source archive take whole; each file names its source."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["packages"] == ["aqreanalysis"] and "aqreanalysis" in build["sdist"]["include"]
    files = [static.DATA / "places.npz", static.DATA / "elevation.npz"]
    assert static.DATA.parent.name == "aqreanalysis" and sum(file.stat().st_size for file in files) < 3e6
    for file, owner in zip(files, ("GeoNames", "U.S. Geological Survey"), strict=True):
        with np.load(file) as stored:
            assert owner in str(stored["about"])
        for page in ("aqreanalysis/data/README.md", "docs/covariates.md", "CITATION.cff"):
            assert owner in (ROOT / page).read_text(encoding="utf-8")
