"""What several experiments on toy models share: training, exact minima, and drawings."""
