"""The week of the tournament: one schedule in the code, the pages, cron and systemd, and an exit code that depends on the round."""

import re
import shutil
import subprocess
import time as clock
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import product
from pathlib import Path

import pytest
from closure import ROOT

from erawise.live import handing_in, schedule
from erawise.live.schedule import DAYS, RUNS, WAIT, WINDOWS
from erawise.live.submission import NoDataYet
from erawise.running.errors import InputError, NoneDue, NotOpen, Unavailable, Unconfirmed, UsageError

LIVE = (ROOT / "docs/live.md").read_text(encoding="utf-8")
RECOVER = (ROOT / "docs/howto/recover.md").read_text(encoding="utf-8")
CRON_DAYS = ("Sun", *DAYS[:-1])

Moment = tuple[str, str]
"""A day of the week, and HH:MM."""

SCHEDULED = {(day, f"{at:%H:%M}"): runs.wait for runs in RUNS for day, at in product(runs.days, runs.times)}


def cron_numbers(field: str, last: int) -> list[int]:
    found: list[int] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, end = ("0", "", str(last)) if span == "*" else span.partition("-")
        found += range(int(first), int(end or first) + 1, int(step or 1))
    return found


def cron(page: str) -> Iterator[tuple[Moment, int]]:
    """Return the runs of `erawise submit` in the lines for cron, each with the minutes that it waits."""
    line = r"^([\d,*/-]+) ([\d,*/-]+) \* \* ([\d,*/-]+) +cd .*erawise submit(?: --wait (\d+))? >>"
    for minute, hour, days, wait in re.findall(line, page, re.MULTILINE):
        for day, at in product(cron_numbers(days, 6), product(cron_numbers(hour, 23), cron_numbers(minute, 59))):
            yield (CRON_DAYS[day], "{:02d}:{:02d}".format(*at)), int(wait or 0)


def calendar(page: str) -> Iterator[Moment]:
    """Return the times in the lines for systemd's timer."""
    for days, hours, minutes in re.findall(r"^OnCalendar=(\S+) \*-\*-\* ([\d,]+):([\d,]+):00 UTC$", page, re.MULTILINE):
        first, _, last = days.partition("..")
        named = DAYS[DAYS.index(first) : DAYS.index(last or first) + 1]
        for day, hour, minute in product(named, hours.split(","), minutes.split(",")):
            yield day, f"{hour}:{minute}"


def times_in(sentence: str) -> set[Moment]:
    """Return the times in a sentence: Tuesday to Saturday (up to `Saturday's`), then Saturday (up to `on Saturday`), then Sunday."""
    weekly, _, rest = sentence.partition("Saturday's")
    saturday, _, sunday = rest.partition("on Saturday")
    parts = ((DAYS[1:6], weekly), (("Sat",), saturday), (("Sun",), sunday.partition("on Sunday")[0]))
    return {(day, at) for days, part in parts for day, at in product(days, re.findall(r"\d\d:\d\d", part))}


def test_the_lines_for_cron_are_the_schedule() -> None:
    found = list(cron(LIVE))
    assert dict(found) == SCHEDULED
    assert len(found) == len(SCHEDULED)


def test_the_timer_of_systemd_is_the_schedule() -> None:
    found = list(calendar(LIVE))
    assert set(found) == set(SCHEDULED)
    assert len(found) == LIVE.count("OnCalendar=") + 20
    assert f"erawise submit --wait {WAIT}\nRuntimeMaxSec=" in LIVE


@pytest.mark.parametrize("page", [LIVE, RECOVER])
def test_the_pages_say_the_schedule_in_words(page: str) -> None:
    [sentence] = re.findall(r"(?:`submit` runs|They run it) at 12:00 .*?on Sunday\.", page)
    assert times_in(sentence) == set(SCHEDULED)
    assert re.search(rf"\b{WAIT}\b", sentence)
    assert set(re.findall(r"--wait (\d+)", page)) == {str(WAIT)}


