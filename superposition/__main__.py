"""`python -m superposition` is the `superposition` command."""

from superposition.cli import entry

if __name__ == "__main__":
    entry()
