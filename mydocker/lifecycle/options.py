"""What `run` and `create` are asked for, and the OCI spec that this becomes.

One code path: flags and the image's configuration go in here, a `Spec` comes out, and everything
below runs that spec without knowing about flags (architecture: one path from Spec to process).
"""

from __future__ import annotations

import os

from mydocker.errors import Corrupt, NotFound, Usage
from mydocker.lifecycle import defaults
from mydocker.linux import capabilities, files, jsontext
from mydocker.rootfs import volumes
from mydocker.spec import (
    Capabilities,
    IdMapping,
    Linux,
    Mount,
    Process,
    Resources,
    Rlimit,
    Root,
    Spec,
    Struct,
    User,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.store import Image


class Options(Struct):
    """The flags of `mydocker run`, one field each; None means that the flag was not given."""

    image: str | None = None
    words: list[str] = []
    name: str | None = None
    detach: bool = False
    tty: bool = False
    interactive: bool = False
    rm: bool = False
    restart: str | None = None
    health_cmd: str | None = None
    health_interval: str | None = None
    health_timeout: str | None = None
    health_start_period: str | None = None
    health_retries: int | None = None
    no_healthcheck: bool = False
    init: bool = False
    cidfile: str | None = None
    sig_proxy: bool = True
    env: list[str] = []
    env_file: list[str] = []
    workdir: str | None = None
    user: str | None = None
    hostname: str | None = None
    entrypoint: str | None = None
    volume: list[str] = []
    volumes_from: list[str] = []
    mount: list[str] = []
    tmpfs: list[str] = []
    read_only: bool = False
    shm_size: int = 64 << 20
    resources: Resources = Resources()
    ulimit: list[str] = []
    sysctl: list[str] = []
    cap_add: list[str] = []
    cap_drop: list[str] = []
    privileged: bool = False
    security_opt: list[str] = []
    oom_score_adj: int | None = None
    userns: str | None = None
    network: str = "default"
    publish: list[str] = []
    publish_all: bool = False
    ip: str = ""
    mac_address: str = ""
    network_alias: list[str] = []
    dns: list[str] = []
    dns_search: list[str] = []
    dns_option: list[str] = []
    add_host: list[str] = []
    label: list[str] = []
    label_file: list[str] = []
    log_driver: str = "json-file"
    log_opt: list[str] = []
    stop_signal: str | None = None
    stop_timeout: int | None = None
    cgroup_parent: str = "/mydocker"
    files: dict[str, str] = {}

    def networked(self) -> bool:
        """Whether anything of the network's was asked for, and network/ is needed."""
        names = (self.dns, self.dns_search, self.dns_option, self.add_host, self.network_alias)
        ports = self.publish or self.publish_all or self.ip or self.mac_address
        return bool(self.network != "none" or ports or any(names))


def default_network(root: str, options: Options) -> str:
    """The network of who asked for none by name.

    Who publishes a port needs one that can be reached; else `default_network` in the configuration
    (`<root>/config.json`) or MYDOCKER_DEFAULT_NETWORK says it, and without these it is none, as in
    the book.
    """
    if options.publish or options.publish_all:
        return "bridge"
    name = os.environ.get("MYDOCKER_DEFAULT_NETWORK")
    path = f"{root}/config.json"
    if not name and os.path.exists(path):
        try:
            name = jsontext.loads(files.read(path)).get("default_network")
        except (ValueError, AttributeError):
            raise Corrupt("configuration", path, "is not a JSON object") from None
    return str(name or "none")


def spec(options: Options, image: Image, container_id: str, root: str) -> Spec:
    """The OCI spec of a container: Docker's defaults, the image's configuration, then the flags.

    `root` is the directory that its mount namespace will use as `/`.
    """
    mappings = id_mappings(options.userns)
    names = capabilities.choose(options.cap_add, options.cap_drop, options.privileged)
    own_name = container_id[:12] if options.network != "host" else os.uname().nodename
    hostname = options.hostname or own_name
    resources = options.resources
    resources.devices = [] if options.privileged else defaults.DEVICE_RULES
    return Spec(
        process=Process(
            terminal=options.tty,
            user=User(username=options.user or image.config.config.user),
            args=arguments(options, image),
            env=environment(options, image, hostname),
            cwd=options.workdir or image.config.config.working_dir or "/",
            capabilities=Capabilities(bounding=names, effective=names, permitted=names),
            rlimits=[parse_ulimit(text) for text in options.ulimit],
            no_new_privileges=no_new_privileges(options.security_opt),
            oom_score_adj=options.oom_score_adj,
        ),
        root=Root(path=root, readonly=options.read_only),
        hostname=hostname,
        mounts=mounts(options, image),
        linux=Linux(
            namespaces=defaults.namespaces(options.network != "host", bool(mappings)),
            uid_mappings=mappings,
            gid_mappings=mappings,
            devices=defaults.devices() + (defaults.host_devices() if options.privileged else []),
            cgroups_path=f"{options.cgroup_parent}/{container_id}",
            resources=resources,
            sysctl=sysctls(options),
            masked_paths=[] if options.privileged else defaults.MASKED_PATHS,
            readonly_paths=[] if options.privileged else defaults.READONLY_PATHS,
        ),
    )


def arguments(options: Options, image: Image) -> list[str]:
    """The words to execute: entrypoint, then the command given, else the image's own."""
    config = image.config.config
    if options.entrypoint is not None:
        entry = [options.entrypoint] if options.entrypoint else []
        words = entry + options.words
    else:
        words = config.entrypoint + (options.words or config.cmd)
    if not words:
        raise Usage("run", options.image or "image", "no command given, and the image has none")
    return list(words)


def environment(options: Options, image: Image, hostname: str) -> list[str]:
    """Docker's few variables, the image's, the files', then `-e`; never the host's environment."""
    found = [f"PATH={defaults.PATH}", f"HOSTNAME={hostname}"] + ["TERM=xterm"] * options.tty
    return with_variables(found + image.config.config.env, options.env_file, options.env)


def with_variables(base: list[str], files: list[str], given: list[str]) -> list[str]:
    """NAME=VALUE words, then those of `--env-file`s, then those of `-e`: the last of a name counts.

    `-e NAME` without a value takes that one variable from the caller; if it is not set there, it is
    not set in the container either.
    """
    found: dict[str, str] = {}
    for item in [*base, *(line for path in files for line in read_env_file(path)), *given]:
        name, separator, value = item.partition("=")
        if not name or "\0" in item:
            raise Usage("environment", item, "not NAME=VALUE")
        if separator:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
        else:
            found.pop(name, None)
    return [f"{name}={value}" for name, value in found.items()]


def read_env_file(path: str, flag: str = "env-file") -> list[str]:
    """The lines of an `--env-file`: NAME=VALUE, blank lines and # comments left out.

    Blanks before a name do not count; those after a value belong to it, as with Docker.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.lstrip().rstrip("\n") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        why = (
            error.strerror.lower() if isinstance(error, OSError) and error.strerror else "not UTF-8"
        )
        raise NotFound(flag, path, why) from None
    return [line for line in lines if line and not line.startswith("#")]


def mounts(options: Options, image: Image) -> list[Mount]:
    """Docker's mounts, then the user's, parents first; a user's mount replaces a default one.

    Volumes come with the type `volume`: which directories they are is settled in volumes.py.
    """
    asked = [volumes.parse_volume(text) for text in options.volume]
    if options.mount or options.tmpfs:
        from mydocker.rootfs import mountflag

        asked += [mountflag.parse_mount(text) for text in options.mount]
        asked += [mountflag.parse_tmpfs(text) for text in options.tmpfs]
    targets = [mount.destination for mount in asked]
    for target in targets:
        if targets.count(target) > 1:
            raise Usage("volume", target, "is given twice")
    if image.config.config.volumes:
        own_volumes = volumes.of_image(list(image.config.config.volumes))
        asked += [mount for mount in own_volumes if mount.destination not in targets]
        targets = [mount.destination for mount in asked]
    own = defaults.mounts(options.shm_size, read_only_sys=not options.privileged)
    return [m for m in own if m.destination not in targets] + volumes.in_order(asked)


def id_mappings(word: str | None) -> list[IdMapping]:
    """`--userns auto` or `--userns FIRST[:SIZE]`: the ids outside behind 0 to 65535 inside."""
    if word in (None, "", "host"):
        return []
    first, _, size = ("100000:65536" if word == "auto" else str(word)).partition(":")
    size = size or "65536"
    if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in (first, size)):
        raise Usage("--userns", str(word), "not host, auto or FIRST[:SIZE]")
    if not int(first) or not int(size) or int(first) + int(size) >= 1 << 32:
        raise Usage("--userns", str(word), "not a range of ids above 0 and below 4294967295")
    return [IdMapping(container_id=0, host_id=int(first), size=int(size))]


def parse_ulimit(text: str) -> Rlimit:
    """`--ulimit nofile=1024[:2048]` as a getrlimit(2) limit."""
    import resource

    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    kind = f"RLIMIT_{name.upper()}"
    if not hasattr(resource, kind):
        raise Usage("--ulimit", text, f"no limit is called {name!r}", hint="see getrlimit(2)")
    try:
        low, high = int(soft), int(hard or soft)
    except ValueError:
        raise Usage("--ulimit", text, "not NAME=SOFT[:HARD]") from None
    if low < -1 or high < -1 or (high != -1 and (low == -1 or low > high)):
        raise Usage("--ulimit", text, "the soft limit is above the hard one")
    return Rlimit(type=kind, soft=low, hard=high)


def no_new_privileges(words: list[str]) -> bool:
    """Whether `--security-opt no-new-privileges` was given; other options are refused by name."""
    wanted = False
    for word in words:
        name, _, value = word.replace(":", "=").partition("=")
        if name != "no-new-privileges" or value not in ("", "true", "false"):
            raise Usage("--security-opt", word, "not supported", hint="no-new-privileges is")
        wanted = value != "false"
    return wanted


def pairs(flag: str, items: list[str]) -> dict[str, str]:
    """NAME=VALUE words as a dict; one without `=` is an error, except for labels."""
    found = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not name or (not separator and flag != "label"):
            raise Usage(f"--{flag}", item, "not NAME=VALUE")
        found[name] = value
    return found


def labels(options: Options) -> dict[str, str]:
    """`--label-file`, then `--label`, which wins."""
    lines = [line for path in options.label_file for line in read_env_file(path, "label-file")]
    return pairs("label", lines) | pairs("label", options.label)


def sysctls(options: Options) -> dict[str, str]:
    """`--sysctl`: only what a namespace of the container's has of its own; others are the host's.

    Also no `/` or `..` in the name: it becomes a path (CVE-2022-0811 was such an injection).
    """
    found = pairs("sysctl", options.sysctl)
    for name in found:
        ours = name.startswith(("fs.mqueue.", "kernel.msg", "kernel.shm")) or name == "kernel.sem"
        if not (ours or name.startswith("net.")) or "/" in name or ".." in name:
            raise Usage(
                "--sysctl", name, "does not belong to a namespace", hint="net.* and kernel.shm* do"
            )
        if not ours and options.network == "host":
            raise Usage("--sysctl", name, "is the host's own with --network host")
    return found
