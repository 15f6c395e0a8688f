"""Input that was made to do harm: each is refused or made harmless, in words, and takes nothing good with it."""

import io
import json
import shutil
import zipfile

import pytest
import yaml
from test_containers import bomb

from aqreanalysis import files, recipes
from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.product import folder

DAYS = ("20190131", "20190201", "20190202")
SPAN = ("2019-01-31T17", "2019-02-01T16")


def test_a_zip_that_reaches_outside_gives_its_good_days_and_says_so(national, tmp_path):
    """A member outside, with a good one beside it under a `\\`; and a zip that unpacks a thousandfold."""
    folder = national.write(tmp_path / "in", DAYS[0])
    with zipfile.ZipFile(folder / "a.zip", "w") as container:
        container.writestr("../../china_sites_20190201.csv", "outside")
        container.writestr("x\\china_sites_20190201.csv", national.text(DAYS[1]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as container:
        for number in range(12):
            container.writestr(f"{number}/china_sites_20190202.csv", b"\0" * (8 << 20))
    (folder / "bomb.zip").write_bytes(buffer.getvalue())
    found = open_archive(folder).inspect(*SPAN)
    assert found.good == 1 and found.values
    told = "\n".join(found.skipped)
    assert "a.zip:../../china_sites_20190201.csv points out of the zip" in told
    assert "bomb.zip unpacks" in told and "made to fill a memory" in told


def test_a_bomb_in_an_openaq_day_costs_that_day(tmp_path):
    header = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value\n"
    for day in ("20190201", "20190202"):
        row = f'3,9,"There","{day[:4]}-{day[4:6]}-{day[6:]}T03:00:00+08:00","39.9","116.4","pm25","µg/m³","42.0"\n'
        (tmp_path / f"location-3-{day}.csv").write_text(header + row, encoding="utf-8")
    (tmp_path / "location-3-20190203.csv.gz").write_bytes(bomb(128))
    found = open_archive(tmp_path).inspect("2019-02-01T00", "2019-02-04T00")
    assert found.good == 2
    assert [text for text in found.skipped if "location-3-20190203.csv.gz unpacks" in text]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_zip_within_zips_is_opened_once_and_no_deeper(depth, tmp_path):
    """A quine or a tower of zips ends at the depth of the one download that has a zip inside."""
    content = b"none"
    for level in range(depth):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as container:
            container.writestr(f"PRSA_{level}.zip" if level else "PRSA_Data_Dongsi_20130301-20130302.csv", content)
        content = buffer.getvalue()
    (tmp_path / "PRSA.zip").write_bytes(content)
    (tmp_path / "stations.csv").write_text("station_id,lon,lat\nbj_dongsi,116.4,39.9\n")
    if depth > 2:
        with pytest.raises(Exception, match="no file of a known layout"):
            open_archive(tmp_path)
    else:
        assert len(open_archive(tmp_path).files) == 1


@pytest.mark.parametrize("name", ["../victim", "/etc/hosts", "maps/../../victim", "..\\victim"])
def test_a_record_that_names_files_outside_is_refused(name, tmp_path):
    """run.json of a product from elsewhere: what it says is damaged is removed, so it may only name its own."""
    (tmp_path / "p").mkdir()
    text = json.dumps({"identity": {}, "months": {}, "days": {}, "files": {name: {"size": 1, "sha256": "0"}}})
    (tmp_path / "p" / "run.json").write_text(text)
    (tmp_path / "victim").write_text("kept")
    with pytest.raises(UserError, match="which is not in its folder"):
        folder.read(tmp_path / "p")
    assert (tmp_path / "victim").read_text() == "kept"


@pytest.mark.parametrize("name", [".lock", "run.json", ".run.json.part-{machine}", ".a.nc.part",
                                  ".a.nc.part-{machine}"])
def test_links_in_place_of_what_is_written_are_not_followed(name, tmp_path):
    """Under every kind of name that is written: the lock, the file, and both hidden names."""
    place = tmp_path / "p"
    place.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("kept")
    link = place / name.replace("{machine}", files.part_name(place / "x").name.partition(".part-")[2])
    link.symlink_to(victim)
    with files.held(place / ".lock", UserError("busy")):
        files.replace_text(place / "run.json", "new")
        files.replace_text(place / "a.nc", "new")
        files.shared_part_name(place / "a.nc").write_text("new")
    assert victim.read_text() == "kept"
    assert (place / "run.json").read_text() == "new" and not (place / "run.json").is_symlink()


def test_a_product_folder_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with files.held(tmp_path / "link" / ".lock", UserError("busy")):
        files.replace_text(tmp_path / "link" / "run.json", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "run.json").read_text() == "new"


@pytest.mark.parametrize("text, words", [
    ("a: " + "[" * 500 + "]" * 500, "nested too deeply|entries"), ("a: " + "[" * 100_000, "nested too deeply|YAML"),
    ("\n".join(["a: &a0 [x,x,x,x,x,x,x,x,x]"] + [f"b{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
               + ["name: *a9"]), "more than 10,000 entries"),
    ("a: &a {b: *a}", "nested too deeply|entries"), ("a: !!python/object/apply:os.getcwd []", "constructor")])
def test_recipes_that_would_run_code_or_fill_a_memory_are_refused(text, words, tmp_path):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        recipes.load_recipe(tmp_path / "r.yaml", recipes.ProductRecipe)


@pytest.mark.parametrize("size", [10**9, 100_000, -1, 0])
def test_a_checkpoint_of_absurd_sizes_is_refused_before_it_takes_memory(size, tmp_path):
    """With checksums that are right: whoever changes a card can write its checksum too."""
    place = tmp_path / "c"
    shutil.copytree(checkpoint.locate(None), place)
    content = json.loads((place / "checkpoint.json").read_text(encoding="utf-8"))
    content["network"]["width"] = content["network"]["hidden"] = size
    (place / "checkpoint.json").write_text(json.dumps(checkpoint.with_checksum(content)), encoding="utf-8")
    with pytest.raises(UserError, match="damaged|does not describe"):
        checkpoint.load(place)


def test_a_card_nested_without_end_is_refused(tmp_path):
    (tmp_path / "checkpoint.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="does not describe a checkpoint"):
        checkpoint.read_card(tmp_path)


@pytest.mark.parametrize("name", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "a|b", "a\x1b[2J", "a\nb", ""])
def test_rows_of_tables_are_no_formulas_and_no_columns(name):
    """Names of a forecast recipe stand in scores.csv, which spreadsheets open, and in tables.md."""
    path = recipes.locate_recipe("forecast-beijing-24h")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipes.ForecastRecipe.model_validate(content)
    content["models"][name] = content["models"]["persistence"]
    with pytest.raises(ValueError, match="a row's name begins"):
        recipes.ForecastRecipe.model_validate(content)
