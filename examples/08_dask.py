"""
Dask on one machine: the same bytes
===================================

A product made in this process, and again by two workers of a Dask cluster; every file of data has the same hash.

**What to trust.** How the work is divided changes no number, here or on a cluster of hundreds of workers, nor does a
run that was killed and goes on: the tests compare bytes. What changes is the time, and only for periods of several
months: a month is the unit of work (:doc:`../scaling`).
"""
import hashlib
import time
from pathlib import Path

import pandas as pd
from distributed import LocalCluster

import aqreanalysis
from aqreanalysis import BuildRequest


def hashes(folder):
    """Of each file with data."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(folder.glob("*.nc"))}


# %%
# A day on either side of the end of January, of the simulated stations round Beijing: two months, at a coarse grid,
# so that the page is quick. The condition is Python's rule for scripts that start processes: workers read the
# script too, and must not begin the work anew.
if __name__ == "__main__":
    for written in aqreanalysis.simulate("a_week", "2016-01-28", "2016-02-04"):
        rows = pd.read_parquet(written)
        rows[rows.lon.between(112, 119) & rows.lat.between(35, 41)].to_parquet(written)
    Path("round_beijing.txt").write_text("gridtype = lonlat\nxsize = 24\nysize = 20\n"
                                         "xfirst = 112.625\nxinc = 0.25\nyfirst = 35.625\nyinc = 0.25\n")
    request = {"start": "2016-01-31", "end": "2016-02-01", "grid": "round_beijing.txt", "observations": "a_week",
               "calibration": "checkpoint"}

    # In this process.
    began = time.monotonic()
    serial = aqreanalysis.build(BuildRequest(**request, out="serial"))
    print(f"this process: {time.monotonic() - began:.0f} s")

    # By a cluster. On your own machines give the address that its scheduler prints.
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        began = time.monotonic()
        shared = aqreanalysis.build(BuildRequest(**request, out="dask", scheduler=cluster.scheduler_address))
        print(f"two workers:  {time.monotonic() - began:.0f} s, in which each of them imports what it needs")

    table = pd.DataFrame({"serial": hashes(serial), "Dask": hashes(shared)})
    print(table.to_string())
    assert (table["serial"] == table["Dask"]).all()

    # The mean of both days, from the files that Dask made.
    figure = aqreanalysis.draw_map(shared)
