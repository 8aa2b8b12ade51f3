from __future__ import annotations

from bench import profile

profile.main(30)
