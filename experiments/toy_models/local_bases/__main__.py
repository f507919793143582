"""Runs `local_bases`."""

from experiments.lab.run import main

main("experiments.toy_models.local_bases")
