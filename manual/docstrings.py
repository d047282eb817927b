"""Docstrings as the site shows them: after the name of a parameter stands its description; its type is in the signature."""

import re
from pathlib import Path
from typing import Any

from griffe import DocstringSectionKind, Extension, Object

PAGES = sorted((Path(__file__).parents[1] / "docs/api").glob("*.md"))
SHOWN = tuple(name for page in PAGES for name in re.findall(r"^::: ([\w.]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
"""Modules that the site shows."""

DESCRIBED = (DocstringSectionKind.parameters, DocstringSectionKind.attributes)


class Descriptions(Extension):
    """Take the text after `name : ` for the description that it is, in place of a type."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Move the descriptions of parameters and attributes to their place in a docstring that the site shows."""
        if obj.docstring is None or not obj.path.startswith(SHOWN):
            return
        for section in obj.docstring.parsed:
            if section.kind in DESCRIBED:
                for field in section.value:
                    if field.annotation is not None and not field.description:
                        field.description, field.annotation = str(field.annotation), None
