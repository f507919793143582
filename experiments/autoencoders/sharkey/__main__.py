"""Runs `sharkey`: the same as `python -m experiments sharkey`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.sharkey")
