"""Changes to an image's configuration in a Dockerfile's words: `commit -c 'CMD ["sh"]'`.

CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR: the
instructions that Docker takes there, with the syntax that it documents for them. The exec form is
a JSON array, anything else is for `/bin/sh -c`; words may be quoted; `$NAME`, `${NAME}`,
`${NAME:-word}` and `${NAME:+word}` stand for the image's environment.
"""

from __future__ import annotations

from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.rootfs.imageconfig import RunConfig


def apply(config: RunConfig, changes: list[str]) -> None:
    """Make the changes, in their order; Usage names the one that is wrong, and then none is made.

    ENTRYPOINT forgets the command that the image had before, as Docker does: it was meant for
    another program.
    """
    draft = type(config).from_json(config.to_json())
    command_is_new = False
    for change in (line.strip() for text in changes for line in text.splitlines()):
        if not change:
            continue
        word, _, rest = change.partition(" ")
        make = _CHANGES.get(word.upper())
        if make is None:
            words = ", ".join(sorted(_CHANGES))
            raise Usage("change", change, f"{word} is not one of {words}")
        if word.upper() == "ENTRYPOINT" and not command_is_new:
            draft.cmd = []
        command_is_new = command_is_new or word.upper() == "CMD"
        try:
            make(draft, rest.strip())
        except ValueError as error:
            raise Usage("change", change, str(error)) from None
    config.__dict__.update(draft.__dict__)


def _cmd(config: RunConfig, text: str) -> None:
    config.cmd = _command(text)


def _entrypoint(config: RunConfig, text: str) -> None:
    config.entrypoint = _command(text)


def _env(config: RunConfig, text: str) -> None:
    for name, value in _pairs(config, text):
        config.env = [item for item in config.env if item.partition("=")[0] != name]
        config.env.append(f"{name}={value}")


def _expose(config: RunConfig, text: str) -> None:
    for word in _words(config, text) or [""]:
        ports, _, protocol = word.partition("/")
        first, dash, last = ports.partition("-")
        low, high = _port(first), _port(last if dash else first)
        if low > high or (protocol or "tcp").lower() not in ("tcp", "udp", "sctp"):
            raise ValueError(f"{word!r} is not a port, such as 80 or 8000-8010/udp")
        for number in range(low, high + 1):
            config.exposed_ports[f"{number}/{(protocol or 'tcp').lower()}"] = {}


def _healthcheck(config: RunConfig, text: str) -> None:
    """`[--interval=30s …] CMD command`, or `NONE`; times in the JSON are nanoseconds, as Go's."""
    check: dict[str, object] = {}
    word, _, rest = text.partition(" ")
    while word.startswith("--"):
        name, _, value = word[2:].partition("=")
        if name == "retries" and value.isdecimal():
            check["Retries"] = int(value)
        elif name in _TIMES:
            check[_TIMES[name]] = nanoseconds(value)
        else:
            raise ValueError(f"{word!r} is not one of --retries=N, --{'=…, --'.join(_TIMES)}=…")
        word, _, rest = rest.strip().partition(" ")
    kind = word.upper()
    if kind == "NONE" and not rest and not check:
        check["Test"] = ["NONE"]
    elif kind == "CMD" and rest.strip():
        rest = rest.strip()
        check["Test"] = ["CMD", *_array(rest)] if rest[0] == "[" else ["CMD-SHELL", rest]
    else:
        raise ValueError("CMD and a command is wanted, or NONE")
    config.healthcheck = check


_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


def nanoseconds(text: str) -> int:
    """Go's way to write a time: `1m30s`, `500ms`."""
    total, left = 0.0, text
    while left:
        unit = left.lstrip("0123456789.")
        number = left[: len(left) - len(unit)]
        name = unit[: len(unit) - len(unit.lstrip("hmnsu"))]
        name = next((n for n in (name[:2], name[:1]) if n in _UNITS), "")
        if not name or not number.strip(".") or number.count(".") > 1:
            break
        total += float(number) * _UNITS[name]
        left = unit[len(name) :]
    if left or not text:
        raise ValueError(f"{text!r} is not a time, such as 30s or 1m30s")
    return int(total)


def _on_build(config: RunConfig, text: str) -> None:
    word = text.partition(" ")[0].upper()
    if not word or word in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError("an instruction is wanted, other than ONBUILD, FROM and MAINTAINER")
    config.on_build.append(text)


