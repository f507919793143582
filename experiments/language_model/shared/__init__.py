"""What several experiments on the small language model share: its text, its SAE, and units as detectors."""
