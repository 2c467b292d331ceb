"""The contracts say everything the design names, and the stubs are theirs."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).parent / "buf"

EVENTS = {
    "intake": (
        "TicketOpened TicketEdited TicketStatusChanged MessagePosted ReminderPosted "
        "AttachmentAdded TicketMerged TicketLinked TicketRated PersonErased RequestRejected"
    ),
    "routing": "TicketQueued TicketAssigned TicketReleased TriageSuggested AgentPresenceChanged",
    "sla": (
        "ClockStarted ClockPaused ClockResumed TargetAtRisk TargetBreached BreachRetracted "
        "TargetMet TicketEscalated FollowUpDue"
    ),
    "notify": "NotificationDelivered NotificationFailed",
    "kb": "ArticlePublished ArticleArchived DuplicateSuspected IssueRepeated",
}
SERVICES = {
    "intake": "TicketService",
    "routing": "AssignmentService",
    "sla": "ClockService",
    "notify": "DeliveryService",
    "kb": "KnowledgeService",
}


@pytest.mark.parametrize(
    ("owner", "event"), [(owner, name) for owner, names in EVENTS.items() for name in names.split()]
)
def test_every_event_names_its_actor_and_its_cause(owner: str, event: str) -> None:
    """The first two fields of each event say who did it and what led to it."""
    events = importlib.import_module(f"waybill.{owner}.v1.events_pb2")
    fields = {field.number: field for field in getattr(events, event).DESCRIPTOR.fields}
    assert fields[1].message_type.full_name == "waybill.common.v1.Actor"
    assert fields[2].message_type.full_name == "waybill.common.v1.Cause"


@pytest.mark.parametrize(("owner", "service"), SERVICES.items())
def test_every_owner_serves_its_questions(owner: str, service: str) -> None:
    """Each owner's gRPC service has the name that the design gives it."""
    stubs = importlib.import_module(f"waybill.{owner}.v1.service_pb2")
    assert stubs.DESCRIPTOR.services_by_name[service].methods


def test_the_stubs_are_generated_from_the_source() -> None:
    """Nobody edited a stub, or forgot to make it anew."""
    done = subprocess.run(
        [sys.executable, "proto/generate.py", "--check"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contracts_are_clean() -> None:
    """`buf lint` with the standard rules finds nothing."""
    done = subprocess.run(
        [BUF, "lint", "proto"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_field_that_is_removed_is_noticed(tmp_path: Path) -> None:
    """`buf breaking` refuses a contract that lacks a field it had."""
    changed = tmp_path / "proto"
    shutil.copytree(ROOT / "proto", changed, ignore=shutil.ignore_patterns("gen"))
    events = changed / "waybill/intake/v1/events.proto"
    lines = events.read_text().splitlines()
    lines.remove(next(line for line in lines if "Cause cause = 2;" in line))
    events.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [BUF, "breaking", changed, "--against", ROOT / "proto"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert '"cause"' in done.stdout
