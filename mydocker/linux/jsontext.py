"""JSON for our own records and messages, by the C half of Python's `json`.

The other half imports `re`, which costs more than all of ours that a `run` needs of it
(docs/adr/0004-import-budget.md). Texts are ASCII, as `json.dumps` writes them; what is read may be
any JSON. ECMA-404, RFC 8259.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BLANKS = " \t\r\n"

quoted = _json.encode_basestring_ascii
"""A string as JSON, in ASCII."""


class _Context:
    """How the scanner makes values: json.JSONDecoder's attributes of that name."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf")}.get
    memo: dict[str, str] = {}


_scan: Any = _json.make_scanner(_Context)  # type: ignore[arg-type]  # typeshed's mistake


def loads(text: str | bytes) -> Any:
    """The value that a text describes; ValueError if it is none."""
    text = text.decode() if isinstance(text, bytes) else text
    try:
        value, end = _scan(text, len(text) - len(text.lstrip(_BLANKS)))
    except (StopIteration, SystemError):
        # SystemError: the scanner would raise json.decoder's own error, and that is not imported.
        raise ValueError("not JSON") from None
    if text[end:].strip(_BLANKS):
        raise ValueError("more than JSON")
    return value


def dumps(value: Any, indent: int = 0, _depth: int = 0) -> str:
    """A value of dicts, lists, strings, numbers, booleans and None as text.

    In one line, or with each element on a line of its own, `indent` blanks deeper.
    """
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)
    if isinstance(value, dict):
        parts = [f"{quoted(k)}: {dumps(v, indent, _depth + indent)}" for k, v in value.items()]
        begin, end = "{}"
    elif isinstance(value, (list, tuple)):
        parts = [dumps(item, indent, _depth + indent) for item in value]
        begin, end = "[]"
    else:
        raise TypeError(f"{type(value).__name__} is not JSON")
    if not indent or not parts:
        return begin + ", ".join(parts) + end
    inner = "\n" + " " * (_depth + indent)
    return f"{begin}{inner}{f',{inner}'.join(parts)}\n{' ' * _depth}{end}"
