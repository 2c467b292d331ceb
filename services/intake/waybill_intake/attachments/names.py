"""Names of files: cleaned on the way in, spelt for a header on the way out."""

import re
import unicodedata
from urllib.parse import quote

from waybill_chassis.problems import invalid_field

MOST_BYTES = 255

_SEPARATORS = re.compile(r"[/\\]")
_LONGEST_ENDING = 20
# Among the format characters are those that turn the reading direction: "gpj.exe" read backwards.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def cleaned(name: str) -> str:
    """The last part of a path without what does not belong into a name, of at most 255 bytes.

    `Invalid` where nothing is left.
    """
    last = _SEPARATORS.split(unicodedata.normalize("NFC", name))[-1]
    kept = "".join(one for one in last if unicodedata.category(one) not in _DROPPED)
    kept = " ".join(kept.split()).strip(". ") if kept.strip(". ") else ""
    if not kept:
        raise invalid_field("filename", "must be the name of a file, such as photo.png")
    return _shortened(kept)


def ending(name: str) -> str:
    """The extension in lower case without its dot; empty where there is none."""
    stem, dot, last = name.rpartition(".")
    return last.lower() if dot and stem else ""


def disposition(name: str, *, inline: bool) -> str:
    """A `Content-Disposition` that keeps the name in every script (RFC 6266)."""
    kind = "inline" if inline else "attachment"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    plain = plain.replace('"', "_").replace("\\", "_")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _shortened(name: str) -> str:
    """At most 255 bytes as UTF-8; the extension stays."""
    if len(name.encode()) <= MOST_BYTES:
        return name
    last = ending(name)
    tail = f".{last}" if 0 < len(last.encode()) <= _LONGEST_ENDING else ""
    room = MOST_BYTES - len(tail.encode())
    stem = name[: len(name) - len(tail)] if tail else name
    return stem.encode()[:room].decode(errors="ignore").rstrip() + tail
