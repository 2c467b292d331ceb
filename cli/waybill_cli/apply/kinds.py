"""The kinds of documents: where each is read and written. A new kind is one entry in `KINDS`.

Its routes must take `dry_run` (`DryRun` of the chassis): what is checked must not be written yet.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx

from waybill_cli import api

Spec = Mapping[str, Any]
Answer = Mapping[str, Any]
Found = tuple[Mapping[str, str], Spec]
"""The names of a document that there is, and what it says."""

TYPES = ("technical", "account", "order", "product_inquiry", "complaint", "suggestion")
"""The types of tickets."""

AGREEMENTS = "/v1/sla/agreements"
STAFFING = "/v1/routing/staffing"


class Refused(Exception):
    """The service does not take a document; `faults` name the fields and what would be right."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Document:
    """One document: where it stands, what kind it is, which one, and what it is to be."""

    place: str
    kind: "Kind"
    names: Mapping[str, str]
    spec: Spec
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of its file on which each path (`spec.hours.monday.0`) stands."""

    @property
    def title(self) -> str:
        """Which one, for people: `ProductSettings shop`."""
        return " ".join([self.kind.name, *self.names.values()])

    def fault(self, fault: str) -> str:
        """What is wrong with it, and where; `fault` begins with the path if there is one."""
        path = fault.split(" ", 1)[0]
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        line = f" (line {self.lines[path]})" if path else ""
        return f"{self.place}: {fault}{line}"


@dataclass(frozen=True, slots=True)
class State:
    """How a thing stands: None as `spec` when it is not there yet."""

    spec: Spec | None
    path: str
    etag: str


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    """A kind of document."""

    name: str
    keys: Mapping[str, str]
    """The fields that say which one it is, each with an example."""

    @abstractmethod
    def read(self, gateway: httpx.Client, document: Document) -> State:
        """How it stands."""

    @abstractmethod
    def check(self, gateway: httpx.Client, document: Document, state: State) -> Spec:
        """The spec as the service spells it, nothing being changed. Raises `Refused`."""

    @abstractmethod
    def write(self, gateway: httpx.Client, document: Document, state: State) -> None:
        """Make it so, if it still stands as it was read. Raises `Refused`."""

    @abstractmethod
    def all_there_are(self, gateway: httpx.Client, products: Sequence[str]) -> Iterator[Found]:
        """What has been set of it; where it is by product, for these."""


@dataclass(frozen=True, slots=True)
class Placed(Kind):
    """It has an address of its own, where PUT makes it or replaces it."""

    path: str
    given: Callable[[Answer], Spec | None]
    """What of an answer a spec says; None when nothing has been set there yet."""

    def read(self, gateway: httpx.Client, document: Document) -> State:
        """How it stands at its address."""
        names = {key: quote(name, safe="*") for key, name in document.names.items()}
        path = self.path.format_map(names)
        answer = ask(gateway, "GET", path)
        return State(self.given(answer.json()), path, answer.headers.get("etag", "*"))

    def check(self, gateway: httpx.Client, document: Document, state: State) -> Spec:
        """Asks the service, which undoes what it did."""
        answer = _put(gateway, f"{state.path}?dry_run=true", document, state)
        return self.given(answer.json()) or {}

    def write(self, gateway: httpx.Client, document: Document, state: State) -> None:
        """PUT it."""
        _put(gateway, state.path, document, state)

    def all_there_are(self, gateway: httpx.Client, products: Sequence[str]) -> Iterator[Found]:
        """What has been set at its addresses."""
        # Playbooks have one of each type for all products, `*`.
        shared = ["*"] if "type" in self.keys else []
        values = {"product": [*products, *shared], "type": TYPES}
        for chosen in product(*(values[key] for key in self.keys)):
            names = dict(zip(self.keys, chosen, strict=True))
            if spec := self.given(ask(gateway, "GET", self.path.format_map(names)).json()):
                yield names, spec


@dataclass(frozen=True, slots=True)
class Listed(Kind):
    """One of a list, known by its names: POST makes it, PATCH changes what the spec says."""

    path: str
    fields: tuple[str, ...]
    """What a spec can say."""

    def read(self, gateway: httpx.Client, document: Document) -> State:
        """What of the spec stands in the item of the list."""
        for item in api.pages(gateway, self.path, limit=100):
            if all(item.get(key) == name for key, name in document.names.items()):
                path = f"{self.path}/{quote(str(item['id']))}"
                return State(_said(item, document), path, f'"{item["version"]}"')
        return State(None, self.path, "")

    def check(self, gateway: httpx.Client, document: Document, state: State) -> Spec:
        """Asks the service, which undoes what it did."""
        answer = self._send(gateway, document, state, "?dry_run=true")
        return _said(answer.json(), document)

    def write(self, gateway: httpx.Client, document: Document, state: State) -> None:
        """POST or PATCH it."""
        self._send(gateway, document, state, "")

    def all_there_are(
        self,
        gateway: httpx.Client,
        products: Sequence[str],  # noqa: ARG002 - some kinds have one for each product
    ) -> Iterator[Found]:
        """Those of the list that have all of the names."""
        for item in api.pages(gateway, self.path, limit=100):
            if all(item.get(key) for key in self.keys):
                spec = {field: item[field] for field in self.fields if item[field]}
                yield {key: item[key] for key in self.keys}, spec

    def _send(
        self, gateway: httpx.Client, document: Document, state: State, query: str
    ) -> httpx.Response:
        path = f"{state.path}{query}"
        if state.spec is None:
            return ask(gateway, "POST", path, json={**document.names, **document.spec})
        return ask(gateway, "PATCH", path, json=document.spec, headers={"If-Match": state.etag})


@dataclass(frozen=True, slots=True)
class Named(Kind):
    """One of a list, whose address ends with its name: POST makes it, PUT replaces it."""

    path: str
    fields: tuple[str, ...]
    """What of an answer a spec says; what is empty there may as well be left out."""
    always: frozenset[str] = field(default=frozenset(), kw_only=True)
    """What is not left out: where it is empty that is not what it would be otherwise."""
    built_in: str = field(default="", kw_only=True)
    """The one that is always there and cannot be changed."""

    def read(self, gateway: httpx.Client, document: Document) -> State:
        """What stands in the item of the list."""
        ((key, name),) = document.names.items()
        for item in api.pages(gateway, self.path, limit=100):
            if item[key] == name:
                path = f"{self.path}/{quote(name, safe='')}"
                return State(self.given(item), path, f'"{item["version"]}"')
        return State(None, self.path, "")

    def check(self, gateway: httpx.Client, document: Document, state: State) -> Spec:
        """Asks the service, which undoes what it did."""
        return self.given(self._send(gateway, document, state, "?dry_run=true").json())

    def write(self, gateway: httpx.Client, document: Document, state: State) -> None:
        """POST or PUT it."""
        self._send(gateway, document, state, "")

    def _send(
        self, gateway: httpx.Client, document: Document, state: State, query: str
    ) -> httpx.Response:
        path = f"{state.path}{query}"
        if state.spec is None:
            return ask(gateway, "POST", path, json={**document.names, **document.spec})
        return _put(gateway, path, document, state)

    def given(self, answer: Answer) -> Spec:
        """What of an answer a spec says."""
        return {
            field: answer[field] for field in self.fields if answer[field] or field in self.always
        }

    def all_there_are(
        self,
        gateway: httpx.Client,
        products: Sequence[str],  # noqa: ARG002 - some kinds have one for each product
    ) -> Iterator[Found]:
        """Those of the list."""
        (key,) = self.keys
        for item in api.pages(gateway, self.path, limit=100):
            if item[key] != self.built_in:
                yield {key: item[key]}, self.given(item)


@dataclass(frozen=True, slots=True)
class Joint(Named):
    """Such documents may name one another: they are checked and written at once."""

    part: str
    """What they are called where they are sent together."""
    at: str = field(default=AGREEMENTS, kw_only=True)
    """Where they are sent."""


class _Rules(Joint):
    """Of the default rule only the queue can be said."""

    def given(self, answer: Answer) -> Spec:
        """What of an answer a spec says."""
        spec = Joint.given(self, answer)
        return {"queue": spec["queue"]} if answer["name"] == "default" else spec


def _said(item: Answer, document: Document) -> Spec:
    return {field: item.get(field) for field in document.spec}


def _put(gateway: httpx.Client, path: str, document: Document, state: State) -> httpx.Response:
    return ask(gateway, "PUT", path, json=document.spec, headers={"If-Match": state.etag})


def ask(gateway: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """What a service answers. Raises `Refused`, or `Away`."""
    try:
        answer = gateway.request(method, path, **more)
    except httpx.HTTPError as error:
        raise api.Away(
            f"{gateway.base_url}{path} does not answer: {type(error).__name__}"
        ) from error
    if answer.status_code == httpx.codes.PRECONDITION_FAILED:
        raise Refused(["was changed meanwhile: apply it again"])
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY and (faults := _faults(answer)):
        raise Refused(faults)
    if answer.status_code in (502, 503, 504):
        raise api.Away(api.detail(answer))
    if not answer.is_success:
        raise Refused([api.detail(answer)])
    return answer


def _faults(answer: httpx.Response) -> list[str]:
    try:
        return [
            f"{'.'.join(filter(None, ('spec', one['field'])))} {one['message']}"
            for one in answer.json()["errors"]
        ]
    except (ValueError, KeyError, TypeError):
        return []


def _settings(answer: Answer) -> Spec | None:
    return answer["given"] if answer["version"] else answer["given"] or None


def _points(answer: Answer) -> Spec | None:
    if answer["source"] != answer["product"]:
        return None
    return {
        "points": [
            {name: value for name, value in point.items() if value not in ("", False)}
            for point in answer["points"]
        ]
    }


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Placed("IntakeSettings", {}, "/v1/intake/settings", _settings),
        Placed("ProductSettings", {"product": "demo"}, "/v1/intake/settings/{product}", _settings),
        Placed(
            "Playbook",
            {"product": "demo", "type": "technical"},
            "/v1/playbooks/{product}/{type}",
            _points,
        ),
        Placed("SlaSettings", {}, "/v1/sla/settings", _settings),
        Placed("SlaProductSettings", {"product": "demo"}, "/v1/sla/settings/{product}", _settings),
        Joint("Ladder", {"name": "night"}, "/v1/sla/ladders", ("rungs",), "ladders"),
        Joint(
            "Policy",
            {"name": "gold"},
            "/v1/sla/policies",
            ("selector", "targets", "calendar", "ladder"),
            "policies",
        ),
        Joint(
            "Calendar",
            {"name": "office"},
            "/v1/sla/calendars",
            ("time_zone", "hours", "holidays", "exceptions"),
            "calendars",
            built_in="always",
        ),
        Listed(
            "View",
            {"team": "support", "name": "Unassigned"},
            "/v1/views",
            ("products", "filter", "sort"),
        ),
        Placed("RoutingSettings", {}, "/v1/routing/settings", _settings),
        Joint(
            "Team",
            {"slug": "support"},
            "/v1/teams",
            ("name", "escalation_level"),
            "teams",
            at=STAFFING,
        ),
        Joint(
            "Queue",
            {"slug": "support"},
            "/v1/queues",
            ("team", "strategy", "needs", "at_once"),
            "queues",
            at=STAFFING,
        ),
        Joint(
            "Agent",
            {"email": "ana@example.com"},
            "/v1/agents",
            ("name", "teams", "skills", "capacity", "shifts", "absences"),
            "agents",
            at=STAFFING,
            always=frozenset({"teams", "capacity"}),
        ),
        _Rules(
            "RoutingRule",
            {"name": "urgent"},
            "/v1/routing-rules",
            (
                "queue",
                "position",
                "enabled",
                "product",
                "type",
                "priority",
                "language",
                "tier",
                "tags_any",
                "tags_all",
                "text",
            ),
            "rules",
            at=STAFFING,
            always=frozenset({"position", "enabled"}),
        ),
    )
}
