"""The commands `superposition sae train`, `eval`, `convert` and `show`."""
