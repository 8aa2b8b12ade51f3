"""`make demo` and `make demo-apps` play the sections about networks, with an outside host."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab.apps import build
from tests.conftest import CHECKOUT


def play(*sections: str) -> str:
    """What the demo shows of these sections; it must end well, and leave nothing."""
    words = [sys.executable, "lab/demo.py", *sections]
    environment = {**os.environ, "MYDOCKER_REFERENCE": "1"}
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=CHECKOUT, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean: nothing of mydocker's is left over" in done.stdout
    return done.stdout


def test_6_5_with_an_outside_host() -> None:
    told = play("6.5")
    assert "bytes from 110.242.68.66" in told
    assert "\nhello\n" in told


def test_7_1_nginx_and_7_2_flask_and_redis() -> None:
    if not all(build.tar(name).exists() for name in build.APPS):
        pytest.skip("needs what `make demo-images` makes")
    told = play("7.1", "7.2")
    assert "Welcome to nginx!" in told
    assert "Hello. You are visitor 3." in told
