"""Runs `no_single_neuron`."""

from experiments.lab.run import main

main("experiments.language_model.no_single_neuron")
