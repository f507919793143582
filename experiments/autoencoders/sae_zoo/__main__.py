"""Runs `sae_zoo`: the same as `python -m experiments sae_zoo`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.sae_zoo")
