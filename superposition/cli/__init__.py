"""The command line: `main` finds the command, each folder holds the commands of one group."""
