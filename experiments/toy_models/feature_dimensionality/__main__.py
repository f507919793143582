"""Runs `feature_dimensionality`: the same as `python -m experiments feature_dimensionality`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.feature_dimensionality")
