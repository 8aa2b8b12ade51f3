"""pull: what a registry has comes here whole, or not at all, and a clear word says why."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.errors import Error, Usage
from mydocker.linux import syscalls
from mydocker.rootfs import registries
from mydocker.rootfs.pull import pull
from mydocker.rootfs.store import Store
from tests.conftest import LAUNCHER, Mydocker
from tests.integration.private_mounts import privately, tmpfs
from tests.integration.registries import (
    HTPASSWD,
    PASSWORD,
    USER,
    Front,
    Registry,
    Request,
    answering,
)
from tests.integration.test_layers import archive, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

BIG = 3_000_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with images to push: `big` has four layers, three of them too big to be one read."""
    store = Store(str(tmp_path_factory.mktemp("source")))
    image = None
    for number in range(4):
        content = os.urandom(BIG if number else 10)
        data = io.BytesIO(archive(entry(b"file%d" % number, content=content)))
        image = store.add(image, lambda data=data: data.read(65536), "big")  # type: ignore[misc]  # each its own
    data = io.BytesIO(archive(entry(b"file", content=b"small")))
    store.import_rootfs(data, "small", ["ENV A=b"])
    return store


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, source: Store) -> Iterator[Registry]:
    """A registry that has both."""
    with Registry(tmp_path_factory.mktemp("registry")) as started:
        started.push(source, "big", "team/big:1")
        started.push(source, "small", "library/small:latest")
        yield started


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Mydocker]:
    """A mydocker without images, whose user has no credentials; nothing may be left half-way."""
    instance = Mydocker(tmp_path)
    instance.environment |= {"DOCKER_CONFIG": f"{tmp_path}/docker"}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "MYDOCKER_REGISTRY"):
        instance.environment.pop(name, None)
    yield instance
    checked = instance.run("system", "check")
    assert checked.returncode == 0, checked.stdout
    assert not list(instance.root.glob("images/tmp/*"))


def store_of(mydocker: Mydocker) -> Store:
    return Store(str(mydocker.root))


def the_same(mydocker: Mydocker, name: str, source: Store, of: str = "big") -> None:
    image = store_of(mydocker).get(name)
    assert image.id == source.get(of).id
    store_of(mydocker).verify(image)


# What comes, and what it is called


