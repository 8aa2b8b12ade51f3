"""Create a container from flags and an image, and run it (the book's 3.1, 5.1)."""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Error, KernelError, NotFound, Usage, as_error
from mydocker.lifecycle import logoptions, names, options
from mydocker.lifecycle.container import Container, Healthcheck, now
from mydocker.lifecycle.containers import NEW, Containers
from mydocker.lifecycle.monitor import Monitor, explain_not_found, hold_signals
from mydocker.lifecycle.options import Options
from mydocker.lifecycle.repair import put_right
from mydocker.lifecycle.stdio import Stdio, check_terminal
from mydocker.linux import signals
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.store import Image
    from mydocker.spec import Spec

DEFAULT_IMAGE = "busybox"


def run(root: str, asked: Options) -> int:
    """Create a container and run it; in the foreground its exit code is returned.

    The first word of `asked.words` is the image if there is one of that name. If not, it is a
    command in the default image, as the book types it.
    """
    if not asked.detach:
        check_terminal(asked.tty, asked.interactive)
    store, containers = Store(root), Containers(root)
    with store.hold():  # until the record says that its image is in use
        image, implicit = choose_image(store, asked)
        container, spec = describe(containers, asked, image)
        monitor = Monitor(containers, container, spec)
        hold_signals()
        container.watched_by(os.getpid())
        create(containers, container, spec, asked)
    stdio = Stdio(asked.tty, asked.interactive, foreground=not asked.detach)
    try:
        code = launch(monitor, stdio, asked.sig_proxy)
    except Error as error:
        raise explain_not_found(error, implicit, DEFAULT_IMAGE) from None
    if asked.detach:
        print(container.id)
    return code


def launch(monitor: Monitor, stdio: Stdio, sig_proxy: bool = True) -> int:
    """Be the container's monitor and return its exit code, or leave one behind and return 0."""
    try:
        if stdio.foreground:
            return monitor.run(stdio, started=lambda: None, sig_proxy=sig_proxy)
        from mydocker.lifecycle.detach import detach

        detach(lambda started: monitor.run(stdio, started))
    except (Error, OSError) as error:
        told = as_error(error, "run")
        give_up(monitor, told)
        raise told from None
    return 0


def create_only(root: str, asked: Options) -> str:
    """`mydocker create`: all of `run` but the running; the new container's id."""
    store, containers = Store(root), Containers(root)
    with store.hold():
        image, _ = choose_image(store, asked)
        container, spec = describe(containers, asked, image)
        create(containers, container, spec, asked)
    return container.id


def give_up(monitor: Monitor, error: Error) -> None:
    """Write down that the container did not start, if its monitor could not do it itself."""
    containers = monitor.containers
    try:
        container = containers.load(monitor.container.id)
        if container.monitor_pid == os.getpid() and container.status == "created":
            monitor.failed(error)  # there never was a monitor
        elif container.monitor_pid != os.getpid():
            put_right(containers, container)
    except NotFound:  # it was to be removed, and is
        pass
    except Error as failed:
        error.add_note(f"and then: {failed}")


def choose_image(store: Store, asked: Options) -> tuple[Image, str]:
    """The image to run, and the word that was taken for a command for want of such an image.

    Takes the image's name off `asked.words`.
    """
    word = asked.words[0] if asked.words else ""
    if asked.image is None and word:
        image = store.find(word)
        if image:
            asked.image = asked.words.pop(0)
            return image, ""
    found = store.find(asked.image or DEFAULT_IMAGE)
    if found is None:
        hint = "sudo make setup builds it" if asked.image is None else "mydocker images lists them"
        raise NotFound("image", asked.image or DEFAULT_IMAGE, "no such image", hint=hint)
    implicit = "" if asked.image else word
    asked.image = asked.image or DEFAULT_IMAGE
    return found, implicit


