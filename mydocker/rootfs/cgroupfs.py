"""/sys/fs/cgroup inside the container: its own limits, to be read (cgroup_namespaces(7))."""

from __future__ import annotations

import os

from mydocker.linux import files, mountinfo, syscalls
from mydocker.rootfs.mounts import mount_one, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.spec import Mount


def mount_cgroups(root: int, mount: Mount) -> None:
    """The container's view of its own limits, read-only, in whatever layout the host has.

    In the new cgroup namespace the container's cgroup is the root of each hierarchy. With v2 that
    is one mount; with v1 a tmpfs with one mount for each hierarchy.
    """
    hierarchies = [m for m in mountinfo.mounts() if m.fstype in ("cgroup", "cgroup2")]
    base = mount.destination
    if not any(m.fstype == "cgroup" for m in hierarchies):
        mount_one(root, _like(mount, base, "cgroup2", mount.options))
        return
    read_only = [word for word in mount.options if word == "ro"]
    options = [word for word in mount.options if word != "ro"]
    mount_one(root, _like(mount, base, "tmpfs", [*options, "mode=755"]))
    seen: set[str] = set()
    for entry in hierarchies:
        name = os.path.basename(entry.mountpoint)
        if entry.fstype == "cgroup2" or name in seen:
            continue
        seen.add(name)
        words = [w for w in entry.super_options if w not in ("rw", "ro", "xattr", "clone_children")]
        if any(word.startswith("name=") for word in words):
            continue  # no controller, and no group of ours: it would show the host's whole tree
        words = [w for w in words if not w.startswith("release_agent")]
        mount_one(root, _like(mount, f"{base}/{name}", "cgroup", [*options, *read_only, *words]))
    if read_only:
        fd = files.open_in_root(root, base)
        flags = parse_options(mount.options)[0] | syscalls.MS_BIND | syscalls.MS_REMOUNT
        syscalls.mount("", files.by_fd(fd), "", flags)
        os.close(fd)


def _like(mount: Mount, destination: str, fstype: str, options: list[str]) -> Mount:
    return type(mount)(destination=destination, type=fstype, source=fstype, options=options)
