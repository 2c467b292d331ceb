"""What a file is: told from its content, held against its name and what the sender says of it."""

import re
from collections.abc import Collection

import puremagic
from waybill_chassis.problems import Problem, UnsupportedMediaType

from waybill_intake.attachments.names import ending

HEAD_BYTES = 8192
"""How much of a file tells what it is."""

UNKNOWN = "application/octet-stream"
PROGRAM = "application/vnd.microsoft.portable-executable"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."

_ENDINGS = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "jfif": "image/jpeg",
    "gif": "image/gif", "webp": "image/webp", "heic": "image/heif", "heif": "image/heif",
    "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff", "svg": "image/svg+xml",
    "ico": "image/x-icon", "avif": "image/avif",
    "pdf": "application/pdf", "rtf": "application/rtf", "eml": "message/rfc822",
    "txt": "text/plain", "log": "text/plain", "csv": "text/csv", "md": "text/markdown",
    "json": "application/json", "har": "application/json", "xml": "application/xml",
    "html": "text/html", "htm": "text/html", "xhtml": "text/html", "css": "text/css",
    "docx": f"{_OFFICE}wordprocessingml.document", "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "odt": f"{_OPEN}text", "ods": f"{_OPEN}spreadsheet", "odp": f"{_OPEN}presentation",
    "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint", "msg": "application/vnd.ms-outlook",
    "zip": ZIP, "gz": "application/gzip", "tgz": "application/gzip",
    "7z": "application/x-7z-compressed", "rar": "application/vnd.rar",
    "mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
    "mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg",
}  # fmt: skip
"""What a name says a file is."""

# What starts something on the machine of whoever opens it, whatever is in it.
_RUN = frozenset(
    {"apk", "app", "bat", "bin", "cmd", "com", "cpl", "dll", "dmg", "docm", "dotm", "exe",
     "gadget", "hta", "inf", "ins", "iso", "jar", "js", "jse", "ksh", "lnk", "mjs", "msc",
     "msi", "msp", "pif", "ppa", "pptm", "ps1", "psm1", "py", "pyw", "reg", "scf", "scr",
     "sct", "sh", "sys", "url", "vb", "vbe", "vbs", "wasm", "ws", "wsc", "wsf", "wsh",
     "xlam", "xlsm", "xltm"}
)  # fmt: skip
_ALIASES = {
    "application/x-gzip": "application/gzip", "application/x-zip-compressed": ZIP,
    "application/x-zip": ZIP, "application/x-pdf": "application/pdf", "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg", "image/x-png": "image/png", "image/heic": "image/heif",
    "image/x-ms-bmp": "image/bmp", "image/x-bmp": "image/bmp", "text/xml": "application/xml",
    "text/rtf": "application/rtf", "text/json": "application/json", "audio/mp3": "audio/mpeg",
    "audio/wave": "audio/wav", "audio/x-wav": "audio/wav", "text/x-markdown": "text/markdown",
    "text/html": "text/html", "application/xhtml+xml": "text/html",
    "application/x-rar-compressed": "application/vnd.rar", "application/x-msdownload": PROGRAM,
}  # fmt: skip
_SAYS_NOTHING = frozenset(
    {"", UNKNOWN, "binary/octet-stream", "application/x-download", "application/force-download"}
)
_TEXTS = frozenset(
    {"application/json", "application/xml", "message/rfc822", "application/rtf", "image/svg+xml"}
)
_ZIPPED = frozenset(kind for kind in _ENDINGS.values() if kind.startswith((_OFFICE, _OPEN))) | {ZIP}
_COMPOUND = frozenset(
    {"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
     "application/vnd.ms-outlook"}
)  # fmt: skip
# What was passed over once is not looked at again: a row of comments would else take for ever.
_MARKUP = re.compile(
    rb"(?><!--.*?-->|<\?xml[^>]*\?>|<!doctype\s++(?!html|svg)[^>]*>|\s)*+"
    rb"<(!doctype\s+html|html|head|body|script|style|title|iframe|object|embed|link|meta|img|div|"
    rb"span|table|form|font|h[1-6]|a|b|p|br|svg|!doctype\s+svg)\b",
    re.IGNORECASE | re.DOTALL,
)
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LEAST_CONFIDENCE = 0.3
# Where the library would name the first of all that begin so.
_BEGINNINGS = (
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"PK\x03\x04", ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"MZ", PROGRAM),
    (b"\x7fELF", PROGRAM),
)

