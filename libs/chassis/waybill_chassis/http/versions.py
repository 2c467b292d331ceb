"""Writes are versioned: `If-Match` names the version that the caller has seen."""

import re
from typing import Annotated

from fastapi import Depends, Header

from waybill_chassis.problems import Malformed, PreconditionFailed, PreconditionRequired

_TAGS = re.compile(r'\s*(?:W/)?"[\x21\x23-\x7e]*"\s*(?:,\s*(?:W/)?"[\x21\x23-\x7e]*"\s*)*')
_VERSION = re.compile(r'"(0|[1-9]\d{0,17})"')


def expected_version(if_match: str | None) -> int | None:
    """The version an `If-Match` header expects; None for `*` or no header, which expect nothing.

    400 when it is no entity tag; 412 when it is one that none of ours can ever match (strong
    comparison: weak tags never do).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise Malformed(
            'If-Match must be a quoted version such as "7", or *.',
            errors=[
                {
                    "field": "If-Match",
                    "message": 'must be a quoted version such as "7", or *',
                }
            ],
        )
    versions = [
        found
        for part in if_match.split(",")
        if (found := _VERSION.fullmatch(part.strip())) is not None
    ]
    if len(versions) > 1:
        raise Malformed(
            "If-Match must name one version.",
            errors=[{"field": "If-Match", "message": "must name one version"}],
        )
    if not versions:
        raise PreconditionFailed("No version here ever had this tag: read it again.")
    return int(versions[0].group(1))


_Header = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='The version to change, such as `"7"`; 412 when stale.',
    ),
]


async def _optional(if_match: _Header = None) -> int | None:
    return expected_version(if_match)


async def _required(if_match: _Header = None) -> int | None:
    if if_match is None:
        raise PreconditionRequired(
            "This change must say which version it is of: send the ETag you read as If-Match.",
            errors=[{"field": "If-Match", "message": 'is required, such as "7"'}],
        )
    return expected_version(if_match)


ExpectedVersion = Annotated[int | None, Depends(_optional)]
"""The version that the caller expects, or None when they do not say."""

RequiredVersion = Annotated[int | None, Depends(_required)]
"""The version that the caller expects (None for `*`); 428 when they do not say."""
