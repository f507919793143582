"""Runs `pca_to_superposition`: the same as `python -m experiments pca_to_superposition`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.pca_to_superposition")
