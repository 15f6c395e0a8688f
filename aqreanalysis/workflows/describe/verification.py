"""`aqreanalysis describe --verify`: are the files of a product what was written?"""

from __future__ import annotations

from pathlib import Path

from aqreanalysis import output
from aqreanalysis.errors import UserError
from aqreanalysis.product.derived import OnJob, unobserved
from aqreanalysis.product.folder import RECORD, record_of

BUILD_AGAIN = "Give the command of its build again: what is damaged is made again, with the same bytes."


def verify(path: str, progress: OnJob = unobserved) -> int:
    """Compare every file of a product with the hash in its run.json; returns how many there are.

    Raises
    ------
    UserError : names all that is damaged or gone; or there is nothing to compare with.
    """
    record = record_of(Path(path).expanduser())
    if record is None:
        raise UserError(f"{path} has no {RECORD}.", "It holds the hashes that files are compared with.",
                        "Name the folder of a product.")
    units, damaged = list(record.units()), []
    for number, (name, file, part, noted) in enumerate(units):
        progress(number, len(units))
        if problem := _damage(file, part, noted):
            damaged.append(f"{name} {problem}")
    progress(len(units), len(units))
    if damaged:
        raise UserError(f"{len(damaged)} of {len(units)} files of {path} are not what was written: "
                        f"{'; '.join(damaged)}.", f"Sizes and hashes are those in {RECORD}.", BUILD_AGAIN)
    return len(units)


def _damage(file: Path, part: output.ProductPart | None, noted: dict[str, int | str]) -> str:
    """What is wrong with a file or a part of a store, to follow its name; nothing where it is as it was written."""
    try:
        found = output.fingerprint(file, part)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    if found["bytes"] != noted["bytes"]:
        return f"has {found['bytes']:,} bytes instead of {noted['bytes']:,}" if found["bytes"] else "is missing"
    return "" if found == noted else "has other bytes than were written"
