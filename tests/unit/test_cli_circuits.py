"""`circuits`: what is called and what is not, in words and JSON; opened and reset by hand, wrong input refused."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import Result
from helpers.terminal import Run, terminal

from countersign.breaker.config import SECOND, Rules, config_of
from countersign.breaker.model import Circuit
from countersign.breaker.standing import fields_of, standing_of
from countersign.breaker.words import Kind, Standing
from countersign.trail.pseudonym import Pseudonyms

PSEUDONYMS = Pseudonyms(b"k" * 32)
OLGA = PSEUDONYMS.of("user", "Olga")
BY = ("--by", "Olga", "--reason", "they leak")
NAME = "model:lab:m-1"


@dataclass
class Circuits:
    """The model under the names of `Circuits`, as if Redis had it."""

    kept: dict[str, Circuit] = field(default_factory=dict)
    degraded: bool = False
    now: int = field(default_factory=lambda: time.time_ns() // 1000)

    def _rules(self, name: str) -> Rules:
        return Rules.of(config_of(name, {"model": {"min_calls": 3, "jitter": 0}}))

    def called(self, name: str, *kinds: Kind) -> None:
        circuit = self.kept.setdefault(name, Circuit.new(self.now))
        for number, kind in enumerate(kinds):
            circuit.admit(self.now, 0.0, self._rules(name), f"t{number}")
            circuit.done(self.now, 0.0, self._rules(name), f"t{number}", kind, SECOND, 0)

    async def standing(self) -> tuple[Standing, ...]:
        return tuple(
            standing_of(name, fields_of(circuit), self._rules(name), time.time())
            for name, circuit in sorted(self.kept.items())
        )

    async def open(self, name: str, *, reason: str, by: str, for_s: float | None = None) -> None:
        self.kept[name].open(self.now, 0.0, self._rules(name), by, reason, round((for_s or 0) * SECOND))

    async def reset(self, name: str, *, reason: str, by: str) -> None:
        self.kept[name].reset(self.now, 0.0, self._rules(name), by, reason)


@dataclass
class World:
    """What the command reaches: a client with its services."""

    circuits: Circuits = field(default_factory=Circuits)
    pseudonyms: Pseudonyms = PSEUDONYMS

    async def services(self) -> "World":
        return self


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world: World) -> Run:
    return terminal(world, "circuits")


def rows_of(result: Result) -> dict[str, dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_it_shows_what_is_called_and_what_is_not(run: Run, world: World) -> None:
    assert "No circuit yet" in run().output
    world.circuits.called(NAME, *[Kind.FAILURE] * 3)
    world.circuits.called("tool:search", Kind.SUCCESS, Kind.SUCCESS)
    world.circuits.kept["tool:search"].admit(world.circuits.now, 0.0, Rules.of(config_of("tool:search", {})), "t9")
    shown = run().output
    lines = {line.split()[0]: line for line in shown.splitlines()[1:3]}
    assert "open" in lines[NAME] and "breaker" in lines[NAME] and "0 of 64" in lines[NAME] and "10s" in lines[NAME]
    assert "closed" in lines["tool:search"] and "1 of 32" in lines["tool:search"]
    assert f"{NAME}  opened" in shown and "by breaker: 3 of 3 calls failed" in shown
    rows = rows_of(run("--json"))
    assert rows[NAME]["state"] == "open"
    assert rows[NAME]["transitions"] == {"closed": 0, "open": 1, "half-open": 0}
    assert 9 < rows[NAME]["probe_in_s"] <= 10
    assert (rows["tool:search"]["state"], rows["tool:search"]["calls"], rows["tool:search"]["in_flight"]) == (
        "closed", 2, 1,
    )  # fmt: skip


def test_opened_by_hand_and_reset_with_who_and_why(run: Run, world: World) -> None:
    world.circuits.called(NAME)
    opened = run("open", NAME, *BY)
    assert opened.exit_code == 0
    assert "a reset" in opened.output and "they leak" in opened.output
    row = rows_of(run("--json"))[NAME]
    assert (row["state"], row["by_hand"], row["opened_by"], row["opened_why"]) == ("open", True, OLGA, "they leak")
    assert row["probe_in_s"] is None
    reset = json.loads(run("reset", NAME, "--by", "Olga", "--reason", "they mended it", "--json").stdout)
    assert (reset["state"], reset["reset_by"], reset["reset_why"]) == ("closed", OLGA, "they mended it")
    shown = run().output
    assert "they mended it" in shown and "they leak" in shown
    assert "Olga" not in shown


def test_opened_by_hand_for_a_while(run: Run, world: World) -> None:
    world.circuits.called(NAME)
    row = json.loads(run("open", NAME, "--for", "10m", *BY, "--json").stdout)
    assert row["probe_in_s"] == 600


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("open", "model:lab", *BY), 2, "circuit: is no circuit's name"),
        (("open", "Jane Doe", *BY), 2, "circuit: is no circuit's name"),
        (("open", "model:lab:unknown", *BY), 3, "circuit model:lab:unknown: not known"),
        (("reset", "tool:unknown", *BY), 3, "circuit tool:unknown: not known"),
        (("open", NAME, "--by", "Olga", "--reason", " "), 2, "--reason: is empty"),
        (("reset", NAME, "--by", " ", "--reason", "x"), 2, "--by: is empty"),
        (("open", NAME, "--for", "soon", *BY), 2, "--for: 'soon' is no length of time"),
        (("open", NAME, "--by", "Olga"), 2, "Missing option '--reason'"),
        (("reset", NAME, "--reason", "x"), 2, "Missing option '--by'"),
        (("opne", NAME), 2, "No such command 'opne'"),
        (("--json", "open", NAME, *BY), 2, "--json: stands before the subcommand"),
    ],
)
def test_what_cannot_be_done_is_refused(
    run: Run, world: World, arguments: tuple[str, ...], code: int, named: str
) -> None:
    world.circuits.called(NAME)
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert named in refused.stderr
    assert "Jane" not in refused.output
    assert world.circuits.kept[NAME].state.value == "closed"
    assert world.circuits.kept[NAME].reset_at == 0


def test_refusals_follow_json(run: Run, world: World) -> None:
    world.circuits.called(NAME)
    for arguments in (("open", "tool:unknown", *BY, "--json"), ("open", NAME, "--json")):
        refused = run(*arguments)
        assert refused.stdout == ""
        assert json.loads(refused.stderr)["type"] in {"NotFound", "InvalidRequest"}


@pytest.mark.parametrize("arguments", [(), ("open", NAME, *BY), ("reset", NAME, *BY), ("--json",)])
def test_without_redis_nothing_is_shown_or_done(run: Run, world: World, arguments: tuple[str, ...]) -> None:
    world.circuits.called(NAME)
    world.circuits.degraded = True
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (5, "")
    assert "Redis does not answer" in refused.stderr


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("nonsense", "COUNTERSIGN_CIRCUITS: is no JSON object"),
        ('{"model": {"open_s": "Jane"}}', "COUNTERSIGN_CIRCUITS: model.open_s: Input should be a valid number"),
        ('{"model": {"probes": 0}}', "circuits: model: probes: Input should be greater than or equal to 1"),
    ],
)
def test_wrong_rules_are_named_without_their_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: str, named: str
) -> None:
    monkeypatch.setenv("COUNTERSIGN_CIRCUITS", given)
    refused = run()
    assert refused.exit_code == 2
    assert named in refused.stderr
    assert "Jane" not in refused.output
