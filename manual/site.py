"""Hooks of the site's build.

Formulas become MathML, which browsers draw without a script. Pictures of the last run come along. A link that shows the name of a file
shows the title of its page.
"""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

OUTSIDE = re.compile(r"\]\((?:\.\./)+(plots/pictures/[\w.-]+\.svg)\)")
"""A link of a page to a picture of the last run, which lies outside of docs/."""

NAMED = re.compile(r"\[[\w./-]+\.md\]\(([\w./-]+\.md)(#[\w-]+)?\)")
"""A link whose text is the name of a page's file."""

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures of the last run that a page shows."""
    pages = [(ROOT / "docs" / file.src_uri).read_text(encoding="utf-8") for file in files if file.src_uri.endswith(".md")]
    for path in sorted({found for page in pages for found in OUTSIDE.findall(page)}):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Replace links to these pictures by the site's own copies, and names of linked pages by their titles."""
    folder = (ROOT / "docs" / page.file.src_uri).parent
    markdown = NAMED.sub(lambda found: f"[{_title(folder / found[1])}]({found[1]}{found[2] or ''})", markdown)
    return OUTSIDE.sub(rf"]({'../' * page.file.src_uri.count('/')}\1)", markdown)


def _title(path: Path) -> str:
    """Return the first heading of a page."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Write the formulas as MathML."""
    return FORMULA.sub(lambda found: convert(html.unescape(found[2]), display="block" if found[1] == "div" else "inline"), content)
