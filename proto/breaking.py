"""Compare the contracts with the last release: what products rely on may only be added to.

python proto/breaking.py            exits with buf's status; 0 when there is no release tag yet
"""

import subprocess
import sys
from pathlib import Path


def last_release(repository: Path) -> str | None:
    """The newest release tag (`v...`) that HEAD contains, or None when there is none."""
    answer = _git(repository, "describe", "--tags", "--match", "v*", "--abbrev=0")
    return answer.stdout.strip() if answer.returncode == 0 else None


def check(repository: Path) -> int:
    """Run `buf breaking` on `repository`/proto; buf prints each breaking change as a line.

    Returns buf's exit status, and 2 when the repository cannot tell what was released.
    """
    shallow = _git(repository, "rev-parse", "--is-shallow-repository")
    if shallow.returncode != 0:
        print(f"{repository} is not a git repository: nothing to compare with", file=sys.stderr)
        return 2
    tag = last_release(repository)
    if tag is None and shallow.stdout.strip() == "true":
        print("a shallow clone hides the release tags: fetch the whole history", file=sys.stderr)
        return 2
    if tag is None:
        print("no release tag yet: nothing to compare with")
        return 0
    git_folder = _git(repository, "rev-parse", "--absolute-git-dir").stdout.strip()
    released = f"{git_folder}#format=git,tag={tag},subdir=proto"
    # the buf that is installed beside this Python, whatever PATH says
    buf = Path(sys.executable).with_name("buf")
    status = subprocess.run(
        [buf, "breaking", repository / "proto", "--against", released], check=False
    ).returncode
    if status == 0:
        print(f"nothing that {tag} promised is broken")
    return status


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", repository, *arguments], check=False, capture_output=True, text=True
    )


if __name__ == "__main__":
    raise SystemExit(check(Path(__file__).resolve().parent.parent))
