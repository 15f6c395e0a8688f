"""The names that other people's scripts import."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import aqreanalysis
from aqreanalysis import UserError
from aqreanalysis.schema import mock_station_cube


def test_every_public_name_is_there_and_documented():
    for name in aqreanalysis.__all__:
        found = getattr(aqreanalysis, name)
        assert name == "__version__" or (found.__doc__ and f"`{name}" in aqreanalysis.__doc__.replace(", ", "`, `"))
    assert set(aqreanalysis.__all__) <= set(dir(aqreanalysis))
    with pytest.raises(AttributeError, match="no attribute 'interpolate'"):
        getattr(aqreanalysis, "interpolate")  # noqa: B009


def test_nothing_heavy_is_imported_with_the_package():
    code = "import sys, aqreanalysis; assert not {'numpy', 'xarray', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_is_asked_at_any_place():
    cube = mock_station_cube(hours=48)
    found = aqreanalysis.load_model("idw").predict(cube, aqreanalysis.make_targets(cube.time, [38.0], [115.0]))
    assert np.isfinite(found.pm25).all() and found.pm25.shape == (48, 1)


def test_what_is_no_model_and_what_has_no_neighbours_is_refused():
    with pytest.raises(UserError, match="kriging"):
        aqreanalysis.load_model("krigging")
    with pytest.raises(UserError, match="--neighbours 8"):
        aqreanalysis.load_model("mean", 8)


def test_what_is_no_product_can_not_be_opened(tmp_path):
    for frequency, message in (("hourly", "is no product"), ("monthly", "frequency 'monthly'")):
        with pytest.raises(UserError, match=message):
            aqreanalysis.open_product(tmp_path, frequency)


@pytest.mark.parametrize("installed", [True, False])
def test_pyproj_is_loaded_before_eccodes_can_be(tmp_path, installed):
    """The wheels of eccodes bring a PROJ that breaks pyproj's if it is loaded first; xarray loads it for any file."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import aqreanalysis; print('pyproj' in sys.modules)"
    if installed:
        (tmp_path / "eckitlib").mkdir()
        (tmp_path / "eckitlib" / "__init__.py").write_text("")
    elif importlib.util.find_spec("eckitlib"):
        pytest.skip("eccodes is installed here")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(installed)
