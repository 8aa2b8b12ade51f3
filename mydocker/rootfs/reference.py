"""Names of images: `busybox`, `library/busybox:1.36`, `registry.example:5000/team/app@sha256:…`.

The grammar is Docker's (github.com/distribution/reference)::

    reference  = [ domain "/" ] path [ ":" tag ] [ "@" digest ]
    domain     = host [ ":" port ]           the first part, if it has a dot, a colon, an upper-case
                                             letter, or is localhost
    path       = component { "/" component }
    component  = [a-z0-9]+ joined by one of  .  _  __  or dashes
    tag        = a letter, digit or _, then up to 127 of these and . -
    digest     = algorithm ":" hex digits, 32 at least

What is left out is understood: the domain docker.io, in it the path library/, the tag latest. The
*familiar* form leaves all of it out again except for the tag, and is what is stored and shown.

Invariant: a name that was parsed has no `..`, no empty part and no control character.
(Written without `re`, because this runs before each container: docs/adr/0004-import-budget.md.)
"""

from __future__ import annotations

from mydocker.errors import Usage

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"

_DIGITS = frozenset("0123456789")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz") | _DIGITS
_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | _LOWER
_TAG = _ALPHANUMERIC | frozenset("_.-")
_HEX = frozenset("0123456789abcdef")


class Reference:
    """A name in its parts: domain `docker.io`, path `library/busybox`, tag, digest ("" if none)."""

    def __init__(self, domain: str, path: str, tag: str = "", digest: str = "") -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def repository(self) -> str:
        """The familiar form without tag or digest: `busybox`, `team/app`, `host:5000/app`."""
        if self.domain != DEFAULT_DOMAIN:
            return f"{self.domain}/{self.path}"
        return self.path.removeprefix("library/")

    def __str__(self) -> str:
        """The familiar form: `busybox:latest`."""
        tag = f":{self.tag}" if self.tag else ""
        return self.repository + tag + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The parts of a name, with what is left out filled in; Usage says which part is wrong."""
    rest, _, digest = text.partition("@")
    if "@" in text:
        _check_digest(text, digest)
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    name, tag = (rest, "") if colon < 0 else (rest[:colon], rest[colon + 1 :])
    if colon >= 0 and not (0 < len(tag) <= 128 and _TAG.issuperset(tag) and tag[0] not in ".-"):
        raise _wrong(text, f"{tag!r} is not a tag: letters, digits, _ . -, 128 at most")
    domain, path = _split_domain(name)
    _check_path(text, path)
    if len(name) > 255:
        raise _wrong(text, "is longer than 255 characters")
    if len(name) == 64 and _HEX.issuperset(name):
        raise _wrong(text, "64 hexadecimal digits are an image's id, not a name")
    if domain in (DEFAULT_DOMAIN, "index.docker.io"):
        domain = DEFAULT_DOMAIN
        path = path if "/" in path else f"library/{path}"
    else:
        _check_domain(text, domain)
    return Reference(domain, path, tag or ("" if digest else DEFAULT_TAG), digest)


def _wrong(text: str, why: str) -> Usage:
    return Usage("image name", text or "''", why)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, path = name.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if slash and is_domain:
        return first, path
    return DEFAULT_DOMAIN, name


def _check_domain(text: str, domain: str) -> None:
    host, colon, port = domain.partition(":")
    if colon and not (port and _DIGITS.issuperset(port)):
        raise _wrong(text, f"{port!r} is not a port")
    for label in host.split("."):
        inner = label.replace("-", "")
        if not inner or not _ALPHANUMERIC.issuperset(inner) or label[0] == "-" or label[-1] == "-":
            raise _wrong(text, f"{host!r} is not a host name")


def _check_path(text: str, path: str) -> None:
    if not path:
        raise _wrong(text, "is empty")
    for part in path.split("/"):
        if not part:
            raise _wrong(text, "has an empty part")
        if part != part.lower():
            raise _wrong(text, "must be lower case")
        # What joins the words is one dot, one or two underscores, or any number of dashes.
        words = part.replace("__", "_").replace(".", "_").split("_")
        words = [word for group in words for word in _undashed(group)]
        if not all(word and _LOWER.issuperset(word) for word in words):
            raise _wrong(text, f"{part!r} is not lower-case letters and digits joined by . _ or -")


def _undashed(group: str) -> list[str]:
    while "--" in group:
        group = group.replace("--", "-")
    return group.split("-")


def _check_digest(text: str, digest: str) -> None:
    algorithm, _, digits = digest.partition(":")
    sound = algorithm and _LOWER.issuperset(algorithm.replace("+", "").replace(".", ""))
    if not sound or len(digits) < 32 or not _HEX.issuperset(digits):
        raise _wrong(text, f"{digest!r} is not a digest")
    if algorithm == "sha256" and len(digits) != 64:
        raise _wrong(text, "a sha256 digest has 64 digits")