def test_the_pages_say_when_rounds_close() -> None:
    for day in ("Tue", "Wed", "Thu", "Fri"):
        assert schedule.Window(day, time(12), timedelta(hours=1)) in WINDOWS
    assert schedule.Window("Sat", time(12), timedelta(hours=26)) in WINDOWS
    assert "| Tuesday | 12:00 UTC | 13:00 |" in LIVE
    assert "| Saturday | 12:00 UTC | Sunday 14:00 |" in LIVE
    assert "Rounds close at 13:00, Saturday's on Sunday at 14:00." in RECOVER


def test_every_run_lies_in_a_round_and_waits_no_longer_than_that() -> None:
    monday = datetime(2026, 11, 30, tzinfo=UTC)
    for (day, at), wait in SCHEDULED.items():
        start = monday + timedelta(days=DAYS.index(day), hours=int(at[:2]), minutes=int(at[3:]))
        assert schedule.due(start)
        assert schedule.due(start + timedelta(minutes=wait))


@pytest.mark.parametrize(
    ("moment", "due"),
    [
        ("2026-12-01T11:59:59", False),
        ("2026-12-01T12:00", True),
        ("2026-12-01T12:59:59", True),
        ("2026-12-01T13:00", False),
        ("2026-12-05T12:00", True),
        ("2026-12-06T13:59:59", True),
        ("2026-12-06T14:00", False),
        ("2026-12-07T12:30", False),
        ("2026-12-01T13:30+01:00", True),
    ],
)
def test_a_round_is_due_in_its_hours(moment: str, due: bool) -> None:
    found = datetime.fromisoformat(moment)
    assert schedule.due(found if found.tzinfo else found.replace(tzinfo=UTC)) == due


@pytest.mark.parametrize(
    ("problem", "moment", "closes", "code"),
    [
        (NotOpen("not yet"), "2026-12-01T12:55", None, 3),
        (NotOpen("closed"), "2026-12-01T13:55", None, 6),
        (Unavailable("down"), "2026-12-06T13:00", None, 75),
        (Unavailable("down"), "2026-12-06T14:10", None, 6),
        (Unavailable("down"), "2026-12-01T13:55", "2026-12-01T15:00", 75),
        (Unavailable("down"), "2026-12-01T13:55", "2026-12-01T13:30", 6),
        (NoDataYet("no data"), "2026-12-01T13:55", None, 3),
    ],
)
def test_a_run_is_of_use_again_until_the_round_is_over(
    monkeypatch: pytest.MonkeyPatch, problem: NotOpen | Unavailable, moment: str, closes: str | None, code: int
) -> None:
    at, until = (0.0 if text is None else datetime.fromisoformat(f"{text}+00:00").timestamp() for text in (moment, closes))
    monkeypatch.setattr(clock, "time", lambda: at)
    found = handing_in._ended(problem, until)
    assert found.code == code
    assert str(found) == str(problem)


def test_systemd_runs_again_what_may_come_right_within_the_round() -> None:
    [prevented] = re.findall(r"^RestartPreventExitStatus=(.*)$", LIVE, re.MULTILINE)
    table = LIVE.partition("| exit code | of `submit` |")[2].partition("\n\n")[0]
    documented = set(map(int, re.findall(r"^\| (\d+) \| ", table, re.MULTILINE)))
    again = {NotOpen.code, Unconfirmed.code, Unavailable.code}
    assert "\nRestart=on-failure\n" in LIVE
    assert set(map(int, prevented.split())) == {InputError.code, UsageError.code, NoneDue.code} == documented - again - {0}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't there")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for kind in ("service", "timer"):
        [unit] = re.findall(rf"`erawise-submit\.{kind}`:\n\n```ini\n(.*?)```", LIVE, re.DOTALL)
        runnable = unit.replace("/path/to/erawise/.venv/bin/erawise", "/bin/true").replace("/path/to/erawise", "/")
        (tmp_path / f"erawise-submit.{kind}").write_text(runnable)
    units = sorted(map(str, tmp_path.iterdir()))
    found = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
