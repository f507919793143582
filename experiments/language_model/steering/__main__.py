"""Runs `steering`."""

from experiments.lab.run import main

main("experiments.language_model.steering")
