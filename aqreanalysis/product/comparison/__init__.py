"""A product beside another one.

    times.py     when the steps of another product are: stamps, bounds, dates in names
    variable.py  which variable is PM2.5, in which unit, at which level
    other.py     files of another product as fields of one period on one grid
    pairs.py     both on common cells and times, and sums of the pairs
    stations.py  both beside observations
    page.py      tables and the page
"""
