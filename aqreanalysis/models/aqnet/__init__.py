"""AQ-Net (Kheder et al. 2025), for analysis and as a forecaster."""
