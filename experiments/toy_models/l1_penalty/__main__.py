"""Runs `l1_penalty`."""

from experiments.lab.run import main

main("experiments.toy_models.l1_penalty")
