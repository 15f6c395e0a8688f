"""Layouts of files with fields. To add one: a file here, and a line in GRIDDED or AT_SITES."""

from __future__ import annotations

from aqreanalysis.fields.readers.cf import CF
from aqreanalysis.fields.readers.ecmwf import ECMWF
from aqreanalysis.fields.readers.grid_layout import GridLayout
from aqreanalysis.fields.readers.merra2 import MERRA2

GRIDDED: tuple[GridLayout, ...] = (MERRA2, ECMWF, CF)  # the first that recognises a file reads it
