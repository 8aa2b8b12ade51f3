"""Registries for the tests: Debian's docker-registry on loopback, and a crooked one before it."""

from __future__ import annotations

import base64
import http.client
import http.server
import io
import json
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from mydocker.rootfs import save

if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.rootfs.store import Store

PROGRAM = "docker-registry"
USER, PASSWORD = "anna", "open sesame"
HTPASSWD = "anna:$2b$05$fZ0KsxlhDiq8i1Mjw8PWz.zySN/BfZtcAegn6xJXg7NshteMrejUC\n"


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Registry:
    """A registry process; `host` is what goes before an image's name.

    within: a command line to start it by (nsenter …); htpasswd: who may ask, all if ""; tls: the
    files of a certificate and its key.
    """

    def __init__(
        self,
        directory: Path,
        within: tuple[str, ...] = (),
        htpasswd: str = "",
        tls: tuple[str, str] | None = None,
    ) -> None:
        if not shutil.which(PROGRAM):
            pytest.skip(f"no {PROGRAM} here: apt-get install {PROGRAM}")
        self.directory = directory
        self.within = within
        self.htpasswd = htpasswd
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        http = {"addr": self.host, "tls": {"certificate": tls[0], "key": tls[1]} if tls else None}
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": f"{directory}/data"}},
            "http": {key: value for key, value in http.items() if value},
        }
        if htpasswd:
            (directory / "htpasswd").write_text(htpasswd)
            config["auth"] = {"htpasswd": {"realm": "test", "path": f"{directory}/htpasswd"}}
        (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML

    def __enter__(self) -> Self:
        with (self.directory / "log").open("wb") as log:
            command = [*self.within, PROGRAM, "serve", f"{self.directory}/config.yml"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        probe = [*self.within, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{self.port}"]
        while subprocess.run(probe, capture_output=True).returncode:
            log_text = (self.directory / "log").read_text()
            assert self.process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def push(self, store: Store, word: str, name: str) -> str:
        """Put an image there (we have no push: distribution-spec, "Pushing blobs"); its digest."""
        pieces: list[bytes] = []
        save.to_stream(store, [word], pieces.append, "oci-archive", lambda *_: None)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as opened:
            files = {m.name: opened.extractfile(m).read() for m in opened}  # type: ignore[union-attr]  # all are files
        path, _, tag = name.partition(":")
        (listed,) = json.loads(files["index.json"])["manifests"]
        digest: str = listed["digest"]
        for file, data in files.items():
            if file.startswith("blobs/") and not file.endswith(digest[7:]):
                where = self.ask("POST", f"/v2/{path}/blobs/uploads/").headers["Location"]
                target = where.partition(self.host)[2]
                self.ask("PUT", f"{target}&digest=sha256:{file.rpartition('/')[2]}", data)
        manifest = files[f"blobs/sha256/{digest[7:]}"]
        self.ask("PUT", f"/v2/{path}/manifests/{tag}", manifest, listed["mediaType"])
        return digest

    def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream"
    ) -> http.client.HTTPResponse:
        """One request, which must succeed."""
        headers = {"Content-Type": kind}
        if self.htpasswd:
            told = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {told}"
        connection = http.client.HTTPConnection(self.host)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        assert answer.status < 300, (method, path, answer.status)
        return answer


class Front(http.server.ThreadingHTTPServer):
    """A server that passes requests on to a registry, and does what `handle(request)` wants first.

    `handle` answers itself and returns True, or returns False to let the request pass. `asked` has
    each request's path, with its Range if there was one.
    """

    daemon_threads = True

    def __init__(self, registry: Registry, handle: Callable[[Request], bool]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.registry = registry
        self.handle = handle
        self.asked: list[tuple[str, str]] = []
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class Request(http.server.BaseHTTPRequestHandler):
    """One request to a `Front`."""

    server: Front

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        if not self.server.handle(self):
            self.pass_on()

    do_POST = do_GET

    def pass_on(self, cut: int = -1, ranges: bool = True, alter: bool = False) -> None:
        """Ask the registry and give its answer: only `cut` bytes of it, altered, without ranges."""
        connection = http.client.HTTPConnection(self.server.registry.host)
        headers = {k: v for k, v in self.headers.items() if k in ("Accept", "Range")}
        if not ranges:
            headers.pop("Range", None)
        try:
            connection.request("GET", self.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if alter:
            half = len(body) // 2
            body = body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :]
        headers = {k: v for k, v in answer.getheaders() if k.lower() != "transfer-encoding"}
        self.answer(answer.status, body if cut < 0 else body[:cut], headers)

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Answer, and end the connection."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Not on the tests' output."""


def answering(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None
) -> Callable[[Request], bool]:
    """For a `Front`: the same answer to everything."""

    def handle(request: Request) -> bool:
        request.answer(status, body, headers)
        return True

    return handle
