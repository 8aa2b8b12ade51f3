"""mydocker: a container runtime that is also a course."""

from __future__ import annotations

__version__ = "0.1.0"
