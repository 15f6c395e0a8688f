"""Layouts of files with fields. To add one: a file here, and a line in GRIDDED or AT_SITES."""

from __future__ import annotations

from aqreanalysis.fields.readers.cf import CF
from aqreanalysis.fields.readers.ecmwf import ECMWF
from aqreanalysis.fields.readers.grid_layout import GridLayout
from aqreanalysis.fields.readers.merra2 import MERRA2
from aqreanalysis.fields.readers.site_layout import SiteLayout
from aqreanalysis.fields.readers.tidy_sites import TIDY_SITES
from aqreanalysis.fields.readers.uci_sites import UCI_SITES

GRIDDED: tuple[GridLayout, ...] = (MERRA2, ECMWF, CF)  # the first that recognises a file reads it
AT_SITES: tuple[SiteLayout, ...] = (UCI_SITES, TIDY_SITES)
