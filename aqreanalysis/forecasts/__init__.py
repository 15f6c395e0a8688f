"""Forecasts by a recipe: `train` fits every model of its tables, `evaluate` scores them, `figures` draws them."""
