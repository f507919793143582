"""Runs `no_single_neuron`: the same as `python -m experiments no_single_neuron`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.no_single_neuron")
