"""Stops asking a peer that does not answer, so that nobody waits for it in vain."""

import time

import structlog

from waybill_chassis import metrics

log = structlog.get_logger(__name__)

FAILURES = 5
"""So many calls in a row without an answer open the circuit."""

OPEN_SECONDS = 1.0
"""How long calls fail at once; then one is let through to try."""


class Circuit:
    """Whether a peer is worth asking just now."""

    def __init__(self, peer: str) -> None:
        """`peer` is the name that logs and metrics give it."""
        self._labels = {"peer": peer}
        self._failures = 0
        self._open_until = 0.0

    def admits(self) -> bool:
        """Whether this call may be sent."""
        if self._failures < FAILURES:
            return True
        now = time.monotonic()
        if now < self._open_until:
            return False
        # This call tries; the others go on failing until it is answered.
        self._open_until = now + OPEN_SECONDS
        return True

    def answered(self) -> None:
        """The peer is there, whatever it said."""
        if self._failures >= FAILURES:
            log.info("peer_answers_again", **self._labels)
            metrics.rpc_circuit_open.set(0, self._labels)
        self._failures = 0

    def silent(self) -> None:
        """The peer did not answer."""
        self._failures += 1
        if self._failures < FAILURES:
            return
        self._open_until = time.monotonic() + OPEN_SECONDS
        if self._failures == FAILURES:
            log.warning("peer_does_not_answer", **self._labels)
            metrics.rpc_circuit_open.set(1, self._labels)
