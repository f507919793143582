"""Runs `correlated_sets`: the same as `python -m experiments correlated_sets`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.correlated_sets")
