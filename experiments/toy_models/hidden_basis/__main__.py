"""Runs `hidden_basis`: the same as `python -m experiments hidden_basis`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.hidden_basis")
