"""`-o NAME=VALUE` of `network create`: the words that become fields of the record."""

from __future__ import annotations

from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.request import Request

ALIASES = {
    "mtu": "com.docker.network.driver.mtu",
    "interface": "com.docker.network.bridge.name",
    "vni": "vni",
    "port": "port",
}
"""`-o` words that become fields of the record, and Docker's long form of them."""


def option(asked: Request, name: str) -> str:
    """The value of an `-o` word, in either form."""
    return asked.options.get(name) or asked.options.get(ALIASES[name], "")


def mtu(asked: Request, usual: int) -> int:
    """`-o mtu=N`: the largest packet, from what IPv4 asks to what a link can have."""
    text = option(asked, "mtu")
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and 68 <= int(text[:6]) <= 65535):
        raise Usage("-o mtu", text, "not a number from 68 to 65535")
    return int(text)


def number(asked: Request, name: str, usual: int, most: int) -> int:
    """`-o NAME=N` as a number from 1 on."""
    text = option(asked, name)
    if text and not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= most):
        raise Usage(f"-o {name}", text, f"not a number from 1 to {most}")
    return int(text) if text else usual
