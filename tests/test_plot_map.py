"""What `aqreanalysis map` shows: the right numbers, stations on the same scale, real text, the product's identity."""

import datetime as dt
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import product_samples as samples
import pytest
from golden import check_golden
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from aqreanalysis import schema
from aqreanalysis.errors import UserError
from aqreanalysis.figures.field import MapStations
from aqreanalysis.figures.identity import Identity
from aqreanalysis.figures.layout import SHEETS, empty_figure, save_figure
from aqreanalysis.figures.maps import INSETS, Look, mean_map
from aqreanalysis.figures.product_maps import field_map, period_maps, words_of
from aqreanalysis.figures.scales import AQI_CLASSES, Scale
from aqreanalysis.grids import parse_grid
from aqreanalysis.models import registry
from aqreanalysis.observations.readers.cube import CubeArchive
from aqreanalysis.product import map_fields, map_stations
from aqreanalysis.product.map_fields import MapPeriod, field_dataset, map_field, open_for_maps
from aqreanalysis.product.map_stations import hidden_map, observed_stations
from aqreanalysis.product.reading import open_product
from aqreanalysis.product.summary_fields import opened_summary, summary_field, summary_periods
from aqreanalysis.time_axis import Period
from aqreanalysis.workflows.plot_map import MapOptions, draw_cells, draw_map, parse_label, plot_map

