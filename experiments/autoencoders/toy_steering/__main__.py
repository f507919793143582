"""Runs `toy_steering`: the same as `python -m experiments toy_steering`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.toy_steering")
