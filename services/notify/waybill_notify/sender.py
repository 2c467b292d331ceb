"""Sends what the ledger holds: claims, writes, hands over, books."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

import structlog
from jinja2 import TemplateError
from opentelemetry.trace import SpanKind
from sqlalchemy.exc import SQLAlchemyError
from waybill_chassis.database import Database
from waybill_chassis.events import TraceContext
from waybill_chassis.ids import new_id
from waybill_chassis.telemetry import within
from waybill_chassis.telemetry.spans import LightSpan, start_light

from waybill_notify import metrics, store, usecases
from waybill_notify.domain import NOT_TRIED, Delivery, Knowledge, Outcome, Verdict, is_address
from waybill_notify.letters import NO_ANSWER, Answer, Letters, Links, message
from waybill_notify.mail import Away, MailServer
from waybill_notify.settings import Settings
from waybill_notify.store import Rendered
from waybill_notify.usecases import Result

log = structlog.get_logger(__name__)

Ask = Callable[[Delivery], Awaitable[tuple[Links, Answer | None]]]
"""What a mail needs of the other services; never fails because one of them is away."""

_ASKED_AT_ONCE = 16
_BOOKED_AT_ONCE = 200
_LINGER = 0.02
"""How long the books wait for more to write at once, in seconds."""
_LEAST_PAUSE, _MOST_PAUSE = 0.5, 15.0
_STOP_SECONDS = 10.0


class AttemptFailed(Exception):
    """Marks the span of an attempt that was not accepted."""


@dataclass(frozen=True, slots=True)
class _Try:
    """An attempt that has begun. Without a mail it has failed already."""

    delivery: Delivery
    span: LightSpan
    started_at: datetime
    rendered: Rendered | None = None
    fresh: bool = False
    outcome: Outcome | None = None
    knowledge: Knowledge | None = None


class Sender:
    """Sends mails, as a part of the process. Any number of replicas may run."""

    name = "sender"

    def __init__(
        self,
        database: Database,
        mail: MailServer,
        letters: Letters,
        ask: Ask,
        settings: Settings,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` gives a number from 0 to 1 that varies the pauses between attempts."""
        self._database = database
        self._mail = mail
        self._letters = letters
        self._ask = ask
        self._settings = settings
        self._policy = settings.retry_policy
        self._chance = chance
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._bell = asyncio.Event()
        self._stopped = asyncio.Event()
        self._results: asyncio.Queue[Result] = asyncio.Queue()
        self._batches: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """Look at the ledger now: something was written, unless we did it ourselves."""
        if asyncio.current_task() not in self._tasks:
            self._bell.set()

    async def start(self) -> None:
        """Begin; a mail server or database that is away is waited for in the background."""
        self._stopped.clear()
        self._database.on_commit.append(self.wake)
        self._tasks = [
            asyncio.create_task(self._dispatch(), name="sender"),
            asyncio.create_task(self._keep_books(), name="sender books"),
        ]

    async def stop(self) -> None:
        """Finish the mails that were begun, book them, give the others back."""
        self._stopped.set()
        self._database.on_commit.remove(self.wake)
        self.wake()
        dispatching, booking = self._tasks
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.wait({dispatching})
                if self._batches:
                    await asyncio.wait(self._batches)
                await self._results.join()
        for task in (dispatching, booking, *self._batches):
            task.cancel()
        await asyncio.gather(dispatching, booking, *self._batches, return_exceptions=True)
        await self._mail.close()

    async def wait(self) -> None:
        """Return or raise only when the sender has ended."""
        await asyncio.gather(*self._tasks)

    async def _dispatch(self) -> None:
        pause = 0.0
        while not self._stopped.is_set():
            self._bell.clear()
            claimed = 0
            try:
                claimed = await self._begin_batch()
                pause = 0.0
                metrics.server_away.set(0)
            except Away as away:
                metrics.server_away.set(1)
                pause = min(max(2 * pause, _LEAST_PAUSE), _MOST_PAUSE)
                log.warning("mail_server_away", reason=str(away), retry_seconds=pause)
                await self._wait_for_server(str(away))
            except (SQLAlchemyError, OSError) as error:
                pause = min(max(2 * pause, _LEAST_PAUSE), _MOST_PAUSE)
                log.warning("nothing_claimed", reason=f"{type(error).__name__}: {error}")
            if pause:
                await _until(self._stopped, pause)
            elif claimed < self._settings.batch:
                await _until(self._bell, self._settings.poll_seconds)

    async def _begin_batch(self) -> int:
        """Claim what is due and begin to send it; how much that was."""
        if len(self._batches) >= self._settings.batches:
            await asyncio.wait(self._batches, return_when=asyncio.FIRST_COMPLETED)
        # Counted from before the request: the answer may take its time.
        until = time.monotonic() + self._settings.lease_seconds
        async with self._database.unit_of_work() as uow:
            deliveries = await store.claim(
                uow,
                new_id(),
                most=self._settings.batch,
                seconds=self._settings.lease_seconds,
            )
        if not deliveries:
            return 0
        try:
            await self._mail.reach()
        except BaseException as error:
            self._give_back(deliveries, str(error))
            raise
        metrics.batch.record(len(deliveries))
        task = asyncio.create_task(self._handle(deliveries, until))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)
        return len(deliveries)

    async def _handle(self, deliveries: Sequence[Delivery], until: float) -> None:
        left = {delivery.id: delivery for delivery in deliveries}
        try:
            tries = await asyncio.gather(*[self._write(delivery) for delivery in deliveries])
            async with self._database.unit_of_work() as uow:
                kept = await store.keep_rendered(
                    uow, [(t.delivery, t.rendered) for t in tries if t.fresh and t.rendered]
                )
            # What was taken from us or erased in the meantime is not ours to send.
            ours = [t for t in tries if not t.fresh or t.delivery.id in kept]

            async def send(several: Sequence[_Try]) -> None:
                for each in several:
                    await self._send(each, until)
                    left.pop(each.delivery.id, None)

            # The mails about one ticket go out one after the other, in their order.
            ours.sort(key=lambda t: t.delivery.ticket_id)
            tickets = groupby(ours, key=lambda t: t.delivery.ticket_id)
            await asyncio.gather(*[send(list(several)) for _, several in tickets])
        except Exception as error:  # noqa: BLE001 - whatever failed, nothing stays claimed
            log.warning("batch_broken_off", reason=f"{type(error).__name__}: {error}")
            self._give_back(list(left.values()), f"Not sent: {type(error).__name__}")

    def _give_back(self, deliveries: Sequence[Delivery], why: str) -> None:
        now = self._database.clock.now()
        for delivery in deliveries:
            trace = TraceContext(delivery.traceparent, delivery.tracestate)
            self._results.put_nowait(Result(delivery, Outcome(Verdict.AWAY, why), now, now, trace))

    async def _write(self, delivery: Delivery) -> _Try:
        """Begin an attempt: write the mail, or take it as the first attempt wrote it."""
        span = start_light(
            f"deliver {delivery.template}",
            kind=SpanKind.CLIENT,
            parent=TraceContext(delivery.traceparent, delivery.tracestate),
            attributes={
                "waybill.delivery.id": str(delivery.id),
                "waybill.ticket.id": str(delivery.ticket_id),
                "waybill.delivery.attempt": delivery.attempts,
                "server.address": self._settings.smtp_host,
                "server.port": self._settings.smtp_port,
            },
        )
        begun = _Try(delivery, span, self._database.clock.now())
        if not is_address(delivery.recipient):
            said = "no mail can be addressed to this recipient"
            return replace(begun, outcome=Outcome(Verdict.PERMANENT, said))
        if None not in (delivery.subject, delivery.text_body, delivery.html_body):
            written = Rendered(
                delivery.subject or "",
                delivery.text_body or "",
                delivery.html_body or "",
                delivery.unsubscribe_url,
            )
            return replace(begun, rendered=written)
        try:
            async with self._asking:
                with within(span.trace):
                    links, answer = await self._ask(delivery)
            written = self._letters.render(delivery, links=links, answer=answer)
        except TemplateError as error:
            said = f"the template {delivery.template} cannot be filled in: {error}"
            return replace(begun, outcome=Outcome(Verdict.PERMANENT, said))
        return replace(begun, rendered=written, fresh=True, knowledge=_knowledge(answer))

    async def _send(self, begun: _Try, until: float) -> None:
        delivery, outcome = begun.delivery, begun.outcome
        if outcome is None and begun.rendered is not None:
            mail = message(delivery, begun.rendered, mail_from=self._settings.mail_from)
            # Whoever is late with its lease must not begin: somebody else may be sending it.
            latest = until - self._settings.smtp_timeout_seconds
            outcome = await self._mail.send(
                mail,
                sender=self._settings.mail_address,
                recipient=delivery.recipient,
                may_begin=lambda: not self._stopped.is_set() and time.monotonic() < latest,
            )
        assert outcome is not None
        if outcome.verdict not in NOT_TRIED:
            accepted = outcome.verdict is Verdict.ACCEPTED
            # What the server said may name the recipient: that stands in the ledger only.
            begun.span.end(None if accepted else AttemptFailed(str(outcome.verdict)))
        self._results.put_nowait(
            Result(
                delivery,
                outcome,
                begun.started_at,
                self._database.clock.now(),
                begun.span.trace,
                self._chance(),
                begun.knowledge,
            )
        )

    async def _keep_books(self) -> None:
        """Write how attempts ended, as many together as have ended in the meantime."""
        while True:
            results = [await self._results.get()]
            await asyncio.sleep(_LINGER)
            while not self._results.empty() and len(results) < _BOOKED_AT_ONCE:
                results.append(self._results.get_nowait())
            pause = _LEAST_PAUSE
            while True:
                try:
                    async with self._database.unit_of_work() as uow:
                        await usecases.book(uow, results, self._policy)
                    break
                except (SQLAlchemyError, OSError) as error:
                    log.warning("not_booked", reason=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _MOST_PAUSE)
            for _ in results:
                self._results.task_done()

    async def _wait_for_server(self, why: str) -> None:
        try:
            async with self._database.unit_of_work() as uow:
                await usecases.wait_for_server(uow, why, self._policy)
        except (SQLAlchemyError, OSError) as error:
            log.warning("nothing_noted", reason=f"{type(error).__name__}: {error}")


def _knowledge(answer: Answer | None) -> Knowledge | None:
    if answer is None:
        return None
    return Knowledge.NONE if answer is NO_ANSWER else Knowledge.FOUND


async def _until(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
