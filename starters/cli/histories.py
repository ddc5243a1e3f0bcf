"""history and replay: a review's Temporal history as a file, and the proof that this code still goes the same way."""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from countersign.errors import CountersignError, InvalidRequest
from starters.cli.common import Command, ReplayFailed, emit, json_option, tenant_option, with_client
from starters.cli.files import STDIN, read_bounded

if TYPE_CHECKING:
    from temporalio.client import WorkflowHistory
    from temporalio.worker import Replayer

    from starters.client import ReviewClient

MAX_HISTORY_BYTES = 200_000_000
"""A history is at most 50 MB on the server; JSON with base64 and indentation is larger."""
MAX_MESSAGE = 500
DIVERGED = "NondeterminismError"
_CORE_MESSAGE = re.compile(r'message: "((?:[^"\\]|\\.)+)"')
LESSON = (
    "The workflow code now gives other commands than it gave then, so reviews that are running would stop at this "
    "point. Put the change behind workflow.patched(), or undo it; never edit a saved history"
)


@dataclass(frozen=True)
class Replayed:
    """One file's verdict; `type` (of the error) and `problem` are empty when it replayed."""

    file: str
    ok: bool
    type: str = ""
    problem: str = ""


@click.command("history", cls=Command)
@click.argument("review_id", metavar="ID")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write it; - is standard output.")
@tenant_option
@json_option
def history_command(review_id: str, output: str, tenant: str | None, as_json: bool) -> None:
    """Save a review's Temporal history as JSON, as 'temporal workflow show -o json' gives it."""

    async def fetch(client: "ReviewClient") -> "WorkflowHistory":
        return await client.history(tenant or client.settings.tenant, review_id)

    if as_json and output == STDIN:
        raise InvalidRequest("--json with -o -: stdout can carry one document only", remedy="Leave --json out")
    history = with_client(fetch)
    if output == STDIN:
        click.echo(history.to_json())
        return
    try:
        Path(output).write_text(history.to_json(), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{output}: cannot be written ({error.strerror})", remedy="Name another file") from None
    if as_json:
        found = {"review_id": review_id, "workflow_id": history.workflow_id, "events": len(history.events)}
        emit({**found, "file": output})
    else:
        click.echo(f"{len(history.events)} events of {history.workflow_id} written to {output}")


@click.command("replay", cls=Command)
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@json_option
def replay_command(files: tuple[str, ...], as_json: bool) -> None:
    """Replay saved histories against this code; exits with 1 when one does not replay."""
    results = asyncio.run(replay_all(files))
    if as_json:
        emit(results)
    else:
        for result in results:
            click.echo(f"{'ok    ' if result.ok else 'FAILED'}  {result.file}")
            if not result.ok:
                click.echo(f"        {result.problem}")
    failed = [result for result in results if not result.ok]
    if failed:
        diverged = any(result.type == DIVERGED for result in failed)
        raise ReplayFailed(
            f"{len(failed)} of {len(results)} histories do not replay",
            remedy=LESSON if diverged else "See what is wrong with each",
        )


async def replay_all(files: tuple[str, ...]) -> list[Replayed]:
    """Replay each file with the application's own plugin. A file that cannot be read is a failure like any other."""
    from temporalio.runtime import Runtime, TelemetryConfig
    from temporalio.worker import Replayer

    from workers.plugin import countersign_plugin

    # The SDK's core would print its own words about a divergence to stdout, which is for results.
    quiet = Runtime(telemetry=TelemetryConfig(logging=None))
    # The plugin brings the workflows, the converter and the interceptors that the workers use.
    replayer = Replayer(workflows=[], plugins=[countersign_plugin()], runtime=quiet)
    return [await _replay(replayer, file) for file in files]


async def _replay(replayer: "Replayer", file: str) -> Replayed:
    try:
        history = read_history(file)
    except CountersignError as error:
        return Replayed(file, ok=False, type=error.type, problem=str(error))
    failure = (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure
    if failure is None:
        return Replayed(file, ok=True)
    return Replayed(file, ok=False, type=type(failure).__name__, problem=explained(failure))


def explained(failure: BaseException) -> str:
    """A replay failure in one bounded line: what the SDK's core says, without the structure it wraps it in."""
    text = " ".join(str(failure).split())
    found = _CORE_MESSAGE.search(text)
    return (found[1].replace('\\"', '"') if found else text)[:MAX_MESSAGE]


def read_history(file: str) -> "WorkflowHistory":
    """A saved history. Raises InvalidRequest when the file is none."""
    from google.protobuf.json_format import ParseError
    from temporalio.client import WorkflowHistory

    data = read_bounded(file, MAX_HISTORY_BYTES)
    try:
        content = json.loads(data)
        first = content["events"][0]["workflowExecutionStartedEventAttributes"]
        return WorkflowHistory.from_json(first.get("workflowId") or Path(file).stem, content)
    except (ValueError, KeyError, IndexError, TypeError, ParseError):
        raise InvalidRequest(
            f"{file}: is no saved history",
            remedy="Save one with 'countersign history ID -o FILE' or 'temporal workflow show -o json'",
        ) from None
