"""mydocker: a container runtime that is also a course."""

__version__ = "0.1.0"