def _label(config: RunConfig, text: str) -> None:
    config.labels.update(_pairs(config, text))


def _stop_signal(config: RunConfig, text: str) -> None:
    import signal

    word = " ".join(_words(config, text))
    name = word.upper().removeprefix("SIG")
    known = f"SIG{name}" in signal.Signals.__members__
    if not known and not (word.isdecimal() and 0 < int(word) <= 64):
        raise ValueError(f"{word!r} is not a signal")
    config.stop_signal = word


def _user(config: RunConfig, text: str) -> None:
    words = _words(config, text)
    if len(words) != 1:
        raise ValueError("one user is wanted: name, uid, or either with :group")
    config.user = words[0]


def _volume(config: RunConfig, text: str) -> None:
    words = _array(text) if text.startswith("[") else _words(config, text)
    if not words or not all(words):
        raise ValueError("a path is wanted")
    config.volumes.update({word: {} for word in words})


def _working_dir(config: RunConfig, text: str) -> None:
    import posixpath

    words = _words(config, text)
    if len(words) != 1:
        raise ValueError("one path is wanted")
    path = posixpath.normpath(posixpath.join("/", config.working_dir, words[0]))
    config.working_dir = path.replace("//", "/")  # POSIX lets normpath keep two leading slashes


_CHANGES: dict[str, Callable[[RunConfig, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _working_dir,
}


def _command(text: str) -> list[str]:
    if text.startswith("["):
        return _array(text)
    return ["/bin/sh", "-c", text] if text else []


def _array(text: str) -> list[str]:
    import json

    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError('is not a JSON array of strings, such as ["sh", "-c", "date"]')
    return words


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is not a port, such as 80 or 8000-8010/udp")
    return int(text)


def _pairs(config: RunConfig, text: str) -> list[tuple[str, str]]:
    """`A=1 B="two words"`, or the old form `A all that follows`."""
    name, _, value = text.partition(" ")
    if name and "=" not in name:
        if not value.strip():
            raise ValueError(f"{name} has no value: NAME=VALUE is wanted")
        return [(name, " ".join(_words(config, value.strip(), split=False)))]
    pairs = [word.partition("=") for word in _words(config, text)]
    if not pairs:
        raise ValueError("NAME=VALUE is wanted")
    for name, equals, _ in pairs:
        if not name or not equals:
            raise ValueError(f"{name + equals!r} is not NAME=VALUE")
    return [(name, value) for name, _, value in pairs]


def _words(config: RunConfig, text: str, split: bool = True) -> list[str]:
    """The words of a line: quotes and backslashes taken away, variables filled in."""
    environment = dict(item.partition("=")[::2] for item in config.env)
    words: list[str] = []
    word, quote, started, at = "", "", False, 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\" and quote != "'" and at < len(text):
            # Between double quotes a backslash protects only what is special there, as in sh(1).
            word += text[at] if not quote or text[at] in '"\\$' else "\\" + text[at]
            at += 1
            started = True
        elif char == "$" and quote != "'":
            value, at = _variable(environment, text, at)
            word += value
            started = True
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
            started = True
        elif char in " \t" and not quote and split:
            if started:
                words.append(word)
            word, started = "", False
        else:
            word += char
            started = True
    if quote:
        raise ValueError(f"the quote {quote} is not closed")
    return [*words, word] if started else words


def _variable(environment: dict[str, str], text: str, at: int) -> tuple[str, int]:
    """The value of the variable whose `$` stands before `at`, and where the text goes on."""
    if text[at : at + 1] != "{":
        end = at
        while end < len(text) and (text[end].isalnum() or text[end] == "_") and text[end].isascii():
            end += 1
        return (environment.get(text[at:end], ""), end) if end > at else ("$", at)
    end = text.find("}", at)
    if end < 0:
        raise ValueError("${ is not closed")
    name, colon, word = text[at + 1 : end].partition(":")
    if not name.replace("_", "a").isalnum() or (colon and word[:1] not in ("-", "+")):
        wanted = "${NAME}, ${NAME:-word} or ${NAME:+word}"
        raise ValueError(f"{text[at - 1 : end + 1]} is not {wanted}")
    value = environment.get(name, "")
    if colon and word[0] == "-":
        value = value or word[1:]
    elif colon:
        value = word[1:] if value else ""
    return value, end + 1
