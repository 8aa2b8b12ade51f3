"""Names of images: Docker's grammar, case by case."""

from __future__ import annotations

import pytest

from mydocker.errors import Usage
from mydocker.rootfs.reference import parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "familiar", "domain", "path", "tag"),
    [
        ("busybox", "busybox:latest", "docker.io", "library/busybox", "latest"),
        ("busybox:1.36", "busybox:1.36", "docker.io", "library/busybox", "1.36"),
        ("library/busybox", "busybox:latest", "docker.io", "library/busybox", "latest"),
        ("docker.io/library/busybox", "busybox:latest", "docker.io", "library/busybox", "latest"),
        ("index.docker.io/busybox", "busybox:latest", "docker.io", "library/busybox", "latest"),
        ("team/app:v2", "team/app:v2", "docker.io", "team/app", "v2"),
        ("localhost/app", "localhost/app:latest", "localhost", "app", "latest"),
        ("host:5000/app", "host:5000/app:latest", "host:5000", "app", "latest"),
        ("127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000", "a/b/c", "t"),
        ("Host/app", "Host/app:latest", "Host", "app", "latest"),
        ("a.example-b.org/app", "a.example-b.org/app:latest", "a.example-b.org", "app", "latest"),
        (
            "a__b.c-d---e_f",
            "a__b.c-d---e_f:latest",
            "docker.io",
            "library/a__b.c-d---e_f",
            "latest",
        ),
        ("x:_under", "x:_under", "docker.io", "library/x", "_under"),
        ("x:" + "t" * 128, "x:" + "t" * 128, "docker.io", "library/x", "t" * 128),
        ("a" * 63, "a" * 63 + ":latest", "docker.io", "library/" + "a" * 63, "latest"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(
    text: str, familiar: str, domain: str, path: str, tag: str
) -> None:
    reference = parse(text)
    assert str(reference) == familiar
    assert (reference.domain, reference.path, reference.tag) == (domain, path, tag)
    assert str(parse(familiar)) == familiar


def test_a_digest_stands_for_the_tag_that_is_not_given() -> None:
    assert str(parse(f"busybox@{DIGEST}")) == f"busybox@{DIGEST}"
    assert str(parse(f"busybox:1@{DIGEST}")) == f"busybox:1@{DIGEST}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "UPPER",
        "team/App",
        "..",
        "../etc",
        "a/../b",
        "a/./b",
        "/abs",
        "a//b",
        "a/",
        "-a",
        "a-",
        ".a",
        "a..b",
        "a___b",
        "a._b",
        "a b",
        "a\nb",
        "a\x1b[31m",
        "é",
        "a:",
        "a:-t",
        "a:.t",
        "a:t/x",
        "a:b:c",
        "a:" + "t" * 129,
        "a" * 256,
        "0123456789abcdef" * 4,
        "host:port/app",
        "-host.com/app",
        "host-.com/app",
        "a..com/app",
        ":5000/app",
        "a@",
        "a@sha256:",
        "a@sha256:abc",
        "a@sha256:" + "g" * 64,
        "a@sha256:" + "A" * 64,
        "a@sha256:" + "a" * 63,
        f"a@{DIGEST}@{DIGEST}",
    ],
)
def test_a_name_that_docker_refuses_is_refused_by_name(text: str) -> None:
    with pytest.raises(Usage) as caught:
        parse(text)
    assert caught.value.what == "image name"
    assert caught.value.obj == (text or "''")
    assert caught.value.why
