"""The files under a path: loose, in folders, by a pattern, or in the zips that the new climate data store gives."""

from __future__ import annotations

import glob
import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from aqreanalysis import containers, files
from aqreanalysis.errors import UserError
from aqreanalysis.grids.kinds import STORE

_NETCDF, _GRIB, _ZARR, _ZIP = "NetCDF", "GRIB", "Zarr", "zip"
_MAGIC = ((b"\x89HDF\r\n\x1a\n", _NETCDF), (b"CDF\x01", _NETCDF), (b"CDF\x02", _NETCDF), (b"CDF\x05", _NETCDF),
          (b"GRIB", _GRIB), (b"PK\x03\x04", _ZIP))

SUFFIXES = {".nc", ".nc4", ".netcdf", ".cdf", ".h5", ".hdf5", ".grib", ".grb", ".grib2", ".grb2", ".zip"}
MOST_MEMBER_BYTES = 1 << 30  # of a member of a zip, which is read into memory


@dataclass(frozen=True)
class FieldFile:
    """A file, a store, or a member of a zip."""

    path: Path
    kind: str
    member: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.path.name}:{self.member}" if self.member else self.path.name

    @contextmanager
    def opened(self) -> Iterator[list[xr.Dataset]]:
        """Its contents, of which nothing but coordinates is read until it is asked for: one Dataset, of GRIB several.

        Raises UserError where it can't be read.
        """
        try:
            found = self._datasets()
        except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{self.name} can't be read: {' '.join(str(error).split()):.200}.",
                            "It is a whole NetCDF file, Zarr store or GRIB file.",
                            "`ncdump -h FILE` tells more; copy or download it again.") from error
        try:
            yield found
        finally:
            for dataset in found:
                dataset.close()

    def _datasets(self) -> list[xr.Dataset]:
        if self.kind == _GRIB:
            return _grib_datasets(self.path, self.name)
        if self.kind == _ZARR:
            return [xr.open_dataset(self.path, engine="zarr", chunks=None, cache=False)]
        if not self.member:
            return [xr.open_dataset(self.path, engine="netcdf4", cache=False)]
        import netCDF4

        with zipfile.ZipFile(self.path) as container:
            members, _ = containers.zip_members(container)
            member = next(one for one in members if one.name == self.member)
            content = containers.read_member(container, member, self.name, MOST_MEMBER_BYTES)
        store = xr.backends.NetCDF4DataStore(netCDF4.Dataset(self.member, memory=content))
        return [xr.open_dataset(store, cache=False)]

    def digest(self) -> str:
        """SHA-256 of the bytes; of a store, of its files by name."""
        if self.kind != _ZARR:
            return files.sha256_of(self.path)
        found = hashlib.sha256()
        for file in sorted(file for file in self.path.rglob("*") if file.is_file()):
            found.update(f"{file.relative_to(self.path).as_posix()} {files.sha256_of(file)}\n".encode())
        return found.hexdigest()


def _grib_datasets(path: Path, name: str) -> list[xr.Dataset]:
    try:
        import cfgrib
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no ecCodes library
        raise UserError(f"{name} is a GRIB file, and cfgrib is not installed ({' '.join(str(error).split()):.80}).",
                        "GRIB is read through cfgrib, an optional extra.",
                        "`pip install 'aqreanalysis[grib]'`, or have NetCDF from the data store.") from error
    found = cfgrib.open_datasets(str(path), backend_kwargs={"indexpath": ""}, cache=False)
    return [one for dataset in found for one in _by_step(dataset)]


def _by_step(dataset: xr.Dataset) -> list[xr.Dataset]:
    """A forecast's steps as datasets of their own, each with times along one dimension."""
    if "step" not in dataset.dims:
        return [dataset]
    return [dataset.isel(step=number) for number in range(dataset.sizes["step"])]


def file_kind(path: Path) -> str:
    """What a path is by its first bytes, whatever its name; empty where it is nothing that is read."""
    if path.is_dir():
        return _ZARR if path.suffix == STORE or (path / "zarr.json").exists() or (path / ".zgroup").exists() else ""
    with path.open("rb") as stream:
        head = stream.read(8)
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")


def paths_of(text: str | Path) -> list[Path]:
    """All files and stores that a path names: one, those of a folder and the folders in it, or those of a pattern."""
    path = Path(text).expanduser()
    if path.is_dir() and file_kind(path) != _ZARR:
        return sorted(_below(path))
    if path.exists():
        return [path]
    return sorted(Path(found) for found in glob.glob(str(path), recursive=True))


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and file_kind(path) != _ZARR:
            yield from _below(path)
        elif path.is_dir() or path.is_file():
            yield path


def field_files(paths: list[Path]) -> tuple[list[FieldFile], list[str]]:
    """Those that may hold gridded fields, by name; and a sentence for each that should and does not."""
    found, passed_over = [], []
    for path in paths:
        kind = file_kind(path)
        if kind == _ZIP:
            of_zip, refused = _members(path)
            found += of_zip
            passed_over += refused
        elif kind:
            found.append(FieldFile(path, kind))
        elif path.suffix.lower() in SUFFIXES:
            passed_over.append(f"{path.name} is no NetCDF or GRIB file, whatever its name says")
    return found, passed_over


def _members(path: Path) -> tuple[list[FieldFile], list[str]]:
    found: list[FieldFile] = []
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as container:
        members, refused = containers.zip_members(container)
        for member in members:
            suffix = Path(member.name).suffix.lower()
            if suffix in (".nc", ".nc4"):
                found.append(FieldFile(path, _NETCDF, member.name))
            elif suffix in SUFFIXES:
                refused.append(f"{path.name}:{member.name} is not read from a zip: unpack it")
        return found, refused
    return [], [f"{path.name} is a damaged zip"]
