"""Training of networks: one loop for all of them, what is hidden from them, losses, shrinkage and calibration.

    loop               descent, averaged weights, validation, which network is kept
    masking            which stations and hours are hidden
    losses             what is minimised
    analysis           AQ-Net for analysis; analysis_data: its observations; analysis_run: its networks, each a job
    cross_fit          every station estimated by a network that never saw it
    regression         the coefficients of regression kriging; boosting: the trees of gradient boosting
    forecast           one forecasting model; forecast_batches; forecast_data; forecast_runs: a recipe's run folder
    validation         scores of an analysis at the stations that were left out
    shrinkage          how much of what a forecast has learned is kept
    calibration        factors on the errors, fitted where the truth is known
"""
