"""Docstrings as the site shows them: after the name of a parameter stands its description; its type is in the signature."""

from typing import Any

from griffe import DocstringSectionKind, Extension, Object

DESCRIBED = (DocstringSectionKind.parameters, DocstringSectionKind.attributes)


class Descriptions(Extension):
    """Take the text after `name : ` for the description that it is, in place of a type."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Correct the parameters and attributes of an object's docstring."""
        if obj.docstring is None:
            return
        for section in obj.docstring.parsed:
            if section.kind in DESCRIBED:
                for field in section.value:
                    if field.annotation is not None and not field.description:
                        field.description, field.annotation = str(field.annotation), None
