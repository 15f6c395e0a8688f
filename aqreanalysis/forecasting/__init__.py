"""Forecasts: slices of time, training of one model, sums of errors."""
