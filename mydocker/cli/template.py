"""Docker's `--format`: a small interpreter of Go's template language (pkg.go.dev/text/template).

A template is text with actions in double braces, which look at one value, the dot::

    {{.Name}} runs {{.State.Pid}}                  fields, with dots between
    {{json .Config}}  {{.Args | join " "}}         functions, and pipes into their last argument
    {{range .Mounts}}{{.Source}} {{end}}           for each, with the dot set to it
    {{range $name, $net := .Networks}}…{{end}}     the same with names for key and value
    {{if eq .State.Status "running"}}up{{else}}down{{end}}    {{with .Labels}}{{.app}}{{end}}
    {{(index .Mounts 0).Source}}  {{- trims the blanks around -}}  {{/* a comment */}}

Reading goes in three steps, a function or class each: words (`_words`), a tree (`_Parser`), and the
text that the tree makes of a value (`_Run`).

A field that a record does not have is an error that names it: a typing mistake must not look like
an empty answer. What users name themselves (labels, networks) is a `Map`, where any key may be
missing, and is `<no value>` then, as in Go.
"""

from __future__ import annotations

import json
import re

from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Words = list[tuple[str, str, bool]]
    """Of one action: the kind, the text, and whether it stands right after the word before it."""

_ACTION = re.compile(r'\{\{(-(?=\s))?((?:"(?:\\.|[^"\\])*"|`[^`]*`|[^"`])*?)((?<=\s)-)?\}\}', re.S)
_WORD = re.compile(
    r'(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>[-+]?\d+(?:\.\d+)?)|(?P<field>\.[^\W\d]\w*)'
    r"|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<name>[^\W\d]\w*)|(?P<mark>:=|[=|(),])"
)
_VERB = re.compile(r"%(-?\d*(?:\.\d+)?)([a-zA-Z%])")
_BLOCKS = ("if", "range", "with")


class Map(dict):  # type: ignore[type-arg]  # whatever JSON has
    """A dict whose keys are the user's: one that is not there is no mistake."""


class Record(dict):  # type: ignore[type-arg]  # whatever JSON has
    """A dict whose keys are all known, and functions that take an argument: `{{.Label "app"}}`."""

    def __init__(self, fields: dict[str, Any], **functions: Callable[..., Any]) -> None:
        super().__init__(fields)
        self.functions = functions


class Template:
    """A template, read once; Usage says what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._tree = _Parser(text).tree()
        except RecursionError:
            raise wrong(text, "too many blocks or brackets in each other") from None

    def render(self, value: Any, heading: bool = False) -> str:
        """The text for a value. `heading`: the value is a table's head, which stays as it is."""
        return _Run(self.text, value, FUNCTIONS | (HEADING if heading else {})).body(self._tree)

    def mentions(self, field: str) -> bool:
        """Whether it asks for that field, or with "" for all of them: some are dear to find out."""
        words = [word for action in _ACTION.finditer(self.text) for word in _words(action[2])]
        return any(text == f".{field}" for _, text, _ in words)


def wrong(text: str, why: str, hint: str = "") -> Usage:
    """The error for a template, which is shown up to some length."""
    return Usage("--format", text if len(text) <= 60 else f"{text[:59]}…", why, hint=hint)


def _words(action: str) -> Words:
    """The words of one action; the text that no word begins with is one of the kind `bad`."""
    found: Words = []
    place = 0
    while place < len(action):
        if action[place].isspace():
            place += 1
            continue
        match = _WORD.match(action, place)
        if not match:
            return [*found, ("bad", action[place:], False)]
        glued = place > 0 and not action[place - 1].isspace()
        found.append((str(match.lastgroup), match[0], glued))
        place = match.end()
    return found


