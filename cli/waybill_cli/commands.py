"""The commands of the local stack: up, down, status, logs, token, keys, topics, gateway."""

import json
import signal
import time
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from waybill_cli import gateway, topics
from waybill_cli.errors import StackError
from waybill_cli.local import keys, logs, settings, stack
from waybill_cli.local.processes import blocking

_ROLES = ", ".join(keys.ROLES)


class _Lines:
    """Progress as one line for each part, the same on a terminal and in a log file."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False, markup=False)

    def note(self, text: str) -> None:
        """Something that takes a while has begun."""
        self._console.print(f"  ... {text}")

    def done(self, name: str, address: str, seconds: float, remark: str) -> None:
        """A part is ready, or stopped."""
        time_taken = f"{seconds:5.1f} s" if seconds >= 0.05 else "       "
        self._console.print(f"  {name:<11} {address:<34} {time_taken}  {remark}".rstrip())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, status, token):
        app.command()(command)
    app.command("logs")(show_logs)
    app.command("keys")(make_keys)
    app.command("topics")(apply_topics)
    app.command("gateway")(gateway_config)


def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, show the logs, stop everything on ctrl-C.")
    ] = False,
    replicas: Annotated[
        str, typer.Option(help="How many of a service, as in sla=2,intake=2.")
    ] = "",
) -> None:
    """Start the whole stack and return when it is ready; what runs already stays as it is."""
    stack_settings = settings.read()
    counts = settings.parse_replicas(replicas)
    lines = _Lines()
    began = time.monotonic()
    try:
        stack.up(stack_settings, counts, lines)
    except KeyboardInterrupt:
        raise StackError("interrupted; `waybill up` goes on, `waybill down` stops it") from None
    typer.echo(
        f"Waybill is ready at {stack_settings.gateway_url} ({time.monotonic() - began:.0f} s)"
    )
    if foreground:
        _stay(stack_settings, lines)


def down(
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Remove all data too, for a fresh start.")
    ] = False,
) -> None:
    """Stop everything that `waybill up` started; the data stays."""
    stack_settings = settings.read()
    if not stack.down(stack_settings, _Lines()):
        typer.echo("nothing runs")
    if wipe:
        stack.wipe(stack_settings)
        typer.echo(f"the data in {stack_settings.data_dir} is gone")


def status() -> None:
    """Show every part; the exit code is 1 when one is down or not ready."""
    states = stack.status(settings.read())
    table = Table(box=None, pad_edge=False)
    for title in ("part", "pid", "address", "ready", "uptime"):
        table.add_column(title, justify="right" if title in ("pid", "uptime") else "left")
    for state in states:
        running = state.process.find() if state.process else None
        table.add_row(
            state.name,
            str(state.process.pid) if state.process else "-" if state.ours else "not ours",
            state.address,
            "yes" if state.ready else "no" if running or not state.ours else "down",
            _uptime(time.time() - running.create_time()) if running else "-",
        )
    Console(soft_wrap=True, width=max(100, Console().width)).print(table)
    if not all(state.ready for state in states):
        raise typer.Exit(1)


def show_logs(
    part: Annotated[str | None, typer.Argument(help="A service or part; all without.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines of each log.")] = 20,
) -> None:
    """Show the end of the logs, of all replicas of a service."""
    stack_settings = settings.read()
    files = stack.log_files(stack_settings, part)
    for line in logs.last(files, lines):
        typer.echo(line)
    if follow:
        try:
            for line in logs.follow(lambda: stack.log_files(stack_settings, part)):
                typer.echo(line)
        except KeyboardInterrupt:
            return


def token(
    sub: Annotated[str, typer.Option(help="Who it is for: a mail address or a name.")],
    role: Annotated[list[str], typer.Option(help=f"One of {_ROLES}; may be repeated.")],
    product: Annotated[
        list[str] | None, typer.Option(help="A product it is good for; all without. Repeatable.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="If it is not the subject.")] = None,
    name: Annotated[
        str | None, typer.Option(help="If it is not to be made of the subject.")
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it is good: 90s, 30m, 12h, 7d.")] = "12h",
) -> None:
    """Print a token signed by the local stack's key, and nothing else."""
    claims = keys.Claims(sub, role, product or ["*"], email, name)
    typer.echo(keys.mint(settings.read().keys_dir, claims, keys.parse_ttl(ttl)))


def make_keys() -> None:
    """Make the signing key if there is none, and the services' tokens anew: a step of compose."""
    folder = settings.read().keys_dir
    made = keys.ensure_keys(folder)
    for service in settings.SERVICES:
        keys.ensure_service_token(folder, service)
    typer.echo(f"{folder}: {'made' if made else 'there already'}, tokens of all services made")


def apply_topics(
    product: Annotated[
        list[str] | None, typer.Option(help="Only this product's topics. Repeatable.")
    ] = None,
) -> None:
    """Make the topics of deploy/topics.yaml that are missing, and set what is declared there."""
    declared = topics.declared()
    wanted = [t for p in product for t in declared.for_product(p)] if product else declared.all()
    made = blocking(topics.ensure(settings.read().kafka, wanted))
    for topic in wanted:
        typer.echo(f"{topic.name} {'made' if topic.name in made else 'there already'}")


def gateway_config(
    upstream: Annotated[
        list[str], typer.Option(help="SERVICE=HOST:PORT, for each service. Repeatable.")
    ],
    listen: Annotated[str, typer.Option(help="Where it answers.")] = "0.0.0.0:8080",
    admin: Annotated[str | None, typer.Option(help="Envoy's own interface.")] = None,
) -> None:
    """Print Envoy's configuration with the one route table, for compose or Kubernetes."""
    upstreams: dict[str, list[gateway.Address]] = {}
    for item in upstream:
        service, separator, address = item.partition("=")
        if not separator:
            raise StackError(f"--upstream {item!r}: write SERVICE=HOST:PORT")
        upstreams.setdefault(service, []).append(_address("--upstream", address))
    typer.echo("# Made by `waybill gateway` from deploy/gateway/; change it there.")
    config = gateway.render(
        upstreams,
        listen=_address("--listen", listen),
        admin=_address("--admin", admin) if admin else None,
    )
    # Through JSON, so that nothing shared is written as a YAML alias.
    typer.echo(yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False), nl=False)


def _stay(stack_settings: settings.StackSettings, lines: _Lines) -> None:
    """Show the logs until we are told to stop, then stop the stack."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for line in logs.follow(lambda: stack.log_files(stack_settings, None)):
            typer.echo(line)
    except KeyboardInterrupt:
        typer.echo("stopping")
    stack.down(stack_settings, lines)


def _address(option: str, text: str) -> gateway.Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise StackError(f"{option} {text!r}: write HOST:PORT")
    return host, int(port)


def _uptime(seconds: float) -> str:
    minutes, _ = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
