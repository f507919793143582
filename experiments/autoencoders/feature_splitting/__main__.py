"""Runs `feature_splitting`: the same as `python -m experiments feature_splitting`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.feature_splitting")
