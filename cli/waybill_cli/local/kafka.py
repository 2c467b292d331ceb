"""Apache Kafka on this machine: one KRaft node from its Maven artifacts."""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from waybill_cli.errors import StackError
from waybill_cli.local.processes import (
    HOST,
    Process,
    blocking,
    free_port,
    listens,
    spawn,
    wait_until_ready,
)
from waybill_cli.places import project_root

HEAP = "512m"
Say = Callable[[str], None]


def _silent(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker. `address` is what clients bootstrap from."""

    process: Process
    address: str

    def stop(self, timeout: float = 15.0) -> None:
        """Stop it; its data stays where it is."""
        self.process.stop(timeout)


def start(
    data_dir: Path,
    *,
    port: int | None = None,
    log_file: Path | None = None,
    timeout: float = 60.0,
    say: Say = _silent,
) -> Broker:
    """Start a broker that keeps its data in `data_dir` and return when it answers.

    It listens on 127.0.0.1, on a free port unless one is given; another start may use another.
    Raises StackError when Java or Maven is missing or the broker does not come up.
    """
    log_file = log_file or data_dir / "kafka.log"
    process = launch(data_dir, port=port or free_port(), log_file=log_file, say=say)
    try:
        wait_until_ready(
            process, lambda: ready(process.address), log_file=log_file, timeout=timeout
        )
    except StackError:
        process.stop()
        raise
    return Broker(process, process.address)


def launch(
    data_dir: Path,
    *,
    port: int,
    log_file: Path,
    controller_port: int | None = None,
    say: Say = _silent,
) -> Process:
    """Start a broker without waiting for it. Raises StackError when Java or Maven is missing."""
    libs = resolve(say)
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    properties = _render(data_dir, port, controller_port or free_port())
    if not (data_dir / "data" / "meta.properties").is_file():
        _format(libs, data_dir, properties)
    return spawn(
        "kafka",
        [*_java(libs, f"-Xmx{HEAP}", "-XX:+ExitOnOutOfMemoryError"), "kafka.Kafka", properties],
        address=f"{HOST}:{port}",
        log_file=log_file,
        cwd=data_dir,
    )


def ready(address: str) -> bool:
    """Whether a broker of ours answers at `host:port`."""
    return listens(int(address.rpartition(":")[2])) and blocking(answers(address))


async def answers(bootstrap_servers: str, timeout_ms: int = 2000) -> bool:
    """Whether a broker there tells its cluster's topics."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=timeout_ms)
    try:
        await client.start()
        await client.list_topics()
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()
    return True


def resolve(say: Say = _silent) -> Path:
    """The folder with the broker's jars, fetched by Maven on first use and kept for good.

    Raises StackError when Java 17 or Maven is missing, or Maven fails.
    """
    _require("java", "Java 17 or newer", "openjdk-17-jre-headless")
    pom = project_root() / "deploy" / "kafka-local" / "pom.xml"
    # The folder's name carries the recipe, so that a changed recipe is resolved anew.
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:8]
    libs = project_root() / ".waybill" / "kafka" / f"libs-{digest}"
    if libs.is_dir():
        return libs
    _require("mvn", "Maven", "maven")
    say("fetching Apache Kafka from Maven (once)")
    libs.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="resolving-", dir=libs.parent))
    try:
        result = subprocess.run(
            [
                *("mvn", "-q", "-B", "-ntp", "-f", str(pom)),
                *("dependency:copy-dependencies", f"-DoutputDirectory={fresh}"),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            said = (result.stdout + result.stderr).strip().split("\n")[0]
            raise StackError(f"Maven could not fetch Apache Kafka: {said}")
        fresh.chmod(0o755)
        try:
            fresh.rename(libs)
        except OSError:
            if not libs.is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return libs


def _require(program: str, what: str, package: str) -> None:
    if shutil.which(program) is None:
        raise StackError(
            f"{what} is missing ({program}): install it, on Debian or Ubuntu with "
            f"`apt-get install {package}`"
        )


def _java(libs: Path, *options: str) -> list[str]:
    logging = project_root() / "deploy" / "kafka-local" / "log4j2.properties"
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if os.environ.get("JAVA_HOME") else None
    return [
        str(java) if java is not None and java.is_file() else "java",
        *options,
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        f"{libs}/*",
    ]


def _render(data_dir: Path, port: int, controller_port: int) -> Path:
    recipe = project_root() / "deploy" / "kafka-local" / "server.properties"
    listeners = f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}"
    # A static quorum keeps no address in the data, so that ports can change between starts.
    own = {
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "log.dirs": str(data_dir / "data"),
    }
    path = data_dir / "server.properties"
    lines = "\n".join(f"{name}={value}" for name, value in own.items())
    path.write_text(f"{recipe.read_text()}\n{lines}\n")
    return path


def _format(libs: Path, data_dir: Path, properties: Path) -> None:
    # A first start that was cut short leaves a folder that the tool would refuse.
    shutil.rmtree(data_dir / "data", ignore_errors=True)
    command = [
        *_java(libs, "-Xmx128m", "-XX:TieredStopAtLevel=1"),
        "kafka.tools.StorageTool",
    ]
    result = subprocess.run(
        [*command, "format", "-t", _cluster_id(), "-c", str(properties)],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        said = " ".join((result.stdout + result.stderr).split())[-400:]
        raise StackError(f"Kafka's data folder could not be made: {said}")


def _cluster_id() -> str:
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # The tool would take a leading dash for an option.
        if not name.startswith("-"):
            return name
