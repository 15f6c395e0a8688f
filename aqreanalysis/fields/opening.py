"""`open_fields`: time-dependent fields at a path, whatever their layout."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis.fields.field_files import field_files, paths_of
from aqreanalysis.fields.gridded import GriddedFields
from aqreanalysis.fields.readers import AT_SITES
from aqreanalysis.fields.sites import SiteFields
from aqreanalysis.fields.source import FieldSource, NoFields


def open_fields(path: str | Path) -> FieldSource:
    """The fields at a path: a file, a Zarr store, a folder with files and folders, or a pattern like `era5/*.nc`.

    Of grids nothing but what describes them is read: ERA5, CAMS, MERRA-2 and any CF file on latitudes and longitudes;
    NetCDF, Zarr or GRIB. Weather at sites is read whole: tidy Parquet or CSV, and UCI's files. See docs/fields.md.

    Raises
    ------
    NoFields : where there is nothing, or nothing that is known.
    UserError : where files can't be read, or do not fit together.
    """
    paths = paths_of(path)
    if not paths:
        raise NoFields(f"There are no fields at {path}.", "A path is a file, a folder or a pattern like 'era5/*.nc'.")
    for layout in AT_SITES:
        if taken := layout.takes(paths):
            return SiteFields(path, layout.read(taken))
    found, passed_over = field_files(paths)
    return GriddedFields(path, found, passed_over)
