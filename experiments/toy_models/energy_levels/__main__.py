"""Runs `energy_levels`."""

from experiments.lab.run import main

main("experiments.toy_models.energy_levels")
