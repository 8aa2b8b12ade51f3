"""What this machine says about registries, and what a user may show to them.

    <root>/registries.json      {"registry": "mirror.example:5000", "insecure": ["lab:5000"]}

`registry` is asked for what Docker calls `docker.io`: a mirror near by, or `docker.io` itself. Only
where it is set does `run` pull an image that is missing; a lab needs no network. `insecure` lists
registries that may be asked by plain http, or whose certificate nobody vouches for; those on this
machine may anyway. MYDOCKER_REGISTRY and MYDOCKER_INSECURE_REGISTRIES (with commas) say the same.

Credentials are those of `docker login` and `podman login`: `auths` in config.json, or a helper
program (docker's documentation, "docker login").

Invariant: a password leaves this module only for the host that it was stored for.
"""

from __future__ import annotations

import os

from mydocker.errors import Error, Usage
from mydocker.linux import files
from mydocker.rootfs import reference
from mydocker.rootfs.reference import DEFAULT_DOMAIN
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUB = "registry-1.docker.io"
_HUB_KEY = "https://index.docker.io/v1/"


class Settings(Struct):
    """registry: stands for docker.io, "" if none is configured; insecure: may be asked by http."""

    registry: str = ""
    insecure: list[str] = []

    def host(self, domain: str) -> str:
        """Whom to ask for the images of this domain: `host` or `host:port`."""
        if domain == DEFAULT_DOMAIN:
            domain = self.registry or DEFAULT_DOMAIN
        return HUB if domain == DEFAULT_DOMAIN else domain

    def may_be_plain(self, host: str) -> bool:
        """Whether http will do, and a certificate that nobody vouches for."""
        return is_loopback(host) or host in self.insecure


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine, whatever a name server says."""
    name = host.partition(":")[0]
    parts = name.split(".")
    return name == "localhost" or (
        len(parts) == 4 and parts[0] == "127" and all(p.isdecimal() and len(p) < 4 for p in parts)
    )


def settings(root: str) -> Settings:
    """What the file and the environment say; Usage names what is wrong."""
    path = f"{root}/registries.json"
    found = Settings()
    if os.path.exists(path):
        data = _json(path)
        one, several = data.get("registry", ""), data.get("insecure", [])
        sound = isinstance(several, list) and all(isinstance(host, str) for host in several)
        if not isinstance(one, str) or not sound:
            raise Usage("registries", path, '"registry" is a host, "insecure" a list of hosts')
        found = Settings(registry=one, insecure=several)
    found.registry = os.environ.get("MYDOCKER_REGISTRY") or found.registry
    more = os.environ.get("MYDOCKER_INSECURE_REGISTRIES", "")
    found.insecure = [*found.insecure, *filter(None, more.split(","))]
    for host in [*filter(None, [found.registry]), *found.insecure]:
        if reference.parse(f"{host}/x").domain != host:
            raise Usage("registry", host, "is not a host, such as registry.example:5000")
    return found


def configured(root: str) -> bool:
    """Whether a registry is configured, without reading much."""
    return bool(os.environ.get("MYDOCKER_REGISTRY")) or (
        os.path.exists(f"{root}/registries.json") and bool(settings(root).registry)
    )


class Credentials(Struct):
    """A user and a password, or an identity token in their place."""

    user: str = ""
    password: str = ""
    token: str = ""


def credentials(host: str) -> Credentials | None:
    """What the user's config.json has for this host; None if it has nothing."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    path = f"{directory}/config.json"
    if not os.path.exists(path):
        return None
    config = _json(path)
    keys = [host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
    keys = [_HUB_KEY, DEFAULT_DOMAIN, *keys] if host == HUB else keys
    helpers = config.get("credHelpers")
    helper = _first(helpers, keys) or config.get("credsStore")
    if isinstance(helper, str) and helper:
        found = _ask(helper, keys[0])
        if found:
            return found
    auth = _first(config.get("auths"), keys)
    return _stored(auth, path) if isinstance(auth, dict) else None


def _first(table: Any, keys: list[str]) -> Any:
    if not isinstance(table, dict):
        return None
    return next((table[key] for key in keys if table.get(key)), None)


def _stored(auth: dict[str, Any], path: str) -> Credentials:
    import base64

    user, password = auth.get("username") or "", auth.get("password") or ""
    if auth.get("auth"):
        try:
            text = base64.b64decode(auth["auth"], validate=True).decode()
        except (ValueError, TypeError):
            raise Error("credentials", path, "has an auth that is not base64") from None
        user, _, password = text.partition(":")
    token = auth.get("identitytoken") or ""
    return Credentials(user=user, password=password.rstrip("\0"), token=token)


def _ask(helper: str, server: str) -> Credentials | None:
    """Ask a helper program, as docker does: docker-credential-NAME get."""
    import json
    import subprocess

    if "/" in helper:
        raise Error("credentials", helper, "is not the name of a helper")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, "get"], input=server.encode(), capture_output=True)
    except FileNotFoundError:
        raise Error("credentials", program, "is not installed") from None
    if done.returncode:
        return None  # the helper has nothing for this host
    try:
        found = json.loads(done.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise Error("credentials", program, "gave an answer that makes no sense") from None
    if user == "<token>":
        return Credentials(token=secret)
    return Credentials(user=user, password=secret)


def _json(path: str) -> dict[str, Any]:
    import json

    try:
        data = json.loads(files.read(path))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Error("read", path, "is not a JSON object")
    return data
