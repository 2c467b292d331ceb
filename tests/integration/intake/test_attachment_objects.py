"""Objects in any store: whole or not at all, read in part, listed by their names."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from waybill_chassis.http import HttpServer
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Unavailable
from waybill_intake.attachments.objects import Objects
from waybill_intake.settings import Settings


class Bucket:
    """Objects and parts of objects, over the requests by which S3 takes them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, bytes] = {}
        self.routes = [
            Route("/bucket", self.list),
            Route("/bucket", self.delete_all, methods=["POST"]),
            Route("/bucket/{key:path}", self.get),
            Route("/bucket/{key:path}", self.put, methods=["PUT"]),
            Route("/bucket/{key:path}", self.post, methods=["POST"]),
            Route("/bucket/{key:path}", self.delete, methods=["DELETE"]),
        ]

    async def put(self, request: Request) -> Response:
        key, body = request.path_params["key"], await request.body()
        if "partNumber" in request.query_params:
            self.parts[f"{int(request.query_params['partNumber']):05}"] = body
        else:
            self.objects[key] = body
        return Response(headers={"ETag": '"tag"'})

    async def post(self, request: Request) -> Response:
        if "uploads" in request.query_params:
            return xml("InitiateMultipartUploadResult", "<UploadId>one</UploadId>")
        self.objects[request.path_params["key"]] = b"".join(
            self.parts[number] for number in sorted(self.parts)
        )
        self.parts.clear()
        return xml("CompleteMultipartUploadResult", "<ETag>tag</ETag>")

    async def get(self, request: Request) -> Response:
        key = request.path_params["key"]
        if key not in self.objects:
            return Response(status_code=404)
        body, given = self.objects[key], request.headers["range"].removeprefix("bytes=")
        start, _, end = given.partition("-")
        part = body[int(start) : int(end) + 1]
        place = f"bytes {start}-{int(start) + len(part) - 1}/{len(body)}"
        return Response(part, 206, {"Content-Range": place, **CHANGED})

    async def delete(self, request: Request) -> Response:
        if "uploadId" in request.query_params:
            self.parts.clear()
        self.objects.pop(request.path_params["key"], None)
        return Response(status_code=204)

    async def delete_all(self, request: Request) -> Response:
        keys = re.findall(r"<Key>(.*?)</Key>", (await request.body()).decode())
        for key in keys:
            self.objects.pop(key, None)
        return xml("DeleteResult", "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys))

    async def list(self, request: Request) -> Response:
        prefix = request.query_params.get("prefix", "")
        rows = [
            f"<Contents><Key>{key}</Key><Size>{len(body)}</Size><ETag>t</ETag>"
            "<LastModified>2026-01-05T09:00:00.000Z</LastModified></Contents>"
            for key, body in self.objects.items()
            if key.startswith(prefix)
        ]
        return xml("ListBucketResult", "<IsTruncated>false</IsTruncated>" + "".join(rows))


CHANGED = {"Last-Modified": "Mon, 05 Jan 2026 09:00:00 GMT", "ETag": '"tag"'}


def xml(name: str, content: str) -> Response:
    return Response(f"<{name}>{content}</{name}>", media_type="application/xml")


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    """As much of S3 as an attachment needs; the variables lead there."""
    found = Bucket()
    server = HttpServer(Starlette(routes=found.routes), host="127.0.0.1", port=0)
    await server.start()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}"),
    ):
        monkeypatch.setenv(name, value)
    yield found
    await server.stop()


@pytest.fixture(params=["file", "memory", "s3"])
def objects(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> Objects:
    url = {
        "file": (tmp_path / "a folder").as_uri(),
        "memory": "memory:///",
        "s3": "s3://bucket/files",
    }[request.param]
    return Objects(url, tmp_path / "unused")


async def blocks(count: int, *, broken: bool = False) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * 1024 * 1024
    if broken:
        raise ValueError("broken off")


async def test_an_object_is_read_in_part_and_deleted_twice(objects: Objects) -> None:
    id = new_id()
    await objects.write(id, blocks(12))
    content = await objects.read(id, 1024 * 1024 - 1, 1024 * 1024 + 1)
    assert content is not None
    assert b"".join([chunk async for chunk in content]) == b"\x00\x01"
    assert [found async for batch in objects.listed() for found, _ in batch] == [id]
    await objects.delete(id)
    await objects.delete(id)
    assert await objects.read(id, 0, 1) is None


async def test_a_short_object_is_written_too(objects: Objects, bucket: Bucket) -> None:
    id = new_id()
    await objects.write(id, blocks(1))
    content = await objects.read(id, 0, 2)
    assert content is not None
    assert b"".join([chunk async for chunk in content]) == b"\x00\x00"
    assert set(bucket.objects) <= {f"files/{id.hex[-2:]}/{id}"}


async def test_what_breaks_off_is_no_object(
    objects: Objects, bucket: Bucket, tmp_path: Path
) -> None:
    """And what its source raised is what is raised."""
    for count in (1, 12):
        with pytest.raises(ValueError, match="broken off"):
            await objects.write(new_id(), blocks(count, broken=True))
    assert [batch async for batch in objects.listed() if batch] == []
    left = await asyncio.to_thread(lambda: [one for one in tmp_path.rglob("*") if one.is_file()])
    assert left == []


async def test_a_store_that_does_not_answer_is_away(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    objects = Objects("s3://bucket/files", Path("unused"), retry_seconds=0.1)
    with pytest.raises(Unavailable):
        await objects.read(new_id(), 0, 1)


@pytest.mark.parametrize("url", ["ftp://there", "s3:bucket", "/a/folder", "file://"])
def test_an_address_of_no_store_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket"):
        Settings(attachments_url=url)
