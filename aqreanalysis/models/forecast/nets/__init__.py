"""Forecasting networks in pure torch: tensors in, tensors out; no files, no xarray, no units.

Every network has the call of `window.Window`: forward(window) -> scaled log1p(PM2.5), (batch, points, horizon).
"""
