"""Running a program as somebody without rights when we are root.

PostgreSQL refuses to run as root. The unprivileged user may be unable to walk down to the
checkout (a 0700 folder, /root), and parent folders are not ours to open up.
"""

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Runner:
    """One way to run a program: what stands before its command, and who owns what it writes."""

    name: str
    owner: int
    prefix: tuple[str, ...] = ()
    identity: dict[str, Any] = field(default_factory=dict)

    def give(self, folder: Path) -> None:
        """Make the folder this runner's own."""
        if folder.stat().st_uid != self.owner:
            os.chown(folder, self.owner, -1)


def runners() -> Iterator[Runner]:
    """The ways that could work here, least rights first. An ordinary user has only one: itself."""
    if os.geteuid() != 0:
        yield Runner("as we are", os.geteuid())
        return
    user = pwd.getpwnam("nobody")
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    yield Runner("as nobody", user.pw_uid, identity=identity)
    if shutil.which("setpriv"):
        # One capability to walk past closed folders. Containers often grant only the second;
        # `access()` honours either of them only with no_setuid_fixup.
        for right in ("dac_read_search", "dac_override"):
            yield Runner(
                f"setpriv {right}",
                user.pw_uid,
                prefix=(
                    *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"),
                    *("--clear-groups", f"--bounding-set=-all,+{right}"),
                    *(f"--inh-caps=-all,+{right}", f"--ambient-caps=-all,+{right}"),
                    *("--securebits=+no_setuid_fixup", "--"),
                ),
            )
    if shutil.which("unshare"):
        # Inside the namespace it is nobody; outside it stays the owner of what it writes.
        mapped = (f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}")
        yield Runner("unshare", 0, prefix=("unshare", "--user", *mapped, "--"))
