"""Names of files as desktops, browsers and systems leave them: which are read, which are told, which are nothing."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.errors import UserError
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.readers.cnemc import CNEMC_FILES
from aqreanalysis.observations.readers.found_files import seen

DAY = "20190201"
SPAN = ("2019-01-31T16", "2019-02-01T15")
LAYOUT = "china_sites_YYYYMMDD.csv"
OWN = (f"china_sites_{DAY}.csv", f"CHINA_SITES_{DAY}.CSV", f"china_sites_{DAY}.csv.gz", f"China_Sites_{DAY}.csv.GZ")
COPIES = tuple(form.format(DAY) for form in (
    "china_sites_{} (1).csv", "china_sites_{}(12).csv", "china_sites_{}（1）.csv", "china_sites_{} - Copy.csv",
    "china_sites_{} - Copy (2).csv", "china_sites_{} - 副本.csv", "china_sites_{} - 副本 (2).csv",
    "china_sites_{}_copy.csv", "china_sites_{} copy 2.csv", "china_sites_{} 的副本.csv", "Copy of china_sites_{}.csv",
    "复件 china_sites_{}.csv", "china_sites_{} 2.csv", "china_sites_{} (copy).csv", "china_sites_{} (another copy).csv",
    "china_sites_{} - Kopie.csv", "china_sites_{}.csv.1", "china_sites_{}.csv.txt", "china_sites_{}.csv.csv",
    "china_sites_{}.txt", "china_sites_{}.tsv", "china_sites_{} (1).csv.gz", "china_sites_{}.csv (1).gz",
    "china_sites_2019-02-01.csv", "china_sites_2019_02_01.csv", "china_site_{}.csv", "china-sites-{}.csv",
    "chinasites{}.csv"))
NEARLY = f"nearly a name of this layout, not read (rename it to {LAYOUT} if it is one)"
TOLD = {
    "china_sites_20191312.csv": "no day of the calendar in the name; not read",
    f"china_sites_{DAY}.csv.part": "an unfinished download or a backup by the name; not read",
    f"china_sites_{DAY}.csv.crdownload": "an unfinished download or a backup by the name; not read",
    f"china_sites_{DAY}.csv.bak": "an unfinished download or a backup by the name; not read",
    f"china_sites_{DAY}.csv~": "an unfinished download or a backup by the name; not read",
    f".china_sites_{DAY}.csv.icloud": "an unfinished download or a backup by the name; not read",
    "china_sites_201902.zip.part": "an unfinished download or a backup by the name; not read",
    f"china_sites_{DAY}.xlsx": "a workbook, which is not read (save it as CSV)",
    "2019.rar": "packed in a way that is not read (unpack it, or pack it as a zip)",
    "china_sites.tar.gz": "packed in a way that is not read (unpack it, or pack it as a zip)",
    f"china_cities_{DAY}.csv": NEARLY,
    f"china_sites_{DAY}_v2.csv": NEARLY, "china_sites_2019021.csv": NEARLY,
    f"{DAY}.csv": "a table under a name of no file of this layout; not read",
    "tidy.parquet": "a table under a name of no file of this layout; not read",
}
NOTHING = ("README", "readme.txt", "plot.png", "read.py", ".DS_Store", "desktop.ini", "Thumbs.db",
           f"._china_sites_{DAY}.csv", f"__MACOSX/china_sites_{DAY}.csv", f".git/china_sites_{DAY}.csv",
           "settings.json")


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def folder(national, tmp_path):
    return national.write(tmp_path / "in")


def values(archive):
    return int(np.isfinite(archive.read(*SPAN).pm25).sum())


@pytest.mark.parametrize("name", OWN + COPIES)
@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress])
def test_a_day_is_read_under_any_name_that_can_mean_nothing_else(national, folder, name, pack):
    put(folder, name, pack(national.text(DAY).encode()))
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert (found.good, found.skipped, found.passed_over, values(archive)) == (1, [], [], 72)
    assert found.notes == ([] if name in OWN else [f"{name}: read as a {LAYOUT}"])


@pytest.mark.parametrize("name", TOLD)
def test_what_nearly_fits_is_told_and_not_read(national, folder, name):
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    put(folder, name, b"anything")
    found = open_archive(folder).inspect(*SPAN)
    assert (found.good, found.skipped, found.passed_over) == (1, [], [f"{name}: {TOLD[name]}"])


def test_what_has_nothing_to_do_with_it_is_not_told_and_many_alike_are_one_sentence(national, folder):
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    for name in NOTHING:
        put(folder, name, b"anything")
    for number in range(300):
        put(folder, f"more/table {number:03d}.csv", b"a,b\n")
    assert open_archive(folder).inspect(*SPAN).passed_over == [
        "300 files, for example table 000.csv: a table under a name of no file of this layout; not read"]


@pytest.mark.parametrize("name", [COPIES[0], f"old/{OWN[1]}", OWN[2]])
@pytest.mark.parametrize("same", [True, False])
def test_a_copy_beside_its_original_is_passed_over_and_compared(national, folder, name, same):
    """The layout's own name comes first, in the order of paths; contents are compared as unpacked."""
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    put(folder, name, gzip.compress(national.text(DAY, value=None if same else lambda *_: 1).encode(), mtime=0))
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert found.good == 1 and values(archive) == 72 and archive.read(*SPAN).pm25.max() > 1
    short = name.rpartition("/")[2]
    assert (found.passed_over if "(1)" in name else found.skipped) == [
        f"{short} repeats the day of china_sites_{DAY}.csv, which is read; it has "
        f"{'the same' if same else 'ANOTHER'} content"]


