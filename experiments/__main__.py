"""Lists the experiments, runs one by its name, or with `--all` or `--lecture` runs many and ends with the verdicts."""

import argparse
import sys
from pathlib import Path

from experiments.lab import all, files, find, gallery, judge, lecture, report, stored
from experiments.lab.claim import Claim
from superposition.errors import ConfigError


def run_all(quick: bool, jobs: int) -> int:
    """Run every experiment; return 1 if a verdict is not the one on record."""
    folder = files.FIGURES / "quick" if quick else files.FIGURES
    claims = all.run(find.load_all(), "quick" if quick else "full", folder, jobs)
    _show(claims, folder)
    return 0 if quick else report.status(claims)


def run_lecture(jobs: int) -> int:
    """Run the experiments on the lecture's slides and open the gallery; return 1 if a verdict is not the one on record."""
    from superposition._internal.opening import show_file

    folder = files.FIGURES / "lecture"
    all.run([find.load(name) for name in lecture.SLIDES], "lecture", folder, jobs)
    claims = lecture.claims(folder)
    _show(claims, folder)
    index = files.FIGURES / "index.html"
    print(f"all pictures and verdicts: {index if index.exists() else gallery.write(files.FIGURES)}")
    show_file(index)
    return report.status(claims)


def _show(claims: list[Claim], folder: Path) -> None:
    report.write(folder)
    gallery.write(folder)
    report.show(claims)
    print(f"pictures: {folder}/*.png   gallery: {folder}/index.html   report: {folder}/REPORT.md")


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
        "--lecture",
        action="store_true",
        help="run those on the lecture's slides, in minutes, into figures/lecture, and open the gallery",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small versions, into figures/quick: structure, not science"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes at once, up to 2.4 GB each (default 2)"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="put the verdicts of figures/ on record, with which later runs are compared, and write its report anew",
    )
    parser.add_argument(
        "--judge",
        action="store_true",
        help="make claims and pictures of figures/ anew from stored results, where these suffice, without running",
    )
    arguments = parser.parse_args()
    if arguments.judge:
        judged = [find.name_of(module) for module in find.load_all() if judge.again(module, files.FIGURES)]
        report.write(files.FIGURES)
        gallery.write(files.FIGURES)
        print(f"judged anew: {', '.join(judged)}; the others need a run")
        return
    if arguments.record:
        stored.write_record(files.FIGURES)
        report.write(files.FIGURES)
        gallery.write(files.FIGURES)
        return
    if arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {arguments.jobs}")
    if arguments.lecture:
        sys.exit(run_lecture(arguments.jobs))
    if arguments.all:
        sys.exit(run_all(arguments.quick, arguments.jobs))
    show_list()


if __name__ == "__main__":
    main()
