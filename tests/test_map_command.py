"""`aqreanalysis map`, and --out of every command: titles say which days were used; an ending is honoured or refused."""

import hashlib
import logging
import warnings

import numpy as np
import product_samples as samples
import pytest
from matplotlib.text import Text

from aqreanalysis import files, output
from aqreanalysis.cli.app import main
from aqreanalysis.errors import UserError
from aqreanalysis.figures import fonts
from aqreanalysis.figures.layout import PICTURES, Page, save_figure
from aqreanalysis.product import report
from aqreanalysis.workflows.plot_map import MapOptions, plot_map

MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff",
         ".tif": b"II*\x00", ".tiff": b"II*\x00", ".webp": b"RIFF"}


def daily(path, grid, days, change=lambda fields: None):
    """A daily file of some days (UTC+8), as 2019-01-11, with values that are changed in place."""
    one = samples.daily_fields(samples.fields(grid.size))
    fields = {name: np.repeat(values[:1], len(days), axis=0) for name, values in one.items()}
    change(fields)
    output.write_daily(path, grid, np.array(days, "datetime64[D]"), [fields], samples.about())
    return path


@pytest.fixture
def titles(monkeypatch):
    """The text of every figure that is saved."""
    seen = []

    def saved(figure, path, *_):
        seen.append([text.get_text() for text in figure.findobj(Text)])
        return path
    monkeypatch.setattr("aqreanalysis.workflows.plot_map.save_figure", saved)
    return seen


@pytest.fixture
def product(tmp_path):
    """11 to 13 January 2019 and, in the next year's file, 1 January 2020."""
    grid = samples.grid("regular", tmp_path)
    folder = tmp_path / "p"
    folder.mkdir()

    def without_the_12th(fields):
        fields["pm25"][1] = np.nan
    days = ["2019-01-11", "2019-01-12", "2019-01-13", "2019-12-31"]
    daily(folder / "pm25_daily_2019.nc", grid, days, without_the_12th)
    daily(folder / "pm25_daily_2020.nc", grid, ["2020-01-01"])
    return folder


@pytest.mark.parametrize("start, end, title, told", [
    ("2019-01-11", "2019-01-11", "PM2.5 on 2019-01-11 (UTC+8)", ""),
    ("2019-01-11", "2019-01-13", "PM2.5, mean of 2019-01-11 to 2019-01-13 (2 of 3 days)", "2 of 3 days"),
    ("2019-01-11", "2019-01-12", "PM2.5, mean of 2019-01-11 to 2019-01-12 (1 of 2 days)", "1 of 2 days"),
    ("2019-12-31", "2020-01-01", "PM2.5, mean of 2019-12-31 to 2020-01-01", ""),
])
def test_the_title_has_the_days_that_were_used(product, titles, start, end, title, told):
    said = []
    plot_map(product, MapOptions(start, end), None, said.append)
    assert title in titles[0]
    assert told in "".join(said) and bool(said) is bool(told)


@pytest.mark.parametrize("start, end, words", [
    ("2019-01-11", "2019-01-20", ["no 2019-01-14 to 2019-01-20", "has 2019-01-11 to 2019-01-13"]),
    ("2019-01-10", "2019-01-11", ["no 2019-01-10"]), ("2019-12-30", "2020-01-02", ["no 2019-12-30, 2020-01-02"]),
    ("2019-01-12", "2019-01-12", ["no value from 2019-01-12"]), ("2018-01-01", "2018-01-02", ["no 2018-01-01"]),
])
def test_days_that_are_not_there_are_an_error(product, titles, start, end, words):
    with pytest.raises(UserError) as caught:
        plot_map(product, MapOptions(start, end))
    assert all(word in str(caught.value) for word in words), caught.value
    assert not titles


def test_cells_with_fewer_days_are_counted(product, titles, tmp_path):
    grid = samples.grid("regular", tmp_path)

    def half(fields):
        fields["pm25"][1:, :30] = np.nan
    path = daily(tmp_path / "half.nc", grid, ["2019-01-11", "2019-01-12", "2019-01-13"], half)
    plot_map(path, MapOptions("2019-01-11", "2019-01-13"))
    assert "PM2.5, mean of 2019-01-11 to 2019-01-13 (1 to 3 of 3 days)" in titles[0]


def test_hours_are_counted_as_hours(tmp_path, titles):
    grid = samples.grid("regular", tmp_path)
    path = samples.hourly_file(tmp_path / "pm25_hourly_201602.nc", grid)  # one cell lacks one hour
    plot_map(path, MapOptions("2016-02-28", "2016-03-01"))
    assert "PM2.5, mean of 2016-02-28 to 2016-03-01 (71 to 72 of 72 hours)" in titles[0]


