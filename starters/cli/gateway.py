"""`gateway`: reviews over HTTP."""

import asyncio
import json
import os
import sys

import click

from starters.cli.common import Command, json_option, load_settings
from starters.cli.stack import log_to_stderr, require_gateway, stop_signals


@click.command("gateway", cls=Command)
@click.option("--host", help="Address to listen on.  [default: COUNTERSIGN_GATEWAY_HOST]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [default: COUNTERSIGN_GATEWAY_PORT]")
@json_option
def gateway_command(host: str | None, port: int | None, as_json: bool) -> None:
    """Run the HTTP gateway alone until Ctrl-C; requests under way get twenty seconds to finish.

    It listens beyond this machine only when people can be told apart: when there is a key, or an OIDC issuer. Put TLS
    in front of it then. With --json, one line is printed when it is up.
    """
    settings = load_settings()
    require_gateway()
    from starters.gateway.serve import serve

    log_to_stderr()

    def started(url: str, someone: bool | None) -> None:
        if as_json:
            click.echo(json.dumps({"gateway": url, "pid": os.getpid(), "keys": someone}))
        else:
            click.echo(f"Gateway on {url}")
            if someone is False:
                click.echo("Nobody can come in until there is a key: countersign keys create", err=True)
        sys.stdout.flush()

    async def run() -> None:
        with stop_signals() as stop:
            await serve(
                settings,
                settings.gateway_host if host is None else host,
                settings.gateway_port if port is None else port,
                stop,
                started,
            )

    asyncio.run(run())