DEFAULT = (
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/heif", "image/bmp", "image/tiff",
    "application/pdf", "application/rtf", "text/plain", "text/csv", "text/markdown",
    "application/json", "application/xml", "message/rfc822",
    *sorted(_ZIPPED), *sorted(_COMPOUND), "application/gzip",
    "video/mp4", "video/quicktime", "video/webm", "audio/mpeg", "audio/wav",
)  # fmt: skip
"""What is taken where nothing else is said."""

SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a browser may show in its place; everything else is only saved."""


def checked(head: bytes, filename: str, claimed: str, allowed: Collection[str]) -> str:
    """The media type of a file that begins with `head` (of `HEAD_BYTES`, or all of it).

    `claimed` is the media type that came with it. `UnsupportedMediaType` where it is not taken,
    or is not what its name or its sender says.
    """
    last = ending(filename)
    if last in _RUN:
        raise _refused(f"files whose name ends in .{last} are not taken", allowed)
    named, found = _ENDINGS.get(last, ""), sniffed(head)
    kind = _refined(found, named)
    if kind not in allowed:
        raise _refused(f"its content is {_shown(kind)}, which is not taken", allowed)
    if named and named != kind:
        raise _refused(
            f"it is named .{last}, but its content is {_shown(kind)}: give it its right name",
            allowed,
        )
    said = _plain(claimed)
    if said not in _SAYS_NOTHING and not _agree(said, kind):
        raise _refused(f"it is sent as {said}, but its content is {_shown(kind)}", allowed)
    return kind


def sniffed(head: bytes) -> str:
    """The media type that content of this beginning has; containers as what they are outside."""
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning) and not (kind == PROGRAM and not _CONTROLS.search(head)):
            return kind
    if head.startswith(_UTF16) or not _CONTROLS.search(head):
        return _text(head)
    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return UNKNOWN
    for match in found:
        if match.mime_type and match.confidence >= _LEAST_CONFIDENCE:
            told: str = match.mime_type
            return _ALIASES.get(told, told)
    short = {match.mime_type for match in found} & {"image/x-ms-bmp"}
    return "image/bmp" if short else UNKNOWN


def _text(head: bytes) -> str:
    if head.startswith(_UTF16):
        # Cut in the middle of a character or not: only its beginning counts.
        head = head.decode("utf-16", "ignore").encode()
    head = head.removeprefix(b"\xef\xbb\xbf")
    if found := _MARKUP.match(head):
        return "image/svg+xml" if b"svg" in found[1].lower() else "text/html"
    return "application/xml" if head.lstrip().startswith(b"<?xml") else "text/plain"


def _refined(found: str, named: str) -> str:
    """Where the content is a wrapping or any text, its name says what of that kind it is."""
    if found == "text/plain" and (_is_text(named) and named not in ("text/html", "image/svg+xml")):
        return named
    if (found == ZIP and named in _ZIPPED) or (found == OLE and named in _COMPOUND):
        return named
    if found == "application/xml" and named in ("text/plain", "application/xml"):
        return named
    return found


def _agree(said: str, kind: str) -> bool:
    # Some browsers send a .csv as the program that would open it.
    return said == kind or (_is_text(said) and _is_text(kind)) or (
        (said in _ZIPPED and kind in _ZIPPED) or (said in _COMPOUND and kind in _COMPOUND)
        or (said, kind) == ("application/vnd.ms-excel", "text/csv")
    )  # fmt: skip


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind in _TEXTS


def _plain(claimed: str) -> str:
    kind = claimed.partition(";")[0].strip().lower()
    return _ALIASES.get(kind, kind)


def _shown(kind: str) -> str:
    return {UNKNOWN: "of a kind that is not known", PROGRAM: "a program"}.get(kind, kind)


def _refused(why: str, allowed: Collection[str]) -> Problem:
    return UnsupportedMediaType(
        f"This file is not taken: {why}.",
        errors=[{"field": "file", "message": why}],
        accepted=sorted(allowed),
    )
