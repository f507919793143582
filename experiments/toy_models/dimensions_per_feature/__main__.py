"""Runs `dimensions_per_feature`."""

from experiments.lab.run import main

main("experiments.toy_models.dimensions_per_feature")
