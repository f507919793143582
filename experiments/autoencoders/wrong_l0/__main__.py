"""Runs `wrong_l0`."""

from experiments.lab.run import main

main("experiments.autoencoders.wrong_l0")
