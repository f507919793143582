"""Runs `phase_without_bias`: the same as `python -m experiments phase_without_bias`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.phase_without_bias")
