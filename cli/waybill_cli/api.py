"""The gateway as the command line asks it: with a token minted here, answers or one clear line."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import httpx

from waybill_cli.errors import StackError
from waybill_cli.local import keys
from waybill_cli.local.settings import StackSettings

OPERATOR = keys.Claims("waybill-cli", ["admin"], name="Waybill command line")
_TTL = timedelta(hours=1)
_TIMEOUT = httpx.Timeout(10.0, connect=3.0)


class Away(StackError):
    """The service behind a path does not answer."""


class NotThere(StackError):
    """There is no such thing, or not yet."""


def authorization(settings: StackSettings, claims: keys.Claims = OPERATOR) -> dict[str, str]:
    """The header with a fresh token. Raises StackError when there is no key yet."""
    return {"authorization": f"Bearer {keys.mint(settings.keys_dir, claims, _TTL)}"}


def client(settings: StackSettings, claims: keys.Claims = OPERATOR) -> httpx.Client:
    """A client of the gateway; the environment's proxies are not for this machine's own ports."""
    return httpx.Client(
        base_url=settings.api_url,
        headers=authorization(settings, claims),
        timeout=_TIMEOUT,
        trust_env=False,
    )


def get(asked: httpx.Client, path: str, **params: str | int) -> Any:
    """What is at a path. Raises `NotThere`, or `Away` when nobody answers within 10 s."""
    try:
        answer = asked.get(path, params=params)
    except httpx.HTTPError as error:
        raise Away(f"{asked.base_url}{path} does not answer: {type(error).__name__}") from error
    return content(answer)


def pages(asked: httpx.Client, path: str, **params: str | int) -> Iterator[Mapping[str, Any]]:
    """The items of a list, page after page."""
    cursor: str | None = None
    while True:
        page = get(asked, path, **params, **({"cursor": cursor} if cursor else {}))
        yield from page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return


def content(answer: httpx.Response) -> Any:
    """The JSON of an answer; a refusal as the error that it is."""
    if answer.is_success:
        return answer.json()
    said = detail(answer)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NotThere(said)
    if answer.status_code in (502, 503, 504):
        raise Away(said)
    raise StackError(f"{answer.request.method} {answer.request.url.path}: {said}")


def detail(answer: httpx.Response) -> str:
    """What a problem document says, in one line."""
    try:
        problem = answer.json()
        said = problem.get("detail") or problem.get("title")
        fields = "; ".join(
            f"{one.get('field')}: {one.get('message')}" for one in problem.get("errors") or ()
        )
        return f"{answer.status_code} {said}{f' ({fields})' if fields else ''}"
    except (ValueError, AttributeError):
        return f"{answer.status_code} {answer.reason_phrase}"
