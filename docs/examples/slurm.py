"""A product on a Slurm cluster, with dask-jobqueue: run on a login node, or as a long job of one core.

    python slurm.py --start 2013-01-01 --end 2022-12-31 --grid china-0.01deg.txt --observations /shared/archive.nc \
        --out /shared/products/china --format zarr

All options are those of `aqreanalysis build`. Every node has to see the same files under the same paths.
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster

cluster = SLURMCluster(
    queue="normal",               # #SBATCH -p
    account="my-project",         # #SBATCH -A
    walltime="12:00:00",
    cores=32,                     # of a job; as many processes, so that each has one thread
    processes=32,
    memory="64GB",                # 2 GB for each process (docs/scaling.md)
    job_script_prologue=["source /shared/aqreanalysis/.venv/bin/activate"],
    local_directory="/tmp",
    # Workers stop before their job's time limit, one after the other; only the months they had begun are lost.
    worker_extra_args=["--lifetime", "11h", "--lifetime-stagger", "30m"],
)
cluster.adapt(minimum_jobs=1, maximum_jobs=20)  # the number of jobs follows the remaining work
command = ["aqreanalysis", "build", *sys.argv[1:], "--scheduler", cluster.scheduler_address]
sys.exit(subprocess.run(command).returncode)
