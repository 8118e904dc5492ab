"""Hypothesis strategies for texts chosen to do harm."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

SEQUENCES: Final = (
    "\x1b]0;owned\x07", "\x1b]52;c;b3duZWQ=\x07", "\x1b[2J", "\x1b[?1049l", "\x1bP+q544e\x1b\\",
    "\x1b_G\x1b\\", "\x1b[6n", "\x1bc", "\x9b31m", "\x9d0;owned\x9c", "\x90\x9c", "\udc9b31m",
    "\r\n", "\n", "\r", "\t", "\b\b\b", "\x00", "\x07", "\x0e", "\x7f", "\x85", "\u2028", "\u2029",
    "\u202eowned\u202c", "\u2066x\u2069", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u034f", "\u3164",
    "\U000e0041",
    "[red]", "[/]", "[/red]", "[@click=app.quit]x[/]", "[link=file:///x]", "[b", "\\[b]", "$x", "{x}", "%s",
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "＝1", "'", '"', '"",""', ",", ";",
    "<script>", "&lt;", "]]>", "<!--", "&#27;", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\u0378",
    "\udcff", "\udc80\udc81", "\udcc3(", "e\u0301", "\u0301" * 30, "\u4e2d\u6587",
    "\U0001f469\u200d\U0001f680",
    "\ufdfd", "\u0e33", "\U00012031", "../../etc/passwd", "~root", "-rf", "--", "",
)  # fmt: skip
"""Escape sequences, control, bidi and invisible characters, markup, formulas, XML, bad UTF-8, odd widths."""

_bytes = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
_controls = st.sampled_from([chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))])
_anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)

texts: Final = st.lists(
    st.sampled_from(SEQUENCES) | _bytes | _controls | _anything, min_size=1, max_size=6
).map("".join)
"""One hostile text."""
