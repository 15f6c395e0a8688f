"""Comparing a figure with the picture of it that was looked at: small ones, with room for other fonts' rendering."""

import os
from pathlib import Path

import numpy as np
from matplotlib import image
from PIL import Image

from aqreanalysis.figures.layout import save_figure

FOLDER = Path(__file__).with_name("golden")
DPI, COLOURS, LARGEST_RMS = 50, 48, 0.06  # the last of the full scale; one label that moves gives 0.1


def check_golden(figure, name, tmp_path):
    """Assert that a figure looks like golden/NAME.png. With AQREANALYSIS_GOLDEN=new it is written: look at it then."""
    drawn = save_figure(figure, tmp_path / f"{name}.png", dpi=DPI)
    kept = FOLDER / f"{name}.png"
    if os.environ.get("AQREANALYSIS_GOLDEN") == "new":
        kept.parent.mkdir(exist_ok=True)
        Image.open(drawn).convert("RGB").quantize(COLOURS).save(kept, optimize=True)
    one, other = (image.imread(path)[..., :3] for path in (drawn, kept))
    assert one.shape == other.shape, f"{name}: {one.shape} and not {other.shape}"
    rms = float(np.sqrt(np.mean((one - other) ** 2)))
    assert rms < LARGEST_RMS, f"{name}: the root mean square difference is {rms:.3f}"
