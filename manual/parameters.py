"""The reference of every setting, docs/parameters.md, made from facts that are written elsewhere.

- Types and ranges come from the settings of each room, which `erawise.params` composes.
- Defaults and meanings come from `params.yaml` and its comments.
- The stages that read a setting come from `dvc.yaml`, the commands from their code.

`python -m manual.parameters` writes the page; with `--check` it fails if the page isn't current.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from erawise.commands.menu import COMMANDS
from erawise.models.shared.settings import ONE_OR_SEVERAL
from erawise.params import KINDS, Params
from erawise.tuning.settings import Choices, Range

ROOT = Path(__file__).parents[1]
PAGE = "docs/parameters.md"
COLUMNS = ("parameter", "type and range", "default", "meaning", "read by")
INTRODUCTION = """# Every setting

Each setting of `params.yaml`: its type and range, its value in the default run, its meaning, and its readers. A stage runs again if one
of its settings changes. A command (`erawise x`) reads settings when it is called. To change a setting for one run, use
`dvc exp run --temp -S key=value`; to change it for good, edit `params.yaml`. An unknown key or a value that isn't allowed stops every
stage, with the key's path.

`make docs` writes this page from the `settings.py` of each room of `erawise/`, `params.yaml`, `dvc.yaml` and the code of the commands. A
test checks that it is current.
"""


def comments(text: str) -> dict[str, str]:
    """Return the comments of `params.yaml` by the dotted path of their key, also those on sections.

    A comment stands at the end of the key's line and continues in comment lines below. A list or a mapping in one line has its comment in
    the line above.
    """
    found: dict[str, str] = {}
    keys: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        given = re.match(r"( *)(\w+):(.*)", line)
        if given:
            keys[len(given[1]) // 2 :] = [given[2]]
            _, _, comment = given[3].partition(" # ")
            if comment:
                found[".".join(keys)] = comment.strip()
        elif line.strip().startswith("#") and keys:
            below = re.match(r" *(\w+): (?:\[.*\]|\{\})$", lines[number + 1])
            path = ".".join([*keys[:1], below[1]]) if below else ".".join(keys)
            found[path] = " ".join(filter(None, [found.get(path), line.strip().removeprefix("#").strip()]))
    return found


def leaves(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting with its dotted path and value; an empty mapping is a value."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def readers(root: Path) -> dict[str, set[str]]:
    """Return the stages and commands (as `erawise x`) that read each setting, by its dotted path; `models.*` means any model."""
    found: dict[str, set[str]] = {}
    declared = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in declared.items():
        for path in stage.get("do", stage).get("params", []):
            found.setdefault(re.sub(r"\$\{[\w.]+\}", "*", path), set()).add(name)
        for path in _read((root / f"stages/{name}.py").read_text(encoding="utf-8"))[0]:
            found.setdefault(path, set()).add(name)  # `execution`, which changes no result, is read and not declared
    for name in sorted(name for commands in COMMANDS.values() for name in commands):
        for setting in _read_from(root / f"erawise/commands/{name}.py", root):
            found.setdefault(setting, set()).add(f"erawise {name}")
    return found


def _read_from(script: Path, root: Path) -> set[str]:
    """Return the settings that a file and all files of the library that it imports read."""
    found, seen, waiting = set[str](), set[Path](), [script]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.exists():
            seen.add(path)
            settings, modules = _read(path.read_text(encoding="utf-8"))
            found |= settings
            waiting += [root / f"{name.replace('.', '/')}.py" for name in modules]
    return found


@cache
def _read(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the settings that a file reads, `p.data.target` as `data.target`, and the modules of the library that it may import."""
    nodes = list(ast.walk(ast.parse(text)))
    chains = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    read = {path for chain in chains if (path := chain.removeprefix("p.")) != chain and path.split(".")[0] in Params.model_fields}
    longest = {path for path in read if not any(other.startswith(f"{path}.") for other in read)}
    given = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names = {name for node in given for name in (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))}
    return frozenset(path for path in longest if re.fullmatch(r"[a-z_0-9.]+", path)), frozenset(
        name for name in names if name.startswith("erawise")
    )


def read_by(path: str, known: Mapping[str, set[str]]) -> str:
    """Return the stages and commands that read a setting, for the table."""
    parts = path.split(".")
    names = set()
    for declared, readers_of in known.items():
        pattern = declared.split(".")
        if all(a in ("*", b) for a, b in zip(pattern, parts, strict=False)):
            names |= readers_of
    return ", ".join(f"`{name}`" for name in sorted(names, key=lambda name: (" " in name, name)))


KIND = "which kind of model it is"
REQUIRED = "to be given"
"""In place of the default of a setting that has none."""


