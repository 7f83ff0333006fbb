"""`histfs simulate`: the API simulator as a server of its own."""

from __future__ import annotations

import errno
import math
import shlex
import signal
import sys
import time
from typing import Any

import click

from histfs.cli.error_reporting import PortBusy
from histfs.cli.options import WholeNumber
from histfs.core.server_url import is_loopback
from histfs.settings import OptionError
from histfs.simulator import (
    DEFAULT_KEY,
    DEFAULT_NEWEST,
    PERMISSIONS,
    RequestRecord,
    Simulator,
    SimulatorSettings,
)


def _parse_time(context: click.Context, option: click.Parameter, value: str) -> int:
    """Parse a unix time in seconds, or the word "now"."""
    try:
        return math.floor(time.time()) if value == "now" else int(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither a unix time nor 'now'") from error


@click.command(
    context_settings={"show_default": True},
    short_help="Serve the API with sample data on this machine.",
)
@click.option("--port", type=WholeNumber(0, 65535), default=8765, help="0 takes a free port.")
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--items", type=WholeNumber(0), default=250, help="How many items there are.")
@click.option(
    "--conversations",
    type=WholeNumber(0),
    default=12,
    help="How many conversations there are.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    help="How many days they reach back.",
)
@click.option(
    "--disorder",
    type=WholeNumber(0),
    default=0,
    metavar="SECONDS",
    help="By how much lists are out of the order of time.",
)
@click.option(
    "--odd-dates", type=WholeNumber(0), default=0, help="How many items have an impossible date."
)
@click.option("--seed", type=int, default=0, help="Another seed gives other ids and times.")
@click.option(
    "--newest",
    callback=_parse_time,
    default=str(DEFAULT_NEWEST),
    metavar="SECONDS",
    help="Unix time of the newest item, or 'now'.",
)
@click.option(
    "--latency", type=click.FloatRange(0), default=0.0, help="Seconds before each answer."
)
@click.option(
    "--bandwidth", type=click.FloatRange(1), help="Bytes per second of each answer.", metavar="RATE"
)
@click.option(
    "--shared-bandwidth",
    type=click.FloatRange(1),
    help="Bytes per second of all answers together.",
    metavar="RATE",
)
@click.option("--clip-bytes", type=WholeNumber(1), help="Make every clip about so long.")
@click.option(
    "--formats",
    type=click.Choice(["honest", "told", "untold"]),
    default="honest",
    help="What the items tell of their audio's formats.",
)
@click.option("--api-key", default=DEFAULT_KEY, help="The key that clients must send.")
@click.option(
    "--permission",
    "permissions",
    type=click.Choice(PERMISSIONS),
    multiple=True,
    callback=lambda _, __, names: frozenset(names) or None,
    help="What the key may do, once for each; everything, if it isn't given.",
)
@click.option(
    "--needs-source",
    type=click.Choice(["search", "model_id"]),
    multiple=True,
    callback=lambda _, __, names: frozenset(names),
    help="Refuse this parameter of the list without a source.",
)
@click.option(
    "--needs-source-status",
    type=click.Choice([400, 422]),
    default=400,
    help="The HTTP status of that refusal.",
)
@click.option(
    "--no-text-search",
    "text_search",
    is_flag=True,
    callback=lambda _, __, is_set: not is_set,
    help="Have no search of conversations.",
)
@click.option(
    "--max-concurrent",
    type=WholeNumber(1),
    help="Refuse a request (429) while so many are being answered.",
    metavar="N",
)
@click.option(
    "--concurrency-headers", is_flag=True, help="Tell in each answer how many there may be."
)
@click.option(
    "--no-chunked",
    "chunked",
    is_flag=True,
    callback=lambda _, __, is_set: not is_set,
    help="Tell the length of audio before sending it.",
)
@click.option("--quiet", is_flag=True, help="Don't print a line for each request.")
def simulate(quiet: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Serve the ElevenLabs history and conversations API on this machine, with sample data.

    With --formats=told or =untold the audio comes in every format that the API generates, and its
    content type is audio/mpeg all the same; the output format is right, or not there.

    No account and no network are needed. It runs until it is interrupted (Ctrl-C).
    """
    settings = SimulatorSettings(**given)
    host, port = settings.host, settings.port
    # Blocked before any thread starts, so that sigwait below receives them.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        simulator = Simulator(settings, on_request=_ignore if quiet else _print)
    except OSError as error:
        message = f"can't listen on {host} port {port}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            raise PortBusy(f"{message}; give another --port, or 0 for a free one") from error
        raise OptionError(message) from error
    with simulator:
        url = simulator.base_url
        click.echo(
            f"Simulated API with {settings.items} items and"
            f" {settings.conversations} conversations: {url}"
        )
        insecure = "" if is_loopback(host) else " --insecure-http"
        click.echo(
            f"Mount it: ELEVENLABS_API_KEY={shlex.quote(settings.api_key)} histfs mount --base-url"
            f" {url}{insecure} DIR"
        )
        sys.stdout.flush()
        signal.sigwait(signals)


def _print(record: RequestRecord) -> None:
    click.echo(f"{record.method} {record.target} {record.status or 'reset'}", err=True)


def _ignore(record: RequestRecord) -> None:
    """Print nothing."""