def test_an_image_is_pulled_once_and_known_by_its_digest(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    name = f"{registry.host}/team/big"
    said = empty.ok("pull", f"{name}:1").splitlines()
    digest = said[1].removeprefix("Digest: ")
    assert said == [
        "1: Pulling from team/big",
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {name}:1",
        f"{name}:1",
    ]
    the_same(empty, f"{name}:1", source)
    assert empty.ok("pull", f"{name}:1").splitlines()[2] == (
        f"Status: Image is up to date for {name}:1"
    )
    assert empty.ok("pull", "-q", f"{name}@{digest}") == f"{name}@{digest}\n"
    listed = empty.ok("images", "--digests").splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [[name, "1", digest]]
    the_same(empty, f"{name}@{digest}", source)
    empty.ok("tag", f"{name}@{digest}", "mine")
    assert empty.ok("rmi", f"{name}:1").splitlines() == [
        f"Untagged: {name}:1",
        f"Untagged: {name}@{digest}",
    ]
    assert "no such image" in empty.fails(125, "history", f"{name}@{digest}")
    the_same(empty, "mine", source)


def test_by_digest_alone_it_has_no_tag(empty: Mydocker, registry: Registry, source: Store) -> None:
    digest = registry.push(source, "small", "team/digest:1")
    name = f"{registry.host}/team/digest"
    empty.ok("pull", f"{name}@{digest}")
    (line,) = empty.ok("images", "--digests").splitlines()[1:]
    assert line.split()[:3] == [name, "<none>", digest]
    assert "is not a sha256 digest" not in empty.ok("image", "inspect", f"{name}@{digest}")
    other = "sha256:" + "a" * 64
    assert "has no such image" in empty.fails(125, "pull", f"{name}@{other}")


def test_a_newer_image_takes_the_name_and_the_older_is_dangling(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    name = f"{registry.host}/team/moving:1"
    registry.push(source, "small", "team/moving:1")
    empty.ok("pull", name)
    registry.push(source, "big", "team/moving:1")
    assert "Downloaded newer image" in empty.ok("pull", name)
    the_same(empty, name, source)
    (old,) = [image for image in store_of(empty).images() if not image.names]
    assert old.id == source.get("small").id
    assert f"sha256:{old.id[7:]}" in empty.ok("image", "prune", "-f")
    assert len(store_of(empty).images()) == 1


def test_short_names_are_those_of_the_registry_that_stands_for_docker_hub(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    with Front(registry, lambda _: False) as front:
        said = empty.ok("pull", "small", MYDOCKER_REGISTRY=front.host)
        assert said.splitlines()[-1] == "docker.io/library/small:latest"
        assert front.asked[0][0] == "/v2/library/small/manifests/latest"
    the_same(empty, "small", source, "small")
    (empty.root / "registries.json").write_text(json.dumps({"registry": registry.host}))
    assert "up to date" in empty.ok("pull", "docker.io/library/small")


def test_all_images_of_a_call_are_pulled(empty: Mydocker, registry: Registry) -> None:
    names = [f"{registry.host}/team/big:1", f"{registry.host}/library/small:latest"]
    assert empty.ok("pull", "-q", *names).split() == names


# run --pull


def test_run_pulls_what_is_missing_only_where_a_registry_is_configured(
    mydocker: Mydocker, registry: Registry
) -> None:
    store = store_of(mydocker)
    registry.push(store, "busybox", "library/parrot:latest")
    mydocker.environment |= {"DOCKER_CONFIG": "/nope"}
    line = mydocker.fails(127, "run", "--rm", "parrot", "echo", "hello")
    assert "parrot" in line
    done = mydocker.run("run", "--rm", "parrot", "echo", "hi", MYDOCKER_REGISTRY=registry.host)
    assert (done.returncode, done.stdout) == (0, "hi\n")
    assert "Downloaded newer image for parrot:latest" in done.stderr
    done = mydocker.run("run", "--rm", "parrot", "echo", "hi", MYDOCKER_REGISTRY=registry.host)
    assert (done.returncode, done.stderr) == (0, "")
    # A command of the default image is not looked for in a registry, as the book has it.
    with Front(registry, lambda _: False) as front:
        assert mydocker.ok("run", "--rm", "echo", "x", MYDOCKER_REGISTRY=front.host) == "x\n"
        assert front.asked == []
        line = mydocker.fails(127, "run", "--rm", "nobody", MYDOCKER_REGISTRY=front.host)
        assert "nobody" in line
        assert len(front.asked) == 1


def test_pull_never_missing_and_always(mydocker: Mydocker, registry: Registry) -> None:
    store = store_of(mydocker)
    registry.push(store, "busybox", "team/parrot:1")
    with Front(registry, lambda _: False) as front:
        name = f"{front.host}/team/parrot:1"
        mydocker.fails(127, "run", "--rm", "--pull", "never", name, MYDOCKER_REGISTRY=front.host)
        assert front.asked == []
        for when, asks in (("missing", True), ("missing", False), ("always", True)):
            front.asked.clear()
            done = mydocker.run("run", "--rm", "--pull", when, name, "echo", "hi")
            assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr
            assert bool(front.asked) == asks, when
        for words in (
            ("always", f"{front.host}/nope"),
            ("missing", "--image", f"{front.host}/nope"),
        ):
            done = mydocker.run("run", "--rm", "--pull", *words)
            assert done.returncode == 125
            assert "has no such image" in done.stderr


# Who asks


def login(mydocker: Mydocker, config: dict[str, object]) -> None:
    directory = Path(mydocker.environment["DOCKER_CONFIG"])
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))


def auth(user: str = USER, password: str = PASSWORD) -> dict[str, object]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_credentials_of_docker_login_are_shown_where_they_are_asked_for(
    empty: Mydocker, source: Store, tmp_path: Path
) -> None:
    with Registry(tmp_path / "registry", htpasswd=HTPASSWD) as registry:
        registry.push(source, "small", "team/small:1")
        name = f"{registry.host}/team/small:1"
        assert "wants a password" in empty.fails(125, "pull", name)
        login(empty, {"auths": {registry.host: auth(password="wrong")}})
        assert "does not give it to us" in empty.fails(125, "pull", name)
        login(empty, {"auths": {"elsewhere.example": auth()}})
        assert "wants a password" in empty.fails(125, "pull", name)
        login(empty, {"auths": {registry.host: {"auth": "%%%"}}})
        assert "is not base64" in empty.fails(125, "pull", name)
        login(empty, {"auths": {registry.host: auth()}})
        empty.ok("pull", name)
        the_same(empty, name, source, "small")


def test_a_helper_program_is_asked_for_credentials(
    empty: Mydocker, source: Store, tmp_path: Path
) -> None:
    helper = tmp_path / "bin/docker-credential-safe"
    helper.parent.mkdir()
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    with Registry(tmp_path / "registry", htpasswd=HTPASSWD) as registry:
        registry.push(source, "small", "team/small:1")
        login(empty, {"credsStore": "safe"})
        name = f"{registry.host}/team/small:1"
        assert "docker-credential-safe: is not installed" in empty.fails(125, "pull", name)
        empty.ok("pull", name, PATH=f"{helper.parent}:{os.environ['PATH']}")
        assert (tmp_path / "asked").read_text() == registry.host


class Guard:
    """Asks for a token before it lets anybody in: distribution's "Token Authentication"."""

    def __init__(self) -> None:
        self.tokens = 0
        self.basic: list[str] = []
        self.bodies: list[str] = []
        self.realm = ""

    def __call__(self, request: Request) -> bool:
        if request.path.startswith("/token"):
            length = int(request.headers.get("Content-Length", "0"))
            self.bodies.append(request.rfile.read(length).decode())
            self.basic.append(request.headers.get("Authorization", ""))
            self.tokens += 1
            request.answer(200, json.dumps({"token": f"t{self.tokens}"}).encode())
            return True
        if request.headers.get("Authorization") == f"Bearer t{self.tokens}" and self.tokens:
            return False
        realm = self.realm or f"http://{request.server.host}/token"
        scope = "repository:library/small:pull"
        challenge = f'Bearer realm="{realm}",service="here",scope="{scope}"'
        request.answer(401, b"", {"WWW-Authenticate": challenge})
        return True


def test_a_token_is_fetched_anonymously_or_with_the_credentials(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    guard = Guard()
    with Front(registry, guard) as front:
        name = f"{front.host}/library/small:latest"
        empty.ok("pull", name)
        the_same(empty, name, source, "small")
        asked = [path for path, _ in front.asked if path.startswith("/token")]
        assert asked == ["/token?service=here&scope=repository%3Alibrary%2Fsmall%3Apull"]
        assert guard.basic == [""]
        empty.ok("rmi", name)
        login(empty, {"auths": {front.host: auth()}})
        empty.ok("pull", name)
        assert guard.basic[1:] == ["Basic " + base64.b64encode(b"anna:open sesame").decode()]
        empty.ok("rmi", name)
        login(empty, {"auths": {front.host: {"identitytoken": "id&t"}}})
        empty.ok("pull", name)
        assert "refresh_token=id%26t" in guard.bodies[-1]
        guard.realm = "http://203.0.113.1/token"
        guard.tokens = 0
        line = empty.fails(125, "pull", name)
        assert "sends us to http://203.0.113.1/token" in line


def test_a_token_that_expires_half_way_is_renewed(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    guard = Guard()

    def handle(request: Request) -> bool:
        if "/blobs/" in request.path and guard.tokens == 1:
            guard.tokens += 1  # the old one is not good any more
        return guard(request)

    with Front(registry, handle) as front:
        empty.ok("pull", f"{front.host}/team/big:1")
        the_same(empty, f"{front.host}/team/big:1", source)


def test_a_redirect_learns_nothing_of_who_asks(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    seen: list[str | None] = []

    def elsewhere(request: Request) -> bool:
        seen.append(request.headers.get("Authorization"))
        return False

    guard = Guard()
    with Front(registry, elsewhere) as other, Front(registry, lambda _: False) as front:

        def handle(request: Request) -> bool:
            if guard(request):
                return True
            if "/blobs/" in request.path:
                request.answer(307, b"", {"Location": f"http://{other.host}{request.path}"})
                return True
            return False

        front.handle = handle
        login(empty, {"auths": {front.host: auth()}})
        empty.ok("pull", f"{front.host}/library/small:latest")
        assert seen
        assert set(seen) == {None}
        front.handle = answering(302, b"", {"Location": "http://203.0.113.1/x"})
        assert "sends us to http://203.0.113.1/x" in empty.fails(125, "pull", f"{front.host}/x")
        front.handle = answering(302, b"", {"Location": "/v2/x/manifests/latest"})
        assert "from one address to the next" in empty.fails(125, "pull", f"{front.host}/x")


# What may go wrong on the way


def test_a_connection_that_breaks_goes_on_where_it_was(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    cut: set[str] = set()

    def handle(request: Request) -> bool:
        if "/blobs/" in request.path and request.path not in cut:
            cut.add(request.path)
            request.pass_on(cut=1_000_000)
            return True
        return False

    with Front(registry, handle) as front:
        empty.ok("pull", f"{front.host}/team/big:1")
        the_same(empty, f"{front.host}/team/big:1", source)
        ranges = [r for _, r in front.asked if r]
        assert len(ranges) == 3
        assert all(500_000 < int(r.removeprefix("bytes=").rstrip("-")) <= 1_000_000 for r in ranges)


def test_a_server_without_ranges_begins_again(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    cut: set[str] = set()

    def handle(request: Request) -> bool:
        first = "/blobs/" in request.path and request.path not in cut
        cut.add(request.path)
        request.pass_on(cut=1_000_000 if first else -1, ranges=False)
        return True

    with Front(registry, handle) as front:
        empty.ok("pull", f"{front.host}/team/big:1")
        the_same(empty, f"{front.host}/team/big:1", source)


def test_a_connection_that_always_breaks_is_given_up(empty: Mydocker, registry: Registry) -> None:
    def handle(request: Request) -> bool:
        if "/blobs/" in request.path and not request.headers.get("Range"):
            request.pass_on(cut=1_000_000)
        elif "/blobs/" in request.path:
            request.close_connection = True
        else:
            return False
        return True

    with Front(registry, handle) as front:
        line = empty.fails(125, "pull", f"{front.host}/team/big:1")
        assert "the connection broke 5 times, " in line
        assert "of 3001856 bytes came" in line
    assert empty.ok("images", "-q") == ""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("blob", "mydocker: layer: "),
        ("config", "sent sha256:"),
        ("manifest", "sent a manifest with the digest sha256:"),
        ("huge", "a document of more than 4 MiB"),
        ("garbage", "is not JSON"),
    ],
)
def test_what_is_not_what_its_digest_says_is_thrown_away(
    what: str, said: str, empty: Mydocker, registry: Registry, source: Store
) -> None:
    digest = registry.push(source, "big", "team/altered:1")
    config = source.get("big").id

    def handle(request: Request) -> bool:
        kind = "manifest" if "/manifests/" in request.path else "blob"
        kind = "config" if config in request.path else kind
        if what in ("huge", "garbage") and kind == "manifest":
            request.answer(200, b" " * (5 << 20) if what == "huge" else b"<html>")
        elif what == kind:
            request.pass_on(alter=True)
        else:
            return False
        return True

    with Front(registry, handle) as front:
        name = f"{front.host}/team/altered"
        word = f"{name}@{digest}" if what == "manifest" else f"{name}:1"
        assert said in empty.fails(125, "pull", word)
    assert empty.ok("images", "-q") == ""


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "has no such image: not today"),
        (403, "does not give it to us: not today"),
        (429, "has had too many requests"),
        (418, "answers 418: not today"),
    ],
)
def test_an_answer_that_is_no_image_is_told_with_its_reason(
    status: int, said: str, empty: Mydocker, registry: Registry
) -> None:
    told = json.dumps({"errors": [{"code": "X", "message": "not today"}]}).encode()
    with Front(registry, answering(status, told)) as front:
        assert said in empty.fails(125, "pull", f"{front.host}/x")
        assert len(front.asked) == 1


def test_a_server_in_trouble_is_asked_again(
    empty: Mydocker, registry: Registry, source: Store
) -> None:
    def handle(request: Request) -> bool:
        if len(request.server.asked) > 2:
            return False
        request.answer(503)
        return True

    with Front(registry, handle) as front:
        empty.ok("pull", f"{front.host}/library/small:latest")
    the_same(empty, f"{front.host}/library/small:latest", source, "small")


def test_layers_come_side_by_side(empty: Mydocker, registry: Registry, source: Store) -> None:
    together = threading.Barrier(3)  # who comes alone waits here until the test's time is up
    config = source.get("big").id

    def handle(request: Request) -> bool:
        if "/blobs/" in request.path and config not in request.path and len(waited) < 3:
            waited.append(request.path)
            together.wait(30)
        return False

    waited: list[str] = []
    with Front(registry, handle) as front:
        empty.ok("pull", f"{front.host}/team/big:1")
    assert len(waited) == 3
    the_same(empty, f"{front.host}/team/big:1", source)


def test_progress_is_shown_on_a_terminal(empty: Mydocker, registry: Registry) -> None:
    terminal = empty.terminal("pull", f"{registry.host}/team/big:1")
    terminal.expect(r"[0-9a-f]{12}: Pulling \[[=> ]+\] .*MB/3MB")
    terminal.expect("Downloaded newer image")
    terminal.wait()
    assert terminal.exitstatus == 0


def test_a_pull_that_is_interrupted_leaves_nothing(empty: Mydocker, registry: Registry) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def handle(request: Request) -> bool:
        if "/blobs/" not in request.path or len(request.server.asked) < 3:
            return False
        arrived.set()
        go_on.wait(30)
        return True

    with Front(registry, handle) as front:
        running = empty.start("pull", f"{front.host}/team/big:1")
        assert arrived.wait(20)
        running.send_signal(2)
        _, said = running.communicate(timeout=20)
        go_on.set()
        assert (running.returncode, said) == (130, "")
    assert empty.ok("images", "-q") == ""
    assert not list(empty.root.glob("images/tmp/*"))


def test_a_full_disk_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    def work() -> None:
        tmpfs(str(tmp_path), "5m")
        store = Store(f"{tmp_path}/state")
        pull(store, f"{tmp_path}/state", f"{registry.host}/library/small:latest")
        with pytest.raises(Error, match="no space left on device"):
            pull(store, f"{tmp_path}/state", f"{registry.host}/team/big:1")
        assert len(store.images()) == 1
        assert store.check() == []
        assert os.listdir(f"{store.directory}/tmp") == []

    privately(work)


# Where it may go


def test_without_a_network_the_error_comes_at_once(empty: Mydocker) -> None:
    command = ["unshare", "--net", str(LAUNCHER), "pull", "busybox"]
    done = subprocess.run(
        command, env=empty.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 125
    first, hint = done.stderr.splitlines()
    assert first == (
        "mydocker: pull: busybox:latest: the address of registry-1.docker.io cannot be found"
    )
    assert "is there a network?" in hint
    with Front(None, lambda _: False) as closed:  # type: ignore[arg-type]  # nothing is passed on
        host = closed.host
    assert empty.fails(125, "pull", f"{host}/x") == (
        f"mydocker: pull: {host}/x:latest: {host} cannot be reached: connection refused"
    )


def test_plain_http_and_strangers_certificates_only_on_this_machine_unless_told(
    empty: Mydocker, source: Store, tmp_path: Path
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl here: apt-get install openssl")
    key, certificate = f"{tmp_path}/key.pem", f"{tmp_path}/certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = "-subj /CN=registry.test -addext subjectAltName=DNS:registry.test,IP:127.0.0.1"
    command = [*make.split(), *names.split(), "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost registry.test\n")

    def work() -> None:
        syscalls.mount(str(hosts), "/etc/hosts", "", syscalls.MS_BIND)
        with Registry(tmp_path / "plain") as plain:
            plain.push(source, "small", "small:1")
            name = f"registry.test:{plain.port}/small:1"
            assert "cannot be trusted" in empty.fails(125, "pull", name)
            told = {"MYDOCKER_INSECURE_REGISTRIES": f"registry.test:{plain.port}"}
            empty.ok("pull", name, **told)
            empty.ok("rmi", name)
        with Registry(tmp_path / "tls", tls=(certificate, key)) as tls:
            data = tmp_path / "plain/data"
            shutil.copytree(data, tmp_path / "tls/data", dirs_exist_ok=True)
            name = f"registry.test:{tls.port}/small:1"
            assert "cannot be trusted: self-signed certificate" in empty.fails(125, "pull", name)
            tmpfs("/etc/docker" if os.path.isdir("/etc/docker") else "/mnt", "1m")
            if os.path.isdir("/etc/docker"):
                trusted = Path(f"/etc/docker/certs.d/registry.test:{tls.port}")
                trusted.mkdir(parents=True)
                shutil.copy(certificate, trusted / "ca.crt")
            else:
                empty.environment["SSL_CERT_FILE"] = certificate
            empty.ok("pull", name)
            empty.ok("pull", f"127.0.0.1:{tls.port}/small:1")  # this machine needs no voucher

    privately(work)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.1.2.3", True),
        ("127.0.0.1.example.com", False),
        ("127.example.com:5000", False),
        ("localhost.example:80", False),
        ("registry.example", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_this_machine_is_known_by_its_name_alone(host: str, here: bool) -> None:
    assert registries.is_loopback(host) == here


@pytest.mark.parametrize(
    "text",
    [
        '{"registry": 5}',
        '{"insecure": "x"}',
        '{"registry": "http://x"}',
        "[]",
        "{",
        '{"insecure": [1]}',
    ],
)
def test_a_wrong_file_of_registries_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "registries.json").write_text(text)
    with pytest.raises((Usage, Error)) as caught:
        registries.settings(str(tmp_path))
    assert "registries.json" in str(caught.value) or "http://x" in str(caught.value)


def test_names_that_no_registry_has_are_refused_before_it_is_asked(empty: Mydocker) -> None:
    for name in ("UPPER", "a/../b", "x@sha256:1", "http://x/y", "a" * 300):
        assert name[:20] in empty.fails(125, "pull", name)
