"""Runs `correlated_sets`."""

from experiments.lab.run import main

main("experiments.toy_models.correlated_sets")
