"""Build the wheel and the source archive, check them, and make a small product with nothing of the checkout.

    python .ci/check_wheel.py

Needs `build` and `twine`. The wheel is installed into an empty folder that comes first on the path; its requirements are
this environment's. The product is the twin's, of one day at one degree.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_MB = 20


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """A command's output; CalledProcessError where it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=os.environ | environment, check=True,
                          stdout=subprocess.PIPE, text=True)
    return done.stdout


def check() -> None:
    """Raise where something of it fails."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT)
        built = sorted((folder / "dist").iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *built)
        for path in built:
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
            assert path.stat().st_size < LARGEST_MB * 1e6, path
        wheel = next(path for path in built if path.suffix == ".whl")
        site = folder / "site"
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
        where = run(sys.executable, "-c", "import aqreanalysis; print(aqreanalysis.__file__)", cwd=folder,
                    PYTHONPATH=str(site))
        assert Path(where.strip()).is_relative_to(site), where
        print(run(sys.executable, "-m", "aqreanalysis", "build", "--start", "2016-01-10", "--end", "2016-01-10", "--grid",
                  "1deg", "--calibration", "checkpoint", "--out", "product", cwd=folder, PYTHONPATH=str(site)))
        assert (folder / "product" / "report.html").exists()


if __name__ == "__main__":
    check()
