"""Runs `pentagon_digon`."""

from experiments.lab.run import main

main("experiments.toy_models.pentagon_digon")
