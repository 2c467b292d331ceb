"""Files: in, out, on tickets and messages, and gone again."""

import asyncio
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from waybill_chassis.ids import new_id
from waybill_intake.attachments.objects import Objects
from waybill_intake.attachments.sweeping import audit, sweep
from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.words import ActorKind
from waybill_intake.store import attachments as store

KIM = {"role": "submitter", "sub": "kim@example.com", "products": ("shop",)}
SAM = {"role": "submitter", "sub": "sam@example.com", "products": ("shop",)}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(range(256)) * 40


@pytest.fixture
def folder(intake: Any) -> Path:
    """Where the objects lie."""
    return Path(intake.tested.rt.settings.data_dir, "attachments")


@pytest.fixture
def objects(folder: Path) -> Objects:
    return Objects("", folder)


def whole(id: UUID, now: datetime) -> Attachment:
    return Attachment(
        id=id,
        filename="a.txt",
        media_type="text/plain",
        size_bytes=5,
        sha256="00",
        created_at=now,
        owner_kind=ActorKind.AGENT,
        owner="ana@example.com",
        expires_at=now,
    )


def lying(folder: Path) -> set[str]:
    """The names of all files below the folder, whole or begun."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


async def get(intake: Any, path: str, headers: dict[str, str] | None = None, **who: Any) -> Any:
    role = who.pop("role", "agent")
    mine = intake.token(role, **who) if who.pop("token", True) else {}
    return await intake.tested.client.get(path, headers=mine | (headers or {}))


async def test_a_file_comes_back_as_it_was_sent(intake: Any, folder: Path) -> None:
    made = await intake.upload(PNG, "photo.png")
    assert made["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (made["filename"], made["media_type"]) == ("photo.png", "image/png")
    assert made["size_bytes"] == len(PNG)
    assert made["expires_at"] > made["created_at"]
    answer = await get(intake, f"/v1/attachments/{made['id']}")
    assert answer.content == PNG
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["etag"] == f'"{made["sha256"]}"'
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert lying(folder) == {made["id"]}


async def test_what_is_no_plain_picture_is_only_saved(intake: Any) -> None:
    made = await intake.upload("größe".encode(), "größe <1>.txt")
    answer = await get(intake, f"/v1/attachments/{made['id']}")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"gr__e <1>.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%3C1%3E.txt"
    )
    assert answer.headers["content-type"] == "text/plain"


async def test_a_part_is_given_and_what_is_known_is_not_sent_again(intake: Any) -> None:
    made = await intake.upload(b"0123456789", "digits.txt")
    path = f"/v1/attachments/{made['id']}"
    part = await get(intake, path, {"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert (await get(intake, path, {"Range": "bytes=-3"})).content == b"789"
    other = await get(intake, path, {"Range": "bytes=2-4", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, b"0123456789")
    assert (await get(intake, path, {"Range": "bytes=10-"})).status_code == 416
    known = await get(intake, path, {"If-None-Match": f'"{made["sha256"]}"'})
    assert (known.status_code, known.content) == (304, b"")


async def test_a_file_can_be_sent_without_a_form(intake: Any) -> None:
    answer = await intake.tested.client.post(
        "/v1/attachments",
        params={"filename": "log.txt"},
        content=b"it broke",
        headers=intake.token(**KIM) | {"Content-Type": "text/plain"},
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["media_type"] == "text/plain"
    assert answer.headers["location"] == f"/v1/attachments/{answer.json()['id']}"


async def test_a_repeated_upload_is_one(intake: Any, folder: Path) -> None:
    key = {"Idempotency-Key": "once"}
    first = await intake.upload(headers=key)
    assert await intake.upload(headers=key) == first
    assert lying(folder) == {first["id"]}
    assert await intake.count("stray_objects") == 0
    await intake.upload(b"other", headers=key, status=422)
    assert lying(folder) == {first["id"]}


async def test_files_come_with_a_ticket_each_with_its_event(intake: Any) -> None:
    files = [await intake.upload(b"one", "one.txt"), await intake.upload(PNG, "two.png")]
    ids = [file["id"] for file in files]
    ticket = await intake.open(attachment_ids=ids)
    shown = [
        {name: file[name] for name in ("id", "filename", "media_type", "size_bytes", "sha256")}
        for file in files
    ]
    assert (ticket["attachment_ids"], ticket["attachments"]) == (ids, shown)
    assert (await intake.read(ticket))["attachments"] == shown
    opened, *added = await intake.told(ticket)
    assert list(opened.message.ticket.attachment_ids) == ids
    assert [event.name for event in added] == ["AttachmentAdded"] * 2
    assert [event.message.attachment.id for event in added] == ids
    assert [event.message.ticket.version for event in added] == [2, 3]
    assert not any(event.message.internal for event in added)
    assert added[1].message.attachment.filename == "two.png"
    assert added[1].message.attachment.ticket_id == ticket["id"]
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    assert log["items"][1]["summary"] == "one.txt, text/plain, 3 bytes"


async def test_files_come_with_messages_and_those_of_notes_are_for_agents(intake: Any) -> None:
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}/messages"
    mine = await intake.upload(**KIM)
    reply = {"body": "Here it is.", "attachment_ids": [mine["id"]]}
    said = await intake.ask("POST", path, reply, status=201, **KIM)
    assert [file["filename"] for file in said["attachments"]] == ["hello.txt"]
    secret = await intake.upload(b"secret", "secret.txt")
    note = {"kind": "note", "body": "See.", "attachment_ids": [secret["id"]]}
    await intake.ask("POST", path, note, status=201)
    listed = (await intake.ask("GET", path))["items"]
    assert [[file["id"] for file in one["attachments"]] for one in listed] == [
        [mine["id"]],
        [secret["id"]],
    ]
    added = [event for event in await intake.told(ticket) if event.name == "AttachmentAdded"]
    assert [event.message.internal for event in added] == [False, True]
    assert added[0].message.attachment.message_id == said["id"]
    for file, who, status in (
        (mine, KIM, 200),
        (mine, SAM, 404),
        (mine, {"role": "service", "sub": "shop", "products": ("shop",)}, 200),
        (mine, {"role": "agent", "products": ("demo",)}, 404),
        (secret, KIM, 404),
        (secret, {"role": "service", "sub": "shop", "products": ("shop",)}, 404),
        (secret, {"role": "agent", "sub": "ben@example.com"}, 200),
    ):
        got = await get(intake, f"/v1/attachments/{file['id']}", **who)
        assert got.status_code == status, (file, who)
        made = await intake.tested.client.post(
            f"/v1/attachments/{file['id']}/link", headers=intake.token(**who)
        )
        assert made.status_code == (201 if status == 200 else 404)


async def test_only_who_uploaded_a_file_sees_and_attaches_it(intake: Any) -> None:
    mine = await intake.upload(**KIM)
    for who in (SAM, {"role": "agent"}, {"role": "admin"}, {"role": "service", "sub": "shop"}):
        assert (await get(intake, f"/v1/attachments/{mine['id']}", **who)).status_code == 404
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}/messages"
    body = {"body": "Look", "attachment_ids": [mine["id"]]}
    refused = await intake.ask("POST", path, body, status=422)
    assert refused["errors"][0]["field"] == "attachment_ids.0"
    assert "is unknown" in refused["errors"][0]["message"]
    new = {"type": "order", "title": "x", "description": "y", "product": "shop"}
    both = new | {"attachment_ids": [(await intake.upload(**SAM))["id"], mine["id"]]}
    refused = await intake.ask("POST", "/v1/tickets", both, status=422, **SAM)
    assert refused["errors"][0]["field"] == "attachment_ids.1"
    await intake.ask("POST", path, body, status=201, **KIM)
    refused = await intake.ask("POST", path, body, status=422, **KIM)
    assert "attached already" in refused["errors"][0]["message"]
    assert await intake.names(ticket) == ["TicketOpened", "MessagePosted", "AttachmentAdded"]


async def test_one_file_is_attached_once_however_many_ask_at_once(intake: Any) -> None:
    ticket, mine = await intake.open(), await intake.upload()
    body = {"body": "Look", "attachment_ids": [mine["id"], mine["id"]]}
    answers = await asyncio.gather(
        *(
            intake.tested.client.post(
                f"/v1/tickets/{ticket['id']}/messages", json=body, headers=intake.token()
            )
            for _ in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422, 422]
    assert await intake.count("messages") == 1


async def test_a_product_attaches_its_uploads_by_its_topic(intake: Any, record: Any) -> None:
    shop = {"role": "service", "sub": "the-shop", "products": ("shop",)}
    one, two = await intake.upload(**shop), await intake.upload(**shop)
    foreign = await intake.upload(role="service", sub="demo", products=("demo",))

    def asking(ref: str, id: str) -> Any:
        return record(
            json.dumps(
                {"type": "order", "title": "x", "description": "y", "external_ref": ref}
                | {"attachment_ids": [id]}
            ).encode()
        )

    said = {"external_ref": "a", "body": "and this", "attachment_ids": [two["id"]]}
    await intake.take_in(
        asking("a", one["id"]),
        asking("b", foreign["id"]),
        asking("c", one["id"]),
        record(json.dumps(said).encode(), "MessageRequested"),
        # What only repeats its ticket brings nothing with it, and is no error either.
        asking("a", one["id"]),
    )
    told = await intake.told()
    assert [event.name for event in told].count("TicketOpened") == 1
    rejected = [event.message for event in told if event.name == "RequestRejected"]
    assert [one.external_ref for one in rejected] == ["b", "c"]
    assert {one.errors[0].field for one in rejected} == {"attachment_ids.0"}
    added = [event.message for event in told if event.name == "AttachmentAdded"]
    assert [event.attachment.id for event in added] == [one["id"], two["id"]]


async def test_an_answer_to_a_closed_ticket_takes_its_files_along(intake: Any) -> None:
    ticket = await intake.move(await intake.open(), "resolved", "closed")
    mine = await intake.upload(**KIM)
    body = {"body": "Again!", "attachment_ids": [mine["id"]]}
    said = await intake.ask("POST", f"/v1/tickets/{ticket['id']}/messages", body, status=201, **KIM)
    assert said["ticket_id"] != ticket["id"]
    assert [file["id"] for file in said["attachments"]] == [mine["id"]]
    shown = await intake.ask("GET", f"/v1/tickets/{said['ticket_id']}")
    assert [file["id"] for file in shown["attachments"]] == [mine["id"]]


async def test_a_link_works_without_a_token_until_it_ends(intake: Any, clock: Any) -> None:
    mine = await intake.upload(**KIM)
    link = await intake.ask("POST", f"/v1/attachments/{mine['id']}/link", status=201, **KIM)
    assert link["url"].startswith("http://127.0.0.1:8080/v1/attachments/")
    parts = urlsplit(link["url"])
    path = f"{parts.path}?{parts.query}"
    client = intake.tested.client
    assert (await client.get(path)).content == b"hello"
    other = await intake.upload(**KIM)
    for wrong in (path.replace(mine["id"], other["id"]), path[:-1], path.replace("s=", "s=9")):
        assert (await client.get(wrong)).status_code == 404
    assert (await client.get(parts.path)).status_code == 401
    clock.advance(timedelta(hours=1, seconds=1))
    assert (await client.get(path)).status_code == 404


async def test_what_is_attached_to_nothing_goes_with_its_object(
    intake: Any, objects: Objects, folder: Path, clock: Any
) -> None:
    kept, waiting = await intake.upload(), await intake.upload()
    ticket = await intake.open(attachment_ids=[kept["id"]])
    clock.advance(timedelta(hours=24))
    refused = await intake.ask(
        "POST",
        f"/v1/tickets/{ticket['id']}/messages",
        {"body": "x", "attachment_ids": [waiting["id"]]},
        status=422,
    )
    assert "too long" in refused["detail"]
    database = intake.tested.rt.database
    # Several replicas sweep at the same moment.
    await asyncio.gather(*(sweep(database, objects) for _ in range(3)))
    assert lying(folder) == {kept["id"]}
    assert await intake.count("attachments") == 1
    assert await intake.count("stray_objects") == 0
    assert (await get(intake, f"/v1/attachments/{waiting['id']}")).status_code == 404


async def test_whoever_dies_in_an_upload_is_swept(
    intake: Any, objects: Objects, folder: Path, clock: Any
) -> None:
    """The object is there, whole or begun, and the row never came; nor can it come any more."""
    database, id = intake.tested.rt.database, new_id()
    async with database.unit_of_work() as uow:
        await store.begin(uow, id, uow.now + timedelta(minutes=30))

    async def content() -> Any:
        yield b"whole"

    await objects.write(id, content())
    begun = folder / id.hex[-2:] / f"{id}#1"
    begun.write_bytes(b"half")
    assert await sweep(database, objects) == 0
    clock.advance(timedelta(minutes=31))
    assert await sweep(database, objects) == 1
    assert lying(folder) == set()
    assert await intake.count("stray_objects") == 0
    # One that was only slow comes too late: no row without its object.
    async with database.unit_of_work() as uow:
        assert not await store.finish(uow, whole(id, uow.now))


async def test_an_object_that_nobody_knows_is_found(
    intake: Any, objects: Objects, folder: Path, clock: Any
) -> None:
    kept = await intake.upload()
    await intake.open(attachment_ids=[kept["id"]])
    stray, foreign = new_id(), folder / "xy" / "readme.txt"
    for path in (folder / stray.hex[-2:] / str(stray), foreign):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"?")
    database = intake.tested.rt.database
    clock.set(datetime.now(UTC))
    assert await audit(database, objects) == 0
    assert await audit(database, objects) == 0
    clock.advance(timedelta(days=2))
    found = await asyncio.gather(*(audit(database, objects) for _ in range(3)))
    assert sorted(found) == [0, 0, 1]
    await sweep(database, objects)
    assert lying(folder) == {kept["id"], "readme.txt"}


async def test_an_erased_person_leaves_no_file(intake: Any, objects: Objects, folder: Path) -> None:
    mine, waiting, others = [await intake.upload(**KIM) for _ in range(2)] + [await intake.upload()]
    ticket = await intake.open(role="agent", attachment_ids=[others["id"]])
    body = {"body": "Here", "attachment_ids": [mine["id"]]}
    await intake.ask("POST", f"/v1/tickets/{ticket['id']}/messages", body, status=201, **KIM)
    other = await intake.open(submitter={"email": "sam@example.com"})
    stays = await intake.upload(**SAM)
    body = {"body": "Here", "attachment_ids": [stays["id"]]}
    await intake.ask("POST", f"/v1/tickets/{other['id']}/messages", body, status=201, **SAM)
    database = intake.tested.rt.database
    async with database.unit_of_work() as uow:
        gone = await store.erase(uow, [UUID(ticket["id"])], ["kim@example.com"])
    assert {str(id) for id in gone} == {mine["id"], waiting["id"], others["id"]}
    for file in (mine, waiting, others):
        assert (await get(intake, f"/v1/attachments/{file['id']}")).status_code == 404
    assert len(lying(folder)) == 4
    await sweep(database, objects)
    assert lying(folder) == {stays["id"]}


async def test_a_merge_takes_the_files_along_and_its_undoing_gives_them_back(intake: Any) -> None:
    target = await intake.open()
    first, second = await intake.upload(), await intake.upload(**SAM)
    source = await intake.open(submitter={"email": "sam@example.com"}, attachment_ids=[first["id"]])
    body = {"body": "Here", "attachment_ids": [second["id"]]}
    await intake.ask("POST", f"/v1/tickets/{source['id']}/messages", body, status=201, **SAM)
    reads = [(file, who) for file in (first, second) for who in (KIM, SAM)]

    async def seen() -> list[int]:
        return [
            (await get(intake, f"/v1/attachments/{file['id']}", **who)).status_code
            for file, who in reads
        ]

    assert await seen() == [404, 200, 404, 200]
    await intake.ask("POST", f"/v1/tickets/{source['id']}/merge", {"into": target["id"]})
    # What Sam uploaded stays theirs to see.
    assert await seen() == [200, 404, 200, 200]
    shown = await intake.read(target)
    assert [file["id"] for file in shown["attachments"]] == [first["id"]]
    await intake.ask("DELETE", f"/v1/tickets/{source['id']}/merge")
    assert await seen() == [404, 200, 404, 200]
    assert (await intake.read(target))["attachments"] == []


async def test_uploads_that_nobody_attaches_are_counted(intake: Any) -> None:
    admin = intake.token("admin") | {"If-Match": "*"}
    limits = {"attachments_max_waiting": 2, "attachments_max_files": 1}
    await intake.ask("PUT", "/v1/intake/settings", limits, headers=admin)
    ids = [(await intake.upload(**KIM))["id"] for _ in range(2)]
    assert "attach them" in (await intake.upload(**KIM, status=429))["detail"]
    await intake.upload(**SAM)
    new = {"type": "order", "title": "x", "description": "y", "product": "shop"}
    refused = await intake.ask(
        "POST", "/v1/tickets", new | {"attachment_ids": ids}, status=422, **KIM
    )
    assert "at most 1" in refused["detail"]
    await intake.ask("POST", "/v1/tickets", new | {"attachment_ids": ids[:1]}, status=201, **KIM)
    await intake.upload(**KIM)


async def test_nothing_is_unpacked(intake: Any) -> None:
    """A bomb is so many bytes and no more."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50_000_000))
    bomb = packed.getvalue()
    made = await intake.upload(bomb, "bomb.zip")
    assert (made["media_type"], made["size_bytes"]) == ("application/zip", len(bomb))


async def test_a_store_that_is_away_is_said_to_be(intake: Any, folder: Path) -> None:
    await asyncio.to_thread(folder.write_text, "no folder")
    assert "not available" in (await intake.upload(status=503))["detail"]
    await asyncio.to_thread(folder.unlink)
    await intake.upload()
