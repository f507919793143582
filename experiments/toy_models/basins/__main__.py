"""Runs `basins`: the same as `python -m experiments basins`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.basins")
