"""The vocabulary that all floors share: the fields of the OCI runtime specification that we use.

`mydocker run` builds a `Spec` from its flags and the image's configuration; everything below
runs a `Spec` and nothing else. The names are the specification's own (config.md, config-linux.md),
with Python's underscores here and OCI's camelCase in JSON: `masked_paths` is `maskedPaths`.

The classes are not dataclasses: that module imports `inspect`, and together they cost as much as
starting the whole interpreter (see docs/adr/0004-import-budget.md). `Struct` is the part of it
that we need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_: object) -> Callable[[T], T]:
        return lambda cls: cls


@dataclass_transform(kw_only_default=True)
class Struct:
    """A record with named fields: annotated class attributes, defaults, JSON both ways.

    A list, dict or record given as a default is made anew for each instance. `nested` says which
    fields hold other records, so that `from_json` can rebuild them:
    `{"process": Process, "mounts": [Mount]}`.
    """

    _fields: list[str]

    def __init__(self, **values: Any) -> None:
        for name in self.fields():
            if name in values:
                value = values.pop(name)
            elif hasattr(type(self), name):
                value = _fresh(getattr(type(self), name))
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
            setattr(self, name, value)
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    @classmethod
    def fields(cls) -> list[str]:
        """The names of the fields, base classes first, in the order they were written."""
        known: list[str] | None = cls.__dict__.get("_fields")
        if known is None:  # once a class: `ps` reads hundreds of records
            known = [
                name
                for base in reversed(cls.__mro__)
                for name in base.__dict__.get("__annotations__", ())
                if not name.startswith("_")
            ]
            cls._fields = known
        return known

    @classmethod
    def nested(cls) -> dict[str, Any]:
        """Fields that hold records: name to class, or to a list of one class."""
        return {}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields())
        return f"{type(self).__name__}({inner})"

    def to_json(self) -> dict[str, Any]:
        """A dict ready for `json.dumps`: OCI's camelCase names; fields that are None left out."""
        return {
            _camel(name): _plain(getattr(self, name))
            for name in self.fields()
            if getattr(self, name) is not None
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The record that `to_json` wrote; names it does not know are ignored, as OCI asks."""
        values: dict[str, Any] = {}
        nested = cls.nested()
        for name in cls.fields():
            key = _camel(name)
            if key not in data:
                continue
            value, kind = data[key], nested.get(name)
            if isinstance(kind, list):
                value = [kind[0].from_json(item) for item in value]
            elif kind is not None:
                value = kind.from_json(value)
            values[name] = value
        return cls(**values)


def _fresh(default: Any) -> Any:
    if isinstance(default, (list, dict)):
        return default.copy()
    return type(default)() if isinstance(default, Struct) else default


_CAMEL: dict[str, str] = {}


def _camel(name: str) -> str:
    found = _CAMEL.get(name)
    if found is None:
        first, *rest = name.split("_")
        found = _CAMEL[name] = first + "".join(word.capitalize() for word in rest)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return value.to_json()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


class IdMapping(Struct):
    """One line of /proc/PID/uid_map (user_namespaces(7)): ids inside, ids outside, how many."""

    container_id: int = 0
    host_id: int
    size: int


class User(Struct):
    """Who the process runs as. `username` is `-u`'s word, resolved inside the container's root."""

    uid: int = 0
    gid: int = 0
    additional_gids: list[int] = []
    username: str = ""


class Rlimit(Struct):
    """One getrlimit(2) limit: OCI's name (RLIMIT_NOFILE), soft and hard; -1 is unlimited."""

    type: str
    soft: int
    hard: int


class Capabilities(Struct):
    """The sets of capabilities(7) as names (CAP_CHOWN). Inheritable and ambient stay empty."""

    bounding: list[str] = []
    effective: list[str] = []
    permitted: list[str] = []


class Process(Struct):
    """What is executed, as whom, and with what (OCI config.md, Process)."""

    terminal: bool = False
    user: User = User()
    args: list[str] = []
    env: list[str] = []
    cwd: str = "/"
    capabilities: Capabilities = Capabilities()
    rlimits: list[Rlimit] = []
    no_new_privileges: bool = False
    oom_score_adj: int | None = None

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"user": User, "capabilities": Capabilities, "rlimits": [Rlimit]}


class Root(Struct):
    """The directory that becomes `/`, and whether it is read-only in the end."""

    path: str = ""
    readonly: bool = False


class Mount(Struct):
    """One mount, in the order made (OCI config.md, Mounts). `options` are mount(8)'s words."""

    destination: str
    type: str = "bind"
    source: str = ""
    options: list[str] = []


class Namespace(Struct):
    """A namespace to make (no path) or to join (a path such as /proc/PID/ns/net)."""

    type: str
    path: str = ""


class Device(Struct):
    """A device node to make: type `c` or `b`, numbers, mode, owner."""

    path: str
    type: str = "c"
    major: int
    minor: int
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


class Throttle(Struct):
    """A block device by its numbers, and a rate: bytes or operations per second."""

    major: int
    minor: int
    rate: int


class Resources(Struct):
    """The limits of a control group, in Docker's units, None where nothing was asked.

    memory and memory_swap: bytes (memory_swap is memory plus swap; -1 is unlimited);
    cpu_shares: 2 to 262144; cpu_quota and cpu_period: microseconds; cpuset_cpus and cpuset_mems:
    lists such as 0-2,4; pids_limit: a count (-1 is unlimited); blkio_weight: 10 to 1000;
    the throttles: a rate for each device.
    """

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    read_bps: list[Throttle] = []
    write_bps: list[Throttle] = []
    read_iops: list[Throttle] = []
    write_iops: list[Throttle] = []
    devices: list[str] = []

    @classmethod
    def nested(cls) -> dict[str, Any]:
        rates = ("read_bps", "write_bps", "read_iops", "write_iops")
        return {name: [Throttle] for name in rates}


class Linux(Struct):
    """What only Linux has (OCI config-linux.md)."""

    namespaces: list[Namespace] = []
    uid_mappings: list[IdMapping] = []
    gid_mappings: list[IdMapping] = []
    devices: list[Device] = []
    cgroups_path: str = ""
    resources: Resources = Resources()
    sysctl: dict[str, str] = {}
    rootfs_propagation: str = "private"
    masked_paths: list[str] = []
    readonly_paths: list[str] = []

    @property
    def host_root(self) -> tuple[int, int]:
        """Uid and gid on the host of the container's root: 0 and 0 without an id mapping."""
        if not self.uid_mappings:
            return 0, 0
        uid = next(m.host_id for m in self.uid_mappings if m.container_id == 0)
        return uid, next(m.host_id for m in self.gid_mappings if m.container_id == 0)

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {
            "namespaces": [Namespace],
            "uid_mappings": [IdMapping],
            "gid_mappings": [IdMapping],
            "devices": [Device],
            "resources": Resources,
        }


class Spec(Struct):
    """One container, whole: what `config.json` of an OCI bundle says."""

    oci_version: str = "1.1.0"
    process: Process = Process()
    root: Root = Root()
    hostname: str = ""
    mounts: list[Mount] = []
    linux: Linux = Linux()
    annotations: dict[str, str] = {}

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"process": Process, "root": Root, "mounts": [Mount], "linux": Linux}
