"""Models behind one interface (base.py), by name in registry.py: the baselines, AQ-Net and forecasts."""
