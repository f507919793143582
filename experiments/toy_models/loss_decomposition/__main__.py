"""Runs `loss_decomposition`: the same as `python -m experiments loss_decomposition`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.loss_decomposition")
