"""Runs `small_lm_sae`."""

from experiments.lab.run import main

main("experiments.language_model.small_lm_sae")
