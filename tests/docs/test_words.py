"""Plain English in docstrings, comments, messages and pages."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [path for folder in ("erawise", "stages", "benchmarks", "manual", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted((ROOT / "docs").rglob("*.md"))]

LONGEST = 30
"""Most words of a sentence; some 20 are the aim."""

VERB_LIST = """
add adjust answer apply ask assign average begin bin blend bootstrap build cache calculate call cancel change check choose clear clip close
collect compare compile complete compute connect convert copy correct count create cut decode delete describe divide draw drop encode end
estimate evaluate exchange explain extend fail fetch fill find fit follow format gather get give group guess hash hold ignore import install
iterate join keep kill lay leave let limit link list load lock make map mark match mean measure merge mock move name neutralize normalize
note notify number open order pack parse pass pay pick place plan plot point predict prepare print project pull push put raise rank read
rebuild recognize reconcile record refit refuse register release reload remove rename render replace replay report require resample reset
resolve restore retry return round run sample save scale scatter score search select send serve set settle show shuffle simulate skip sort
split stack standardize start state stop store stream strip submit subtract sum summarize take test time total track train transform
translate trim try turn unpack update upload use validate verify wait walk warn watch weigh wrap write yield
"""

VERBS = frozenset(VERB_LIST.split())
"""First words of a function's docstring."""

NO_BEGINNING = frozenset({"what", "those", "of", "that", "where", "whether", "how", "who", "which"})
"""Words that no other docstring begins with."""

PLACE_LIST = """
address bucket cell checkout clone column directory environment epoch era field file fold folder group here is kept know knows leaf line
list machine page path place places point position row rows say says section shown spot state system table there those try where
"""
"""Words after which "where" speaks of a place."""

WORDING = {
    r"\b(?:that|those) of\b": "name the thing again in place of “that of”",
    r"\bthose (?:which|that)\b|\bthe ones? (?:which|that|whose)\b": "use a noun in place of “those which”, “the one that”",
    r"\bhang(?:s|ing)? on\b": "“depends on”",
    r"\bnone of\b": "“not any of”, or say what is missing",
    r"\bbeside it\b|\bbeside that\b|\bbeside these\b": "“in addition”, “also”",
    rf"(?<!\b{')(?<!'.join(f'{place} ' for place in PLACE_LIST.split())})\bwhere\b": "“if” or “when”; “where” is for places",
}
"""Wording that reads slowly, and what to write."""

EXCEPTIONS: frozenset[str] = frozenset()
"""Texts that are right as they are, by their first 60 characters."""


def _docstrings(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield each module, class and function that has a docstring, with the docstring; only statements hold them, at any depth."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (text := ast.get_docstring(node)):
        yield node, text
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        for part in getattr(node, block, []):
            yield from _docstrings(part)


def _constants(tree: ast.AST) -> Iterator[object]:
    """Yield all constants of a module; `ast.walk` would take three times as long."""
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Constant):
            yield node.value
        elif isinstance(node, ast.AST):
            waiting += vars(node).values()
        elif isinstance(node, list):
            waiting += node


def _is_property(node: ast.AST) -> bool:
    """Return whether a function is a property, which is named like a thing."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(decorator).rpartition(".")[2] in ("property", "cached_property") for decorator in decorators)


def _sentences(text: str) -> list[str]:
    """Split prose into sentences; list items and paragraphs end one too."""
    return [part for part in re.split(r"(?<=[.!?:;])\s+|\n\s*\n|\n\s*[-*] |\n\s*\d+\. ", text) if part.strip()]


def _prose(page: str) -> str:
    """Return a page without code, tables, headings, generated blocks and the addresses of links."""
    left_out = [
        r"<!-- ([\w ]+) -->.*?<!-- end of \1 -->",
        r"```.*?```",
        r"<[^>]+>",
        r"^#[^\n]*$",
        r"^\s*\|[^\n]*$",
        r"^---$.*?^---$",
        r"^::: [^\n]*$(?:\n    [^\n]*)*",
    ]
    page = re.sub("|".join(left_out), "", page, flags=re.S | re.M)
    return re.sub(r"\]\([^)]*\)", "]", page)


def _wording(text: str) -> list[str]:
    """Return complaints about the wording of a text."""
    plain = re.sub(r"`[^`]*`", "`", text)
    return [f"{found[0]!r}: {better}" for pattern, better in WORDING.items() for found in re.finditer(pattern, plain, flags=re.I)]


def _long(text: str) -> list[str]:
    """Return complaints about sentences that are too long."""
    return [f"{len(words)} words: {' '.join(words[:8])} …" for part in _sentences(text) if len(words := part.split()) > LONGEST]


def _of_docstrings(path: Path, tree: ast.Module) -> list[str]:
    """Return complaints about a module's docstrings."""
    found = []
    for node, text in _docstrings(tree):
        first = re.sub(r"\W+$", "", text.split()[0]).lower()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _is_property(node) and first not in VERBS:
            found.append(
                f"{path.relative_to(ROOT)}: {node.name}: begins with {first!r}, which is no verb of the list: {text.splitlines()[0][:60]}"
            )
        elif first in NO_BEGINNING:
            found.append(f"{path.relative_to(ROOT)}: begins with {first!r}: {text.splitlines()[0][:60]}")
        prose = re.split(r"\n[A-Z]\w+\n-+\n", text)[0]
        found += [
            f"{path.relative_to(ROOT)}: {text[:40]!r}: {complaint}"
            for complaint in _long(prose) + _wording(text)
            if text[:60] not in EXCEPTIONS
        ]
    return found


def _comments(source: str) -> list[str]:
    """Return the comments of a module, or nothing if no end of a line after a `#` has a complaint: to find comments takes long."""
    ends = re.findall(r"(?=(#.*))", source)
    if not any(map(_wording, ends)):
        return []
    return [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT]


def _of_comments_and_messages(path: Path, source: str, tree: ast.Module) -> list[str]:
    """Return complaints about a module's comments and about its texts of several words."""
    messages = [value for value in _constants(tree) if isinstance(value, str) and value.count(" ") > 2]
    texts = [text for text in _comments(source) + messages if text[:60] not in EXCEPTIONS]
    return [f"{path.relative_to(ROOT)}: {text[:40]!r}: {complaint}" for text in texts for complaint in _wording(text)]


@pytest.mark.parametrize("folder", sorted({path.relative_to(ROOT).parts[0] for path in CODE}))
def test_docstrings_begin_well_and_are_short_and_comments_and_messages_of_the_library_are_plain(folder: str) -> None:
    found = []
    for path in CODE:
        if path.relative_to(ROOT).parts[0] == folder:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
            found += _of_docstrings(path, tree)
            if folder in ("erawise", "stages"):
                found += _of_comments_and_messages(path, source, tree)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_plain(page: Path) -> None:
    prose = _prose(page.read_text(encoding="utf-8"))
    found = _long(prose) + _wording(prose)
    assert not found, f"{page.relative_to(ROOT)}:\n" + "\n".join(found)
