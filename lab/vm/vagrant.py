"""The machine of `vagrant up`, reached by ssh without Vagrant's own start (2 to 3 s).

`vagrant ssh-config` tells how; its answer is kept in build/vm, and asked for anew when it no longer
opens the door or the machine is another.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.vm.qemu import private
from lab.vm.reach import CHECKOUT, Reach

KEPT = CHECKOUT / "build" / "vm" / "vagrant_ssh_config"
HOST = "default"


def find() -> Reach | None:
    """The running machine of this checkout, if there is one."""
    made = Path(os.environ.get("VAGRANT_DOTFILE_PATH") or CHECKOUT / ".vagrant")
    identities = [path.read_text().strip() for path in made.glob(f"machines/{HOST}/*/id")]
    identities = [one for one in identities if one]
    if not identities or not shutil.which("vagrant"):
        return None
    title = f"# machine {identities[0]}"
    reach = Reach(KEPT, HOST, "Vagrant's machine")
    known = KEPT.exists() and KEPT.read_text().startswith(title)
    if known and reach.answers():
        return reach
    told = subprocess.run(
        ["vagrant", "ssh-config", HOST], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if told.returncode:
        return None  # made, but not running
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    sockets = Path(tempfile.gettempdir()) / f"mydocker-ssh-{os.getuid()}"
    private(sockets)
    shared = f"  ControlMaster auto\n  ControlPath {sockets}/%C\n  ControlPersist 60\n"
    KEPT.write_text(f"{title}\n{told.stdout.rstrip()}\n{shared}")
    return reach if reach.answers() else None
