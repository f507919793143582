"""Runs `absorption_and_hedging`."""

from experiments.lab.run import main

main("experiments.autoencoders.absorption_and_hedging")
