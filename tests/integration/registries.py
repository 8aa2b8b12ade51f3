"""Registries for the tests: Debian's docker-registry on loopback, and a crooked one before it."""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    within: a command line to start it by (nsenter …); htpasswd: who may ask, all if "".
    """

    def __init__(self, directory: Path, within: tuple[str, ...] = (), htpasswd: str = "") -> None:
        if not shutil.which(PROGRAM):
            pytest.skip(f"no {PROGRAM} here: apt-get install {PROGRAM}")
        self.directory = directory
        self.within = within
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": f"{directory}/data"}},
            "http": {"addr": self.host},
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
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if alter:
            body = bytes([body[0] ^ 1]) + body[1:]
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


def started(directory: Path, **options: str) -> Iterator[Registry]:
    """For a fixture: a registry that runs until the fixture ends."""
    with Registry(directory, **options) as registry:  # type: ignore[arg-type]  # options are htpasswd's
        yield registry
