"""Tables 1 and 2 of Kheder et al. 2025 (SCIA 2025, arXiv 2502.11941), as printed, for their own unstated test period.

Levels of PM2.5 differ by season and year, so only ratios between models can be compared with ours.
"""

PaperTable = dict[str, tuple[tuple[float, ...], ...]]
TABLE_1: PaperTable = {  # R2, MAE, RMSE at 6, 12 and 24 h from 24 h
    "AQ-Net": ((0.5103, 18.71, 22.87), (0.4118, 22.04, 29.10), (0.1894, 26.18, 33.34)),
    "AQ-Net without cyclic encoding": ((0.4031, 21.21, 29.23), (0.2312, 25.32, 30.23), (0.1231, 27.21, 34.48)),
    "PatchTST": ((0.4421, 21.65, 27.52), (0.3319, 23.57, 31.50), (0.1601, 27.65, 34.08)),
    "LSTM": ((0.4648, 20.05, 26.44), (0.2336, 25.40, 32.44), (0.1001, 28.38, 35.13)),
    "linear regression": ((0.4500, 20.80, 27.00), (0.2100, 26.00, 33.00), (0.0800, 29.00, 35.80)),
}
TABLE_2: PaperTable = {  # MAE, RMSE of daily means over 2, 4 and 7 days from 336 h
    "AQ-Net": ((13.57, 16.80), (17.44, 21.29), (21.29, 25.17)),
    "AQ-Net without cyclic encoding": ((17.12, 21.77), (18.12, 24.63), (24.23, 28.37)),
    "PatchTST": ((41.42, 55.64), (35.31, 39.22), (28.01, 34.70)),
    "LSTM": ((24.04, 28.37), (25.11, 31.21), (22.87, 28.81)),
    "linear regression": ((25.00, 29.00), (26.00, 32.00), (23.50, 29.50)),
}


def paper_scores(history: int, horizon: int, leads: tuple[int, ...]) -> dict[tuple[str, int], dict[str, float]]:
    """The paper's scores for a protocol, by (row, lead); empty where it has no such table."""
    known: dict[tuple[int, int, tuple[int, ...]], tuple[PaperTable, tuple[str, ...]]] = {
        (24, 24, (6, 12, 24)): (TABLE_1, ("R2", "MAE", "RMSE")), (336, 168, (2, 4, 7)): (TABLE_2, ("MAE", "RMSE"))}
    printed, names = known.get((history, horizon, tuple(leads)), ({}, ()))
    return {(row, lead): dict(zip(names, values, strict=True)) for row, of in printed.items()
            for lead, values in zip(leads, of, strict=True)}
