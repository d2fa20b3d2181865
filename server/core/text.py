"""What a piece of text may be made of. The patterns also stand in the OpenAPI document."""

from __future__ import annotations

# The end of a text. Python's `$` alone would also let a line break stand behind it.
END = r"$(?!\n)"
# One line with something to see in it; no control characters.
LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*" + END
# Several lines with something to see in them; PostgreSQL cannot store NUL.
LINES = r"^\s*[^\s\x00][^\x00]*$"
# Several lines, or nothing.
LINES_OR_NONE = r"^[^\x00]*$"

ONE_LINE = "Expected one line that is not blank, without control characters"
NOT_BLANK = "Expected a text that is not blank"
