"""Runs `loss_decomposition`."""

from experiments.lab.run import main

main("experiments.toy_models.loss_decomposition")
