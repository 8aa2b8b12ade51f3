"""Build the root filesystem of the default image, `busybox`, as a tar.

A container's root filesystem is nothing but files: one static program under many names
(BusyBox and its applets), one ordinary program with the shared libraries it asks for
(`stress`, which the book's chapter 3 runs against the limits), and the few files and mount
points that programs expect to find.

The tar is reproducible: sorted, without times and owners of the machine that built it, so the
same packages give the same bytes and therefore the same layer digest.

    python3 lab/build_image.py build/busybox.tar
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile

DIRECTORIES = {
    **dict.fromkeys(("bin", "dev", "etc", "home", "mnt", "opt", "proc", "run", "sbin"), 0o755),
    **dict.fromkeys(("sys", "usr", "usr/bin", "usr/sbin", "var", "var/log"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}

TEXTS = {
    "etc/passwd": """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
""",
    "etc/group": """\
root:x:0:
daemon:x:1:
tty:x:5:
disk:x:6:
www-data:x:33:
users:x:100:
nogroup:x:65534:
""",
}


def host_program(name: str) -> str:
    """The host's path of a program; exits with a hint when the lab has not installed it."""
    path = shutil.which(name)
    if path is None:
        sys.exit(f"lab: {name} is not installed\nhint: run sudo make setup")
    return path


def libraries(program: str) -> list[str]:
    """The shared libraries of a program and its loader, by the paths it looks for them at.

    ldd(1) prints `libm.so.6 => /lib/…/libm.so.6 (0x…)` for a library and `/lib64/ld-… (0x…)`
    for the loader; a static program has neither.
    """
    ldd = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", ldd.stdout)


def contents() -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """What the image holds: name -> (its tar header, its data)."""
    busybox, stress = host_program("busybox"), host_program("stress")
    programs = {"bin/busybox": busybox, "usr/bin/stress": stress}
    for library in libraries(busybox) + libraries(stress):
        programs[library.lstrip("/")] = library
    entries = {name: regular(host_file(path), 0o755) for name, path in programs.items()}
    entries |= {name: regular(text.encode(), 0o644) for name, text in TEXTS.items()}

    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        entries.setdefault(f"bin/{applet}", symlink("busybox"))
    entries["usr/bin/env"] = symlink("../../bin/env")  # where #! lines look for it

    parents = {parent for name in entries for parent in ancestors(name)}
    for name in parents | DIRECTORIES.keys():
        entries[name] = header(tarfile.DIRTYPE, DIRECTORIES.get(name, 0o755)), b""
    return entries


def host_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def ancestors(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def header(kind: bytes, mode: int) -> tarfile.TarInfo:
    """A tar header with no trace of this machine: owner 0:0, time 0 (TarInfo's defaults)."""
    info = tarfile.TarInfo()
    info.type, info.mode = kind, mode
    return info


def regular(data: bytes, mode: int) -> tuple[tarfile.TarInfo, bytes]:
    info = header(tarfile.REGTYPE, mode)
    info.size = len(data)
    return info, data


def symlink(target: str) -> tuple[tarfile.TarInfo, bytes]:
    info = header(tarfile.SYMTYPE, 0o777)
    info.linkname = target
    return info, b""


def write_tar(path: str) -> None:
    """Write the image to path, whole or not at all."""
    partial = f"{path}.partial"
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (info, data) in sorted(contents().items()):
            info.name = name
            tar.addfile(info, io.BytesIO(data))
    os.replace(partial, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build_image.py TAR")
    write_tar(sys.argv[1])
