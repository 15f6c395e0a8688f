"""`aqreanalysis figures PRODUCT`: the figures of a product's own validation, at its hidden stations."""

from __future__ import annotations

from pathlib import Path

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.figure_sums import FigureSums
from aqreanalysis.figures.identity import Identity
from aqreanalysis.figures.layout import check_picture_name, save_figure
from aqreanalysis.figures.validation import validation_figures
from aqreanalysis.product.folder import record_of
from aqreanalysis.product.report import validation_charts

PRINT_DPI, ENDINGS = 300, ("png", "pdf", "svg")


def plot_validation(product: str | Path, out: str | Path | None = None, ending: str = "png") -> list[Path]:
    """Draw what a product's validation found, into a folder (default: figures/ in the product); returns the pictures.

    Raises
    ------
    UserError : where there is no product, or it was made without a validation of its own.
    """
    check_picture_name(Path(f"figure.{ending}"))
    found = hidden_sums(product)
    folder = Path(out).expanduser() if out else Path(product).expanduser() / "figures"
    prefix = "simulated_" if found.simulated else ""
    assert found.rows is not None
    return [save_figure(figure, folder / f"{prefix}{name}.{ending}", Identity.of(f"{found.about}: {name}",
                                                                                 found.rows.attrs), PRINT_DPI)
            for name, figure in validation_figures(found).items()]


def hidden_sums(product: str | Path) -> FigureSums:
    """What figures are made from, of a product's validation.nc."""
    place = Path(product).expanduser()
    record = record_of(place) if place.is_dir() else None
    if record is None:
        raise UserError(f"{product} is no product.", "A product is a folder that `aqreanalysis build` made.",
                        "Give the folder's name.")
    path = record.folder.validation("nc")
    if not path.exists():
        raise UserError(f"{product} has no {path.name}.", "A product validates itself unless it was built with "
                        "--calibration checkpoint.", "Build it without that option.")
    found = validation_charts.hidden_sums(record.folder, str(record.content["identity"].get("checkpoint", "")))
    if found is None:
        raise UserError(f"{path} has no row.", "Its stations were too few to hide some of them.",
                        "There is nothing to draw.")
    return found
