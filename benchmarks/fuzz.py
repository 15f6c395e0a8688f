"""Coverage-guided fuzzing of everything that reads files of other people.

    python benchmarks/fuzz.py TARGET [--seconds 300] [--keep FOLDER]

TARGET is one of those in TARGETS, or `all`, which gives each its share of the time. A target is a small good file,
which the fuzzer changes by bytes; it is read as the commands read it. Bad input may end in UserError only, and what is
counted as present must be there: anything else, and an input that takes longer than ten seconds, is a find and is
printed with its bytes. Needs atheris (https://github.com/google/atheris), which the package does not: pip install
atheris.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

SLOW_SECONDS = 10
LARGEST = 4096   # bytes of an input
SPAN = ("2019-01-09T00", "2019-01-11T23")
STATIONS = "station_id,name,lon,lat\n1001A,one,116.25,39.5\n1002A,two,117.5,40.25\n"
TIDY = ("station_id,time,lon,lat,pm25,o3\n1001A,2019-01-10T00:00Z,116.25,39.5,35.5,\n"
        "1002A,2019-01-10 01:00,117.5,40,NA,7\n")
NATIONAL = ("date,hour,type,1001A,1002A\n20190110,0,PM2.5,35,36.5\n20190110,0,O3,,7\n20190110,23,PM2.5,NA,1\n")
UCI = ("No,year,month,day,hour,PM2.5,PM10,SO2,NO2,CO,O3,TEMP,PRES,DEWP,RAIN,wd,WSPM,station\n"
       "1,2019,1,10,0,4,4,4,7,300,77,-0.7,1023,-18.8,0,NNW,4.4,One\n2,2019,1,10,1,NA,4,4,7,300,77,1,1,1,0,N,4.7,One\n")
OPENAQ = ("location_id,sensors_id,location,datetime,lat,lon,parameter,units,value\n"
          "7,70,One,2019-01-10T09:00:00+08:00,39.5,116.25,pm25,µg/m³,35\n"
          "7,71,One,2019-01-10T10:00:00+08:00,39.5,116.25,o3,ppb,7\n")
LOCATIONS = json.dumps({"results": [{"id": 7, "name": "One", "coordinates": {"latitude": 39.5, "longitude": 116.25},
                                     "sensors": [{"id": 70}]}]})
HOURS = json.dumps({"results": [{"value": 35.0, "parameter": {"name": "pm25", "units": "µg/m³"}, "period": {
    "datetimeFrom": {"utc": "2019-01-10T00:00:00Z"}, "datetimeTo": {"utc": "2019-01-10T01:00:00Z"}}}]})
GRID = "gridtype = lonlat\nxsize = 3\nysize = 2\nxfirst = 115.0\nxinc = 0.1\nyfirst = 39.0\nyinc = 0.1\n"
RECIPE = "name: mine\ngrid: 0.25deg\nminimum_hours: 18\nquality:\n  spatial_step: 3\ncontact:\n  name: A\n"


def archive(name: str, **beside: str) -> Callable[[Path, bytes], None]:
    """A reader of a folder with one file of the fuzzer's and others beside it."""
    def read(folder: Path, content: bytes) -> None:
        from aqreanalysis.observations.readers import open_archive

        for other, text in beside.items():
            (folder / other.replace("_csv", ".csv").replace("_json", ".json")).write_text(text, encoding="utf-8")
        (folder / name).write_bytes(content)
        opened = open_archive(folder)
        opened.period()
        opened.parts()
        found = opened.inspect(*SPAN)
        cube = opened.read(*SPAN)
        present = int(cube.pm25.notnull().sum())
        assert found.values == present, (found.values, present)
    return read


def grid(name: str) -> Callable[[Path, bytes], None]:
    """A reader of a grid file."""
    def read(folder: Path, content: bytes) -> None:
        from aqreanalysis.grids import parse_grid

        (folder / name).write_bytes(content)
        parse_grid(folder / name)
    return read


