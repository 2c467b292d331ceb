"""Names, kinds, ranges and links of files; the forms that they come in."""

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from waybill_chassis.problems import Invalid, Malformed, Problem, UnsupportedMediaType
from waybill_intake.attachments.form import sent_file
from waybill_intake.attachments.kinds import DEFAULT, HEAD_BYTES, SHOWN, checked, sniffed
from waybill_intake.attachments.links import FileSigner
from waybill_intake.attachments.names import cleaned, disposition
from waybill_intake.attachments.ranges import RangeNotSatisfiable, Span, span_of


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return packed.getvalue()


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40)
EXE = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + bytes(100)
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b"<?xml version='1.0'?>\n<!-- x --><svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\kim\\a b.txt", "a b.txt"),
        ("a\x00b\r\n\x1b[1m.txt", "ab[1m.txt"),
        ("invoice\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe", "invoicegpj.exe"),
        ("  ..hidden.txt. ", "hidden.txt"),
        ("cafe\N{COMBINING ACUTE ACCENT}.txt", "caf\N{LATIN SMALL LETTER E WITH ACUTE}.txt"),
        ("\N{GRINNING FACE}" * 300 + ".pdf", "\N{GRINNING FACE}" * 62 + ".pdf"),
        ("x" * 300, "x" * 255),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_a_name_is_only_a_name(given: str, kept: str) -> None:
    assert cleaned(given) == kept


@pytest.mark.parametrize("given", ["", "/", "..", " . ", "\x00\x01", "a/", "\N{ZERO WIDTH SPACE}"])
def test_a_name_of_nothing_is_refused(given: str) -> None:
    with pytest.raises(Invalid):
        cleaned(given)


@given(st.text())
def test_every_name_ends_as_a_safe_one_or_is_refused(name: str) -> None:
    try:
        kept = cleaned(name)
    except Invalid:
        return
    assert 0 < len(kept.encode()) <= 255
    assert kept.isprintable()
    assert not set(kept) & set("/\\\0\r\n")
    assert cleaned(kept) == kept
    header = disposition(kept, inline=False)
    assert header.isascii()
    assert header.count('"') == 2


@pytest.mark.parametrize(
    ("head", "name", "claimed", "kind"),
    [
        (PNG, "a.png", "image/png", "image/png"),
        (PNG, "a.png", "", "image/png"),
        (PNG, "no ending", "application/octet-stream", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(50), "a.JPEG", "image/pjpeg", "image/jpeg"),
        (b"%PDF-1.7\n%abc", "a.pdf", "application/pdf", "application/pdf"),
        (b"hello", "a.log", "text/plain; charset=utf-8", "text/plain"),
        ("grün;b".encode("latin-1"), "a.csv", "application/vnd.ms-excel", "text/csv"),
        ("hello".encode("utf-16"), "a.txt", "text/plain", "text/plain"),
        (b'{"a": 1}', "a.json", "application/json", "application/json"),
        (b"MZ is how this text begins", "a.txt", "", "text/plain"),
        (b"a page: <html>", "a.txt", "", "text/plain"),
        (b"<?xml version='1.0'?><order/>", "a.xml", "text/xml", "application/xml"),
        (b"From: a@b\nSubject: x\n\nhi", "a.eml", "message/rfc822", "message/rfc822"),
        (zipped("a.txt"), "a.zip", "application/x-zip-compressed", "application/zip"),
        (
            zipped("[Content_Types].xml", "word/document.xml"),
            "a.docx",
            "application/zip",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "a.doc", "", "application/msword"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(30), "a.mp4", "video/mp4", "video/mp4"),
        (b"\x1f\x8b\x08\0\0\0\0\0" + bytes(20), "a.tar.gz", "", "application/gzip"),
    ],
)
def test_the_content_tells_the_kind(head: bytes, name: str, claimed: str, kind: str) -> None:
    assert checked(head, name, claimed, DEFAULT) == kind


