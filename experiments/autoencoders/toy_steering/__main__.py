"""Runs `toy_steering`."""

from experiments.lab.run import main

main("experiments.autoencoders.toy_steering")
