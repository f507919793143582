"""Runs `dimensions_per_feature`: the same as `python -m experiments dimensions_per_feature`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.dimensions_per_feature")
