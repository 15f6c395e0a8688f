"""Maps: the right colour at the right place, sea without colour, and no text that is cut or hidden."""

import socket

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation, Text

from aqreanalysis.figures.basemap import LABELLED_CITIES, SEA_COLOUR
from aqreanalysis.figures.field import MapField, MapStations
from aqreanalysis.figures.layout import HALO, text_width, wrap
from aqreanalysis.figures.maps import SIMULATED_MARK, mean_map, panel_map
from aqreanalysis.figures.scales import Scale
from aqreanalysis.grids import parse_grid
from aqreanalysis.schema import EXTRAPOLATED, WEAK_SUPPORT

LONG = "Annual mean of hourly PM2.5 from stations of the network, gap-free, " * 4 + "/a/path" * 60


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a map asked for the network")
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def region():
    return parse_grid("0.25deg")


@pytest.fixture(scope="module")
def curvilinear(tmp_path_factory):
    """A lattice that is turned against the meridians, as a model's."""
    j, i = np.meshgrid(np.arange(20), np.arange(24), indexing="ij")
    lat, lon = 34 + 0.27 * j + 0.03 * i, 113 - 0.04 * j + 0.33 * i
    text = "gridtype = curvilinear\nxsize = 24\nysize = 20\n" + "".join(
        f"{key} = {' '.join(map(str, values.ravel()))}\n" for key, values in (("xvals", lon), ("yvals", lat)))
    path = tmp_path_factory.mktemp("grid") / "model.txt"
    path.write_text(text)
    return parse_grid(path)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "places.csv"
    rows = [f"{name},{lon},{lat}" for name, (lat, lon) in LABELLED_CITIES.items()]
    path.write_text("\n".join(["station_id,lon,lat", *rows]))
    return parse_grid(path)


@pytest.fixture(scope="module")
def one_place(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "one.csv"
    path.write_text("station_id,lon,lat\nA,116.4,39.9\n")
    return parse_grid(path)


def pixels(figure) -> np.ndarray:
    """(height, width, 3), 0 to 1, the first row at the top."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255


def colour_at(figure, image, lat, lon):
    """The colour of a place, found through cartopy's own projection."""
    from cartopy.crs import PlateCarree

    ax = figure.axes[0]
    x, y = ax.transData.transform(ax.projection.transform_point(lon, lat, PlateCarree()))
    return image[image.shape[0] - 1 - int(y), int(x)]


def texts(figure):
    figure.canvas.draw()
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def cut_texts(figure):
    page = figure.bbox.padded(1)
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert len(boxes) > 10
    return [(words, box) for words, box in boxes
            if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1]


# --- what is shown ---------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["region", "curvilinear"])
def test_colours_lie_where_the_values_lie(name, request):
    grid = request.getfixturevalue(name)
    values = np.where(grid.lat > 36.0, 80.0, 20.0)
    figure = mean_map(values, grid, title="two halves", vmax=100)
    scale = Scale.of([values], 100)
    image = pixels(figure)
    for lat, lon, value in ((38.62, 115.27, 80), (37.3, 115.9, 80), (35.45, 115.9, 20), (35.4, 114.3, 20)):
        expected = scale.cmap(scale.norm(value))[:3]
        np.testing.assert_allclose(colour_at(figure, image, lat, lon), expected, atol=0.01)


def test_sea_is_neutral_whatever_its_value(region):
    figure = mean_map(np.full(region.size, 60.0), region, title="everywhere")
    image = pixels(figure)
    for lat, lon in ((38.6, 119.6), (35.6, 122.3), (31.2, 123.7)):
        np.testing.assert_allclose(colour_at(figure, image, lat, lon), to_rgb(SEA_COLOUR), atol=0.01)
    assert np.isnan(MapField.of(np.ones(region.size), region).values.ravel() [~region.land]).all()


def test_veil_and_hatch_lie_on_flagged_cells_only(region):
    flag = np.where(region.lon < 112, EXTRAPOLATED, np.where(region.lon < 114, WEAK_SUPPORT, 0))
    figure = mean_map(np.full(region.size, 80.0), region, title="t", flag=flag)
    plain = mean_map(np.full(region.size, 80.0), region, title="t", flag=np.zeros(region.size))
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"Few stations nearby", "Extrapolated, far from stations"} < words
    assert {text.get_text() for text in plain.legends[0].get_texts()} == {"Sea, not shown"}
    west, east = ([colour_at(drawn, pixels(drawn), 36.9, lon) for drawn in (figure, plain)]
                  for lon in (108.3, 118.2))
    assert np.abs(west[0] - west[1]).max() > 0.1
    np.testing.assert_array_equal(*east)


def test_scale_begins_at_zero_and_has_room_for_the_highest(region):
    field = MapField.of(np.linspace(1, 63, region.size), region).values
    scale = Scale.of([field])
    assert scale.levels[0] == 0 and 60 < scale.levels[-1] <= 70
    assert Scale.of([field], vmax=40).norm.extend == "max"
    assert Scale.of([np.full(region.size, np.nan)]).levels[-1] >= 1
    lightness = scale.cmap(np.linspace(0, 1, 50))[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) < 0).all()  # darker where the air is worse, also in grey


