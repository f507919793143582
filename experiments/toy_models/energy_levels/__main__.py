"""Runs `energy_levels`: the same as `python -m experiments energy_levels`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.energy_levels")
