"""The two pictures of README.md: the first screen of the report, and a run in a terminal.

`python -m manual.screens` runs the pipeline in a clone of HEAD, without data or results and with an empty cache. It draws lines that
the run has printed, and takes a picture of the report. `--report` only takes a picture of report.html as it lies in the checkout.
"""

import argparse
import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from io import StringIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright
from rich.console import Console
from rich.text import Text

from erawise.running import paths

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/pictures"
REPORT, RUN = PICTURES / "report.png", PICTURES / "run.svg"

SCREEN: ViewportSize = {"width": 1280, "height": 860}
COLOURS = 128
"""Colours of the picture of the report: enough for its few, and a third of the bytes."""

COLUMNS, LINES = 110, 60
SHOWN_LINES = 26
"""Lines of `erawise show` in the picture."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")
"""Sequences that move the cursor; sequences of colours end with m and stay."""

FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px;
  line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich's own, without the fonts that it loads from another host."""


def photograph_report(report: Path) -> None:
    """Write the first screen of a report as a picture.

    Raises
    ------
    SystemExit
        If there is no report.
    """
    if not report.exists():
        raise SystemExit(f"error: {report}: there is no such page; run `make repro` or `erawise report`")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as directory:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_context(offline=True, viewport=SCREEN, color_scheme="light").new_page()
        page.goto(report.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        taken = Path(directory) / "report.png"
        page.screenshot(path=taken, animations="disabled")
        browser.close()
        with Image.open(taken) as image:
            image.convert("RGB").quantize(COLOURS).save(REPORT, optimize=True)


def record(command: list[str], directory: Path) -> list[str]:
    """Run a command on a terminal of `COLUMNS` columns, and return the lines that stay on it, with their colours.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    with subprocess.Popen(command, cwd=directory, env=environment, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        said = bytearray()
        while chunk := _read(leader):
            said += chunk
    os.close(leader)
    text = ESCAPES.sub("", said.decode(errors="replace")).replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    if process.returncode:
        raise SystemExit("\n".join([*lines[-20:], f"error: {' '.join(command)} ended with {process.returncode}"]))
    return lines


def _read(terminal: int) -> bytes:
    """Return the next bytes of a terminal, none once nobody holds its other end."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def shorten(line: str) -> str:
    """Cut the middle out of a line that is longer than the terminal."""
    plain = Text.from_ansi(line).plain
    if len(plain) <= COLUMNS:
        return line
    tail = plain.rpartition("; ")[2]
    return f"{plain[: COLUMNS - len(tail) - 5]} …; {tail}"


def draw_run() -> None:
    """Run the pipeline in a clone of HEAD; draw the lines by which stages end, the first ones of `erawise show`, and the report."""
    with tempfile.TemporaryDirectory() as base:
        clone = Path(base) / "erawise"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for results in (paths.METRICS, paths.PLOTS):  # with the results that Git keeps, DVC would skip the stages that write them
            shutil.rmtree(clone / results)
        run = record([sys.executable, "-m", "dvc", "repro"], clone)
        show = record([sys.executable, "-m", "erawise", "show"], clone)
        report = record([sys.executable, "-m", "erawise", "report"], clone)
        photograph_report(clone / "report.html")
    ends = [line for line in [*run, *report] if re.match(r"[\w@ ]+: wrote ", Text.from_ansi(line).plain)]
    lines = ["$ make repro", *map(shorten, ends), "", "$ erawise show", *show[:SHOWN_LINES]]
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis", crop=True)
    RUN.write_text(console.export_svg(title="erawise", code_format=FORMAT, unique_id="run"), encoding="utf-8")


def main() -> None:
    """Draw both pictures, or only the picture of the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="only the picture of report.html as it lies in the checkout")
    given = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    if given.report:
        photograph_report(ROOT / "report.html")
    else:
        draw_run()


if __name__ == "__main__":
    main()
