"""The mail server: several connections, kept open, each used by one mail at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from waybill_notify.domain import Outcome, Verdict, verdict_of

_FRESH_SECONDS = 10.0
"""For so long a connection that was used is taken to be alive without asking."""


class Away(Exception):
    """The mail server cannot be reached, or takes in nobody; says why."""


class MailServer:
    """Hands mails to one SMTP server."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connections: int = 8,
        timeout: float = 20.0,
        user: str | None = None,
        password: str | None = None,
        tls: str = "auto",
        domain: str = "localhost",
    ) -> None:
        """`timeout` in seconds bounds connecting, and each mail as a whole.

        `domain` is what we call ourselves. `tls`: `auto` upgrades when the server offers it,
        `starttls` insists, `tls` speaks it from the first byte, `none` never does.
        """
        self._host = host
        self._port = port
        self._timeout = timeout
        self._user = user
        self._password = password
        self._tls = tls
        self._domain = domain
        self._idle: list[tuple[SMTP, float]] = []
        self._free = asyncio.Semaphore(connections)

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return f"{self._host}:{self._port}"

    async def reach(self) -> None:
        """Return when the server can be spoken to; `Away` when it cannot."""
        async with self._free:
            self._give_back(await self._take())

    async def send(
        self,
        mail: bytes,
        *,
        sender: str,
        recipient: str,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """Hand over one mail; what became of it.

        `may_begin` is asked when a connection is free, which may take its time.
        """
        try:
            async with self._connection() as connection:
                if not may_begin():
                    return Outcome(Verdict.NOT_BEGUN)
                async with asyncio.timeout(self._timeout):
                    _, said = await connection.sendmail(
                        sender, [recipient], mail, mail_options=_options(sender, recipient)
                    )
                return Outcome(Verdict.ACCEPTED, _kept(said))
        except (Away, SMTPException, OSError, TimeoutError, ValueError) as error:
            return self._outcome_of(error)

    def _outcome_of(self, error: Exception) -> Outcome:
        match error:
            case Away():
                return Outcome(Verdict.AWAY, str(error))
            case SMTPRecipientsRefused():
                first = error.recipients[0]
                return Outcome(verdict_of(first.code), _kept(f"{first.code} {first.message}"))
            case SMTPResponseException():
                return Outcome(verdict_of(error.code), _kept(f"{error.code} {error.message}"))
            case SMTPNotSupported() | ValueError():
                return Outcome(Verdict.PERMANENT, _kept(str(error)))
            case TimeoutError():
                said = f"{self.address} did not answer within {self._timeout:g} s"
                return Outcome(Verdict.TEMPORARY, said)
        return Outcome(Verdict.TEMPORARY, _kept(f"{self.address} broke off: {error}"))

    async def close(self) -> None:
        """Take leave of the server."""
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await connection.quit()
            connection.close()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[SMTP]:
        async with self._free:
            connection = await self._take()
            try:
                yield connection
            except (SMTPRecipientsRefused, SMTPResponseException):
                # Refused, not broken; unless it was the server's farewell (421).
                if connection.is_connected:
                    self._give_back(connection)
                raise
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)

    def _give_back(self, connection: SMTP) -> None:
        self._idle.append((connection, time.monotonic()))

    async def _take(self) -> SMTP:
        while self._idle:
            connection, used = self._idle.pop()
            if connection.is_connected and (
                time.monotonic() - used < _FRESH_SECONDS or await self._lives(connection)
            ):
                return connection
            connection.close()
        return await self._connect()

    async def _lives(self, connection: SMTP) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await connection.noop()
        except (SMTPException, OSError, TimeoutError):
            return False
        return True

    async def _connect(self) -> SMTP:
        connection = SMTP(
            hostname=self._host,
            port=self._port,
            timeout=self._timeout,
            # Else the resolver is asked for our own name, which may take its time.
            local_hostname=self._domain,
            use_tls=self._tls == "tls",
            start_tls={"auto": None, "starttls": True}.get(self._tls, False),
            username=self._user,
            password=self._password,
        )
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()
        except BaseException as error:
            connection.close()
            if isinstance(error, (SMTPException, OSError, TimeoutError)):
                said = str(error) or f"no answer within {self._timeout:g} s"
                raise Away(f"The mail server {self.address} is away: {_kept(said)}") from error
            raise
        return connection


def _kept(said: str) -> str:
    """What a server said, as the ledger can keep it: without NUL and halves of characters."""
    return said.replace("\0", "?").encode(errors="replace").decode()


def _options(sender: str, recipient: str) -> list[str]:
    # An address beyond ASCII needs a server that knows of such; else it is refused for good.
    return [] if (sender + recipient).isascii() else ["SMTPUTF8"]
