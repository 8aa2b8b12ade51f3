"""Both languages in step: which sections lack their twin, and which lag behind it.

lab/docs/twins.json keeps, of each section, a digest of its words in both languages from when they
last said the same. When one side has changed since and the other has not, the other lags behind.

    python -m lab.docs.twins             lists what is missing or lags behind
    python -m lab.docs.twins --accept    records that both sides say the same now
"""

from __future__ import annotations

import hashlib
import json
import sys

from lab.docs import blocks

RECORD = blocks.CHECKOUT / "lab" / "docs" / "twins.json"


def digests(page: blocks.Page) -> dict[str, str]:
    """Each section's id, and a digest of its words; shell blocks are shared, and left out."""
    found = {}
    for section in page.sections:
        words = " ".join(" ".join([section.title, *section.text]).split())
        found[section.id] = hashlib.sha256(words.encode()).hexdigest()[:12]
    return found


def now() -> tuple[dict[str, list[str]], list[str]]:
    """{page#section: digests in English and Chinese}, and what has no twin."""
    both: dict[str, list[str]] = {}
    missing = []
    for path in blocks.english():
        if blocks.is_english_only(path):
            continue
        name = str(path.relative_to(blocks.DOCS))
        if not blocks.twin(path).exists():
            missing.append(f"{name}: has no Chinese page")
            continue
        ours, theirs = digests(blocks.Page(path)), digests(blocks.Page(blocks.twin(path)))
        missing += [f"{name}#{id}: missing in Chinese" for id in ours if id not in theirs]
        missing += [f"{name}#{id}: missing in English" for id in theirs if id not in ours]
        shared = [id for id in ours if id in theirs]
        if shared != [id for id in theirs if id in ours]:
            missing.append(f"{name}: the sections stand in another order in Chinese")
        both |= {f"{name}#{id}": [ours[id], theirs[id]] for id in shared}
    english = {blocks.twin(path) for path in blocks.english()}
    alone = [path for path in blocks.pages() if blocks.is_chinese(path) and path not in english]
    missing += [f"{path.relative_to(blocks.DOCS)}: has no English page" for path in alone]
    return both, missing


def check() -> list[str]:
    """What is not in step, a line each."""
    both, problems = now()
    record: dict[str, list[str]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name, pair in both.items():
        old = record.get(name)
        if old is None:
            problems.append(f"{name}: new, not recorded as saying the same in both languages")
        elif old[0] != pair[0] and old[1] == pair[1]:
            problems.append(f"{name}: the Chinese lags behind the English")
        elif old[0] == pair[0] and old[1] != pair[1]:
            problems.append(f"{name}: the English lags behind the Chinese")
        elif old != pair:
            problems.append(f"{name}: both have changed: do they still say the same?")
    problems += [f"{name}: recorded, but not there any more" for name in record if name not in both]
    return problems


def accept() -> None:
    """Record that all sections that have a twin say the same now."""
    both, _ = now()
    RECORD.write_text(json.dumps(both, indent=0, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--accept"]:
        accept()
    problems = check()
    print("\n".join([*problems, f"{len(problems)} not in step"]))
    sys.exit(bool(problems))
