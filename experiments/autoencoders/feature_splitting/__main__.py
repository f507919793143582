"""Runs `feature_splitting`."""

from experiments.lab.run import main

main("experiments.autoencoders.feature_splitting")
