"""A mail server that delivers nothing and keeps everything: each mail a file of a Maildir.

Run by `waybill up` as `python -m waybill_cli.local.mail PORT FOLDER`.
"""

import asyncio
import signal
import sys
from pathlib import Path

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP

from waybill_cli.local.processes import HOST

MAX_BYTES = 32 * 1024 * 1024


async def serve(port: int, folder: Path) -> None:
    """Take mail until told to stop. A mail that was answered with 250 is on the disk."""
    handler = Mailbox(folder)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(handler, data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, ident="Waybill"),
        HOST,
        port,
    )
    async with server:
        await stop.wait()


if __name__ == "__main__":
    Path(sys.argv[2]).parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
