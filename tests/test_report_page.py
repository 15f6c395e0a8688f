"""The report's map: what is packed into the page is what the cube has; and the page in a real browser."""

import re
import time
from dataclasses import replace

import browsing
import numpy as np
import product_samples as samples
import pytest
import xarray as xr

from aqreanalysis import output, schema
from aqreanalysis.figures import validation
from aqreanalysis.grids import parse_grid
from aqreanalysis.product import observed, report
from aqreanalysis.product.plan import BuildRequest, prepare
from aqreanalysis.product.report import packing, sections
from aqreanalysis.product.report.explorer import MOST_CELL_DAYS, Sample
from aqreanalysis.product.report.validation_charts import CHARTS

HOSTILE = '<img src=x onerror="document.title=1"></script>万寿西宫 & "1"'
PERIOD = ("2016-01-30", "2016-02-02")


def test_codes_are_as_near_to_their_values_as_the_page_says():
    values = np.concatenate([np.linspace(0, 2000, 5001), [np.nan]]).astype(np.float32)
    for steps in (100, 1000):
        back = packing.values_of(packing.codes_of(values, steps), steps)
        assert np.isnan(back[-1]) and (np.abs(back - values)[:-1] <= 1.01 * (values[:-1] + 10) / (2 * steps)).all()


def test_neighbours_give_back_what_was_packed():
    """Departures, undone one cell after the other as the page does it: left, above and corner by their places."""
    random = np.random.default_rng(4)
    mask = random.random((7, 9)) < 0.7
    codes = random.integers(0, 5000, (3, mask.sum()))
    departures = packing.Neighbours.of(mask).departures(codes)
    for day in range(3):
        seen: dict[tuple[int, int], int] = {}
        last = 0
        for number, (row, column) in enumerate(zip(*np.nonzero(mask), strict=True)):
            above = seen.get((row - 1, column), last)
            corner = seen.get((row - 1, column - 1), last)
            said = sorted((last, last + above - corner, above))[1]  # the one between: clipped by the others
            last = seen[row, column] = said + departures[day, number]
            assert last == codes[day, number]


@pytest.mark.parametrize("days, step", [(8, 1), (366, 1), (3000, 2)])
def test_cells_that_are_shown_are_land_and_few_enough(days, step):
    """A year of the region at 0.2 degree is shown whole; of years, every second row and column is."""
    grid = parse_grid("0.2deg")
    found = Sample.of(grid, days)
    assert found.step == step and grid.land[found.cells].all()
    assert len(found.cells) * days <= MOST_CELL_DAYS
    if step == 1:
        assert len(found.cells) == grid.land.sum()


def test_months_of_observations_are_put_together(tmp_path):
    """A station of one month only has no value in the other; 19 of 24 hours make no day, and are counted."""
    about, paths = samples.about(), []
    for name, period in (("A", ("2016-01-31", "2016-01-31")), ("B", ("2016-02-01", "2016-02-02"))):
        month = samples.time_axis.parse_period(None, *period)
        values = np.full((len(month.hours), 1), 30.0, np.float32)
        values[:5] = np.nan
        cube = schema.make_station_cube(month.hours, [name], [40.0], [116.0], {"pm25": values}, station_name=[HOSTILE])
        paths.append((tmp_path / "stations" / f"{name}.nc", month))
        observed.write_observed(paths[-1][0], cube, month, 20, about)
    found = observed.read_observed(paths)
    assert found.station.tolist() == ["A", "B"] and found.name.tolist() == [HOSTILE] * 2
    np.testing.assert_array_equal(found.hours, [[19, 0], [0, 19], [0, 24]])
    np.testing.assert_array_equal(found.pm25, [[np.nan, np.nan], [np.nan, np.nan], [np.nan, 30.0]])
    assert sections.completeness_of(found, PERIOD[0])["sentence"].startswith("43.1 % of the hours of 2 stations")
    assert observed.read_observed([*paths, (tmp_path / "gone.nc", month)]) is None


# --- in a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of four days of known values at two stations, of which one has a name that would be markup."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQREANALYSIS_DATA", str(tmp_path_factory.mktemp("nothing")))
        plan = prepare(BuildRequest(start=PERIOD[0], end=PERIOD[1], grid="1deg", calibration="checkpoint",
                                    out=str(tmp_path_factory.mktemp("report") / "p")))
    plan.folder.path.mkdir()
    hours = plan.period.hours
    fields = samples.daily_fields(samples.fields(plan.grid.size, len(hours)))
    for of in plan.folder.daily():
        output.write_daily(of.path, plan.grid, plan.period.days(), [fields], plan.about)
    values = np.repeat([[100.0], [110], [120], [130]], 24, axis=0) + [[0.0, 5]]
    cube = schema.make_station_cube(hours, ["S1", "S2"], [39.9, 30.0], [116.4, 110.0],
                                    {"pm25": values.astype(np.float32)}, station_name=[HOSTILE, "B"])
    for month in plan.period.months():
        observed.write_observed(plan.folder.observed(month), cube, month, 20, plan.about)
    samples.hidden_rows(simulated=True).to_netcdf(plan.folder.validation("nc"), engine="netcdf4")
    facts = {"headline": "hidden", "notes": []}
    with pytest.MonkeyPatch.context() as patch:  # two of eleven figures
        patch.setattr(validation, "FIGURES", {name: validation.FIGURES[name] for name in ("soccer", "days_above_75")})
        patch.setattr(validation, "OF_ROWS", {})
        report.write_report(plan, {"identity": plan.identity, "facts": plan.facts, "months": {},
                                   "validation": {"facts": facts}}, [])
    return plan.folder.report, plan, plan.folder.daily()[0].path


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    with browsing.browser(tmp_path_factory.mktemp("browser")) as found:
        found.get(page[0].as_uri())
        until(found, lambda: is_ready(found))
        yield found