class _Parser:
    """Makes the tree: a list of nodes, each a tuple that begins with its kind.

    ("text", text), ("do", declared, pipe), ("if"|"with"|"range", declared, pipe, body, other).
    A pipe is a list of calls, a call a list of operands: ("value", v), ("name", function), or
    ("path", base, fields) with the base ".", a variable, or a pipe in brackets.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts: list[str | Words] = []
        place, trim = 0, False
        for action in _ACTION.finditer(text):
            self._add_text(text[place : action.start()], trim, bool(action[1]))
            place, trim = action.end(), bool(action[3])
            inside = action[2].strip()
            if not (inside.startswith("/*") and inside.endswith("*/")):
                self.parts.append(_words(action[2]))
        self._add_text(text[place:], trim, False)
        if "{{" in text[place:]:
            raise wrong(text, "an action is not closed: {{ without }}")

    def _add_text(self, text: str, left: bool, right: bool) -> None:
        text = text.lstrip() if left else text
        self.parts.append(text.rstrip() if right else text)

    def tree(self) -> list[Any]:
        nodes, stop = self._body()
        if stop:
            raise wrong(self.text, f"{{{{{stop[0][1]}}}}} without an if, range or with")
        return nodes

    def _body(self) -> tuple[list[Any], Words]:
        """Nodes up to an `else` or an `end`, which is handed back; nothing at the end of it all."""
        nodes: list[Any] = []
        while self.parts:
            part = self.parts.pop(0)
            if isinstance(part, str):
                nodes.append(("text", part))
                continue
            first = part[0][1] if part else ""
            if first in ("else", "end"):
                return nodes, part
            nodes.append(self._block(first, part[1:]) if first in _BLOCKS else self._do(part))
        return nodes, []

    def _block(self, kind: str, words: Words) -> tuple[Any, ...]:
        node = self._do(words)
        body, stop = self._body()
        other: list[Any] = []
        if len(stop) > 1:  # {{else if …}}
            other = [self._block(stop[1][1], stop[2:])]
        elif stop and stop[0][1] == "else":
            other, stop = self._body()
        if not stop:
            raise wrong(self.text, f"{{{{{kind}}}}} without {{{{end}}}}")
        return (kind, *node[1:], body, other)

    def _do(self, words: Words) -> tuple[Any, ...]:
        declared: list[str] = []
        marks = [text for _, text, _ in words]
        sign = next((mark for mark in (":=", "=") if mark in marks), "")
        if sign:
            end = marks.index(sign)
            declared = [text for kind, text, _ in words[:end] if kind == "variable"]
            words = words[end + 1 :]
        queue = list(words)
        pipe = self._pipe(queue)
        if queue:
            raise wrong(self.text, f"cannot be read at {queue[0][1]!r}")
        return ("do", declared, pipe)

    def _pipe(self, queue: Words) -> list[Any]:
        """Calls with `|` between them, up to the end or a closing bracket."""
        pipe: list[Any] = [[]]
        while queue and queue[0][1] != ")":
            kind, word, glued = queue.pop(0)
            if word == "|" and kind == "mark" and pipe[-1]:
                pipe.append([])
            elif kind == "field" and glued and pipe[-1] and pipe[-1][-1][0] == "path":
                pipe[-1][-1][2].append(word[1:])
            else:
                pipe[-1].append(self._operand(kind, word, queue))
        if not pipe[-1]:
            raise wrong(self.text, "an action without a value")
        return pipe

    def _operand(self, kind: str, word: str, queue: Words) -> tuple[Any, ...]:
        if kind == "text":
            return ("value", word[1:-1] if word[0] == "`" else self._unquote(word))
        if kind == "number":
            return ("value", float(word) if "." in word else int(word))
        if kind == "field":
            return ("path", ".", [word[1:]])
        if kind in ("dot", "variable"):
            return ("path", word, [])
        if kind == "name":
            literals = {"true": True, "false": False, "nil": None}
            return ("value", literals[word]) if word in literals else ("name", word)
        if word == "(":
            pipe = self._pipe(queue)
            if not queue:
                raise wrong(self.text, "a bracket is not closed")
            queue.pop(0)
            return ("path", pipe, [])
        raise wrong(self.text, f"cannot be read at {word!r}")

    def _unquote(self, word: str) -> str:
        try:
            return str(json.loads(word))
        except ValueError:
            raise wrong(self.text, f"not a string: {word}") from None


class _Run:
    """One walk over the tree, with the dot and the variables that are set just then."""

    def __init__(self, text: str, value: Any, functions: dict[str, Callable[..., Any]]) -> None:
        self.text = text
        self.functions = functions
        self.dot = value
        self.variables: dict[str, Any] = {"$": value}

    def body(self, nodes: list[Any]) -> str:
        return "".join(self._node(node) for node in nodes)

    def _node(self, node: tuple[Any, ...]) -> str:
        if node[0] == "text":
            return str(node[1])
        kind, declared, pipe, *bodies = node
        value = self._pipe(pipe)
        if kind == "range":
            return self._range(declared, value, *bodies)
        self.variables.update((name, value) for name in declared)
        if kind == "do":
            return "" if declared else text_of(value)
        if not truth(value):
            return self.body(bodies[1])
        return self._inside(value if kind == "with" else self.dot, bodies[0])

    def _range(self, declared: list[str], value: Any, body: list[Any], other: list[Any]) -> str:
        if isinstance(value, dict):
            items = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list) or value is None:
            items = list(enumerate(value or []))
        else:
            raise wrong(self.text, f"range over {text_of(value)!r}, which is no list")
        told = []
        for key, item in items:
            self.variables.update(zip(declared[-2:], (key, item)[-len(declared) :], strict=False))
            told.append(self._inside(item, body))
        return "".join(told) if items else self.body(other)

    def _inside(self, dot: Any, body: list[Any]) -> str:
        outside, self.dot = self.dot, dot
        told = self.body(body)
        self.dot = outside
        return told

    def _pipe(self, pipe: list[Any]) -> Any:
        """Each call's value is the last argument of the next."""
        last: list[Any] = []
        for call in pipe:
            last = [self._call(call, last)]
        return last[0]

    def _call(self, call: list[Any], last: list[Any]) -> Any:
        first, *rest = call
        if first[0] == "name":
            name = first[1]
            if name not in self.functions:
                hint = f"there are {' '.join(sorted(self.functions))}"
                raise wrong(self.text, f"no such function: {name}", hint)
            do = self.functions[name]
        else:
            do = self._value(first)
            if not callable(do):
                if rest or last:
                    raise wrong(self.text, "a value is given arguments, and is no function")
                return do
            name = first[2][-1]
        arguments = [self._value(operand) for operand in rest] + last
        try:
            return do(*arguments)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            why = str(error) if isinstance(error, Missing) else "does not take these arguments"
            raise wrong(self.text, f"{name}: {why}") from None

    def _value(self, operand: tuple[Any, ...]) -> Any:
        if operand[0] == "value":
            return operand[1]
        if operand[0] == "name":
            return self._call([operand], [])
        _, base, names = operand
        if isinstance(base, list):
            value = self._pipe(base)
        elif base == ".":
            value = self.dot
        elif base in self.variables:
            value = self.variables[base]
        else:
            raise wrong(self.text, f"no such variable: {base}")
        for depth, name in enumerate(names):
            value = self._field(value, name, ".".join(names[: depth + 1]))
        return value

    def _field(self, value: Any, name: str, path: str) -> Any:
        if isinstance(value, dict):
            if name in value:
                return value[name]
            if isinstance(value, Record) and name in value.functions:
                return value.functions[name]
            if isinstance(value, Map):
                return None
            raise wrong(self.text, f"no such field: .{path}", f"there are {' '.join(value)}")
        raise wrong(self.text, f"no such field: .{path}", "what is before it has no fields")


