"""Runs `absolute_value`."""

from experiments.lab.run import main

main("experiments.toy_models.absolute_value")
