"""A registry, as OCI's distribution-spec has it: manifests by tag or digest, blobs by digest.

    GET /v2/<path>/manifests/<tag or digest>      GET /v2/<path>/blobs/<digest>

A registry that wants to know who asks answers 401 and says how: `Basic`, or `Bearer` with the
address that hands out tokens (distribution's documentation, "Token Authentication"). The library
underneath is urllib3 (docs/adr/0020-pull.md); it is imported by nobody else.

Invariant: what is sent in plain text goes to this machine, or where that was allowed; credentials
go to the registry and its token server, and nowhere that a redirect leads; what comes back is
bounded, and believed when its digest has been compared.
"""

from __future__ import annotations

import threading
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from mydocker import __version__
from mydocker.errors import Error, KernelError, NotFound
from mydocker.linux.trace import step
from mydocker.rootfs import oci, registries
from mydocker.rootfs.store import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.rootfs.registries import Settings

_ACCEPT = ", ".join((oci.INDEX, oci.DOCKER_LIST, oci.MANIFEST, oci.DOCKER_MANIFEST))
_CONNECT, _READ = 10.0, 60.0  # seconds
_TRIES = 5
_REDIRECTS = 6
_NOT_TLS = (urllib3.exceptions.SSLError, urllib3.exceptions.ProtocolError)
"""What comes of speaking TLS to somebody who does not."""
_LOGIN = "docker login, or podman login --authfile ~/.docker/config.json"


