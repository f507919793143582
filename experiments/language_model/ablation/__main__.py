"""Runs `ablation`."""

from experiments.lab.run import main

main("experiments.language_model.ablation")
