"""Runs `sae_zoo`."""

from experiments.lab.run import main

main("experiments.autoencoders.sae_zoo")
