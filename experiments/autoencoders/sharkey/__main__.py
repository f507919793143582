"""Runs `sharkey`."""

from experiments.lab.run import main

main("experiments.autoencoders.sharkey")
