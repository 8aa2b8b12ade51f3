"""/dev: a handful of device nodes and links, nothing of the host's (4.1; null(4), devpts(5))."""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import files, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.spec import Device

LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
"""Links that every /dev has; ptmx leads to the container's own devpts."""


def make(root: int, devices: list[Device], bind: bool) -> None:
    """The few device nodes and links of a container's /dev.

    mknod(2) of a device needs CAP_MKNOD in the first user namespace: with an id mapping the host's
    nodes are bound in instead.
    """
    for device in devices:
        parent = files.make_in_root(root, os.path.dirname(device.path))
        try:
            if bind:
                target = files.make_in_root(root, device.path, directory=False)
                syscalls.mount(device.path, files.by_fd(target), "", syscalls.MS_BIND)
                os.close(target)
            else:
                make_node(device, parent)
        finally:
            os.close(parent)
    dev = files.make_in_root(root, "/dev")
    for name, content in LINKS.items():
        try:
            files.symlinkat(content, dev, name)
        except KernelError as error:
            if error.errno != 17:  # EEXIST: the user's own /dev has it
                raise
    os.close(dev)


def make_node(device: Device, parent: int) -> None:
    """mknod(2), unless the user's own /dev (`-v /dev:/dev`) has that very device already."""
    try:
        files.mknod(device.path, device.type, device.major, device.minor, device.file_mode, parent)
    except KernelError as error:
        if error.errno != 17:  # EEXIST
            raise
        found = os.lstat(os.path.basename(device.path), dir_fd=parent)
        is_kind = stat.S_ISBLK if device.type == "b" else stat.S_ISCHR
        if not is_kind(found.st_mode) or found.st_rdev != os.makedev(device.major, device.minor):
            raise Error("mknod", device.path, "something else has this name") from None
