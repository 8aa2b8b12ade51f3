"""A container that runs, and its networks: the wish (netplan.py) comes true, and is undone again.

The rooms below know nothing of each other: network/ of no container, the record of no network. Here
they meet. A container without a network never comes here (docs/adr/0004-import-budget.md).

Invariant: a container's network is complete before its first instruction, and everything of it is
released after its last.
"""

from __future__ import annotations

import os
import sys

from mydocker.errors import Conflict, KernelError
from mydocker.lifecycle import netplan
from mydocker.lifecycle.containers import Containers
from mydocker.linux import files, netlink
from mydocker.network import endpoint, held, members, names
from mydocker.network.record import Endpoint, Network, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.lifecycle.container import Container
    from mydocker.linux.cleanup import Cleanup
    from mydocker.network.wish import Attachment, Wish
    from mydocker.spec import Spec


class Connection:
    """What a running container has of networks: made by its monitor, in two steps."""

    def __init__(self, root: str, container: Container, spec: Spec) -> None:
        self.root = root
        self.container = container
        self.spec = spec
        self.joined: list[tuple[Network, Endpoint]] = []

    def prepare(self, undo: Cleanup) -> Callable[[int], None]:
        """Take addresses and ports, write the files; what is to be done when there is a process."""
        wish = netplan.load(self.container)
        if wish.mode == "container":
            self._join_namespace(undo, wish)
            return lambda pid: None
        self._write_files(wish)
        if wish.mode == "network":
            kept = held.Held()
            undo.push(kept.close)
            published = members.hold_ports(self.root, kept, wish.ports)
            undo.push(members.leave, self.root, self.container.id)
            for number, attachment in enumerate(wish.attachments):
                self._join(attachment, number, published if number == 0 else [])
        return self.attach

    def _join_namespace(self, undo: Cleanup, wish: Wish) -> None:
        """The network namespace of another container, held open before we look whether it lives."""
        other = Containers(self.root).load(wish.container)
        fd = open_namespace(other)
        undo.push(os.close, fd)
        for namespace in self.spec.linux.namespaces:
            if namespace.type == "network":
                namespace.path = files.by_fd(fd)

    def _write_files(self, wish: Wish) -> None:
        directory, on_host = self.container.directory, wish.mode == "host"
        texts = {
            "hosts": names.head(wish.hosts),
            "hostname": f"{self.spec.hostname}\n",
            "resolv.conf": names.resolv_conf(wish.dns, wish.dns_search, wish.dns_option, on_host),
        }
        if on_host:
            texts["hosts"] = host_names(wish.hosts)
        for name, text in texts.items():
            files.write_whole(f"{directory}/{name}", text, 0o644, durable=False)
            os.chmod(f"{directory}/{name}", 0o644)

    def _join(self, attachment: Attachment, number: int, published: list[Port]) -> None:
        member = new_member(self.container, attachment, f"eth{number}", self.spec.hostname)
        member.ports = published
        network, told = members.join(self.root, attachment.network, member)
        self.joined.append((network, member))
        tell(told)

    def attach(self, pid: int) -> None:
        """Lay the cables to the first process's namespace; the first way out is the default."""
        if not self.joined:
            return
        netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        ways_out = [network for network, _ in self.joined if not network.internal]
        try:
            with netlink.Netlink() as host:
                for network, member in self.joined:
                    default = bool(ways_out) and network is ways_out[0]
                    endpoint.attach(host, network, member, netns, default)
        finally:
            os.close(netns)


def new_member(
    container: Container, attachment: Attachment, interface: str, hostname: str
) -> Endpoint:
    """The endpoint that the container wants; its monitor is the process that answers for it."""
    return Endpoint(
        container=container.id,
        name=container.name,
        address=attachment.address,
        mac=attachment.mac,
        interface=interface,
        aliases=attachment.aliases,
        hostname=hostname,
        hosts=f"{container.directory}/hosts",
        pid=container.monitor_pid,
        pid_started=container.monitor_started,
        boot_id=container.boot_id,
    )


def tell(lines: list[str]) -> None:
    """What happened to a network that its user should know."""
    for line in lines:
        print(f"mydocker: network {line}", file=sys.stderr, flush=True)


def open_namespace(container: Container) -> int:
    """A descriptor of a running container's network namespace."""
    try:
        fd = os.open(f"/proc/{container.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        fd = -1
    if fd < 0 or not container.alive():
        if fd >= 0:
            os.close(fd)
        why = f"is {container.status}: its network is there only while it runs"
        raise Conflict("container", container.name, why)
    return fd


def host_names(extra: list[str]) -> str:
    """The host's own /etc/hosts, and the lines of `--add-host`."""
    try:
        own = files.read("/etc/hosts")
    except KernelError:
        own = names.head([])
    return own + "".join(f"{line}\n" for line in extra)


def release(root: str, container: Container) -> None:
    """Release what a container has, for when its monitor cannot do it any more."""
    members.leave(root, container.id)
