"""Runs `feature_dimensionality`."""

from experiments.lab.run import main

main("experiments.toy_models.feature_dimensionality")
