"""Files that must agree with each other: pyproject, environment.yml, CITATION.cff; and nothing heavy in git."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import aqreanalysis

CHECKOUT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch", "netCDF4": "netcdf4", "matplotlib": "matplotlib-base", "dask": "dask-core",
               "exactextract": "python-exactextract"}
MAX_BYTES = 5_000_000

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def split(requirement):
    """("torch", ">=2.4,<2.14") of "torch>=2.4,<2.14"."""
    name, limits = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement.replace(" ", "")).groups()
    return name, limits


def test_environment_yml_mirrors_pyproject():
    listed = yaml.safe_load((CHECKOUT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = dict(split(entry) for entry in listed if isinstance(entry, str))
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda.pop("pip") == ""
    assert conda == {CONDA_NAMES.get(name, name): limits for name, limits in map(split, PROJECT["dependencies"])}
    assert [entry["pip"] for entry in listed if isinstance(entry, dict)] == [["."]]


def test_torch_has_an_upper_bound():
    limits = dict(map(split, PROJECT["dependencies"]))["torch"]
    assert "<" in limits  # the newest build brings gigabytes that nothing here needs


def test_the_citation_has_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == aqreanalysis.__version__
    assert citation["license"] == PROJECT["license"]


def files_of_git():
    """Files that are tracked, or would be: not yet added and not ignored."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=CHECKOUT,
                                capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout ({error})")
    return [CHECKOUT / name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()]


def test_no_file_is_heavy():
    files = files_of_git()
    assert len(files) > 50
    assert not {str(file): file.stat().st_size for file in files if file.stat().st_size > MAX_BYTES}


def test_no_real_observations_lie_in_the_checkout():
    theirs = re.compile(r"(china_sites|beijing_all|beijing_extra|PRSA_Data)_\d")
    assert not [file for file in files_of_git() if theirs.search(file.name)]
