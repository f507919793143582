"""Runs `four_questions`."""

from experiments.lab.run import main

main("experiments.language_model.four_questions")
