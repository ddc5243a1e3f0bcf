"""The command line. Commands live in modules that are imported when used, so that `--help` answers at once."""

import contextlib
import importlib
import os
import sys
import traceback

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Review three sample contracts on the embedded stack, start to finish."),
    "dev": ("stack", "Run Temporal, PostgreSQL, Valkey, a worker and the gateway here until Ctrl-C."),
    "worker": ("stack", "Run a worker alone."),
    "gateway": ("gateway", "Run the HTTP gateway alone."),
    "doctor": ("stack", "Check every part and say how to mend it."),
    "settings": ("stack", "Show every setting, secrets masked."),
    "submit": ("reviews", "Submit contracts for review."),
    "status": ("reviews", "Show where a review stands."),
    "watch": ("reviews", "Follow a review until it ends or waits for a person."),
    "list": ("reviews", "List reviews."),
    "queue": ("reviews", "List what waits for a reviewer or a requester, most urgent first."),
    "document": ("reviews", "Print a review's document as text."),
    "claim": ("decisions", "Take a review to yourself for a while, or give it back."),
    "approve": ("decisions", "Sign a review as it stands."),
    "reject": ("decisions", "Reject a review."),
    "amend": ("decisions", "Correct findings, then sign."),
    "ask": ("decisions", "Ask the requester a question back."),
    "view": ("decisions", "Say what you would do, before you know how sure the machine is."),
    "withdraw": ("decisions", "Take your decision back while it is pending."),
    "bulk": ("bulk", "Sign many low-risk reviews at once, each bound to its digest."),
    "answer": ("decisions", "Answer a reviewer's question."),
    "trail": ("records", "Show and verify a review's audit trail."),
    "costs": ("records", "Show tokens and money by tenant, agent and model."),
    "history": ("histories", "Save a review's Temporal history."),
    "replay": ("histories", "Replay saved histories against this code."),
    "knowledge": ("knowledge", "Add to and search the knowledge base."),
    "corrections": ("corrections", "Show, withdraw or confirm what amendments taught the machine."),
    "vigilance": ("vigilance", "Show how many planted wrong findings each reviewer noticed."),
    "profile": ("profile", "Show or set what reviews remember of a requester."),
    "autonomy": ("autonomy", "What cells may do without a person: evidence, signatures, demotions."),
    "shadow": ("shadow", "Compare the agents with people's labels; nothing is released."),
    "groups": ("people", "Say who is in which group of signers."),
    "absence": ("people", "Say who is away and who signs for them."),
    "keys": ("keys", "Create, list, rotate and revoke API keys."),
    "limits": ("limits", "Show or change what may come in."),
    "batch": ("batch", "Submit a folder or CSV of contracts as one batch; follow, pause, cancel and report it."),
    "rerun": ("rerun", "Analyse stored reviews again with another model or playbook, and compare."),
    "circuits": ("circuits", "Show which model or tool may be called now; open or reset one by hand."),
    "tools": ("tools", "Show or change what agents may use."),
    "effects": ("effects", "Approve or decline what agents propose to do."),
    "notify": ("notify", "Say who is told of what waits, and how."),
    "counterparties": ("counterparties", "Keep the register of counterparties."),
}

EXIT_CODES = {
    "InvalidRequest": 2,
    "KeyReused": 2,
    "PlaybookError": 2,
    "ModelConfigurationError": 2,
    "NotFound": 3,
    "DecisionRefused": 4,
    "ServiceUnavailable": 5,
    "DocumentError": 6,
    "ReviewFailed": 6,
    "ReviewBlocked": 7,
    "RateLimited": 8,
    "Overloaded": 8,
    "CircuitOpen": 8,
    "Throttled": 8,
}
"""Exit code by error type; 0 is success and 1 anything unexpected."""

EPILOG = (
    "Exit codes: 0 done; 1 unexpected; 2 bad input; 3 not found or another tenant's; 4 decision refused; "
    "5 a server does not answer; 6 document or review failed; 7 blocked by the sentinel; "
    "8 refused for now, try again later."
)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        attribute = f"{cmd_name}_command"
        command: click.Command = getattr(importlib.import_module(f"starters.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="countersign", message="%(prog)s %(version)s")
def cli() -> None:
    """Countersign: AI agents whose every decision is earned by evidence or signed by a person."""


def main() -> None:
    """Run the command line and end the process with its true exit code.

    Ends with `os._exit`: an interpreter that used the Temporal client can crash while it shuts down
    (`PyGILState_Release`), after its work is done, and the exit code would lie.
    """
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        # A reader that has gone (`| head`) wants nothing more.
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


def _run() -> int:
    from countersign.errors import CountersignError

    try:
        # Outside standalone mode click returns the code that a command gave to `ctx.exit`.
        code = cli(standalone_mode=False)
    except click.Abort:
        click.echo("Stopped.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CountersignError as error:
        click.echo(f"countersign: {error}", err=True)
        return EXIT_CODES.get(error.type, 1)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Exception:
        traceback.print_exc()
        return 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
