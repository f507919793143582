"""Runs `basins`."""

from experiments.lab.run import main

main("experiments.toy_models.basins")
