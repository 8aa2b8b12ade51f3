"""What a container's network changes in its spec: files in /etc, settings, another's host name."""

from __future__ import annotations

import os

from mydocker.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.lifecycle.containers import Containers
    from mydocker.network.wish import Wish
    from mydocker.spec import Spec

FILES = ("hosts", "hostname", "resolv.conf")
"""What is made for a container and mounted at /etc."""


def prepare(spec: Spec, wish: Wish, containers: Containers, directory: str) -> None:
    """What the wish changes in the spec: the files to mount, the settings, another's host name."""
    source = directory
    if wish.mode == "container":
        source = f"{containers.directory}/{wish.container}"
        spec.hostname = containers.load(wish.container).spec().hostname
    elif wish.mode == "network":
        spec.linux.sysctl = settings(spec) | spec.linux.sysctl
    taken = {os.path.normpath(mount.destination) for mount in spec.mounts}
    for name in FILES:
        if f"/etc/{name}" not in taken and (
            source == directory or os.path.exists(f"{source}/{name}")
        ):
            options = ["rbind", "rprivate"]
            spec.mounts.append(
                Mount(destination=f"/etc/{name}", source=f"{source}/{name}", options=options)
            )


def settings(spec: Spec) -> dict[str, str]:
    """In a network of its own anybody may listen on port 80 and send a ping, as in Docker."""
    mappings = spec.linux.gid_mappings
    last = mappings[0].size - 1 if mappings else (1 << 31) - 1
    return {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": f"0 {last}",
    }
