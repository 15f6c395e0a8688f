"""The report of a product: its maps and the page that states what it is and how far to trust it."""

from aqreanalysis.product.report.maps import draw_maps, mean_of
from aqreanalysis.product.report.page import render_report, true_errors, write_report

__all__ = ["draw_maps", "mean_of", "render_report", "true_errors", "write_report"]
