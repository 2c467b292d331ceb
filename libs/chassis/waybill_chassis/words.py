"""The words of the contracts' enums: `STATUS_IN_PROGRESS` is `in_progress`, as REST spells it."""

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from google.protobuf.descriptor import EnumDescriptor

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

V = TypeVar("V", bound=int)


@cache
def _tables(enum: EnumDescriptor) -> tuple[dict[int, str], dict[str, Any]]:
    """Words by number and numbers by word, without the zero that stands for none."""
    # Every enum begins with <PREFIX>UNSPECIFIED, which buf's lint holds.
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    words = {
        value.number: value.name.removeprefix(prefix).lower()
        for value in enum.values
        if value.number != 0
    }
    return words, {word: number for number, word in words.items()}


def word(enum: "_EnumTypeWrapper[Any] | EnumDescriptor", number: int) -> str:
    """The word of a value; empty for one that is not given, or newer than this code."""
    descriptor = enum if isinstance(enum, EnumDescriptor) else enum.DESCRIPTOR
    return _tables(descriptor)[0].get(number, "")


def number(enum: "_EnumTypeWrapper[V]", word: str | None) -> V:
    """The value of a word, the unspecified one for none; `KeyError` for a word it does not have."""
    # The unspecified one is 0, which proto3 holds.
    found: V = _tables(enum.DESCRIPTOR)[1][word] if word else cast("V", 0)
    return found
