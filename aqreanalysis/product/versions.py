"""Versions of the packages that months are made with: noted for each month, and the same in all months of a product.

Another version of numpy, torch or scipy gives other last digits, so that a product would not have the same bytes again.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from aqreanalysis import files
from aqreanalysis.errors import UserError

DECISIVE = ("numpy", "torch", "scipy")  # numbers depend on them
RECORDED = (*DECISIVE, "xarray", "netCDF4", "zarr", "pandas")
RULE = f"All months of a product are made with the same {', '.join(DECISIVE[:-1])} and {DECISIVE[-1]}, whose versions "\
       "differ in the last digits of results."

Versions = Mapping[str, str]


def installed_versions() -> dict[str, str]:
    """Versions of this process by package, with those of Python and the kind of machine."""
    return files.package_versions(*RECORDED) | {"python": platform.python_version(), "machine": platform.machine()}


def differing_packages(these: Versions, those: Versions) -> list[str]:
    """Packages that numbers depend on and that have another version, where both versions are known."""
    return [name for name in DECISIVE if name in these and name in those and these[name] != those[name]]


def other_versions(before: Versions, now: Versions) -> str:
    """`torch 2.1, scipy 1.9`: what numbers depend on and had other versions than now; empty where all are the same."""
    return _listed(differing_packages(before, now), before)


def check_worker_versions(planned: Versions) -> None:
    """Raise a UserError where this process has other versions than the product is made with."""
    own = installed_versions()
    if names := differing_packages(own, planned):
        raise UserError(f"A worker has {_listed(names, own)} (on {platform.node()}); the product is made with "
                        f"{_listed(names, planned)}.", RULE,
                        f"Install the same versions for all workers: pip install {_pinned(names, planned)}.")


def check_month_versions(folder: Path, months: Iterable[Versions], now: Versions) -> None:
    """Raise a UserError where months that are kept were made with other versions than those that are to be made."""
    for before in months:
        if names := differing_packages(before, now):
            raise UserError(f"{folder} holds months that were made with {_listed(names, before)}; now there is "
                            f"{_listed(names, now)}.", RULE,
                            "Give another folder with --out, or install the same versions to continue: "
                            f"pip install {_pinned(names, before)}.")


def _listed(names: list[str], versions: Versions) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in names)


def _pinned(names: list[str], versions: Versions) -> str:
    return " ".join(f"{name}=={versions[name]}" for name in names)
