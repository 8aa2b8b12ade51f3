"""The lab's machine under plain QEMU, and how `make chN` on a host reaches it or Vagrant's.

Runs on the student's own system (Linux, macOS) with nothing but Python 3.9's standard library.
"""
