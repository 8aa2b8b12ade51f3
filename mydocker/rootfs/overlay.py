"""Overlay: read-only layers below, one writable directory on top, seen as one tree.

The book builds this with AUFS (its 4.2); the kernel's own answer is overlayfs
(Documentation/filesystems/overlayfs.rst). A file is looked up from the top down. Writing to a file
of a lower layer copies it up first; deleting one leaves a *whiteout* in the upper directory, a
character device with the numbers 0:0, that hides what is below.

Invariant: the overlay is mounted in the container's own mount namespace only. It ends with its
last process, so there is nothing for a crash to leave behind, and the host's mount table is the
same before, during and after.
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import files, syscalls

_PAGE = 4096  # mount(2) takes at most one page of options


class Overlay:
    """The layers of an image (lowest first), and the container's own upper and work directories.

    Without an upper directory it is read-only, and there must be at least two layers.
    """

    def __init__(self, layers: list[str], upper: str, work: str) -> None:
        self.layers = layers
        self.upper = upper
        self.work = work

    @classmethod
    def in_directory(cls, layers: list[str], directory: str) -> Overlay:
        """The overlay of one container, whose own part is below `directory`."""
        return cls(layers, f"{directory}/upper", f"{directory}/work")

    def create(self) -> None:
        """Make what is missing of the container's own directories.

        overlayfs takes the attributes of `/` from `upper`, so it gets those of the image's root.
        It wants `work` empty and beside `upper`; made last, it says that `upper` is complete.
        """
        if os.path.isdir(self.work):
            return
        self._check()
        root = os.stat(self.layers[-1])
        mode = stat.S_IMODE(root.st_mode)
        if not os.path.isdir(self.upper):
            files.mkdir(self.upper, mode)
        if root.st_uid or root.st_gid:
            files.chown(self.upper, root.st_uid, root.st_gid)
        files.mkdir(self.work, 0o700)

    def remove(self) -> None:
        """Remove the container's own directories, and with them what it changed."""
        files.remove_tree(self.upper)
        files.remove_tree(self.work)

    def mount(self, target: str) -> None:
        """Mount the merged tree at `target`.

        Errors: ENODEV where the kernel has no overlayfs; EINVAL where the directories cannot be an
        upper (another overlay, for one).
        """
        self._check()
        lower = ":".join(_escape(layer) for layer in reversed(self.layers))
        by_descriptor = len(lower) + len(self.upper) + len(self.work) > _PAGE - 128
        if by_descriptor:
            lower = self._by_descriptor()
        data = f"lowerdir={lower}"
        if self.upper:
            data += f",upperdir={_escape(self.upper)},workdir={_escape(self.work)}{_features_off()}"
        try:
            syscalls.mount("overlay", target, "overlay", 0, data)
        except KernelError as error:
            if error.errno == 19:  # ENODEV
                raise Error(
                    "overlay", target, "this kernel has no overlayfs", hint="modprobe overlay"
                ) from None
            raise
        finally:
            if by_descriptor:
                syscalls.chdir("/")

    def _check(self) -> None:
        for layer in self.layers:
            if not os.path.isdir(layer):
                raise Error(
                    "layer", layer, "is missing", hint="the image is damaged: load it again"
                )

    def _by_descriptor(self) -> str:
        """Many layers: names relative to /proc/self/fd are the shortest that there are."""
        fds = [os.open(layer, os.O_PATH | os.O_DIRECTORY) for layer in reversed(self.layers)]
        syscalls.chdir("/proc/self/fd")
        return ":".join(str(fd) for fd in fds)


def _features_off() -> str:
    """The options that keep the upper directory readable for us, where the kernel knows them.

    `redirect_dir` would store a renamed directory as a note of its old name, `metacopy` a changed
    mode without the file's content: neither could be said in the tar of a layer. `index` would
    forbid a second mount of the same upper directory. A module that is not loaded yet knows them.
    """
    module = "/sys/module/overlay"
    names = ("redirect_dir", "metacopy", "index")
    loaded = os.path.isdir(module)
    known = [n for n in names if not loaded or os.path.exists(f"{module}/parameters/{n}")]
    return "".join(f",{name}=off" for name in known)


def _escape(path: str) -> str:
    """Colons part the layers and commas the options, so in a name they take a backslash."""
    for char in ("\\", ":", ","):
        path = path.replace(char, f"\\{char}")
    return path
