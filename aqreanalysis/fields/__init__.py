"""What a model may know besides observations: static covariates of a place, shipped or a user's own."""
