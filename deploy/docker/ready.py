"""A container's health check: whether the service on this port of its own says it is ready."""

import sys
from urllib.error import URLError
from urllib.request import urlopen

try:
    with urlopen(f"http://127.0.0.1:{sys.argv[1]}/readyz", timeout=4) as answer:
        sys.exit(answer.status != 200)
except URLError as error:
    sys.exit(str(error))
