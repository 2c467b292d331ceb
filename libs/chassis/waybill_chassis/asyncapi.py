"""The AsyncAPI 3 document of a service's topics, made from what it consumes and emits."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message


def document(
    service: str,
    *,
    consumes: Mapping[str, Iterable[type[Message]]],
    emits: Mapping[str, Iterable[type[Message]]],
) -> dict[str, Any]:
    """The document; both mappings go from a topic (or a pattern) to the messages on it."""
    raise NotImplementedError
