"""Installs packages with pip and shows its progress: a line for each package, megabytes and seconds as they pass.

    python .ci/install.py 'what is installed' PIP_ARGUMENT...

Left out are the lines about packages that are installed already and the addresses that packages come from.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
ARCHIVE = re.compile(r"\s*(?:Downloading|Processing|Using cached) (?:\S*/)?([^/\s-]+)-([^/\s-]+)(?:-\S*)?( \(.+B\))?")
ADDRESS = re.compile(r"'?\b(?:https?|file)://\S+|host='[^']*'")
CLEAR = "\r\x1b[K" if sys.stdout.isatty() else ""


class Status:
    """The last line of the terminal: what is done now and, once a second, for how long; nothing in a file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.start = time.monotonic()
        self.over = threading.Event()
        if CLEAR:
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self.over.wait(1):
            sys.stdout.write(f"{CLEAR}  {self.text} ({time.monotonic() - self.start:.0f} s)")
            sys.stdout.flush()


def pip(arguments: tuple[str, ...], status: Status) -> int:
    """Runs `pip install` and returns its exit status; where it fails, all that it printed is shown."""
    output: list[str] = []
    package = ""
    with subprocess.Popen([*PIP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := PROGRESS.match(line):
                done, total = (int(size) / 1e6 for size in match.groups())
                status.text = f"{package}: {done:.0f} of {total:.0f} MB"
                continue
            output.append(ADDRESS.sub("...", line))
            if line.startswith("Installing collected packages"):
                status.text = f"unpacking {line.count(',') + 1} packages"
                sys.stdout.write(f"{CLEAR}  {status.text}\n")
            elif (match := ARCHIVE.match(line)) and ".metadata" not in line:
                package, status.text = match[1], "looking for packages"
                sys.stdout.write(f"{CLEAR}  {package} {match[2]}{match[3] or ''}\n")
            sys.stdout.flush()
    if process.returncode:
        sys.stderr.writelines(["\n", *output])
    return process.returncode


def main(title: str, *arguments: str) -> int:
    """Installs and returns pip's exit status."""
    sys.stdout.write(f"Installing {title}\n")
    status = Status("preparing pip")
    # The pip that comes with Python 3.11 cannot report its progress as lines.
    code = pip(("--quiet", "--upgrade", "pip>=24.1"), status) or pip(("--progress-bar", "raw", *arguments), status)
    status.over.set()
    sys.stdout.write(CLEAR)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
