"""Runs `privileged_basis`: the same as `python -m experiments privileged_basis`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.privileged_basis")