def described(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Describe a type of pydantic's JSON schema in words, with its range."""
    if "$ref" in schema:
        return described(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return " or ".join(described(each, definitions) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {described(schema['items'], definitions)}"
    if schema.get("type") == "object":
        values = schema["additionalProperties"]
        return "a mapping" if values is True else f"a mapping, each value {described(values, definitions)}"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:,}" for key, sign in signs.items() if key in schema]
    return " ".join([words[schema["type"]], ", ".join(bounds)]).strip()


def page(root: Path) -> str:
    """Return the whole page.

    Raises
    ------
    ValueError
        If a setting has no comment in `params.yaml`.
    """
    text = (root / "params.yaml").read_text(encoding="utf-8")
    content = YAML(typ="safe").load(text)
    said, known, schema = comments(text), readers(root), Params.model_json_schema()
    definitions = schema["$defs"]
    parts = [INTRODUCTION]
    for section, values in content.items():
        if section == "models":
            parts.append(_models(values, said, known))
        elif section == "spaces":
            parts.append(_spaces(values, said, known))
        else:
            rows = []
            for path, value in leaves(values, f"{section}."):
                given = definitions[schema["properties"][section]["$ref"].rpartition("/")[2]]
                for key in path.split(".")[1:-1]:
                    given = definitions[given["properties"][key]["$ref"].rpartition("/")[2]]
                field = given["properties"][path.rpartition(".")[2]]
                rows.append((path, described(field, definitions), value, _meaning(path, said), read_by(path, known)))
            parts.append(f"## {section}\n\n{_sentence(said.get(section))}{_table(rows)}")
    return "\n".join(parts)


def _models(models: Mapping[str, Any], said: Mapping[str, str], known: Mapping[str, set[str]]) -> str:
    by = ", ".join(f"`{name}`" for name in sorted(known["models"] | known["models.*"]) if " " not in name)
    parts = [f"## models\n\n{_sentence(said['models'])}Read by {by}. The defaults are from the entry that is named like its kind.\n"]
    shared: dict[str, str] = {}
    for name, values in models.items():
        kind = values["kind"]
        if name != kind:
            continue
        schema = KINDS[kind].model_json_schema()
        rows = []
        for key, value in values.items():
            path = f"models.{name}.{key}"
            shared.setdefault(key, said.get(path, ""))
            meaning = said.get(path) or (KIND if key == "kind" else shared[key])
            if not meaning:
                raise ValueError(f"{path}: params.yaml has no comment that says what it means")
            rows.append((path, described(schema["properties"][key], {}), value, meaning, ""))
            rows += _several(f"models.{name}", key, schema)
        parts.append(f"### {kind}\n\n{_table(rows, 4)}")
    absent = sorted(set(KINDS) - {values["kind"] for values in models.values()})
    return "\n".join([*parts, *(_absent(kind, shared) for kind in absent)])


def _several(entry: str, key: str, schema: Mapping[str, Any]) -> list[tuple[str, str, Any, str, str]]:
    """Return the row of the key that lists several values in place of `key`, if there is one."""
    if key not in ONE_OR_SEVERAL:
        return []
    several = ONE_OR_SEVERAL[key]
    meaning = f"in place of {key}: one model for each, blended with equal weights"
    return [(f"{entry}.{several}", described(schema["properties"][several], {}), None, meaning, "")]


def _absent(kind: str, shared: Mapping[str, str]) -> str:
    """Describe a kind of which `params.yaml` has no entry, by the descriptions of its fields."""
    schema, fields, rows = KINDS[kind].model_json_schema(), KINDS[kind].model_fields, []
    for key in ("kind", *(name for name in fields if name != "kind" and name not in ONE_OR_SEVERAL.values())):
        meaning = KIND if key == "kind" else fields[key].description or shared[key]
        value = kind if key == "kind" else schema["properties"][key].get("default", REQUIRED)
        rows.append((f"models.<name>.{key}", described(schema["properties"][key], {}), REQUIRED if key == "target" else value, meaning, ""))
        rows += _several("models.<name>", key, schema)
    return f"### {kind}\n\n`params.yaml` has no model of this kind.\n\n{_table(rows, 4)}"


def _spaces(spaces: Mapping[str, Any], said: Mapping[str, str], known: Mapping[str, set[str]]) -> str:
    kinds = " or ".join(f"{{{', '.join(kind.model_fields)}}}" for kind in (Range, Choices))
    meaning = f"`{{low, high, log}}`: {Range.__doc__} `{{choices}}`: {Choices.__doc__}"
    rows = [
        (f"spaces.{kind}.{key}", kinds, value, f"values of `models.<name>.{key}` to try", read_by(f"spaces.{kind}.{key}", known))
        for kind, space in spaces.items()
        for key, value in space.items()
    ]
    return f"## spaces\n\n{_sentence(said['spaces'])}{meaning}\n\n{_table(rows)}"


def _meaning(path: str, said: Mapping[str, str]) -> str:
    if path not in said:
        raise ValueError(f"{path}: params.yaml has no comment that says what it means")
    return said[path]


def _sentence(text: str | None) -> str:
    return f"{_linked(text[0].upper() + text[1:]).removesuffix('.')}.\n\n" if text else ""


def _linked(text: str) -> str:
    return re.sub(r"\bdocs/(\w+\.md)", r"[\1](\1)", text)


def _table(rows: list[tuple[str, str, Any, str, str]], columns: int = len(COLUMNS)) -> str:
    lines = [f"| {' | '.join(COLUMNS[:columns])} |", "|---" * columns + "|"]
    for path, kind, value, meaning, by in rows:
        default = "absent" if value is None and path.rpartition(".")[2] in ONE_OR_SEVERAL.values() else f"`{json.dumps(value)}`"
        cells = (f"`{path}`", kind, default.replace('`"', "`").replace('"`', "`"), _linked(meaning), by)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells[:columns]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/parameters.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if the page isn't current")
    given = parser.parse_args()
    path, expected = ROOT / PAGE, page(ROOT)
    if not given.check:
        path.write_text(expected, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != expected:
        sys.exit(f"{PAGE}: it isn't current; run make docs and commit it")


if __name__ == "__main__":
    main()
