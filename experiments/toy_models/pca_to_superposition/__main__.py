"""Runs `pca_to_superposition`."""

from experiments.lab.run import main

main("experiments.toy_models.pca_to_superposition")