def test_a_month_of_a_report_says_how_many_days_it_has(product, tmp_path):
    mean = report.mean_of([product / "pm25_daily_2019.nc"], samples.time_axis.parse_period(
        None, "2019-01-11", "2019-01-13"), samples.grid("regular", tmp_path))
    assert (mean.fewest, mean.most, mean.steps, mean.in_words) == (
        2, 2, 3, "2019-01-11 to 2019-01-13 (2 of 3 days)")


# --- endings ---------------------------------------------------------------------------------------

def test_the_ending_is_the_format_and_the_bytes_are_the_same_each_time(tmp_path):
    assert set(MAGIC) == set(PICTURES)

    def drawn(path):
        page = Page(2.0)
        page.add_text("PM2.5", 10)
        return save_figure(page.figure(), path).read_bytes()
    for ending, magic in MAGIC.items():
        for name in (f"m{ending}", f"m{ending.upper()}"):
            content = drawn(tmp_path / name)
            assert content.startswith(magic), name
            assert hashlib.sha256(content).digest() == hashlib.sha256(drawn(tmp_path / name)).digest()


@pytest.mark.parametrize("out", ["m.eps", "m.pngg", "m", "m.csv", "folder"])
def test_a_map_of_no_known_format_is_refused_before_anything_is_read(tmp_path, monkeypatch, out):
    monkeypatch.setattr("aqreanalysis.product.map_fields.open_for_maps", None)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"\.png, \.pdf, \.svg"):
        plot_map(tmp_path, MapOptions("2019-01-11"), str(tmp_path / out))


@pytest.mark.parametrize("command", [
    ["build", "--year", "2019", "--grid", "1deg", "--out", "p.nc"], ["evaluate", "--year", "2019", "--out", "s.xlsx"],
    ["simulate", "--year", "2019", "--out", "twin.csv"], ["figures", "run", "--out", "figures.pdf"],
    ["fetch", "cnemc", "--year", "2019", "--to", "a.zip"], ["train", "aqnet-north-china-2019", "--out", "run.pt"],
    ["map", "p", "--start", "2019-01-11", "--out", "m.eps"], ["evaluate", "run", "--out", "scores"],
])
def test_every_command_refuses_what_it_would_not_write(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "a.csv").write_text("station_id,time,lon,lat,pm25\nA,2019-01-01T00:00Z,116,40,50\n"
                                          "B,2019-01-01T00:00Z,117,40,50\n")
    name = command[-1]
    observed = ["--observations", "o"] if command[0] in ("build", "evaluate") and command[1] == "--year" else []
    monkeypatch.setattr("sys.argv", ["aqreanalysis", *command, *observed])
    with pytest.raises(SystemExit) as caught:
        main()
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert name in error or ("--out" in error and "run folder" in error), error
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_folders_may_be_called_anything_that_is_meant(tmp_path):
    (tmp_path / "old.nc").mkdir()
    for name in ("old.nc", "new.nc/", "v0.2", "run"):
        assert files.folder_named(f"{tmp_path}/{name}").name == name.strip("/")
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="is a file"):
        files.folder_named(str(tmp_path / "run"))


# --- Chinese ---------------------------------------------------------------------------------------

@pytest.fixture(params=["installed", "none"])
def chinese(request, monkeypatch):
    """With the machine's font, if it has one, and as on a machine without."""
    if request.param == "none":
        monkeypatch.setattr(fonts, "CHINESE_FONTS", ())
    fonts._chinese_font.cache_clear()
    yield fonts._chinese_font()
    fonts._chinese_font.cache_clear()


@pytest.mark.parametrize("text", ["数据/观测", "PM2.5, 张三's 产品", "a\x07b", "\U0002b740", "नमस्ते", "\udcd6"])
def test_no_text_is_an_empty_box_or_a_warning(tmp_path, chinese, text, caplog):
    page = Page(3.0)
    page.add_text(text, 10, "bold")
    page.add_text(f"{text} " * 20, 8)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        figure = page.figure()
        figure.suptitle(text)  # as a chart's title, which no page has seen
        for ending in (".png", ".pdf"):
            save_figure(figure, tmp_path / f"m{ending}")
    assert not caplog.records
    first = figure.texts[0].get_text()
    if chinese and text.startswith("数据"):
        assert first == text and figure.texts[0].get_fontfamily() == [fonts.FONT, chinese]
    elif text.startswith("数据"):
        assert first == "\\u6570\\u636e/\\u89c2\\u6d4b"
    assert all(fonts.legible(of.get_text()) == of.get_text() for of in figure.findobj(Text))


def test_text_that_our_font_has_is_drawn_in_it_alone():
    assert fonts.families("µg m⁻³ Ωж – not") == [fonts.FONT]
    assert fonts.legible("µg m⁻³ – two\nlines") == "µg m⁻³ – two\nlines"