class Registry:
    """One registry. `host`: as it is written in a name; the errors say what was asked (`name`)."""

    def __init__(self, host: str, settings: Settings, name: str) -> None:
        self.host = host
        self.name = name
        self.plain = settings.may_be_plain(host)
        self.stopped = threading.Event()
        self._settings = settings
        self._scheme = "https"
        self._answered = False
        self._authorization = ""
        self._lock = threading.Lock()
        self._asking = threading.Lock()  # one thread at a time fetches a token
        self._streams: set[BlobStream] = set()
        self._pools: dict[str, Any] = {}

    # What a registry has

    def manifest(self, path: str, tag: str) -> tuple[bytes, str]:
        """A manifest or an index, by tag or digest: the document, and its digest."""
        response = self.get(f"/v2/{path}/manifests/{tag}", _ACCEPT)
        data = self._document(response)
        digest = sha256(data)
        if tag.startswith("sha256:") and digest != tag:
            raise Error("pull", self.name, f"{self.host} sent a manifest with the digest {digest}")
        return data, digest

    def blob(self, path: str, digest: str, size: int) -> bytes:
        """A small blob, whole."""
        if size > oci.LIMIT:
            raise Error("pull", self.name, f"{digest} is a document of {size} bytes")
        data = self._document(self.get(f"/v2/{path}/blobs/{digest}"))
        if sha256(data) != digest:
            raise Error("pull", self.name, f"{self.host} sent {sha256(data)} for {digest}")
        return data

    def stream(self, path: str, digest: str, size: int) -> BlobStream:
        """A big blob, to be read in pieces."""
        stream = BlobStream(self, f"/v2/{path}/blobs/{digest}", size)
        self._streams.add(stream)
        return stream

    def stop(self) -> None:
        """End all that other threads read from here."""
        self.stopped.set()
        for stream in list(self._streams):
            stream.stop()

    def _document(self, response: Any) -> bytes:
        try:
            data: bytes = response.read(oci.LIMIT + 1)
        except urllib3.exceptions.HTTPError as error:
            raise self._failed(error) from None
        finally:
            response.close()
        if len(data) > oci.LIMIT:
            raise Error("pull", self.name, f"{self.host} sent a document of more than 4 MiB")
        return data

    # Asking

    def get(self, path: str, accept: str = "", offset: int = 0) -> Any:
        """The answer to GET, with status 200 or 206; its body is still to be read."""
        for attempt in range(_TRIES):
            response = self._follow(path, accept, offset)
            if response.status == 401:
                challenge = response.headers.get("WWW-Authenticate", "")
                response.close()
                with self._asking:
                    self._authorization = self._authorize(challenge)
                response = self._follow(path, accept, offset)
            if response.status < 500 or attempt == _TRIES - 1:
                break
            response.close()
            self.wait(attempt)
        if response.status in (200, 206):
            return response
        raise self._refused(response)

    def wait(self, attempt: int) -> None:
        """Before the next try: a moment, then longer; not at all once we are to stop."""
        self.stopped.wait(0.2 * 2**attempt)

    def _follow(self, path: str, accept: str, offset: int) -> Any:
        """GET, and where redirects lead: only the registry itself is told who asks."""
        headers = {"User-Agent": f"mydocker/{__version__}", "Accept-Encoding": "identity"}
        if accept:
            headers["Accept"] = accept
        if offset:
            headers["Range"] = f"bytes={offset}-"
        own = {**headers, "Authorization": self._authorization} if self._authorization else headers
        response = self._first(path, own)
        url = f"{self._scheme}://{self.host}{path}"
        for _ in range(_REDIRECTS):
            if response.status not in (301, 302, 303, 307, 308):
                return response
            response.close()
            url = urljoin(url, response.headers.get("Location", ""))
            self._check_plain(url)
            same = urlsplit(url).netloc == self.host
            response = self._send(url, own if same else headers)
        raise Error("pull", self.name, f"{self.host} sends us from one address to the next")

    def _first(self, path: str, headers: dict[str, str]) -> Any:
        """The request to the registry itself; by http if it may and cannot do otherwise."""
        if self._scheme == "https" and self.plain and not self._answered:
            try:
                response = self._send(f"https://{self.host}{path}", headers, raw=True)
                self._answered = True
                return response
            except _NOT_TLS:
                self._scheme = "http"
        return self._send(f"{self._scheme}://{self.host}{path}", headers)

    def _send(self, url: str, headers: dict[str, str], raw: bool = False, **more: Any) -> Any:
        if self.stopped.is_set():
            raise Error("pull", self.name, "was stopped")
        pool = self._pool(url)
        method = "POST" if more else "GET"

        def send(_: str) -> Any:
            return pool.request(
                method,
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT, read=_READ),
                **more,
            )

        try:
            return step(method, (url.partition("?")[0],), send)  # a query may hold a secret
        except urllib3.exceptions.HTTPError as error:
            if raw and isinstance(error, _NOT_TLS):
                raise
            raise self._failed(error, urlsplit(url).netloc) from None

    def _pool(self, url: str) -> Any:
        """The library's connections, by way of the proxy that the environment names."""
        from urllib.request import getproxies_environment, proxy_bypass

        parts = urlsplit(url)
        proxy = getproxies_environment().get(parts.scheme, "")
        if registries.is_loopback(parts.netloc) or proxy_bypass(parts.netloc):
            proxy = ""
        trusted = not self._settings.may_be_plain(parts.netloc)
        key = f"{proxy} {trusted} {parts.netloc}"
        with self._lock:
            if key not in self._pools:
                self._pools[key] = _connections(proxy, trusted, parts.netloc)
            return self._pools[key]

    def _check_plain(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return
        if parts.scheme != "http" or not self._settings.may_be_plain(parts.netloc):
            hint = "MYDOCKER_INSECURE_REGISTRIES=HOST[:PORT] allows it"
            raise Error("pull", self.name, f"{self.host} sends us to {url:.200}", hint=hint)

    # Who asks

    def _authorize(self, challenge: str) -> str:
        """The header that answers a challenge (RFC 9110, 11.6.1)."""
        kind, _, rest = challenge.partition(" ")
        found = registries.credentials(self.host)
        basic = ""
        if found and found.user:
            made = urllib3.make_headers(basic_auth=f"{found.user}:{found.password}")
            basic = made["authorization"]
        if kind.lower() == "basic":
            if not basic:
                raise Error("pull", self.name, f"{self.host} wants a password", hint=_LOGIN)
            return basic
        fields: dict[str, str] = _fields(rest)
        if kind.lower() != "bearer" or not fields.get("realm"):
            raise Error("pull", self.name, f"{self.host} wants {kind or 'something'!r:.40}")
        realm = fields["realm"]
        self._check_plain(realm)
        query = {key: value for key, value in fields.items() if key in ("service", "scope")}
        if found and found.token:
            form = {**query, "grant_type": "refresh_token", "refresh_token": found.token}
            form["client_id"] = "mydocker"
            response = self._send(realm, {}, fields=form, encode_multipart=False)
        else:
            url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
            response = self._send(url, {"Authorization": basic} if basic else {})
        if response.status != 200:
            raise self._refused(response)
        answer = oci.parse(self._document(response), realm)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise Error("pull", self.name, f"{realm} gave no token")
        return f"Bearer {token}"

    # What went wrong

    def _refused(self, response: Any) -> Error:
        told = ""
        try:
            errors = oci.parse(response.read(65536), self.host).get("errors")
            told = str(errors[0].get("message", "")) if isinstance(errors, list) else ""
        except (Error, LookupError, AttributeError, urllib3.exceptions.HTTPError):
            pass
        finally:
            response.close()
        status, said = response.status, f": {told:.200}" if told else ""
        if status == 404:
            return NotFound("pull", self.name, f"{self.host} has no such image{said}")
        if status in (401, 403):
            why = f"{self.host} does not give it to us{said}"
            return Error("pull", self.name, why, hint=_LOGIN)
        if status == 429:
            hint = "log in, or set MYDOCKER_REGISTRY to a mirror"
            return Error("pull", self.name, f"{self.host} has had too many requests", hint=hint)
        return Error("pull", self.name, f"{self.host} answers {status}{said}")

    def _failed(self, error: Exception, host: str = "") -> Error:
        """A connection that could not be made, or that broke."""
        host = host or self.host
        if isinstance(error, urllib3.exceptions.NameResolutionError):
            why = f"the address of {host} cannot be found"
            hint = "is there a network? without one, load an archive: mydocker load"
            return Error("pull", self.name, why, hint=hint)
        cause: BaseException | None = error
        while cause and not (isinstance(cause, OSError) and cause.strerror):
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, urllib3.exceptions.SSLError):
            reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or error
            return Error("pull", self.name, f"{host} cannot be trusted: {reason}")
        timeout = isinstance(error, urllib3.exceptions.TimeoutError) and cause is None
        why = "does not answer" if timeout else f"cannot be reached: {_reason(cause, error)}"
        return Error("pull", self.name, f"{host} {why}")