def describe(containers: Containers, asked: Options, image: Image) -> tuple[Container, Spec]:
    """The record and the spec of a new container; nothing is made yet, what is wrong is refused."""
    container_id = os.urandom(32).hex()
    directory = f"{containers.root}/containers/{container_id}"
    name = names.check(asked.name) if asked.name is not None else names.invent()
    if asked.network == "default":
        asked.network = options.default_network(containers.root, asked)
    spec = options.spec(asked, image, container_id, f"{directory}/rootfs")
    policy, most = restart_policy(asked)
    log_opts = options.pairs("log-opt", asked.log_opt)
    logoptions.check(asked.log_driver, log_opts)
    if asked.networked():
        from mydocker.lifecycle import netplan, netspec

        wish = netplan.plan(containers, asked, image)
        netspec.prepare(spec, wish, containers, directory)
        asked.files[netplan.FILE] = netplan.text(wish)
    stop_signal = asked.stop_signal or image.config.config.stop_signal or "SIGTERM"
    container = Container(
        id=container_id,
        name=name,
        image=asked.image or DEFAULT_IMAGE,
        image_id=image.id,
        layers=image.layers,
        command=spec.process.args,
        created=now(),
        tty=asked.tty,
        open_stdin=asked.interactive,
        auto_remove=asked.rm,
        init=asked.init,
        stop_signal=parse_signal(stop_signal),
        stop_timeout=10 if asked.stop_timeout is None else asked.stop_timeout,
        cgroup_parent=asked.cgroup_parent,
        healthcheck=healthcheck(asked, image),
        restart_policy=policy,
        restart_most=most,
        labels={**image.config.config.labels, **options.labels(asked)},
        log_driver=asked.log_driver,
        log_opts=log_opts,
    )
    return container, spec


def restart_policy(asked: Options) -> tuple[str, int]:
    """The policy of `--restart`, and how often at most."""
    if asked.restart in (None, "no"):
        return "no", 0
    from mydocker.lifecycle import restart

    policy, most = restart.parse(asked.restart)
    if asked.rm and policy != "no":
        raise Usage("run", "--restart", "does not go with --rm")
    return policy, most


def healthcheck(asked: Options, image: Image) -> Healthcheck:
    """How the container's health is asked for, by the flags and by the image."""
    own = image.config.config.healthcheck
    names = [name for name in asked.fields() if name.startswith("health_")]
    if not (own or asked.no_healthcheck or any(getattr(asked, n) is not None for n in names)):
        return Healthcheck()
    from mydocker.lifecycle import health

    return health.wanted(asked, own)


def create(containers: Containers, container: Container, spec: Spec, asked: Options) -> None:
    """Write the record and the spec; nothing of the kernel's is made yet."""
    settle_volumes = None
    if asked.volumes_from or any(mount.type == "volume" for mount in spec.mounts):
        from mydocker.lifecycle import volumes

        settle_volumes = volumes.settle(containers, container, spec, asked.volumes_from)
    add(containers, container, spec, asked.files, invented=asked.name is None)
    if settle_volumes:
        settle_volumes()
    if asked.cidfile:
        try:
            write_cidfile(asked.cidfile, container.id)
        except Error:
            containers.discard(container)
            raise


def add(
    containers: Containers, container: Container, spec: Spec, more: dict[str, str], invented: bool
) -> None:
    """Add the record. A name that we invented is invented again when it is taken; one that was
    asked for may be held by a container that only a crash has kept from being removed."""
    for _ in range(10):
        try:
            containers.add(container, spec, more)
            return
        except Conflict:
            if not invented and holds(containers, container.name):
                raise
        if invented:
            container.name = names.invent()
    raise Conflict("name", container.name, "is taken again and again")


def holds(containers: Containers, name: str) -> bool:
    """Whether a container really has the name; what a crash left of one is cleared away."""
    owner = containers.owner(name)
    try:
        return put_right(containers, containers.load(owner)) is not None
    except NotFound:
        containers.clear(owner + NEW)
        return containers.exists(owner)


def parse_signal(word: str) -> str:
    """A signal by name or number, as SIGTERM."""
    name = word.upper()
    if name.isdigit() and int(name) in set(signals.NUMBERS.values()):
        return signals.name_of(int(name))
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signals.NUMBERS:
        raise Usage("signal", word, "no such signal")
    return name


def write_cidfile(path: str, container_id: str) -> None:
    """Write the id to a file that must be new, so that no two runs share one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise KernelError.of(error, "--cidfile", path) from None
    try:
        os.write(fd, container_id.encode())
    except OSError as error:
        os.unlink(path)
        raise KernelError.of(error, "--cidfile", path) from None
    finally:
        os.close(fd)
