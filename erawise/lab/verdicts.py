"""The results of an audit: tests, each with a verdict, and one verdict of all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal

import numpy as np
import pandas as pd

from erawise.evaluation import significance

Verdict = Literal["clean", "suspect", "leaks", "not tested"]

CLEAN, SUSPECT, LEAKS, NOT_TESTED = "clean", "suspect", "leaks", "not tested"

SUSPECT_BELOW, LEAKS_BELOW = 0.01, 0.001
"""Adjusted p-values below which chance isn't believed, and below which it is ruled out."""

EXIT_CODES = {CLEAN: 0, SUSPECT: 5, LEAKS: 6}


@dataclass(frozen=True)
class AuditTest:
    """One test of an audit.

    Attributes
    ----------
    name : of the test.
    verdict : `clean`, `suspect`, `leaks` or `not tested`.
    statistic : the detail says what it is; NaN if nothing was tested.
    p : the probability of such a statistic without a leak, not adjusted. A test that compares predictions before and after a change has
        no chance in it: 0 if they moved, 1 if they stayed. NaN if nothing was tested.
    detail : what was found, or why nothing was tested.
    """

    name: str
    verdict: Verdict
    statistic: float
    p: float
    detail: str


@dataclass(frozen=True, repr=False)
class Audit:
    """The result of an audit.

    Attributes
    ----------
    name : of the function or file.
    tests : in the order in which they were made.
    """

    name: str
    tests: tuple[AuditTest, ...]

    @property
    def verdict(self) -> Verdict:
        """`leaks` if a test says so, else `suspect` if one says so, else `clean`."""
        found = {test.verdict for test in self.tests}
        return "leaks" if LEAKS in found else "suspect" if SUSPECT in found else "clean"

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0, 5 for suspect, 6 for leaks."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> str:
        """Return the verdict and the tests as JSON; a number that isn't there is null."""
        tests = [
            {"name": test.name, "verdict": test.verdict, "statistic": _number(test.statistic), "p": _number(test.p)} for test in self.tests
        ]
        return json.dumps({"verdict": self.verdict, "tests": tests}, indent=2)

    def __repr__(self) -> str:
        """Return a line for each test, and the verdict."""
        width = max((len(test.name) for test in self.tests), default=0)
        lines = [f"  {test.name:<{width}}  {test.verdict:<10}  {test.detail}" for test in self.tests]
        return "\n".join([self.name, *lines, self._answer])

    def _repr_html_(self) -> str:
        """Return the tests as a table under the verdict, for notebooks."""
        tests = pd.DataFrame([[test.name, test.verdict, test.detail] for test in self.tests], columns=["test", "verdict", "detail"])
        with pd.option_context("display.max_colwidth", None):
            return f"<p>{escape(self.name)}: {self._answer}</p>{tests.to_html(index=False)}"

    @property
    def _answer(self) -> str:
        left = [test.name for test in self.tests if test.verdict == NOT_TESTED]
        scope = f"{len(self.tests) - len(left)} tests" + (f", not tested: {', '.join(left)}" if left else "")
        return f"{self.verdict} ({scope})"


def by_chance(name: str, statistic: float, p: float, detail: str) -> AuditTest:
    """Return a test whose verdict follows from its p-value, once `adjusted` has adjusted it."""
    return AuditTest(name, "clean", statistic, p, detail)


def by_change(name: str, moved: float, tolerance: float, detail: str) -> AuditTest:
    """Return a test that compares predictions before and after a change: they moved by at most `moved`, or they stayed."""
    return AuditTest(name, "leaks", moved, 0.0, detail) if moved > tolerance else AuditTest(name, "clean", moved, 1.0, detail)


def not_tested(name: str, reason: str) -> AuditTest:
    """Return a test that couldn't be made."""
    return AuditTest(name, "not tested", np.nan, np.nan, reason)


def adjusted(tests: Sequence[AuditTest], worst: Verdict = "leaks") -> list[AuditTest]:
    """Give tests by chance their verdicts, by p-values adjusted by Holm for their number.

    Parameters
    ----------
    tests : from `by_chance`, or not tested.
    worst : `suspect` if the tests can't rule out other causes than a leak.
    """
    out = []
    for test, p in zip(tests, significance.holm([test.p for test in tests]), strict=True):
        verdict: Verdict = worst if p < LEAKS_BELOW else "suspect" if p < SUSPECT_BELOW else "clean"
        out.append(test if test.verdict == NOT_TESTED else replace(test, verdict=verdict))
    return out


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