@pytest.mark.parametrize("failed", [b"", b"<html>busy</html>", gzip.compress(b"date,hour" * 99, mtime=0)[:-9]])
def test_a_copy_is_read_where_the_original_is_a_failed_download(national, folder, failed):
    put(folder, OWN[0], failed)
    put(folder, COPIES[0], national.text(DAY).encode())
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert values(archive) == 72 and found.notes == [f"{COPIES[0]}: read as a {LAYOUT}"] and found.skipped == [
        f"{OWN[0]} repeats the day of {COPIES[0]}, which is read; it has ANOTHER content"]


def as_zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        for name, content in members.items():
            container.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("member", [f"2019/{OWN[1]}", f"a\\b\\{OWN[0]}", COPIES[0], OWN[2], f"深层/文件夹/{OWN[0]}"])
@pytest.mark.parametrize("depth", [1, 2])
def test_members_of_zips_and_of_zips_in_zips(national, folder, member, depth):
    content = as_zip(**{member: national.text(DAY), "__MACOSX/._x": "x", "notes/read me.txt": "x"})
    if depth == 2:
        content = as_zip(**{"inside.ZIP": content})
    put(folder, "Download.Zip", content)
    archive = open_archive(folder)
    found = archive.inspect(*SPAN)
    assert (found.good, found.skipped, found.passed_over, values(archive)) == (1, [], [], 72)
    assert [part.name for part in archive.parts()] == ["Download.Zip"]


def test_where_nothing_is_recognised_the_error_says_what_is_there(tmp_path):
    put(tmp_path, "a.zip", as_zip(**{"x/one.xlsx": "x", "x/two.xlsx": "x", "three.nc": "x"}))
    put(tmp_path, f"china_sites_{DAY}.csv.part", b"x")
    with pytest.raises(UserError, match="no file of a known layout") as error:
        open_archive(tmp_path)
    text = str(error.value)
    assert "2 *.xlsx (a.zip:x/one.xlsx, ...)" in text and "1 *.nc (a.zip:three.nc)" in text
    assert f"china_sites_{DAY}.csv.part: an unfinished download" in text
    assert seen(tmp_path / "a.zip").startswith("2 *.xlsx")


def test_a_folder_or_file_that_can_not_be_read_is_told(national, folder):
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    (folder / "china_sites_20190202.csv").symlink_to(folder / "gone.csv")
    found = open_archive(folder).inspect("2019-01-31T16", "2019-02-02T15")
    assert found.good == 1 and found.skipped == [
        "china_sites_20190202.csv can't be read (it is no file, or a link to nothing)"]


@settings(max_examples=300, deadline=None)
@given(st.dates().filter(lambda day: day.year >= 1000),
       st.sampled_from(["", " (1)", " - Copy", " - 副本", "_copy", " 2", "(3)", " copy 3"]),
       st.sampled_from([".csv", ".CSV", ".csv.gz", ".txt", ".csv.txt"]), st.booleans())
def test_a_name_means_its_own_day_or_none(day, copy, suffix, upper):
    name = f"china_sites_{day:%Y%m%d}{copy}{suffix}"
    assert CNEMC_FILES.day_of(name.upper() if upper else name) == np.datetime64(day, "D")


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("chinaste_-. 0123456789()csvgz副本"), max_size=40))
def test_any_name_is_a_day_or_none_and_has_a_reason_or_none(name):
    CNEMC_FILES.day_of(name)
    assert isinstance(CNEMC_FILES.names.oddity(name), str)


def test_days_in_a_linked_folder_are_read(tmp_path):
    for name in ("elsewhere", "in"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere" / f"china_sites_{DAY}.csv").write_text("date,hour,type,1001A\n")
    (tmp_path / "in" / "2019").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    assert [part.name for part in open_archive(tmp_path / "in").parts()] == [f"2019/china_sites_{DAY}.csv"]


@pytest.mark.parametrize("name", ["Stations.CSV", "stations (1).csv", "stations - 副本.csv", "stations.csv.txt",
                                  "station.tsv"])
def test_a_station_table_under_the_names_of_desktops_is_read_and_told(national, folder, name):
    """It comes before the table that ships with the package, which was used without a word."""
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    (folder / "stations.csv").rename(folder / name)
    found = open_archive(folder)
    assert f"{name}: read as the station table" in found.inspect(*SPAN).notes


@pytest.mark.parametrize("name", ["stations.xlsx", "stations_2019.csv", "station_list.csv", "站点列表.csv"])
def test_what_may_be_a_station_table_and_is_not_read_is_told(national, folder, name):
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    put(folder, name, b"x")
    assert any(text.startswith(f"{name}: may have the places of stations")
               for text in open_archive(folder).inspect(*SPAN).passed_over)


def test_a_station_table_that_is_a_link_to_nothing_is_an_error(national, folder):
    """The table that ships with the package would have been used."""
    put(folder, f"china_sites_{DAY}.csv", national.text(DAY).encode())
    (folder / "stations.csv").unlink()
    (folder / "stations.csv").symlink_to("elsewhere.csv")
    with pytest.raises(UserError, match="is a link to elsewhere.csv, which does not exist"):
        open_archive(folder)
