"""Runs `nonlinear_compression`."""

from experiments.lab.run import main

main("experiments.toy_models.nonlinear_compression")
