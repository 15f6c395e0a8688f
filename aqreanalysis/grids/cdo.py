"""Grid descriptions of CDO (the text that ``cdo griddes`` prints): keys and numbers, not yet a grid.

Format: MPI-M Climate Data Operators, user guide, appendix "Grid description examples".
"""

from __future__ import annotations

import re
from fractions import Fraction

from aqreanalysis.errors import UserError

_KEY = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*)")


def parse_description(text: str, source: str) -> dict[str, str]:
    """Keys in lower case -> their values as text; lists of numbers may run over several lines.

    Raises UserError where the text is no description, or holds more than one grid.
    """
    parts: dict[str, list[str]] = {}
    key = None
    for line in (raw.split("#", 1)[0] for raw in text.splitlines()):
        match = _KEY.match(line)
        if match:
            key = match[1].lower()
            if key == "gridtype" and key in parts:
                raise UserError(f"{source} describes more than one grid.", "One file, one grid.",
                                "Keep the block from one `gridtype` to the next and delete the others.")
            parts[key] = [match[2].strip().strip("\"'")]
        elif line.strip() and key is None:
            break  # not a description, as it does not begin like one
        elif key is not None:
            parts[key].append(line.strip())
    values = {key: " ".join(found) for key, found in parts.items()}
    if "gridtype" not in values:
        raise UserError(f"{source} is not a grid description of CDO.", "It has a line `gridtype = lonlat`.",
                        "`cdo griddes FILE.nc > FILE.txt` writes one.")
    return values


def numbers(values: dict[str, str], key: str, source: str, number=float) -> list:
    """The numbers under a key, converted by `number` (float, or Fraction where 0.1 has to be exactly one tenth)."""
    if key not in values:
        raise UserError(f"{source} has no `{key}`.",
                        f"A grid of type {values['gridtype']} needs it.", f"Add a line `{key} = ...`.")
    try:
        return [number(word) for word in values[key].split()]
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"{source}: `{key}` holds something that is not a number ({error}).",
                        "Numbers are separated by blanks.") from error


def count(values: dict[str, str], key: str, source: str) -> int:
    """A whole number of at least one under a key."""
    found = numbers(values, key, source)
    if len(found) != 1 or not found[0].is_integer() or found[0] < 1:
        raise UserError(f"{source}: `{key} = {values[key]}` is not a number of cells.",
                        "It is a whole number of at least 1.")
    return int(found[0])


def axis(values: dict[str, str], letter: str, source: str) -> tuple[list[float], list | None]:
    """Cell centres along ``x`` or ``y`` in file order, and their edges, low and high, where these are given.

    From `xfirst` and `xinc` in exact fractions, so that the last centre has no rounding drift; or from
    `xvals`, with edges from `xbounds` or none.
    """
    n = count(values, f"{letter}size", source)
    if f"{letter}vals" in values:
        centres = sized(values, f"{letter}vals", n, source)
        edges = sized(values, f"{letter}bounds", 2 * n, source) if f"{letter}bounds" in values else None
        return centres, edges and [sorted(pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
    first, step = (sized(values, f"{letter}{part}", 1, source, Fraction)[0] for part in ("first", "inc"))
    if step == 0 and n > 1:
        raise UserError(f"{source}: `{letter}inc` is 0.", "Cells have a width.")
    half = abs(step) / 2
    centres = [first + i * step for i in range(n)]
    return [float(c) for c in centres], [[float(c - half), float(c + half)] for c in centres]


def sized(values: dict[str, str], key: str, n: int, source: str, number=float) -> list:
    """The numbers under a key where there must be `n` of them."""
    found = numbers(values, key, source, number)
    if len(found) != n:
        raise UserError(f"{source}: `{key}` has {len(found)} numbers instead of {n}.",
                        "The size and the lists of a grid agree.")
    return found
