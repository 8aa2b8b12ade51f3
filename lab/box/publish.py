"""Print lab/boxes.toml with the addresses and checksums of boxes that are about to be published.

python3 lab/box/publish.py DIRECTORY BASE-ADDRESS >boxes.toml
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

TABLE = Path(__file__).parent.parent / "boxes.toml"
NAME = "mydocker-lab.{}.{}.box"


def sha256(path: Path) -> str:
    """A file's checksum, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def filled(text: str, directory: Path, base: str) -> str:
    """The table, with url and sha256 of each of our boxes that is in the directory."""
    for provider, arch in re.findall(r"^\[ours\.(\w+)\.(\w+)\]$", text, re.M):
        box = directory / NAME.format(provider, arch)
        if not box.exists():
            continue
        entry = f'[ours.{provider}.{arch}]\nurl = "{base}/{box.name}"\nsha256 = "{sha256(box)}"\n'
        section = rf'\[ours\.{provider}\.{arch}\]\nurl = ".*"\nsha256 = ".*"\n'
        text = re.sub(section, lambda _, entry=entry: entry, text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: publish.py DIRECTORY BASE-ADDRESS")
    print(filled(TABLE.read_text(), Path(sys.argv[1]), sys.argv[2].rstrip("/")), end="")
