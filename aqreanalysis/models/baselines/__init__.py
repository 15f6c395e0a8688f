"""Models that need no training, or little: the yardsticks of every other."""