@pytest.mark.parametrize(
    ("head", "name", "claimed", "why"),
    [
        (EXE, "a.png", "image/png", "content is a program"),
        (EXE, "a.exe", "", "ends in .exe"),
        (PNG, "a.scr", "image/png", "ends in .scr"),
        (HTML, "a.png", "image/png", "text/html"),
        (HTML, "a.txt", "text/plain", "text/html"),
        (b" \n\xef\xbb\xbf"[2:] + HTML, "a.txt", "", "text/html"),
        ("<script>x".encode("utf-16"), "a.txt", "", "text/html"),
        (b"plain words", "a.html", "text/html", "named .html"),
        (SVG, "a.svg", "image/svg+xml", "image/svg+xml"),
        (SVG, "a.xml", "", "image/svg+xml"),
        (PNG, "a.jpg", "image/jpeg", "named .jpg, but its content is image/png"),
        (PNG, "a.png", "text/html", "sent as text/html"),
        (zipped("META-INF/MANIFEST.MF"), "a.jar", "", "ends in .jar"),
        (b"#!/bin/sh\nrm -rf /", "a.sh", "", "ends in .sh"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "a", "", "content is a program"),
        (bytes(range(1, 200)), "a.dat", "", "not known"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    head: bytes, name: str, claimed: str, why: str
) -> None:
    with pytest.raises(UnsupportedMediaType) as refused:
        checked(head, name, claimed, DEFAULT)
    assert why in refused.value.detail
    assert refused.value.errors[0]["field"] == "file"
    assert "image/png" in refused.value.extra["accepted"]


@given(st.binary(min_size=1, max_size=HEAD_BYTES), st.text(), st.text())
def test_any_content_is_of_an_allowed_kind_or_refused(head: bytes, name: str, said: str) -> None:
    with suppress(UnsupportedMediaType):
        assert checked(head, name, said, DEFAULT) in DEFAULT


def test_only_pictures_without_scripts_are_shown() -> None:
    assert {kind.partition("/")[0] for kind in SHOWN} == {"image"}
    assert "image/svg+xml" not in SHOWN


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=5-", Span(5, 10)),
        ("bytes=5-99", Span(5, 10)),
        ("bytes=-4", Span(6, 10)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=1-2,4-5", None),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("bytes=\N{ARABIC-INDIC DIGIT THREE}-5", None),
    ],
)
def test_one_range_is_understood(header: str | None, span: Span | None) -> None:
    assert span_of(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        span_of(header, 10)
    assert refused.value.headers["Content-Range"] == "bytes */10"


def test_a_link_is_for_one_file_until_its_end() -> None:
    now, id = datetime(2026, 1, 5, tzinfo=UTC), uuid4()
    end = now + timedelta(hours=1)
    query = FileSigner(b"key").path(id, end).partition("?")[2]
    told = dict(part.split("=", 1) for part in query.split("&"))
    expires, sig = int(told["expires"]), told["sig"]
    signer = FileSigner(b"key")
    assert signer.holds(id, expires, sig, end)
    assert not signer.holds(id, expires, sig, end + timedelta(seconds=1))
    assert not signer.holds(id, expires + 1, sig, now)
    assert not signer.holds(uuid4(), expires, sig, now)
    assert not FileSigner(b"other").holds(id, expires, sig, now)
    for wrong in (-1, 2**70):
        assert not signer.holds(id, wrong, sig, now)
    assert not signer.holds(id, expires, "\N{SNOWMAN}", now)


FORM = (
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhello\r\n--xx--\r\n"
)


async def taken(body: bytes, kind: str, *, step: int, filename: str | None = None) -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    sent = sent_file(Headers({"content-type": kind}), filename)
    found = b"".join([chunk async for chunk in sent.content(chunks())])
    return found, sent.filename, sent.claimed


@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_a_form_gives_its_file_however_it_is_cut(step: int) -> None:
    kind = "multipart/form-data; boundary=xx"
    assert await taken(FORM, kind, step=step) == (b"hello", "a.txt", "text/plain")


async def test_a_body_is_its_file_when_it_is_named() -> None:
    found = await taken(b"hello", "text/plain", step=2, filename="a.txt")
    assert found == (b"hello", "a.txt", "text/plain")


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (FORM, "multipart/form-data", "no boundary"),
        (FORM, "multipart/form-data; boundary=" + "x" * 71, "no boundary"),
        (FORM, "multipart/form-data; boundary=yy", "not a form"),
        (FORM, "application/json", "multipart/form-data"),
        (FORM[:-20], "multipart/form-data; boundary=xx", "ends before"),
        (b"", "multipart/form-data; boundary=xx", "ends before"),
        (b"--xx--\r\n", "multipart/form-data; boundary=xx", "file is required"),
        (FORM[: -len(b"--xx--\r\n")] + FORM, "multipart/form-data; boundary=xx", "one file"),
        (FORM.replace(b"name=\"file\"", b"name=\"photo\""), "multipart/form-data; boundary=xx",
         "the known one is file"),
        (FORM.replace(b"; filename=\"a.txt\"", b""), "multipart/form-data; boundary=xx",
         "must be a file"),
        (FORM.replace(b"text/plain", b"x" * 9000), "multipart/form-data; boundary=xx",
         "header size exceeded"),
    ],
)  # fmt: skip
async def test_what_is_no_form_with_one_file_is_refused(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(Problem) as refused:
        await taken(body, kind, step=50)
    assert isinstance(refused.value, Malformed | Invalid | UnsupportedMediaType)
    assert why in refused.value.detail


def test_a_row_of_comments_is_looked_through_once() -> None:
    """Not in all ways in which it can be cut: that would take longer than anybody waits."""
    assert sniffed(b"<!-- -->" * 1000 + b"x") == "text/plain"
    assert sniffed(b"<!-- -->" * 1000 + b"<script>") == "text/html"
    assert sniffed(b"<!DOCTYPE  \n html>plain") == "text/html"
