"""Make the images of chapter 7's demos from Debian's packages: nginx, redis and counter.

mmdebstrap(1) installs a small Debian with the program in it and packs that as a tar; `mydocker
import` makes an image of the tar, and says what runs in it. The tars are kept in build/apps; a
second call does what is missing, which is nothing.

    make demo-images
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent.parent
TARS = CHECKOUT / "build" / "apps"
LAUNCHER = CHECKOUT / "build" / "mydocker"
NONINTERACTIVE = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


class App(NamedTuple):
    """An image: Debian's packages, what is changed in their files (a shell's words, the root
    filesystem being "$1"), and what an image says of itself, in a Dockerfile's words."""

    packages: tuple[str, ...]
    hooks: tuple[str, ...]
    says: tuple[str, ...]


APPS = {
    "nginx": App(
        ("nginx-light",),
        # The container's log is what its first process prints.
        (
            'ln -sf /dev/stdout "$1/var/log/nginx/access.log"',
            'ln -sf /dev/stderr "$1/var/log/nginx/error.log"',
        ),
        ('CMD ["nginx", "-g", "daemon off;"]', "EXPOSE 80", "STOPSIGNAL SIGQUIT"),
    ),
    "redis": App(
        ("redis-server",),
        ('chroot "$1" install -d -o redis -g redis /data',),
        (
            # Whoever is in its network may ask it: no other host can, unless its port is published.
            'CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no"]',
            "EXPOSE 6379",
            "USER redis",
            "VOLUME /data",
            "WORKDIR /data",
        ),
    ),
    "counter": App(
        ("python3-flask", "python3-redis"),
        (f'install -D -m 644 "{Path(__file__).with_name("counter.py")}" "$1/app/counter.py"',),
        ('CMD ["python3", "/app/counter.py"]', "EXPOSE 5000", "USER nobody"),
    ),
}

UNREAD = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
"""What nobody reads in a container."""


def tar(name: str) -> Path:
    """Where the root filesystem of an image is kept."""
    return TARS / f"{name}.tar"


def build(name: str) -> None:
    """Make the tar of an image, unless it is there and was made just so."""
    app, path = APPS[name], tar(name)
    made_so = path.with_suffix(".recipe")
    if path.exists() and made_so.exists() and made_so.read_text() == recipe(name):
        return
    print(f"lab: making the image {name} of Debian's {', '.join(app.packages)}", flush=True)
    if not shutil.which("mmdebstrap"):
        words = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "mmdebstrap"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=NONINTERACTIVE)
    part = path.with_suffix(".part")
    words = ["mmdebstrap", "--quiet", "--variant=essential", "--format=tar"]
    words += [f"--include={','.join(app.packages)}"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD]
    words += [f"--customize-hook={hook}" for hook in app.hooks]
    try:
        words += [suite(), str(part), *sources()]
        subprocess.run(words, check=True, env=NONINTERACTIVE)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    made_so.write_text(recipe(name))


def recipe(name: str) -> str:
    """A digest of all that the image is made from, as far as it is written here."""
    sources = [Path(__file__).with_name("counter.py").read_text()] if name == "counter" else []
    return hashlib.sha256(json.dumps([*APPS[name], *sources]).encode()).hexdigest()[:16]


def suite() -> str:
    """The Debian or Ubuntu that this machine is: its own mirrors surely have it."""
    told = Path("/etc/os-release").read_text().splitlines()
    words = dict(line.split("=", 1) for line in told if "=" in line)
    return words["VERSION_CODENAME"].strip('"')


def sources() -> list[str]:
    """This machine's own apt sources, as files; the newer form has one for each."""
    newer = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    return [str(path) for path in newer or [Path("/etc/apt/sources.list")]]


def load(name: str) -> None:
    """Import the tar into the store that mydocker uses (MYDOCKER_ROOT), unless it is there."""
    label = '{{index .Config.Labels "lab.recipe"}}'
    words = [str(LAUNCHER), "inspect", "--format", label, f"{name}:latest"]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    if found == recipe(name):
        return
    print(f"lab: loading the image {name}:latest", flush=True)
    says = [*APPS[name].says, f"LABEL lab.recipe={recipe(name)}"]
    changes = [word for text in says for word in ("-c", text)]
    words = [str(LAUNCHER), "import", *changes, str(tar(name)), f"{name}:latest"]
    subprocess.run(words, check=True, capture_output=True, text=True)


def main() -> None:
    """Make and import what is missing; with --load, import what has been made."""
    TARS.mkdir(parents=True, exist_ok=True)
    one_at_a_time = os.open(TARS / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
    for name in APPS:
        try:
            if "--load" not in sys.argv:
                build(name)
            if tar(name).exists():
                load(name)
        except subprocess.CalledProcessError as error:
            sys.exit(f"lab: {name}: {error.stderr or error}\nhint: is there a network?")


if __name__ == "__main__":
    main()
