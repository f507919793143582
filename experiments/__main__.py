"""Lists the experiments, runs one by its name, or with `--all` runs them all and ends with the verdicts."""

import argparse
import sys

from experiments.lab import all, files, find, report
from superposition.errors import ConfigError


def run_all(quick: bool, jobs: int) -> int:
    """Run every experiment; return 1 if a verdict is not the expected one."""
    folder = files.FIGURES / "quick" if quick else files.FIGURES
    claims = all.run(find.load_all(), quick, folder, jobs)
    report.write(folder)
    report.show(claims)
    print(f"pictures: {folder}/*.png   report: {folder}/REPORT.md")
    return 0 if quick else report.status(claims)


def run_one(name: str, arguments: list[str]) -> None:
    """Run the experiment or the script of this name, wherever it stands, by its own flags."""
    from experiments.lab import run

    try:
        module = find.load(name)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    sys.argv = [f"python -m experiments {name}", *arguments]
    (run.main if hasattr(module, "draw") else run.script)(module.__name__)


def show_list() -> None:
    """Print the name and the title of every experiment, grouped by work, and of every script."""
    groups = {title: find.members(work) for work, title in find.WORKS.items()}
    for title, modules in (groups | {"Scripts that make a model": find.scripts()}).items():
        print(f"{title}\n")
        for name, path in modules.items():
            print(f"  {name:24} {find.title(path)}")
        print()
    print("One of them: python -m experiments NAME [--quick] [flags]; NAME --help says which flags.")


def main() -> None:
    """Read the command line: a name and what follows it, `--all`, or nothing."""
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        run_one(sys.argv[1], sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Lists the experiments. One of them: python -m experiments NAME --help",
    )
    parser.add_argument("--all", action="store_true", help="run every experiment, and end with the verdicts")
    parser.add_argument(
        "--quick", action="store_true", help="small versions, into figures/quick: structure, not science"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes at once, up to 2.4 GB each (default 2)"
    )
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {arguments.jobs}")
    if arguments.all:
        sys.exit(run_all(arguments.quick, arguments.jobs))
    show_list()


if __name__ == "__main__":
    main()
