"""One file out of a request's body while it comes in: a form's part, or the body as it is."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from waybill_chassis.problems import Malformed, UnsupportedMediaType, invalid_field

FIELD = "file"
_FORM = b"multipart/form-data"
_MOST_BOUNDARY = 70


class SentFile(ABC):
    """A file that is being sent. `filename` and `claimed` stand once its first bytes have come."""

    def __init__(self) -> None:
        self.filename: str | None = None
        self.claimed = ""
        """The media type that came with it."""

    @abstractmethod
    def content(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The file's bytes; raises where the body turns out not to be one file."""


def sent_file(headers: Headers, filename: str | None) -> SentFile:
    """The file in a body with these headers; `filename` is the one in the address, if any."""
    kind, options = parse_options_header(headers.get("content-type"))
    if kind == _FORM:
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= _MOST_BOUNDARY:
            raise Malformed(
                "The Content-Type names no boundary of 1 to 70 characters: "
                "let your HTTP library make it."
            )
        return _InForm(boundary)
    if filename is None:
        _, told = parse_options_header(headers.get("content-disposition"))
        filename = _decoded(told[b"filename"]) if b"filename" in told else None
    if filename is None:
        raise UnsupportedMediaType(
            f"Send multipart/form-data with the field {FIELD}, "
            "or the file itself with ?filename=its-name.txt.",
            headers={"Accept": "multipart/form-data"},
            accepted=["multipart/form-data"],
        )
    return _Bare(filename, kind.decode("latin-1"))


class _Bare(SentFile):
    def __init__(self, filename: str, claimed: str) -> None:
        super().__init__()
        self.filename = filename
        self.claimed = claimed

    async def content(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for chunk in body:
            if chunk:
                yield chunk


class _InForm(SentFile):
    """The one file of a form: any other field, or a second file, is an error."""

    def __init__(self, boundary: bytes) -> None:
        super().__init__()
        self._boundary = boundary
        self._name, self._value = b"", b""
        self._disposition = b""
        self._pending: list[bytes] = []
        self._ended = False

    async def content(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        parser = MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_name,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
        )
        async for chunk in body:
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise Malformed(f"The body is not a form of this boundary: {error}") from None
            if self._pending:
                yield b"".join(self._pending)
                self._pending.clear()
        if not self._ended:
            raise Malformed("The body ends before the form does.")
        if self.filename is None:
            raise invalid_field(FIELD, "is required: the file to upload")

    def _begin(self) -> None:
        self._name = self._value = self._disposition = b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        match self._name.strip().lower():
            case b"content-disposition":
                self._disposition = self._value
            case b"content-type" if self.filename is None:
                self.claimed = self._value.decode("latin-1")
        self._name = self._value = b""

    def _end_headers(self) -> None:
        _, told = parse_options_header(self._disposition)
        name = _decoded(told.get(b"name", b""))
        if self.filename is not None:
            raise invalid_field(name or FIELD, "is too much: send one file at a time")
        if name != FIELD:
            raise invalid_field(name, f"is not a known field; the known one is {FIELD}")
        if b"filename" not in told:
            raise invalid_field(FIELD, "must be a file: its part has no filename")
        self.filename = _decoded(told[b"filename"])

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._pending.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
