"""A service as the stack sees it: migrates, takes its ports, answers, ends when told to."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType


def main(service: str) -> None:
    """Do what `python -m waybill_<service>` is asked for."""
    prefix = f"WAYBILL_{service.upper()}"
    data_dir = Path(os.environ["WAYBILL_DATA_DIR"])
    if sys.argv[1:] == ["migrate"]:
        with (data_dir / "migrated").open("a") as log:
            log.write(f"{service}\n")
        return

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = {
                "service": service,
                "path": self.path,
                "port": int(os.environ[f"{prefix}_HTTP_PORT"]),
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body_bytes": len(self.rfile.read(int(self.headers.get("content-length", 0)))),
                "env": {k: v for k, v in os.environ.items() if k.startswith(("WAYBILL", "KAFKA"))},
            }
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return

    def stop(number: int, frame: FrameType | None) -> None:
        with (data_dir / "stopped").open("a") as log:
            log.write(f"{service}\n")
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    print(f"{service} stands in", flush=True)
    port = int(os.environ[f"{prefix}_HTTP_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
