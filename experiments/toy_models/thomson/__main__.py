"""Runs `thomson`: the same as `python -m experiments thomson`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.thomson")
