"""Runs `asymmetric_motif`."""

from experiments.lab.run import main

main("experiments.toy_models.asymmetric_motif")