def recipe(folder: Path, content: bytes) -> None:
    """A product recipe."""
    from aqreanalysis.recipes import ProductRecipe, load_recipe

    (folder / "mine.yaml").write_bytes(content)
    load_recipe(folder / "mine.yaml", ProductRecipe)


def zipped(name: str, text: str) -> bytes:
    """A zip with one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        container.writestr(name, text)
    return stream.getvalue()


DAY = "china_sites_20190110.csv"
TARGETS: dict[str, tuple[Callable[[Path, bytes], None], list[bytes]]] = {
    "tidy": (archive("rows.csv"),
             [TIDY.encode(), TIDY.replace(",", ";").encode("utf-16"), gzip.compress(TIDY.encode())]),
    "national": (archive(DAY, stations_csv=STATIONS),
                 [NATIONAL.encode(), NATIONAL.replace("1001A", '"1001A"').encode()]),
    "zip": (archive("days.zip", stations_csv=STATIONS), [zipped(DAY, NATIONAL), zipped(f"a\\{DAY}", NATIONAL)]),
    "beijing": (archive("beijing_all_20190110.csv", stations_csv=STATIONS),
                [NATIONAL.replace("1001A", "one").replace("1002A", "two").encode()]),
    "uci": (archive("PRSA_Data_One_20190101-20190131.csv", stations_csv=STATIONS.replace("1001A,one", "One,one")),
            [UCI.encode()]),
    "openaq": (archive("location-7-20190110.csv"), [OPENAQ.encode()]),
    "openaq-hours": (archive("sensor-70-page-1.json", locations_json=LOCATIONS), [HOURS.encode()]),
    "openaq-locations": (archive("locations.json", sensor_70_json=HOURS), [LOCATIONS.encode()]),
    "stations": (lambda folder, content: archive("stations.csv", **{DAY.replace(".csv", "_csv"): NATIONAL})(
        folder, content), [STATIONS.encode(), STATIONS.replace("one", "一").encode("gbk")]),
    "points": (grid("points.csv"), [STATIONS.encode()]),
    "griddes": (grid("grid.txt"), [GRID.encode()]),
    "recipe": (recipe, [RECIPE.encode()]),
}


def fuzz(target: str, seconds: int, corpus: Path) -> None:
    """Fuzz one target in this process; atheris ends it."""
    import atheris

    with atheris.instrument_imports(include=["aqreanalysis"]):
        import aqreanalysis.grids
        import aqreanalysis.observations.readers
        import aqreanalysis.recipes  # noqa: F401
    from aqreanalysis.errors import UserError

    read, seeds = TARGETS[target]
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    warnings.simplefilter("ignore")

    def one(content: bytes) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fuzz"))
        try:
            read(folder, content)
        except UserError:
            pass
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", f"-timeout={SLOW_SECONDS}", f"-max_len={LARGEST}",
                   "-verbosity=0", f"-artifact_prefix={corpus}/find-", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz targets one after the other, each in its own process, so that a find ends only its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--keep", help="folder of inputs and finds; default a temporary one")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = Path(given.keep or tempfile.mkdtemp(prefix="fuzzing"))
    if given.inside:
        fuzz(given.target, given.seconds, folder)
        return
    targets = list(TARGETS) if given.target == "all" else [given.target]
    for target in targets:
        corpus = folder / target
        corpus.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([sys.executable, __file__, target, "--inside", "--keep", str(corpus), "--seconds",
                               str(given.seconds // len(targets))], capture_output=True, text=True, errors="replace")
        finds = sorted(corpus.glob("find-*"))
        print(f"{target}: {len(list(corpus.iterdir()))} inputs kept, {len(finds)} finds", flush=True)
        if finds or done.returncode:
            contents = (f"{find}: {find.read_bytes()!r}" for find in finds)
            print(done.stdout[-3000:], done.stderr[-500:], *contents, sep="\n", flush=True)


if __name__ == "__main__":
    main()
