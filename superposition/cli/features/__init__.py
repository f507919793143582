"""The commands `superposition page`, `serve`, `steer` and `ablate`."""
