"""Figures of a validation, and an animation: the right sums, what they show, and what they say when they can't."""

import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import product_samples as samples
import pytest
import xarray as xr
from golden import check_golden
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.figure_sums import by_city, of_hidden_rows, spread_points, target_points
from aqreanalysis.evaluation.predictions import BETWEEN_BOUNDS
from aqreanalysis.figures import validation
from aqreanalysis.figures.animation import save_movie
from aqreanalysis.figures.cycles import calendar_figure, cycle_figure
from aqreanalysis.figures.layout import empty_figure
from aqreanalysis.figures.station_maps import bias_skill_map, bubble_size, error_bubbles
from aqreanalysis.figures.validation import contingency, reliability, soccer, validation_figures
from aqreanalysis.workflows.plot_animation import plot_animation
from aqreanalysis.workflows.plot_map import MapOptions
from aqreanalysis.workflows.plot_validation import hidden_sums, plot_validation

STATIONS, DAYS, rows_of = samples.HIDDEN_STATIONS, samples.HIDDEN_DAYS, samples.hidden_rows


def sums_of(rows):
    return of_hidden_rows(rows, {f"S{i:02d}": i // 2 for i in range(STATIONS)}, "AQ-Net")


@pytest.fixture(scope="module")
def found():
    return sums_of(rows_of())


# --- sums ------------------------------------------------------------------------------------------

def test_sums_are_those_of_the_pairs(found):
    """Beside pandas: MAE of a station's hours, days above 75, an hour of the day, weights."""
    rows = rows_of()
    table = rows.stack(pair=("row", "hour")).to_dataframe().reset_index(drop=True).dropna()
    table["miss"] = (table.pm25.astype(float) - table.observed.astype(float)).abs()
    mine = table[(table.design == "whole cities") & (table.station_id == "S03")]
    of = found.station.sel(group="whole cities", frequency="hourly", model="AQ-Net", station="S03")
    assert float(of.n) == len(mine) and float(of.error_absolute) == pytest.approx(mine.miss.sum(), rel=1e-5)
    half = found.station.sel(group="map-matched", frequency="hourly", model="kriging").n.sum()
    assert float(half) == pytest.approx(0.5 * (table.design == "map-matched").sum())
    days = rows.isel(row=slice(0, STATIONS * DAYS))
    whole = days.observed.notnull().sum("hour") >= 20
    over = (days.observed.mean("hour") > 75) & whole
    alarmed = days.pm25.where(days.observed.notnull()).mean("hour") > 75
    daily = found.station.sel(group="whole cities", frequency="daily", model="AQ-Net").sum("station")
    assert (float(daily.n), float(daily.hits), float(daily.misses)) == (
        int(whole.sum()), int((over & alarmed).sum()), int((over & ~alarmed).sum()))
    fifth = found.hour.sel(group="whole cities", frequency="hourly", model="AQ-Net", hour=5)
    assert float(fifth.truth) == pytest.approx(float(days.observed.isel(hour=5).sum()), rel=1e-5)


def sums(truth, estimate, uncertainty=1.0):
    miss = estimate - truth
    return xr.Dataset({"n": float(len(truth)), "truth": truth.sum(), "truth_squared": (truth**2).sum(),
                       "estimate_squared": (estimate**2).sum(), "error": miss.sum(), "error_squared": (miss**2).sum(),
                       "uncertainty_squared": len(truth) * uncertainty**2})


def test_diagrams_have_their_known_points():
    """Twice the truth: ratio 2, correlation 1, an error of spread. A bias alone lies on the y axis."""
    truth = np.array([10.0, 20.0, 40.0, 30.0])
    twice, biased = sums(truth, 2 * truth), sums(truth, truth + 3.0)
    assert (float(spread_points(twice).ratio), float(spread_points(twice).correlation)) == pytest.approx((2.0, 1.0))
    assert float(target_points(twice).x) == pytest.approx(truth.std() / 2)
    assert (float(target_points(biased).x), float(target_points(biased).y)) == pytest.approx((0.0, 1.5), abs=1e-6)
    shuffled = truth[[1, 0, 3, 2]]  # the same spread, less correlation
    assert float(target_points(sums(truth, shuffled)).x) == pytest.approx(-(shuffled - truth).std() / 2)


def test_cities_add_up(found):
    stations = found.stations().sel(model="AQ-Net")
    cities = by_city(stations)
    assert cities.sizes["city"] == 6 and float(cities.n.sum()) == float(stations.n.sum())
    np.testing.assert_allclose(cities.lat.values, 34.25 + np.arange(6))


def test_a_model_without_bounds_has_all_figures_but_their_reliability(found, monkeypatch):
    """A baseline of too few stations: its build failed at its end, over its report."""
    monkeypatch.setattr(validation, "FIGURES", {})  # of sums; they know of no bounds
    without = replace(found, rows=found.rows.drop_vars(["pm25_lower", "pm25_upper"]))
    assert set(validation_figures(found)) - set(validation_figures(without)) == {"reliability"}
    assert set(validation_figures(without)) == {"scatter_density", "error_by_distance"}


# --- figures ---------------------------------------------------------------------------------------

def texts(figure):
    figure.canvas.draw()
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def test_all_figures_are_drawn_whole_and_say_that_they_are_simulated():
    figures = validation_figures(sums_of(rows_of(simulated=True)))
    assert set(figures) >= {"station_bias_skill", "error_bubbles", "soccer", "cycles", "calendar", "days_above_75",
                            "error_by_distance", "reliability", "taylor", "target", "scatter_density"}
    for name, figure in figures.items():
        shown = texts(figure)
        assert any("SIMULATED" in text.get_text() for text in shown), name
        page = figure.bbox.padded(2)
        words = [text for text in shown if re.search("[a-z]", text.get_text().replace("mathdefault", ""))]  # no ticks
        outside = [text.get_text() for text in words if not (
            page.x0 <= text.get_window_extent().x0 and text.get_window_extent().x1 <= page.x1
            and page.y0 <= text.get_window_extent().y0 and text.get_window_extent().y1 <= page.y1)]
        assert not outside, (name, outside)


def test_what_needs_the_hours_is_not_made_without_them(found, monkeypatch):
    monkeypatch.setattr(validation, "FIGURES", {"stations": len})
    monkeypatch.setattr(validation, "OF_ROWS", {"hours": len})
    monkeypatch.setattr(type(found), "__len__", lambda self: 1, raising=False)
    assert validation_figures(found) == {"stations": 1, "hours": 1}
    assert validation_figures(replace(found, rows=None)) == {"stations": 1}


def test_stations_that_are_too_high_are_red_and_those_that_are_better_too(found):
    """Station 0 is 24 ug m-3 too low, station 11 20 too high; all are twice as good as kriging."""
    bias, skill = (next(c for c in ax.collections if c.get_array() is not None)
                   for ax in bias_skill_map(found).axes if hasattr(ax, "projection"))
    colours = bias.get_cmap()(bias.norm(bias.get_array()))
    order = np.argsort(bias.get_array())
    assert colours[order[0], 2] > colours[order[0], 0] and colours[order[-1], 0] > colours[order[-1], 2]
    np.testing.assert_allclose(skill.get_array(), 50.0, atol=1e-3)


def test_larger_errors_have_larger_bubbles(found):
    dots = next(c for c in error_bubbles(found).axes[0].collections if c.get_array() is not None)
    order = np.argsort(dots.get_array())
    assert (np.diff(dots.get_sizes()[order]) >= 0).all() and len(order) == 6
    assert bubble_size(np.array([0.0, 10.0]), 10.0).tolist() == [6.0, 150.0]


def test_a_calendar_has_each_day_in_its_place(found):
    """2019-01-07 was a Monday of the second column; its error is that of all its stations."""
    ax = calendar_figure(found).axes[0]
    cells = ax.collections[-1].get_array().reshape(7, -1)
    known = np.argwhere(~np.ma.getmaskarray(cells))
    assert known.tolist() == [[weekday, 1] for weekday in range(7)]
    of = found.day.sel(frequency="daily", model="AQ-Net").sum("group").isel(day=0)
    assert cells[0, 1] == pytest.approx(float(of.error / of.n))


def test_cycles_have_the_means_of_the_hours(found):
    figure = cycle_figure(found)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "observed")
    rows = rows_of()
    mean = (rows.observed * rows.weight).sum("row") / rows.weight.where(rows.observed.notnull()).sum("row")
    np.testing.assert_allclose(line.get_ydata(), mean.values, rtol=1e-5)
    weekdays = [text.get_text() for text in figure.axes[3].get_xticklabels()]
    assert weekdays == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def test_soccer_and_contingency_count_what_they_show(found):
    words = " ".join(text.get_text() for text in texts(soccer(found)))
    assert "of 12 stations reach the goal" in words
    daily = found.stations("daily").sum("station").sel(model="AQ-Net")
    assert f"hits\n{float(daily.hits):,.0f}" in {text.get_text() for text in texts(contingency(found))}


def test_calibrated_intervals_lie_on_the_diagonal():
    """Errors that are drawn from the distribution of the bounds are in each central interval as often as it says."""
    rng = np.random.default_rng(1)
    rows = rows_of()
    half = BETWEEN_BOUNDS.half_width(0.9)
    spread = 15.0
    error = rng.normal(0, spread, rows.observed.shape)
    rows = rows.assign(observed=rows.pm25 + error, pm25_lower=rows.pm25 - spread * half,
                       pm25_upper=rows.pm25 + spread * half)
    curve = next(line for line in reliability(sums_of(rows)).axes[1].lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(curve.get_ydata(), curve.get_xdata(), atol=0.03)


@pytest.mark.parametrize("name", ["bubbles", "cycles"])
def test_figures_look_as_they_were_looked_at(found, tmp_path, name):
    check_golden({"bubbles": error_bubbles, "cycles": cycle_figure}[name](found), f"validation_{name}", tmp_path)


# --- commands --------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def product(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    grid = samples.grid("regular", folder)
    return samples.product(folder / "p", grid, samples.fields(grid.size))


def test_a_products_own_validation_is_drawn(product, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no validation.nc"):
        plot_validation(product, tmp_path)
    rows_of().to_netcdf(product / "validation.nc", engine="netcdf4")
    monkeypatch.setattr("aqreanalysis.workflows.plot_validation.validation_figures",
                        lambda found: {"contingency": contingency(found)})
    path, = plot_validation(product, tmp_path, "svg")
    assert path.name == "contingency.svg" and ">hits" in path.read_text(encoding="utf-8")
    assert "Validation: contingency" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("model, label", [
    ("aqnet-north-china-2019 (aqnet-analysis), 32 neighbours", "AQ-Net"),
    ("mine (aqnet-analysis), 8 neighbours", "AQ-Net"),
    ("aqnet-beside (spin-analysis trained on SIMULATED observations), all stations", "SPIN"),
    ("kriging (ordinary kriging with octant search), 40 neighbours", "kriging (product)"),
    ("idw (inverse distance weighting), 20 neighbours", "IDW"), ("", "Model")])
def test_figures_name_the_model_that_made_the_product(product, tmp_path, model, label):
    """Whatever its checkpoint is called; those of a kriging product said `Kriging(k=40,`."""
    folder = tmp_path / "copy"
    shutil.copytree(product, folder)
    source = f"Observations: a network. Model: {model}." if model else ""
    record = json.loads((folder / "run.json").read_text())
    record["identity"]["checkpoint"] = "Model(k=2) 0123"
    (folder / "run.json").write_text(json.dumps(record))
    rows_of().assign_attrs(source=source).to_netcdf(folder / "validation.nc", engine="netcdf4")
    assert hidden_sums(folder).ours.partition("(k=")[0] == label


def test_an_episode_has_a_frame_for_each_step_on_one_scale(product, tmp_path, monkeypatch):
    scales = []
    from aqreanalysis.figures import product_maps

    def drawn(field, **options):
        scales.append((field.attrs["words"], options["vmax"]))
        figure = empty_figure(1.0, 1.0)
        figure.text(0.1, 0.5, field.attrs["words"], fontsize=4)
        return figure
    monkeypatch.setattr(product_maps, "field_map", drawn)
    paths = [plot_animation(product, tmp_path / f"{n}.gif", MapOptions("2016-02-28", "2016-02-29"), "hour", 6)
             for n in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    image = Image.open(paths[0])
    assert image.n_frames == 8 and image.info["duration"] == 250 and b"source_product_sha256" in image.info["comment"]
    image.seek(5)
    assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert [words[:16] for words, _ in scales[:2]] == ["2016-02-28 06:00", "2016-02-28 12:00"]
    assert len({end for _, end in scales}) == 1


def test_a_gif_keeps_the_colours_of_a_scale(tmp_path):
    """As the first frame's bar has them, in every frame."""
    from matplotlib import colormaps

    shades = colormaps["magma_r"](np.linspace(0, 0.72, 16))

    def frame(order):
        figure = empty_figure(1.6, 1.0)
        for number, shade in enumerate(shades[::order]):
            figure.add_artist(Rectangle((number / 16, 0), 1 / 16, 0.5, transform=figure.transFigure, fc=shade, lw=0))
        figure.text(0.1, 0.7, "some text", fontsize=6)
        return figure
    image = Image.open(save_movie([frame(1), frame(-1)], tmp_path / "a.gif"))
    for number, order in ((0, 1), (1, -1)):
        image.seek(number)
        shown = np.array(image.convert("RGB"))[90, 5::10]
        np.testing.assert_allclose(shown, np.round(255 * shades[::order, :3]), atol=4)


@pytest.mark.parametrize("options, every, hours, name, words", [
    ({}, "week", 1, "a.gif", "--every week"), ({}, "hour", 5, "a.gif", "--every-hours 5"),
    ({}, "day", 1, "a.avi", "a .gif or a .mp4"), ({"show": "days-above"}, "day", 1, "a.gif", "days-above"),
    ({"start": "2015-01-01"}, "day", 1, "a.gif", "has no 2015-01-01")])
def test_what_is_no_animation_is_refused(product, tmp_path, options, every, hours, name, words):
    with pytest.raises(UserError, match=words):
        plot_animation(product, tmp_path / name, MapOptions(**options), every, hours)
    assert not list(tmp_path.iterdir())


def test_mp4_needs_ffmpeg_and_gives_it_the_frames(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(UserError, match="no program ffmpeg"):
        save_movie([empty_figure(1.0, 1.0)], tmp_path / "a.mp4")
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())\n")
    program.chmod(0o755)
    path = save_movie([empty_figure(1.0, 1.0) for _ in range(3)], tmp_path / "a.mp4")
    assert path.read_bytes().count(b"\x89PNG") == 3
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Unknown encoder libx264')\n")
    with pytest.raises(UserError, match="Unknown encoder libx264"):
        save_movie([empty_figure(1.0, 1.0)], tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


def test_places_of_stations_stand_beside_their_sums():
    """As evaluate writes them, so that maps can be drawn from its file."""
    from aqreanalysis.workflows.evaluation_files import _with_places

    table = pd.DataFrame({"station_id": ["B", "A"], "lat": [2.0, 1.0], "lon": [20.0, 10.0]})
    found = _with_places(xr.Dataset({"n": ("station", [1.0, 2.0])}, coords={"station": ["A", "B"]}), table)
    assert found.lat.values.tolist() == [1.0, 2.0] and found.lon.values.tolist() == [10.0, 20.0]
