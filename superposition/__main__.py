"""`python -m superposition` is the `superposition` command."""

from superposition.cli.main import entry

if __name__ == "__main__":
    entry()
