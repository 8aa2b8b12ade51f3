"""May what is mounted later pass between the host and a container? Only if the host's mount is
shared (mount_namespaces(7)): checked before the start, because the kernel would not say so."""

from __future__ import annotations

from mydocker.errors import Error
from mydocker.linux import mountinfo
from mydocker.spec import Mount


def check(mount: Mount) -> None:
    """Error if the source of a bind mount cannot be `shared` or a `slave`, as its options ask."""
    shared = {"shared", "rshared"}.intersection(mount.options)
    slave = {"slave", "rslave"}.intersection(mount.options)
    if not shared and not slave:
        return
    entry = holding(mount.source)
    tags = [word.partition(":")[0] for word in entry.propagation]
    if "shared" in tags or (slave and "master" in tags):
        return
    kind = "a shared mount" if shared else "a shared or slave mount"
    why = f"{entry.mountpoint}, which it is on, is not {kind}"
    hint = f"mount --make-shared {entry.mountpoint}"
    raise Error("volume", mount.source, why, hint=hint)


def holding(path: str) -> mountinfo.MountEntry:
    """The mount that a path is on: the deepest, and of several at one place the last."""
    found = None
    for entry in mountinfo.mounts():
        above = entry.mountpoint.rstrip("/") + "/"
        deeper = found is None or len(entry.mountpoint) >= len(found.mountpoint)
        if f"{path}/".startswith(above) and deeper:
            found = entry
    if found is None:
        raise Error("volume", path, "is on no mount")
    return found
