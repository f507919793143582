"""Runs `nonlinear_compression`: the same as `python -m experiments nonlinear_compression`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.nonlinear_compression")
