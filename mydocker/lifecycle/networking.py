"""A container and its networks: what `run` was asked for becomes a wish, and the wish comes true.

The rooms below know nothing of each other: network/ of no container, the record of no network. Here
they meet. A container without a network never comes here (docs/adr/0004-import-budget.md).

Invariant: a container's network is complete before its first instruction, and everything of it is
released after its last.
"""

from __future__ import annotations

import os
import sys

from mydocker.errors import Conflict, Corrupt, Error, KernelError, NotFound, Usage
from mydocker.lifecycle.containers import Containers
from mydocker.linux import files, jsontext, netlink
from mydocker.network import endpoint, members, names, ports, upkeep
from mydocker.network.record import PREDEFINED, Endpoint, Network, Networks, Port
from mydocker.network.wish import Attachment, Wish
from mydocker.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.lifecycle.container import Container
    from mydocker.lifecycle.options import Options
    from mydocker.linux.cleanup import Cleanup
    from mydocker.rootfs.store import Image
    from mydocker.spec import Spec

FILE = "network.json"
FILES = ("hosts", "hostname", "resolv.conf")
"""What is made for a container and mounted at /etc."""


# Before the container is there


def plan(containers: Containers, asked: Options, image: Image) -> Wish:
    """The wish that the flags make; Usage or NotFound says what is wrong with them."""
    if not asked.network:
        raise Usage("--network", "", "needs a value")
    mode, _, target = asked.network.partition(":")
    wish = Wish(mode=mode if mode in ("none", "host", "container") else "network")
    for text in asked.publish:
        wish.ports += ports.parse(text)
    if asked.publish_all:
        wish.ports += exposed(image, wish.ports)
    if wish.mode == "none" and wish.ports:
        raise Usage("--publish", asked.publish[0] if asked.publish else "-P", "needs a network")
    if wish.mode != "network":
        refuse(asked, wish)
    if wish.mode == "container":
        wish.container = containers.find(target).id
    elif wish.mode == "network":
        if asked.network != PREDEFINED:
            members.exists(containers.root, asked.network)
        aliases = [names.check_host_name("--network-alias", word) for word in asked.network_alias]
        wish.attachments = [Attachment(network=asked.network, aliases=aliases)]
        if asked.ip:
            wish.attachments[0].address = members.check_address(
                containers.root, asked.network, asked.ip
            )
        if asked.mac_address:
            wish.attachments[0].mac = check_mac(asked.mac_address)
    wish.dns = [check_server(text) for text in asked.dns]
    wish.dns_search = [check_word("--dns-search", text) for text in asked.dns_search]
    wish.dns_option = [check_word("--dns-option", text) for text in asked.dns_option]
    wish.hosts = [names.add_host(text) for text in asked.add_host]
    return wish


def refuse(asked: Options, wish: Wish) -> None:
    """Flags that mean nothing without a network of one's own."""
    given = {
        "--publish": wish.ports,
        "--ip": asked.ip,
        "--network-alias": asked.network_alias,
        "--mac-address": asked.mac_address,
    }
    for flag, value in given.items():
        if value:
            raise Usage(flag, "", f"means nothing with --network {asked.network}")


def exposed(image: Image, taken: list[Port]) -> list[Port]:
    """`-P`: a free port of the host for each that the image exposes and that has none yet."""
    found = []
    have = {(port.container_port, port.protocol) for port in taken}
    for word in image.config.config.exposed_ports:
        for port in ports.parse(word):
            if (port.container_port, port.protocol) not in have:
                found.append(port)
    return found


def check_mac(text: str) -> str:
    """A MAC of one station: six bytes in hex, the lowest bit of the first one 0."""
    parts = text.lower().split(":")
    good = len(parts) == 6 and all(len(p) == 2 and set(p) <= set("0123456789abcdef") for p in parts)
    if not good or int(parts[0], 16) & 1:
        raise Usage("--mac-address", text, "not a MAC of one station, such as 02:42:0a:00:00:02")
    return ":".join(parts)


