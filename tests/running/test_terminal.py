"""Tables and sentences as commands print them: on a terminal, in a pipe, and for programs."""

import csv
import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from closure import ROOT
from rich.text import Text

from erawise.running import terminal
from erawise.running.terminal import Column, Sheet

SHEET = Sheet(
    [Column("name"), Column("CORR", ".4f", "most"), Column("std", ".2f", "least", spare=1), Column("verdict", spare=2)],
    [["a|b", 0.01234, 0.5, "better"], ["c", 0.02, None, "can't tell"], ["d", float("nan"), 0.25, "worse"]],
    "Scores",
)


def printed(capsys: pytest.CaptureFixture[str], *parts: Any, form: Any = "terminal") -> str:
    terminal.write(parts, form)
    return capsys.readouterr().out


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make standard output a terminal of some columns."""

    def of(columns: int, **variables: str) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return of


def test_a_pipe_gets_aligned_text_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "It is better, and " * 20, SHEET, "Last.").splitlines()
    assert len(lines[0]) > 200, "a sentence is not broken"
    assert lines[1:4] == ["", "Scores", "name     CORR    std   verdict"]
    assert lines[5:] == ["a|b    0.0123   0.50   better", "c      0.0200      –   can't tell", "d           –   0.25   worse", "", "Last."]


def test_a_terminal_gets_the_best_in_bold_verdicts_in_colour_and_no_line_that_is_too_long(
    capsys: pytest.CaptureFixture[str], wide: Any
) -> None:
    wide(40)
    said = printed(capsys, "a: can't tell, better than nothing", SHEET)
    assert "\x1b[33mcan't tell\x1b[0m, \x1b[1;32mbetter\x1b[0m" in said
    assert "\x1b[1m0.0200\x1b[0m" in said
    assert "\x1b[1m0.25\x1b[0m" in said
    assert "\x1b[1;31mworse" in said
    wide(24, NO_COLOR="1")
    said = printed(capsys, SHEET)
    assert "\x1b[3" not in said
    assert "verdict" not in said
    assert "1 more column by --md" in said
    wide(60, NO_COLOR="1")
    rows = [["name", "a long text " * 9]]
    said = printed(capsys, Sheet([Column("name"), Column("text", wraps=True)], rows))
    assert max(len(line) for line in Text.from_ansi(said).plain.splitlines()) <= 60


def test_a_table_that_is_too_wide_breaks_texts_and_no_number(capsys: pytest.CaptureFixture[str], wide: Any) -> None:
    wide(40, NO_COLOR="1")
    columns = [Column("a name"), Column("ours"), Column("site", ".4f"), Column("value", ".4f"), Column("its verdict")]
    said = printed(capsys, Sheet(columns, [["a_name_without_any_space", "max_drawdown", 0.0123, -0.0456, "can't tell"]]))
    lines = Text.from_ansi(said).plain.splitlines()
    assert max(map(len, lines)) <= 40
    assert any("0.0123   -0.0456" in line for line in lines)
    assert "…" not in said


def test_programs_get_whole_numbers_and_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "said", SHEET, form="json"))[0] == {"name": "a|b", "CORR": 0.01234, "std": 0.5, "verdict": "better"}
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "said", SHEET, form="csv"))))
    assert rows[2] == {"name": "d", "CORR": "", "std": "0.25", "verdict": "worse"}
    two = [Sheet(SHEET.columns, SHEET.rows, "x", "one"), Sheet([Column("more", ".1f")], [[1.0]], "y", "two")]
    assert list(json.loads(printed(capsys, *two, form="json"))) == ["one", "two"]
    last = list(csv.DictReader(io.StringIO(printed(capsys, *two, form="csv"))))[-1]
    assert last == {"table": "two", "name": "", "CORR": "", "std": "", "verdict": "", "more": "1.0"}
    assert json.loads(printed(capsys, form="json")) == []


def test_markdown_is_a_table_that_a_text_cannot_break(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, SHEET, "Last.", form="md").splitlines() == [
        "**Scores**",
        "",
        "| name | CORR | std | verdict |",
        "|---|---:|---:|---|",
        "| a¦b | 0.0123 | 0.50 | better |",
        "| c | 0.0200 | – | can't tell |",
        "| d | – | 0.25 | worse |",
        "",
        "Last.",
    ]


def test_rich_is_loaded_only_for_a_terminal() -> None:
    code = "import sys; from erawise.running import terminal; terminal.write(['said'], 'md'); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "said\nFalse\n"