def _reason(cause: BaseException | None, error: Exception) -> str:
    import os

    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    return str(cause or error)[:200]


def _connections(proxy: str, trusted: bool, host: str) -> Any:
    import glob
    import ssl

    context = ssl.create_default_context()
    for path in sorted(glob.glob(f"/etc/docker/certs.d/{host}/*.crt")):
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise KernelError.of(error, "certificate", path) from None
    if not trusted:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if proxy:
        return urllib3.ProxyManager(proxy, ssl_context=context)
    return urllib3.PoolManager(ssl_context=context)


def _fields(text: str) -> dict[str, str]:
    """`realm="https://…",service="…"` as a dict."""
    from urllib.request import parse_http_list, parse_keqv_list

    items = [item for item in parse_http_list(text) if "=" in item]
    fields: dict[str, str] = parse_keqv_list(items)
    return fields


class BlobStream:
    """A blob, read in pieces; when the connection breaks, it goes on from there (Range)."""

    def __init__(self, registry: Registry, path: str, size: int) -> None:
        self.registry = registry
        self.path = path
        self.size = size
        self.at = 0
        self._response: Any = None

    def read(self, count: int) -> bytes:
        """The next piece; b"" at the end."""
        failed: Exception | None = None
        for attempt in range(_TRIES):
            if self.at >= self.size or self.registry.stopped.is_set():
                break
            try:
                if self._response is None:
                    self._open()
                piece: bytes = self._response.read(min(count, self.size - self.at))
                if piece:
                    self.at += len(piece)
                    return piece
                failed = None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failed = error
            except NotFound:
                raise
            except Error as error:
                if not self.at:
                    raise
                failed = error
            self.stop()
            self._response = None
            if attempt < _TRIES - 1:
                self.registry.wait(attempt)
        if self.at < self.size:
            why = f"the connection broke {_TRIES} times, {self.at} of {self.size} bytes came"
            hint = str(failed) if failed and not self.registry.stopped.is_set() else ""
            raise Error("pull", self.registry.name, why, hint=hint)
        return b""

    def _open(self) -> None:
        response = self.registry.get(self.path, offset=self.at)
        begins = 0
        if response.status == 206:
            range_ = response.headers.get("Content-Range", "").removeprefix("bytes ")
            first = range_.partition("-")[0]
            begins = int(first) if first.isdecimal() else -1
        if not 0 <= begins <= self.at:
            raise Error("pull", self.registry.name, f"{self.registry.host} sent another part")
        while begins < self.at:  # it does not know ranges, and begins again
            piece = response.read(min(65536, self.at - begins))
            if not piece:
                raise OSError("the connection broke")
            begins += len(piece)
        self._response = response

    def stop(self) -> None:
        """End the connection, also under a thread that waits for it."""
        response = self._response
        if response is not None:
            try:
                response.shutdown()
            except (OSError, ValueError, RuntimeError):
                pass
            try:
                response.close()
            except OSError:
                pass
