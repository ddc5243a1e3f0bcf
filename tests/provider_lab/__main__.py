"""`python tests/provider_lab`: the lab alone, until Ctrl-C."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

if __package__ in {None, ""}:  # run by its folder: the packages beside it are not on the path yet
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pydantic import ValidationError

from provider_lab.script import Rule, rules_from_json
from provider_lab.server import Lab


def main() -> None:
    """Parse, run, say where."""
    parser = argparse.ArgumentParser(prog="provider_lab", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0 takes a free one")
    parser.add_argument("--script", type=Path, help="JSON file with a list of rules")
    parser.add_argument("--json", action="store_true", help="say where the lab is in one line of JSON")
    options = parser.parse_args()
    try:
        rules = rules_from_json(options.script.read_bytes()) if options.script else ()
    except (OSError, ValidationError) as error:
        parser.error(f"--script {options.script}: {error}")
    asyncio.run(_run(options.port, rules, as_json=options.json))


async def _run(port: int, rules: tuple[Rule, ...], *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Lab(port=port, rules=rules) as lab:
        shown = {"url": lab.url, "env": {"ANTHROPIC_BASE_URL": lab.url, "OPENAI_BASE_URL": f"{lab.url}/v1"}}
        print(json.dumps(shown) if as_json else _described(lab.url, shown["env"]), flush=True)  # noqa: T201
        await stop.wait()


def _described(url: str, env: object) -> str:
    assert isinstance(env, dict)
    exports = "\n".join(f"export {name}={value}" for name, value in env.items())
    return (
        f"{exports}\n\nScript: POST {url}/lab/script   Seen: GET {url}/lab/requests, {url}/lab/billed   Ctrl-C ends it."
    )


if __name__ == "__main__":
    main()
