"""Our JSON is `json`'s, and our signals are `signal`'s: only the import is another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.linux import jsontext, signals

STRINGS = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Zs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | STRINGS,
    lambda inner: st.lists(inner) | st.dictionaries(STRINGS, inner),
    max_leaves=20,
)


@given(VALUES, st.integers(0, 4))
def test_what_is_written_is_what_json_writes(value: Any, indent: int) -> None:
    try:
        expected = json.dumps(value, indent=indent or None, allow_nan=False)
    except ValueError:  # an infinity inside
        return
    assert jsontext.dumps(value, indent) == expected
    assert jsontext.loads(expected) == json.loads(expected)


@given(st.text(alphabet='[]{}",:0123456789.eE+-truefalsn\\u \t\n') | st.text())
def test_what_is_read_is_what_json_reads(text: str) -> None:
    try:
        expected: object = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011  # which one is Python's choice
            jsontext.loads(text)
        return
    assert repr(jsontext.loads(text)) == repr(expected)
    assert repr(jsontext.loads(text.encode("utf-8", "surrogatepass"))) == repr(expected)


@pytest.mark.parametrize(
    "text", ["", " ", "{", '{"a": 1', "[1,]", "1 2", '"\n"', "nul", "{'a': 1}"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # which one is Python's choice
        jsontext.loads(text)


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError):
        jsontext.dumps({"a": object()})


def test_every_signal_has_its_number_and_name() -> None:
    for name, member in signal.Signals.__members__.items():
        assert signals.NUMBERS[name] == member.value
    for number in signal.Signals:
        assert signals.name_of(number.value) == number.name
    assert signals.name_of(signal.SIGRTMIN + 3) == str(signal.SIGRTMIN + 3)
    assert signals.valid_signals() == signal.valid_signals()
    assert signals.SIG_DFL == signal.SIG_DFL


def test_damaged_json_is_refused_where_the_json_module_is_not_loaded() -> None:
    """The C scanner looks for the error it raises in json.decoder, which a run does not import."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mydocker.linux import jsontext\n"
        "for text in ('', '[', '{\"a\" 1}', '[1,', '\"x', '[1 2]', '{a:1}'):\n"
        "    try: jsontext.loads(text)\n"
        "    except ValueError: continue\n"
        "    raise SystemExit(text)\n"
        "raise SystemExit(int('json' in sys.modules))\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program, root], check=False)
    assert done.returncode == 0
