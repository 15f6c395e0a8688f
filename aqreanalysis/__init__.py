"""aqreanalysis: gap-free, gridded, quality-marked PM2.5 of northern China from station observations."""

__version__ = "0.1.0"