DAYS = Period(samples.FIRST, samples.LAST)
SINGLE = Look(SHEETS["single"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A product of three days on a regular grid of 7 x 9 cells on land, and its daily fields."""
    folder = tmp_path_factory.mktemp("maps")
    grid = samples.grid("regular", folder)
    grid = replace(grid, land=np.ones(grid.size, bool))
    hourly = samples.fields(grid.size)
    return samples.product(folder / "p", grid, hourly), samples.daily_fields(hourly), hourly


@pytest.fixture(scope="module")
def region():
    return parse_grid("1deg")


def field_of(grid, values, **attributes):
    """A field of one day, as of a product."""
    about = {"kind": "mean", "words": "2019-01-12", "label": "2019-01-12", "steps": 1, "fewest": 1, "most": 1,
             "step": "days", "title": "PM2.5 analysis", "source": "Observations.", "simulated": "false", "above": 75.0}
    flag = np.where(grid.land, 0, schema.SEA).astype(np.int8)
    return field_dataset(grid, np.asarray(values, np.float32), flag, np.ones(grid.size, int), about | attributes)


# --- numbers ---------------------------------------------------------------------------------------

def test_each_kind_is_the_days_own_statistic(whole):
    path, days, hourly = whole
    product = open_for_maps(path)
    land = product.grid.land
    mean = np.nanmean(days["pm25"].astype(float), axis=0)
    error = days["pm25_standard_error"].astype(float)
    width = (days["pm25_upper"] - days["pm25_lower"]).astype(float)
    expected = {"mean": mean, "error": error.mean(axis=0), "width": width.mean(axis=0),
                "relative-error": 100 * error.mean(axis=0) / mean,
                "days-above": (days["pm25"] > 80).sum(axis=0)}
    for kind, values in expected.items():
        found = map_field(product, MapPeriod(DAYS), kind, above=80.0)
        np.testing.assert_allclose(found["value"].values.ravel()[land], values[land], rtol=0.01, err_msg=kind)
    assert 0 < expected["days-above"].sum() < 3 * len(mean)
    assert (map_field(product, MapPeriod(DAYS), "flag").quality_flag.values.max()) <= schema.SEA


def test_an_hour_is_the_one_that_ends_then(whole):
    """08:00 of the first day is its eighth stamp."""
    path, _, hourly = whole
    asked = parse_label("2016-02-28T08")
    found = map_field(open_for_maps(path, "hourly"), asked)
    np.testing.assert_allclose(found["value"].values.ravel(), hourly["pm25"][7], rtol=1e-3)
    assert asked.stamp == np.datetime64("2016-02-28T00") and found.attrs["steps"] == 1
    assert words_of(found)["title"] == "PM2.5 on 2016-02-28 08:00 (UTC+8, end of the hour)"


def test_a_difference_has_the_sign_of_the_first(whole):
    product = open_for_maps(whole[0])
    one = map_field(product, MapPeriod(DAYS))
    other = one.assign(value=one["value"] + 5.0)
    found = map_fields.difference(one, other, ("a", "b"))
    np.testing.assert_allclose(found["value"].values, -5.0, atol=1e-4)
    scale = field_map(found).axes[0].collections[0].norm.boundaries
    np.testing.assert_allclose(scale, -scale[::-1])
    with pytest.raises(UserError, match="another grid"):
        map_fields.difference(one, other.isel(lat=slice(1, None)), ("a", "b"))


@pytest.mark.parametrize("text, first, last, words", [
    ("2019", "2019-01-01", "2019-12-31", "2019"), ("2019-02", "2019-02-01", "2019-02-28", "February 2019"),
    ("2019-DJF", "2018-12-01", "2019-02-28", "winter 2018/19 (DJF)"),
    ("2019-SON", "2019-09-01", "2019-11-30", "autumn 2019 (SON)"),
    ("2019-01-12", "2019-01-12", "2019-01-12", "2019-01-12")])
def test_a_label_is_its_calendar_period(text, first, last, words):
    asked = parse_label(text)
    assert (str(asked.days.first), str(asked.days.last), asked.words) == (first, last, words)


@pytest.mark.parametrize("text", ["2019-13", "2019-XXX", "19", "2019-02-30", "2019-01-12T00", "2019-01-12T25"])
def test_what_is_no_label_is_refused(text):
    with pytest.raises(UserError, match="is no period"):
        parse_label(text)


@pytest.mark.parametrize("options, words", [
    ({"show": "median"}, "--show median"), ({"projection": "mercator"}, "--projection mercator"),
    ({"palette": "jet"}, "--palette jet"), ({"width": "huge"}, "--width huge"), ({"inset": "paris"}, "--inset paris"),
    ({"box": (120.0, 30.0, 110.0, 40.0)}, "is reversed"), ({"vmax": -1.0}, "--vmax"), ({"end": "2016-02-29"}, "--end"),
    ({"start": "2016-02-28", "period": "2016"}, "together"), ({"hide": "single", "every": "day"}, "--hide"),
    ({"minus": "p", "show": "flag"}, "--minus"), ({"period": "2016-02-28T08", "show": "days-above"}, "of hours")])
def test_bad_options_are_told(whole, options, words):
    with pytest.raises(UserError) as caught:
        plot_map(whole[0], MapOptions(**options))
    assert words in str(caught.value) and caught.value.fix


# --- stations --------------------------------------------------------------------------------------

def test_stations_are_coloured_on_the_scale_of_the_map(region):
    """A station that observed 120 has the colour of a cell of 120; withheld ones are triangles."""
    stations = MapStations.of([38.5, 36.5, 34.5], [115.5, 114.5, 113.5], [120.0, 20.0, np.nan], [False, True, False])
    ax = field_map(field_of(region, np.full(region.size, 120.0)), stations=stations, look=SINGLE).axes[0]
    mesh, *dots = [artist for artist in ax.collections if artist.get_array() is not None and artist.get_array().size]
    assert [dot.get_array().tolist() for dot in dots] == [[120.0], [20.0]]
    assert all(dot.norm is mesh.norm and dot.cmap is mesh.cmap for dot in dots)
    assert [len(dot.get_paths()[0].vertices) for dot in dots] == [26, 4]  # a circle, a triangle
    words = {text.get_text() for text in ax.figure.legends[0].get_texts()}
    assert {"Stations used, as observed", "Stations withheld, as observed"} < words


def test_hidden_stations_have_no_part_in_the_map(whole):
    """Whatever they observe, the map is the same; what others observe changes it; and all are shown as observed."""
    product = replace(open_for_maps(whole[0]), identity={"checkpoint": "kriging", "neighbours": None})
    cube = schema.mock_station_cube(hours=24 * 20, stations=40, missing=0.0)
    cube = cube.assign_coords(time=cube.time + (np.datetime64("2016-02-20T17", "ns") - cube.time[0]))
    asked = MapPeriod(Period(dt.date(2016, 2, 28), dt.date(2016, 2, 29)))
    first, stations = hidden_map(product, CubeArchive(cube), asked)
    assert 0 < stations.hidden.sum() < 20
    for which, same in ((stations.hidden, True), (~stations.hidden, False)):
        other = cube.assign(pm25=cube.pm25.where(~which, cube.pm25 + 3.0))
        again, seen = hidden_map(product, CubeArchive(other), asked)
        assert np.array_equal(first["value"], again["value"], equal_nan=True) is same
        np.testing.assert_allclose((seen.values - stations.values)[which], 3.0, atol=1e-3)
    text = {text.get_text() for text in field_map(first).findobj(Text)}
    assert any(f"without the {stations.hidden.sum()} stations" in words for words in text)


@pytest.mark.parametrize("name", ["idw", "nearest", None])
def test_days_are_estimated_anew_with_the_model_of_the_product(whole, monkeypatch, name):
    """Of a baseline the first word of its identity was taken for a name; another model of that name is refused."""
    identity = registry.describe_model(name).identity
    product = replace(open_for_maps(whole[0]), identity={"checkpoint": identity, "neighbours": 1})
    recipe = {"checkpoint": name, "neighbours": None}
    monkeypatch.setattr(map_stations, "record_of", lambda path: SimpleNamespace(content={"facts": {"recipe": recipe}}))
    assert map_stations._model_of(product) == (name, None, None)
    with pytest.raises(UserError, match="was made with other 0123"):
        map_stations._model_of(replace(product, identity={"checkpoint": "other 0123"}))


def test_a_station_is_shown_with_the_mean_of_its_whole_days():
    """Of 24 and 19 hours, only the first day counts."""
    hours = samples.time_axis.hours_of_days(dt.date(2019, 1, 1), dt.date(2019, 1, 2))
    values = np.r_[np.full(24, 40.0), np.full(24, 90.0)][:, None] * np.ones((1, 6), np.float32)
    values += np.arange(48)[:, None] % 7  # not stuck
    values[43:] = np.nan
    cube = schema.make_station_cube(hours, [f"S{i}" for i in range(6)], 38 + np.arange(6) / 5, 115 + np.arange(6) / 5,
                                    {"pm25": values})
    found = observed_stations(CubeArchive(cube), MapPeriod(Period(dt.date(2019, 1, 1), dt.date(2019, 1, 2))))
    np.testing.assert_allclose(found.values, values[:24, 0].mean(), rtol=1e-6)


# --- how it looks ----------------------------------------------------------------------------------

def test_classes_end_with_their_limits():
    scale = Scale.of_day_classes([])
    colours = [to_hex(scale.cmap(scale.norm(value))) for value in (0.0, 35.0, 35.1, 75.0, 150.0, 150.1, 250.1, 700.0)]
    of = [colour for _, colour in AQI_CLASSES]
    assert colours == [of[0], of[0], of[1], of[1], of[3], of[4], of[5], of[5]]


def test_classes_of_days_say_so_of_a_longer_mean(region):
    field = field_of(region, np.full(region.size, 50.0), steps=31, fewest=31, most=31, words="January 2019")
    for palette, said in (("aqi", True), (None, False)):
        text = " ".join(words.get_text() for words in field_map(field, palette=palette).texts)
        assert ("HJ 633-2012" in text) is said


@pytest.mark.parametrize("width, millimetres", [("single", 88), ("double", 180)])
def test_a_journal_gets_its_width_and_readable_text(region, width, millimetres):
    figure = field_map(field_of(region, region.lat), look=Look(SHEETS[width], inset="beijing"))
    figure.canvas.draw()
    assert figure.get_figwidth() == pytest.approx(millimetres / 25.4)
    shown = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert min(text.get_fontsize() for text in shown) >= 6.0
    page = figure.bbox.padded(1)
    assert not [text.get_text() for text in shown if not (
        page.x0 <= text.get_window_extent().x0 and text.get_window_extent().x1 <= page.x1)]
    inset = next(ax for ax in figure.axes if ax.get_title(loc="left") == "Beijing")
    west, south, east, north = INSETS["beijing"]
    (x0, x1), (y0, y1) = inset.get_xlim(), inset.get_ylim()
    assert (x1 - x0, y1 - y0) == pytest.approx((111e3 * np.cos(np.radians(40.2)) * (east - west),
                                                111e3 * (north - south)), rel=0.03)


def test_projections_show_what_they_say(region):
    import cartopy.crs as ccrs

    for name, kind in (("lambert", ccrs.LambertConformal), ("platecarree", ccrs.PlateCarree)):
        ax = mean_map(region.lat, region, title="t", look=replace(SINGLE, projection=name)).axes[0]
        assert isinstance(ax.projection, kind)
    assert ax.get_xlim()[0] == pytest.approx(106 - 0.015 * 19) and ax.get_ylim()[1] == pytest.approx(43 + 0.015 * 19)


def test_panels_share_their_colours(region):
    fields = [field_of(region, np.full(region.size, 10.0 * i), words=f"month {i}") for i in range(1, 6)]
    figure = period_maps(fields, look=SINGLE)
    maps = [ax for ax in figure.axes if hasattr(ax, "projection")]
    assert len(maps) == 5 and len({id(ax.collections[0].norm) for ax in maps}) == 1
    assert [ax.get_title(loc="left") for ax in maps] == [f"Month {i}" for i in range(1, 6)]


# --- files -----------------------------------------------------------------------------------------

def test_a_vector_figure_has_real_text(region, tmp_path):
    figure = field_map(field_of(region, region.lat, simulated="true"), look=SINGLE)
    svg = save_figure(figure, tmp_path / "m.svg").read_text(encoding="utf-8")
    words = set(re.findall(r"<text[^>]*>([^<]+)</text>", svg))
    assert {"Beijing", "Shanghai", "SIMULATED – not observations"} <= words
    pdf = save_figure(figure, tmp_path / "m.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # embedded TrueType


def test_a_figure_says_what_it_is_of_in_its_file(tmp_path):
    figure = empty_figure(1.0, 1.0)
    about = {"id": "pm25.daily.x", "license": "CC BY 4.0", "source": "站 Observations.",
             "source_product_sha256": "ab12"}
    identity = Identity.of("PM2.5 on a day", about)
    paths = {ending: save_figure(figure, tmp_path / f"m{ending}", identity, 40)
             for ending in (".png", ".pdf", ".svg", ".jpg", ".tif", ".webp")}
    text = Image.open(paths[".png"]).text
    assert (text["Title"], text["id"], text["source"]) == ("PM2.5 on a day", "pm25.daily.x", "站 Observations.")
    assert text["source_product_sha256"] == "ab12" and "aqreanalysis" in text["Software"]
    svg = paths[".svg"].read_text(encoding="utf-8")
    assert "<dc:identifier>pm25.daily.x</dc:identifier>" in svg and "ab12" in svg and "CC BY 4.0" in svg
    assert b"PM2.5 on a day" in paths[".pdf"].read_bytes()
    for ending in (".jpg", ".tif", ".webp"):
        stored = Image.open(paths[ending]).getexif()[0x010E]
        stored = stored if isinstance(stored, bytes) else stored.encode("latin-1", "surrogateescape")
        assert b"ab12" in stored and "站".encode() in stored, ending


def test_the_command_writes_the_products_identity(whole, tmp_path):
    path = plot_map(whole[0], MapOptions(period="2016-02-29", width="single"), tmp_path / "m.png")
    image = Image.open(path)
    assert image.text["source_product"] and len(image.text["source_product_sha256"]) == 64
    assert image.info["dpi"][0] == pytest.approx(300, abs=0.1) and image.width == 1039


@pytest.mark.parametrize("name", ["stations", "classes", "panels", "flags"])
def test_maps_look_as_they_were_looked_at(region, tmp_path, name):
    values = 60 + 50 * np.sin(region.lon / 3) * np.cos(region.lat / 2)
    flag = np.where(region.lon < 109, schema.EXTRAPOLATED, np.where(region.lat > 41, schema.WEAK_SUPPORT, 0))
    flag = np.where(region.land, flag, schema.SEA).astype(np.int8)
    field = field_of(region, values)
    field["quality_flag"] = field["quality_flag"].copy(data=flag.reshape(region.shape))
    stations = MapStations.of([39.9, 36.0, 33.0], [116.4, 113.0, 118.0], [120.0, 20.0, 60.0], [False, True, False])
    figure = {
        "stations": lambda: field_map(field, stations=stations, look=replace(SINGLE, inset="beijing")),
        "classes": lambda: field_map(field, palette="aqi", look=replace(SINGLE, projection="platecarree")),
        "panels": lambda: period_maps([field.assign_attrs(simulated="true", words=str(n)) for n in range(2)],
                                      look=SINGLE),
        "flags": lambda: field_map(field.assign(value=field["quality_flag"].where(field["quality_flag"] < 4)).
                                   assign_attrs(kind="flag"), look=SINGLE)}[name]()
    check_golden(figure, f"map_{name}", tmp_path)


# --- summaries -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def summary(whole, tmp_path_factory):
    """The months of the product: February with 2 of its days, March with 1."""
    from aqreanalysis.workflows.summarise import SummaryRequest, write_summaries

    path, = write_summaries(SummaryRequest(str(whole[0]), str(tmp_path_factory.mktemp("summary")), ("month",)))
    return path


def test_a_summarys_error_is_that_of_its_mean(summary):
    with opened_summary(summary) as file:
        assert summary_periods(file) == ["2016-02", "2016-03"]
        field, _ = summary_field(file, summary, "2016-02", "February 2016", "error")
        np.testing.assert_array_equal(field["value"].values, file.pm25_standard_error.values[0])
        counted, _ = summary_field(file, summary, "2016-03", "March 2016", "days-above", above=75.0)
        np.testing.assert_array_equal(counted["value"].values, file.days_above_75.values[1])
        assert words_of(field)["title"] == "Standard error of the mean PM2.5 of February 2016 (2 of 29 days)"
        with pytest.raises(UserError, match="days_above_80"):
            summary_field(file, summary, "2016-03", "", "days-above", above=80.0)


def test_a_map_of_a_summary_is_of_one_of_its_periods(summary, tmp_path):
    with pytest.raises(UserError, match="They are 2016-02, 2016-03"):
        plot_map(summary)
    with pytest.raises(UserError, match="has no 2016-04"):
        plot_map(summary, MapOptions(period="2016-04"))
    with pytest.raises(UserError, match="--stations has no use"):
        plot_map(summary, MapOptions(period="2016-02", stations=True))
    path = plot_map(summary, MapOptions(period="2016-02", width="single"), tmp_path / "m.png")
    assert Image.open(path).text["Title"] == "PM2.5, mean of February 2016 (2 of 29 days)"


def test_a_summary_in_memory_gives_the_same_map_as_its_file(summary, whole):
    """The Dataset of `summarise` and the file of `write_summaries` are drawn alike; a product's Dataset is refused."""
    from aqreanalysis.workflows.summarise import summarise

    options = MapOptions(period="2016-02", show="error", width="single")
    of_file, of_memory = (pixels(draw_map(of, options)) for of in (summary, summarise(whole[0], "month")))
    assert np.array_equal(of_file, of_memory) and of_file.std() > 10
    with pytest.raises(UserError, match="none of `summarise`"):
        draw_map(open_product(whole[0], "daily"))


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_own_numbers_are_drawn_at_the_products_cells(whole, monkeypatch):
    """With the class of most steps, the colours of what is not on the sea, and the mark of a simulation."""
    days, shown = open_product(whole[0], "daily").load(), {}
    monkeypatch.setattr("aqreanalysis.workflows.plot_map.mean_map",
                        lambda values, grid, **of: shown.update(of, values=values) or mean_map(values, grid, **of))
    days["quality_flag"].values[:] = np.array([1, 1, 3])[:, None, None]
    days["quality_flag"].values[:, 0, 0] = schema.SEA
    change = (days.pm25.isel(time=0, drop=True) - days.pm25.isel(time=1, drop=True)).fillna(0.0)
    change.values[0, 0] = 1e6
    figure = draw_cells(change, days.assign_attrs(simulated="true"), "Change", "one less other", difference=True)
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert any("SIMULATED" in text and "Change" in text for text in texts)
    assert shown["flag"][0, 0] == schema.SEA and (shown["flag"].ravel()[1:] == 1).all()
    assert shown["scale"].levels[0] == -shown["scale"].levels[-1] < 0 and shown["scale"].levels[-1] < 1e5
    np.testing.assert_array_equal(shown["values"], change.values)
    assert not any("SIMULATED" in text.get_text() for text in draw_cells(change, days, "Change", "").findobj(Text))
    draw_cells(change.isel(lat=slice(2, None)), days, "", "")  # other cells: only the sea is known of them
    assert set(np.unique(shown["flag"])) <= {schema.SUPPORTED, schema.SEA}
    for wrong in (days.pm25, change.isel(lat=0), change.drop_vars("lat")):
        with pytest.raises(UserError, match="not those of cells"):
            draw_cells(wrong, days, "", "")


def test_the_key_has_what_the_box_shows(region):
    """Cells that are extrapolated, and withheld stations, lie outside the box."""
    flag = np.where(region.lon < 109, schema.EXTRAPOLATED, 0)
    stations = MapStations.of([38.5, 30.5], [115.5, 107.5], [60.0, 50.0], [False, True])
    for box, shown in ((None, True), ((112.0, 35.0, 118.0, 41.0), False)):
        figure = mean_map(region.lat, region, title="t", flag=flag, stations=stations, look=replace(SINGLE, box=box))
        words = {text.get_text() for text in figure.legends[0].get_texts()}
        assert ("Extrapolated, far from stations" in words, "Stations withheld, as observed" in words) == (shown, shown)
