"""Months, seasons, years of a product: statistics of each place with their errors, and the files that hold them.

    limits.py        limits and classes of China and WHO
    error_draws.py   draws of errors that are correlated in time
    quantiles.py     percentiles, of estimates and of draws
    statistics.py    all of a period from its days
    variables.py     names, CF attributes
    writing.py       NetCDF and Zarr
"""