def is_ready(driver):
    return driver.execute_script("return document.documentElement.dataset.ready") == "true"


def click(driver, lat, lon):
    """Click the map at a place."""
    driver.execute_script("""
        const [lat, lon] = arguments, about = JSON.parse(document.getElementById("about").textContent);
        const [w, s, e, n] = about.lines.frame, box = document.getElementById("field").getBoundingClientRect();
        document.getElementById("map").dispatchEvent(new MouseEvent("click", {
            clientX: box.left + (lon - w) / (e - w) * box.width,
            clientY: box.top + (n - lat) / (n - s) * box.height}));""", float(lat), float(lon))


def until(driver, true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, driver.find_element("css selector", "#loading, h1").text
        time.sleep(0.05)


def reading(driver):
    texts = driver.execute_script("return [...document.querySelectorAll('#reading > *')].map(e => e.textContent)")
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_it_loads_without_errors_and_asks_for_nothing(page, browser):
    assert browsing.errors_and_requests(browser) == ([], {page[0].as_uri()})
    browser.execute_script("fetch('https://example.org/').catch(() => { window.refused = true })")
    until(browser, lambda: browser.execute_script("return window.refused"))
    assert "Content Security Policy" in str(browser.get_log("browser"))


def test_a_click_and_the_slider_show_the_numbers_of_the_cube(page, browser):
    _, plan, daily = page
    with xr.open_dataset(daily) as file:
        cell = file.isel(time=2).sel(lat=36.5, lon=113.5)
        low, value, high = (float(cell[name]) for name in ("pm25_lower", "pm25", "pm25_upper"))
    slider = browser.find_element("id", "day")
    slider.send_keys("\ue010")  # End: the last day
    assert reading(browser)["Day"] == "2016-02-02"
    slider.send_keys("\ue012")  # left
    click(browser, 36.6, 113.6)
    shown = reading(browser)
    assert shown["Cell"] == "36.50° N, 113.50° E" and shown["Day"] == "2016-02-01"
    numbers = [float(text) for text in re.findall(r"[\d.]+", shown["PM2.5"] + " " + shown["90 % interval"])]
    np.testing.assert_allclose(numbers, [value, low, high], atol=0.05 + (high + 10) / 1000)
    assert shown["Nearest station"].startswith(f"S1 {HOSTILE}, ") and shown["Observed there"].startswith("120.0 ")
    assert browser.execute_script("return document.querySelectorAll('#reading img').length") == 0


def test_arrow_keys_move_from_cell_to_cell(browser):
    field = browser.find_element("id", "map")
    before = reading(browser)["Cell"]
    field.send_keys("\ue014")  # right
    assert reading(browser)["Cell"] == before.replace("113.50", "114.50")
    field.send_keys("\ue013")  # up
    assert reading(browser)["Cell"] == "37.50° N, 114.50° E"
    field.send_keys("n")
    assert reading(browser)["Day"] == "2016-02-02"
    assert browser.execute_script("return document.activeElement.id") == "map"


def test_figures_of_the_validation_are_folded_but_printed(browser):
    """Each with words in its place and its own size; what a reader folded is folded again after printing."""
    boxes = browser.find_elements("css selector", "details.chart-box")
    assert [box.get_attribute("id") for box in boxes] == ["figure-soccer", "figure-days_above_75"]

    def are_open():
        return [box.get_attribute("open") is not None for box in boxes]
    assert are_open() == [True, False]
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert are_open() == [True, True]
    shown = browser.execute_script("return [...document.querySelectorAll('.chart-box img')].map("
                                   "i => [i.naturalWidth, i.width > 300, i.alt])")
    assert all(width > 700 and wide and words.startswith("SIMULATED. ") for width, wide, words in shown)
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert are_open() == [True, False]
    browser.find_element("id", "unfold-charts").send_keys("\ue007")  # Enter
    assert are_open() == [True, True]


def test_every_figure_has_its_words():
    """Of a product, and of `evaluate` beside."""
    names = {*validation.FIGURES, *validation.OF_ROWS, "error_by_distance", "skill", "coverage", "reliability"}
    assert set(CHARTS) == names


def test_it_is_accessible_and_fits_a_phone(browser):
    assert browsing.violations(browser) == []
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True})
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def test_curvilinear_cells_and_points_are_shown_too(page, browser, tmp_path):
    """A click in the middle of each finds it."""
    _, plan, _ = page
    for layout in ("curvilinear", "points"):
        grid = samples.grid(layout, tmp_path)
        mine = replace(plan, grid=grid, folder=replace(plan.folder, path=tmp_path / layout))
        mine.folder.path.mkdir()
        fields = samples.daily_fields(samples.fields(grid.size, len(plan.period.hours)))
        output.write_daily(mine.folder.daily()[0].path, grid, plan.period.days(), [fields], plan.about)
        report.write_report(mine, {"identity": plan.identity, "facts": plan.facts, "months": {}}, [])
        browser.get(mine.folder.report.as_uri())
        until(browser, lambda: is_ready(browser))
        cell = int(np.flatnonzero(grid.land)[grid.land.sum() // 2]) if layout == "curvilinear" else 2
        click(browser, grid.lat[cell], grid.lon[cell])
        shown = reading(browser)
        assert f"{grid.lat[cell]:.2f}° N, {grid.lon[cell]:.2f}° E" in shown["Cell"]
        assert float(shown["PM2.5"].split()[0]) == pytest.approx(float(fields["pm25"][0, cell]), abs=0.15)
        assert browser.get_log("browser") == []
    assert shown["Cell"].startswith("北京")