class Missing(LookupError):
    """What `index` did not find, in words."""


def truth(value: Any) -> bool:
    """Go's: everything but false, 0, nothing, and what is empty."""
    return bool(value)


def text_of(value: Any) -> str:
    """A value as Go prints it (`%v`): `[a b]`, `map[k:v]`, `true`, `<no value>`."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{text_of(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(text_of, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            if key not in value and not isinstance(value, Map):
                raise Missing(f"there is no {key!r}")
            value = value.get(key, "")
        elif isinstance(value, (list, str)) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise Missing(f"there is no {key!r} in it")
    return value


def _printf(form: str, *values: Any) -> str:
    """Go's verbs: %s %v %d %q %t %x %f, with a width; Python's do the work."""
    queue = list(values)

    def verb(match: re.Match[str]) -> str:
        width, kind = match.groups()
        if kind == "%":
            return "%"
        if not queue:
            return f"%!{kind}(MISSING)"
        value = queue.pop(0)
        if kind in "dxXofeg" and isinstance(value, (int, float)):
            return f"%{width}{kind}" % value
        return f"%{width}s" % (json.dumps(value) if kind == "q" else text_of(value))

    return _VERB.sub(verb, form)


def _len(value: Any) -> int:
    return len(value.encode() if isinstance(value, str) else value)


def _print(*values: Any) -> str:
    """One after the other; Go puts a blank between two of which neither is a text."""
    told = ""
    for place, value in enumerate(values):
        texts = place == 0 or isinstance(value, str) or isinstance(values[place - 1], str)
        told += ("" if texts else " ") + text_of(value)
    return told


def _slice(value: Any, first: int = 0, last: int | None = None) -> Any:
    return value[first:last]


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _compare(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _title(text: str) -> str:
    return re.sub(r"\b\w", lambda letter: letter[0].upper(), text)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # Go's own
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "printf": _printf,
    "eq": lambda a, *others: any(a == b for b in others),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: _compare(a, b) < 0,
    "le": lambda a, b: _compare(a, b) <= 0,
    "gt": lambda a, b: _compare(a, b) > 0,
    "ge": lambda a, b: _compare(a, b) >= 0,
    # Docker's
    "json": _json,
    "join": lambda items, between="": between.join(map(text_of, items)),
    "split": lambda text, between: text.split(between),
    "lower": str.lower,
    "upper": str.upper,
    "title": _title,
    "pad": lambda text, left, right: " " * left + text + " " * right,
    "truncate": _truncate,
}

HEADING: dict[str, Callable[..., Any]] = {
    name: lambda text, *_: text for name in "json join split lower upper title truncate".split()
}
"""What leaves the head of a table alone."""
