"""Runs `four_questions`: the same as `python -m experiments four_questions`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.four_questions")
