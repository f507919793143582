"""The commands `superposition sweep` and `show`."""
