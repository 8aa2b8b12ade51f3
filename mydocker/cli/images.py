"""`mydocker images`: the images of the local store."""

from __future__ import annotations

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command, Flag
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.rootfs.store import Image

FLAGS = [
    Flag("-a --all", "bool", "accepted for Docker's sake: there are no hidden images"),
    Flag("--digests", "bool", "also the digests that registries know them by"),
    Flag("-f --filter", "list", "dangling=BOOL, label=…, reference=…, until=…", metavar="FILTER"),
    Flag("-q --quiet", "bool", "only the ids"),
    Flag("--no-trunc", "bool", "whole ids"),
    Flag("--format", "value", "json, or a template such as '{{.ID}}'", metavar="TEMPLATE"),
]

HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}
"""The fields of `--format`, and what heads their column in a table."""


def run(values: dict[str, Any], words: list[str]) -> None:
    """Print one line for each name of each image."""
    images = chosen(values["filter"], words[0] if words else "")
    if values["format"]:
        formatted(images, values, words[0] if words else "")
        return
    if values["quiet"]:
        for image in images:
            print(image.id if values["no_trunc"] else short(image.id))
        return
    rows: list[list[str]] = []
    for image in images:
        identity = image.id if values["no_trunc"] else short(image.id)
        created = f"{table.ago(image.created)} ago" if image.created else "N/A"
        for repository, tag, digest in lines(image, values["digests"], words[0] if words else ""):
            named = [repository, tag, *([digest] if values["digests"] else [])]
            rows.append([*named, identity, created, table.size(image.size)])
    digest_column = ["DIGEST"] if values["digests"] else []
    table.show(["REPOSITORY", "TAG", *digest_column, "IMAGE ID", "CREATED", "SIZE"], rows)


def formatted(images: list[Image], values: dict[str, Any], pattern: str) -> None:
    """Print the lines by a template; digests only if that asks for them, as each is a line."""
    from mydocker.cli.format import Format
    from mydocker.cli.template import Record

    wanted = Format(values["format"], HEADINGS)
    digests = values["digests"] or wanted.template.mentions("Digest")
    rows = []
    for image in images:
        created = image.created
        known = {
            "ID": image.id if values["no_trunc"] else short(image.id),
            "CreatedSince": f"{table.ago(created)} ago" if created else "N/A",
            "CreatedAt": f"{created[:10]} {created[11:19]} +0000 UTC" if created else "N/A",
            "Size": table.size(image.size),
        }
        for repository, tag, digest in lines(image, digests, pattern):
            named = {"Repository": repository, "Tag": tag, "Digest": digest}
            rows.append(Record(named | known))
    wanted.show(rows)


def chosen(filters: list[str], pattern: str = "") -> list[Image]:
    """The images that the filters and the pattern of a name mean."""
    images = Store(Globals.root).images()
    if not filters and not pattern:
        return images
    from mydocker.lifecycle.prune import Filters

    named = [f"reference={pattern}"] if pattern else []
    wanted = Filters(filters + named, ["dangling", "label", "reference", "until"])
    return [
        image
        for image in images
        if wanted.fit(image) and wanted.dangling in (None, not image.names)
    ]


def lines(image: Image, digests: bool, pattern: str = "") -> list[tuple[str, str, str]]:
    """Repository, tag and digest of each line of an image; `<none>` for what it does not have."""
    known = [digest.partition("@")[::2] for digest in image.digests]
    found = []
    for name in image.names:
        repository, _, tag = name.rpartition(":")
        here = [digest for owner, digest in known if owner == repository] if digests else []
        found += [(repository, tag, digest) for digest in here or ["<none>"]]
    if pattern:
        from mydocker.lifecycle.prune import name_matches

        found = [line for line in found if name_matches(f"{line[0]}:{line[1]}", [pattern])]
    if not image.names:
        found = [(owner, "<none>", digest) for owner, digest in known]
    return found or [("<none>", "<none>", "<none>")]


def short(identity: str) -> str:
    """The first twelve digits of an image's id."""
    return identity.removeprefix("sha256:")[:12]


COMMAND = Command(run, "[OPTIONS] [NAME[:TAG]]", "List images.", FLAGS, most=1)