def test_limits_are_marked_where_the_bar_reaches_them(region):
    figure = mean_map(np.full(region.size, 50.0), region, title="t", vmax=60,
                      limits={"near": 35, "beyond": 75})
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "near (35 µg m⁻³)" in words and not any("beyond" in word for word in words)
    marks = [line.get_ydata()[0] for line in figure.axes[1].lines]
    assert set(marks) == {35}


# --- simulated -------------------------------------------------------------------------------------

def test_simulated_map_is_marked_across_and_in_its_title(region):
    values = np.full(region.size, 50.0)
    figure = mean_map(values, region, title="January", simulated=True)
    mark, = [text for text in figure.axes[0].texts if text.get_text() == SIMULATED_MARK and text.get_gid() != HALO]
    assert mark.get_window_extent().width > 0.7 * figure.axes[0].get_window_extent().width
    assert f"{SIMULATED_MARK}: January" in [text.get_text() for text in figure.texts]
    observed = mean_map(values, region, title="January")
    assert not [text for text in texts(observed) if "SIMULATED" in text.get_text()]


def test_each_panel_is_marked(region):
    figure = panel_map([np.full(region.size, 10.0 * i) for i in range(1, 13)], region, title="2016",
                       labels=[f"{i}" for i in range(12)], simulated=True)
    maps = [ax for ax in figure.axes if hasattr(ax, "projection")]
    assert len(maps) == 12 and len(figure.axes) == 13  # and one colour bar
    assert all(SIMULATED_MARK in [text.get_text() for text in ax.texts] for ax in maps)
    assert {ax.collections[0].norm.vmax for ax in maps if ax.collections} == {120.0}
    assert cut_texts(figure) == []


# --- text ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["region", "curvilinear", "places", "one_place"])
def test_no_text_is_cut(name, request):
    grid = request.getfixturevalue(name)
    figure = mean_map(50 + grid.lat, grid, title=LONG, subtitle=LONG, note=LONG, simulated=True,
                      stations=MapStations.of(grid.lat, grid.lon), limits={"WHO guideline": 5, "China grade II": 35})
    assert cut_texts(figure) == []


@pytest.mark.parametrize("name", ["0.25deg", "beijing-tianjin-hebei-0.05deg"])
def test_city_names_lie_apart_and_inside_the_map(name, monkeypatch):
    grid = parse_grid(name)
    south, east = grid.lat_bounds[0, 0], grid.lon_bounds[-1, 1]
    for i in range(9):  # a crowd without room for all, and a name that must go to the left of its city
        monkeypatch.setitem(LABELLED_CITIES, f"Suburb of Beijing {i}", (39.9 + 0.02 * i, 116.4))
    monkeypatch.setitem(LABELLED_CITIES, "At the rim", (south + 0.1, east - 0.1))
    figure = mean_map(np.full(grid.size, 50.0), grid, title="cities")
    figure.canvas.draw()
    frame = figure.axes[0].get_window_extent()
    labels = [text for text in figure.axes[0].texts if isinstance(text, Annotation) and text.get_gid() != HALO]
    boxes, words = [text.get_window_extent() for text in labels], {text.get_text() for text in labels}
    assert {"Beijing", "Tianjin", "Shijiazhuang", "Jinan", "At the rim"} <= words
    assert ("Xi'an" in words) == (name == "0.25deg")
    assert 0 < sum("Suburb" in word for word in words) < 9
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)


def test_wrap_keeps_the_words_and_the_width():
    lines = wrap(LONG, 3.0, 9)
    assert "".join(lines).replace(" ", "") == LONG.replace(" ", "")
    assert max(text_width(line, 9) for line in lines) <= 3.0 < text_width(LONG, 9)


# --- same everywhere -------------------------------------------------------------------------------

def test_a_map_does_not_depend_on_a_persons_settings(one_place):
    first = pixels(mean_map([40.0], one_place, title="PM2.5", simulated=True))
    with matplotlib.rc_context({"font.size": 30, "font.family": "monospace", "axes.facecolor": "red",
                                "figure.figsize": (1, 1), "lines.linewidth": 9}):
        second = pixels(mean_map([40.0], one_place, title="PM2.5", simulated=True))
    np.testing.assert_array_equal(first, second)


def test_all_glyphs_are_in_the_font(region):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        mean_map(np.full(region.size, 50.0), region, title="PM₂.₅ – µg m⁻³", simulated=True).canvas.draw()


def test_wrong_shapes_are_loud(region):
    with pytest.raises(ValueError):
        mean_map(np.ones(7), region, title="t")
    with pytest.raises(ValueError):
        panel_map([np.ones(region.size)] * 2, region, labels=["one"], title="t")
