"""Runs `ablation`: the same as `python -m experiments ablation`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.ablation")
