"""Runs `phase_by_activation`."""

from experiments.lab.run import main

main("experiments.toy_models.phase_by_activation")