def check_server(text: str) -> str:
    """`--dns`: the address of a name server."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
            return text
        except (OSError, ValueError):
            continue
    raise Usage("--dns", text, "not an address")


def check_word(flag: str, text: str) -> str:
    """One word for a line of resolv.conf."""
    if not text or not text.isprintable() or " " in text or not text.isascii():
        raise Usage(flag, text, "not one word")
    return text


def prepare_spec(spec: Spec, wish: Wish, containers: Containers, directory: str) -> None:
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


def load(container: Container) -> Wish:
    """The wish of a container; of one that never had any, the empty one."""
    path = f"{container.directory}/{FILE}"
    if not os.path.exists(path):
        return Wish()
    try:
        return Wish.from_json(jsontext.loads(files.read(path)))
    except (ValueError, TypeError, AttributeError):
        raise Corrupt("network wish", path, "does not hold one") from None


def save(container: Container, wish: Wish) -> None:
    """Write the wish down."""
    files.write_whole(f"{container.directory}/{FILE}", text(wish))


def text(wish: Wish) -> str:
    """The wish as its file has it."""
    return jsontext.dumps(wish.to_json(), indent=2) + "\n"


# While it runs


class Connection:
    """What a running container has of networks: made by its monitor, in two steps."""

    def __init__(self, root: str, container: Container, spec: Spec) -> None:
        self.root = root
        self.container = container
        self.spec = spec
        self.joined: list[tuple[Network, Endpoint]] = []

    def prepare(self, undo: Cleanup) -> Callable[[int], None]:
        """Take addresses and ports, write the files; what is to be done when there is a process."""
        wish = load(self.container)
        if wish.mode == "container":
            self._join_namespace(undo, wish)
            return lambda pid: None
        self._write_files(wish)
        if wish.mode == "network":
            held = ports.Held()
            undo.push(held.close)
            published = members.hold_ports(self.root, held, wish.ports)
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
        for line in told:
            print(f"mydocker: network {line}", file=sys.stderr, flush=True)

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


# `network connect`, `network disconnect`


def connect(root: str, word: str, name: str, address: str, aliases: list[str]) -> None:
    """Bring a container into one more network; one that does not run will be in it when it does."""
    container = Containers(root).find(name)
    aliases = [names.check_host_name("--alias", alias) for alias in aliases]
    address = members.check_address(root, word, address) if address else ""
    attachment = Attachment(network=word, address=address, aliases=aliases)
    with container.lock():
        wish = load(container)
        if wish.mode in ("host", "container"):
            raise Conflict("network", word, f"{name} has the network of --network {wish.mode}")
        attachment.network = members.exists(root, word)
        if any(have.network == attachment.network for have in wish.attachments):
            raise Conflict("network", word, f"{name} is in it already")
        container = Containers(root).load(container.id)
        if container.alive():
            _connect_running(root, container, attachment)
        wish.mode, wish.attachments = "network", [*wish.attachments, attachment]
        save(container, wish)


def _connect_running(root: str, container: Container, attachment: Attachment) -> None:
    netns = open_namespace(container)
    member = new_member(
        container, attachment, endpoint.free_interface(netns), container.spec().hostname
    )
    try:
        network, told = members.join(root, attachment.network, member)
        try:
            with netlink.Netlink() as host:
                endpoint.attach(host, network, member, netns, default=not has_default(netns))
        except Error:
            members.leave(root, container.id, network.name)
            raise
    finally:
        os.close(netns)
    for line in told:
        print(f"mydocker: network {line}", file=sys.stderr, flush=True)


def has_default(netns: int) -> bool:
    """Whether a namespace has a default route."""
    from mydocker.linux import rtnetlink

    with netlink.inside(netns) as inner:
        return any(prefix == 0 for _, prefix, _ in rtnetlink.routes(inner))


def disconnect(root: str, word: str, name: str) -> None:
    """Take a container out of a network, now and for its next start."""
    container = Containers(root).find(name)
    with container.lock():
        wish = load(container)
        network = members.exists(root, word)
        rest = [have for have in wish.attachments if have.network != network]
        if len(rest) == len(wish.attachments):
            raise NotFound("network", word, f"{name} is not in it")
        members.leave(root, container.id, network)
        wish.attachments = rest
        save(container, wish)


def release(root: str, container: Container) -> None:
    """Release what a container has, for when its monitor cannot do it any more."""
    members.leave(root, container.id)


# What the command line shows and mends


def unused(root: str) -> list[str]:
    """The names of the networks that no container is in, whether it runs or not."""
    wanted = {
        attachment.network
        for container in Containers(root)
        for attachment in load(container).attachments
    }
    found = [network for network in Networks(root).all() if not network.living()]
    return [network.name for network in found if network.name not in wanted]


def reload(root: str, words: list[str]) -> list[str]:
    """Put networks in place again, all that there are if none is named; what to tell."""
    networks = Networks(root)
    told = []
    with networks.lock(), netlink.Netlink() as host:
        for network in [networks.find(word) for word in words] or networks.all():
            told += upkeep.reload(networks, host, network)
    return told


def endpoints(root: str, container: Container) -> list[tuple[Network, Endpoint]]:
    """The networks that a running container is in, and its place in each."""
    found = [(network, network.endpoint(container.id)) for network in Networks(root).all()]
    return [(network, member) for network, member in found if member and member.alive()]


def published(root: str, word: str) -> list[Port]:
    """The ports of the host that lead to a container."""
    container = Containers(root).find(word)
    return [port for _, member in endpoints(root, container) for port in member.ports]


def pairs(flag: str, items: list[str]) -> dict[str, str]:
    """NAME=VALUE words as a dict; a label may be a name alone."""
    found = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not name or (not separator and flag != "--label"):
            raise Usage(flag, item, "not NAME=VALUE")
        found[name] = value
    return found
