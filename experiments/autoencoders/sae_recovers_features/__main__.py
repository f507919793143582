"""Runs `sae_recovers_features`."""

from experiments.lab.run import main

main("experiments.autoencoders.sae_recovers_features")
