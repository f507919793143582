"""Runs `phase_without_bias`."""

from experiments.lab.run import main

main("experiments.toy_models.phase_without_bias")
