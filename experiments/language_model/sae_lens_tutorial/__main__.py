"""Runs `sae_lens_tutorial`."""

from experiments.lab.run import main

main("experiments.language_model.sae_lens_tutorial")
