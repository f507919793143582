"""Runs `privileged_basis`."""

from experiments.lab.run import main

main("experiments.toy_models.privileged_basis")
