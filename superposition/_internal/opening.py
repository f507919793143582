"""Opens a file with whatever the desktop shows such files in. Where nothing can, nothing happens: it is never an error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def show_file(path: Path) -> bool:
    """Whether the file was handed to the desktop: there is one, and nobody runs this in continuous integration."""
    program = opener()
    if program is None:
        return False
    try:
        subprocess.Popen(
            [program, str(path.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return True


def opener() -> str | None:
    """The program that opens files on this machine; None without a display.

    A browser in the terminal (as Python's `webbrowser` would take one) is no display: it would hold the terminal.
    """
    if os.environ.get("CI"):
        return None
    if sys.platform == "darwin":
        return shutil.which("open")
    if sys.platform == "win32":
        return shutil.which("explorer")
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    return shutil.which("xdg-open")
