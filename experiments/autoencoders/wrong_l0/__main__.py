"""Runs `wrong_l0`: the same as `python -m experiments wrong_l0`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.wrong_l0")
