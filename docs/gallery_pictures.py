"""Pictures of the gallery: every matplotlib Figure that a block of a script gave a name, of pyplot or not.

sphinx-gallery's own scraper knows pyplot's figures only; maps of this package are none.
"""

from __future__ import annotations

from typing import Any

DPI = 150


def _get_sg_image_scraper() -> Any:
    """What sphinx-gallery asks a module for that is named in `image_scrapers`."""
    return named_figures


def named_figures(block: tuple, block_vars: dict, gallery_conf: dict) -> str:
    """Save the figures that have not been saved; returns reStructuredText that shows them, with titles as alt text."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    found = {id(of): of for of in block_vars["example_globals"].values() if isinstance(of, Figure)}
    new = [figure for figure in found.values() if not hasattr(figure, "in_gallery")]
    paths = []
    for figure, path in zip(new, block_vars["image_path_iterator"], strict=False):
        figure.in_gallery = True
        figure.savefig(path, dpi=DPI)
        paths.append(path)
    pyplot.close("all")
    return figure_rst(paths, gallery_conf["src_dir"], "; ".join(title_of(figure) for figure in new))


def title_of(figure: Any) -> str:
    """Its titles, or of a map its largest text, in one line."""
    heads = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)]
    if not any(heads):
        heads = [text.get_text() for text in sorted(figure.texts, key=lambda of: -of.get_fontsize())[:1]]
    return " ".join("; ".join(head for head in heads if head).split())
