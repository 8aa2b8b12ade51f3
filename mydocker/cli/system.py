"""`mydocker system …`: what mydocker uses of the machine, and what crashes left on it."""

from __future__ import annotations

import os

from mydocker.cli import Globals, ask, printable, report, table
from mydocker.cli.container import tell
from mydocker.cli.flags import Command, Flag, Group
from mydocker.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = Flag("-f --format", "value", "json, or a template such as '{{.Size}}'", metavar="TEMPLATE")


def check(values: dict[str, Any], _: list[str]) -> int:
    """Print what was found, one a line. Exit code 1 if something is (still) left."""
    from mydocker.lifecycle import leftovers

    found = leftovers.find(Globals.root, Globals.cgroup_parent)
    for leftover in found:
        print(f"{leftover.kind}: {printable(leftover.name)}")
    altered = damaged() if values["verify"] else []
    for error in altered:
        print(f"image: {printable(str(error))}")
    if not found and not altered:
        print("clean: nothing of mydocker's is left over")
    if not values["repair"]:
        return 1 if found or altered else 0
    failed = leftovers.repair(Globals.root, Globals.cgroup_parent, found)
    for error in failed:
        report(error)
    return 1 if failed or altered else 0


def damaged() -> list[Error]:
    """What is not as it was of each image's layers: every byte and attribute is looked at."""
    from mydocker.rootfs.store import Store

    store = Store(Globals.root)
    errors = []
    for image in store.images():
        try:
            if not image.broken:  # or it has been told already
                store.verify(image)
        except Error as error:
            errors.append(error)
    return errors


DISK = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def disk(values: dict[str, Any], _: list[str]) -> None:
    """Print one line for each kind of thing that takes room on the disk."""
    from mydocker.cli.format import Format
    from mydocker.cli.template import Record
    from mydocker.lifecycle import usage

    rows = []
    for kind in usage.of(Globals.root):
        share = f" ({100 * kind.reclaimable // kind.size}%)" if kind.size else ""
        values_of = (
            *(kind.name, str(kind.total), str(kind.active), table.size(kind.size)),
            table.size(kind.reclaimable) + share,
        )
        rows.append(Record(dict(zip(DISK, values_of, strict=True))))
    Format(values["format"] or "table", DISK).show(rows)


def info(values: dict[str, Any], _: list[str]) -> None:
    """Print what this machine is, and what mydocker has on it."""
    known = facts()
    if values["format"]:
        from mydocker.cli.format import Format
        from mydocker.cli.template import Record

        Format(values["format"], {}).show([Record(known)])
        return
    for name, text in known.items():
        print(f"{name}: {printable(str(text))}")


def facts() -> dict[str, Any]:
    """Docker's words for them, as `docker info --format` has them."""
    from mydocker import __version__
    from mydocker.cgroups import hierarchies
    from mydocker.lifecycle import repair, stats
    from mydocker.lifecycle.containers import Containers
    from mydocker.rootfs.store import Store

    states = [c.status for c in repair.everything(Containers(Globals.root))]
    kernel, used = os.uname(), hierarchies.in_use()
    controllers = sorted({name for hierarchy in used for name in hierarchy.controllers})
    return {
        "Containers": len(states),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": len(states) - states.count("running") - states.count("paused"),
        "Images": len(Store(Globals.root).images()),
        "ServerVersion": __version__,
        "Driver": "overlay2",
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(used[0].version),
        "CgroupControllers": " ".join(controllers),
        "CgroupParent": Globals.cgroup_parent,
        "KernelVersion": kernel.release,
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": kernel.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": stats.memory_total(),
        "Name": kernel.nodename,
        "DockerRootDir": Globals.root,
    }


def operating_system() -> str:
    """What the distribution calls itself (os-release(5))."""
    import platform

    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def prune(values: dict[str, Any], _: list[str]) -> int:
    """Remove what nobody needs."""
    from mydocker.lifecycle import tidy

    kinds = ["all stopped containers", "all networks not used by at least one container"]
    kinds += ["all anonymous volumes not used by at least one container"] * values["volumes"]
    kinds.append("all images without a container" if values["all"] else "all dangling images")
    told = "".join(f"\n  - {kind}" for kind in kinds)
    if not values["force"] and not ask.sure(f"This will remove:{told}\n"):
        return 1
    root, filters = Globals.root, values["filter"]
    tell(tidy.everything(root, filters, images=values["all"], volumes=values["volumes"]))
    return 0


COMMAND = Group(
    "See what mydocker has on this machine, and take away what it need not have.",
    {
        "check": Command(
            check,
            "[OPTIONS]",
            "Look for what crashes left on the host.",
            [
                Flag("--repair", "bool", "remove what was found"),
                Flag("--verify", "bool", "also look whether a layer was altered: reads all of it"),
            ],
            most=0,
        ),
        "df": Command(disk, "[OPTIONS]", "Show what takes room on the disk.", [FORMAT], most=0),
        "info": Command(info, "[OPTIONS]", "Show what this machine is.", [FORMAT], most=0),
        "prune": Command(
            prune,
            "[OPTIONS]",
            "Remove what nobody needs.",
            [
                Flag("-a --all", "bool", "all images that no container was made from"),
                Flag("--volumes", "bool", "also volumes without a name"),
                Flag("-f --force", "bool", "do not ask"),
                Flag("--filter", "list", "until=TIME, label=NAME[=VALUE]", metavar="KEY=VALUE"),
            ],
            most=0,
        ),
    },
)
