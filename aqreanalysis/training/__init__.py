"""Training of networks: what is hidden, one loop, losses, and the calibration of their errors."""
