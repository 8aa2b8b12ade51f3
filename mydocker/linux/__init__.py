"""The only door to the kernel: syscalls under their own names, and the funnel they pass through."""
