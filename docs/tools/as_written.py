"""Docstrings on the site as they stand in the code: plain text, whose line breaks and columns mean something."""

import re
from html import escape
from typing import Any

import griffe


class AsWritten(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(obj.docstring.value, quote=False))
            # Markdown would end the block at an empty line.
            lines = text.replace("\n\n", "\n&nbsp;\n")
            obj.docstring.value = f'<div class="as-written">{lines}</div>'
