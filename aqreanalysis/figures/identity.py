"""What a figure is of, inside its file: PNG has it as text chunks, PDF in its document information, SVG as Dublin Core,
JPEG, TIFF and WebP as Exif's description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aqreanalysis import __version__

EXIF_DESCRIPTION, EXIF_SOFTWARE, EXIF_COPYRIGHT = 0x010E, 0x0131, 0x8298
SOFTWARE = f"aqreanalysis {__version__}"
KEPT = ("id", "source", "license", "references", "history", "reference_state", "calibrated_on", "simulated",
        "source_product", "source_product_sha256", "source_checkpoint", "source_observations", "period")

@dataclass(frozen=True)
class Identity:
    """What a figure shows and what it was made from, in words: title, and attributes by the names of products."""

    title: str = ""
    attributes: Mapping[str, str] | None = None

    @classmethod
    def of(cls, title: str, attributes: Mapping[str, Any]) -> Identity:
        """Of the global attributes of a product, or of a Dataset made from one."""
        return cls(title, {name: str(attributes[name]) for name in KEPT if attributes.get(name) not in (None, "")})

    @property
    def text(self) -> str:
        """All of it, a line each."""
        return "\n".join([self.title, *(f"{name}: {value}" for name, value in (self.attributes or {}).items())]).strip()

    def metadata(self, ending: str) -> dict[str, Any] | None:
        """What matplotlib writes into a file of this ending, without the clock; None where it writes nothing."""
        found = dict(self.attributes or {})
        if ending == ".png":
            return {"Software": SOFTWARE} | ({"Title": self.title} if self.title else {}) | found
        if ending == ".pdf":
            return {"CreationDate": None, "Creator": SOFTWARE, "Title": self.title or None,
                    "Subject": self.text or None, "Keywords": found.get("source_product_sha256")}
        if ending == ".svg":
            said = {"Title": self.title, "Description": self.text, "Identifier": found.get("id"),
                    "Source": found.get("source"), "Rights": found.get("license")}
            return {"Date": None, "Creator": SOFTWARE} | {name: text for name, text in said.items() if text}
        return None

    def exif(self) -> Any:
        """The same for JPEG, TIFF and WebP."""
        from PIL import Image

        exif = Image.Exif()
        exif[EXIF_SOFTWARE] = SOFTWARE
        if self.text:
            exif[EXIF_DESCRIPTION] = self.text.encode("utf-8")  # of text Pillow keeps ASCII only
        if rights := (self.attributes or {}).get("license"):
            exif[EXIF_COPYRIGHT] = rights.encode("utf-8")
        return exif


NO_IDENTITY = Identity()
