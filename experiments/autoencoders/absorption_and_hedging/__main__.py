"""Runs `absorption_and_hedging`: the same as `python -m experiments absorption_and_hedging`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.autoencoders.absorption_and_hedging")
