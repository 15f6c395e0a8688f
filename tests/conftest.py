"""What several tests share: the real archive, where there is one, and small national daily files."""

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

SIX = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3")
CHECKOUT = Path(__file__).resolve().parents[1]
OBJECTS = 20_000  # that are made between two looks for garbage; Python's own 700 are for programs with a small heap

gc.disable()  # what is imported and collected stays


def pytest_sessionstart(session: pytest.Session) -> None:
    """Each of pytest-xdist's processes begins with other files: what a fresh checkout has to compile is compiled once,
    not by all of them at the same time."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number and any(Path(asked).is_dir() for asked in session.config.args):
        files = sorted(Path(__file__).parent.glob("test_*.py"))
        for path in files[int(number)::int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
            with contextlib.suppress(BaseException):  # told when the file is collected
                importlib.import_module(path.stem)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of tests that need a Dask cluster come first: so one of pytest-xdist's processes has them all, and one
    cluster and one server of workers are started, not three."""
    files = {item.path for item in items if "cluster" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in files)


def pytest_collection_finish() -> None:
    """A million objects of modules and tests are never garbage: to look through them again and again took a quarter
    of the time of all tests."""
    gc.freeze()
    gc.set_threshold(OBJECTS, 20, 20)
    gc.enable()


@pytest.fixture(scope="session")
def archive_path() -> Path:
    """The folder of real observations, for tests marked `archive`; they are skipped where it is absent."""
    path = Path(os.environ.get("AQREANALYSIS_TEST_ARCHIVE") or CHECKOUT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no real observations at {path}; AQREANALYSIS_TEST_ARCHIVE names their folder")
    return path


@pytest.fixture
def one_thread():
    """Torch on one thread, as products are made: sums have the same last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few_folds():
    """Hold-out designs take out a quarter of the stations at once, not a twelfth: a third of the work, one rule."""
    from aqreanalysis.evaluation import designs

    with pytest.MonkeyPatch.context() as patch:
        for name in ("SINGLE_SHARE", "CITY_SHARE", "MATCHED_SHARE"):
            patch.setattr(designs, name, 0.25)
        patch.setattr(designs, "PARTS_OF_A_NETWORK", 2)
        yield


@pytest.fixture(scope="session")
def peopled(tmp_path_factory):
    """A small product with people in its cells (product_samples.peopled), for tests that only read it."""
    import product_samples

    return product_samples.peopled(tmp_path_factory.mktemp("peopled"))


@pytest.fixture
def no_maps(monkeypatch):
    """For builds whose maps and figures nobody looks at: they are drawn here, after all files: seconds of work."""
    from aqreanalysis.product import report

    monkeypatch.setattr(report, "draw_maps", lambda plan, workers: [])
    monkeypatch.setattr(report.page, "hidden_charts", lambda folder, model: [])


@pytest.fixture
def ctrl_c():
    """Processes that a test starts heed Ctrl-C, also where a shell runs the tests in the background, which do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a real Dask cluster of two processes with one thread each.

    Its workers have the environment of our own; by itself Dask has glibc give memory back after every array, which
    doubles the work. They are forked from the server of our own, which has imported torch for all. A job is given up
    when it has killed two workers, not four.
    """
    import dask
    from dask.distributed import LocalCluster

    from aqreanalysis import workers

    workers.warm_up(2)
    environment = {f"distributed.nanny.pre-spawn-environ.{name}": value
                   for name, value in workers.WORKER_ENVIRONMENT.items()}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1,
                          "distributed.worker.multiprocessing-method": "forkserver"} | environment), LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1",
            silence_logs=50) as running:
        # Dask has another list.
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(workers.IMPORTED))
        yield running.scheduler_address


class National:
    """Writes national daily files whose every value names its day, type, station and hour."""

    stations = ("0901A", "1001A", "1002A")
    places = {"0901A": (116.0, 40.0), "1001A": (117.5, 39.0), "1002A": (110.25, 34.5)}  # lon, lat

    @staticmethod
    def value(day: str, kind: str, station: str, hour: int) -> int:
        """A whole number below 2**24, so exact in float32; `day` is YYYYMMDD."""
        place = (*National.stations, "elsewhere").index(station)
        return 100_000 * int(day[-2:]) + 10_000 * SIX.index(kind) + 100 * place + hour

    def text(self, day: str, types=SIX, stations=stations, value=None) -> str:
        """One day's file in the publisher's layout."""
        value = value or self.value
        lines = [",".join(("date", "hour", "type", *stations))]
        for hour in range(24):
            lines += [",".join((day, str(hour), kind, *(str(value(day, kind, s, hour)) for s in stations)))
                      for kind in types]
        return "\n".join(lines) + "\n"

    def table(self) -> str:
        rows = [f"{station},{lon},{lat}" for station, (lon, lat) in self.places.items()]
        return "\n".join(["station_id,lon,lat", *rows]) + "\n"

    def write(self, folder: Path, *days: str) -> Path:
        """A folder with the files of some days and stations.csv."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stations.csv").write_text(self.table())
        for day in days:
            (folder / f"china_sites_{day}.csv").write_text(self.text(day))
        return folder


@pytest.fixture(scope="session")
def national() -> National:
    return National()
