"""The files of a product: CF attributes, encoding, writing by parts in any format, days, means over time."""

from aqreanalysis.output.cf import About, Contact
from aqreanalysis.output.daily import MonthDays, end_of_days, read_month_days, write_daily
from aqreanalysis.output.encoding import tiles
from aqreanalysis.output.formats import (
    FORMATS,
    Format,
    fingerprint,
    format_of,
    open_part,
    open_product_file,
    remove_abandoned,
)
from aqreanalysis.output.means import days_of, pieces, read_mean, read_most_frequent
from aqreanalysis.output.netcdf_file import check_file
from aqreanalysis.output.writer import PartWriter, ProductPart

__all__ = ["FORMATS", "About", "Contact", "Format", "MonthDays", "PartWriter", "ProductPart", "check_file",
           "days_of", "end_of_days", "fingerprint", "format_of", "open_part", "open_product_file", "pieces",
           "read_mean", "read_month_days", "read_most_frequent", "remove_abandoned", "tiles", "write_daily"]
