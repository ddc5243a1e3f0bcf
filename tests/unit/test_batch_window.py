"""The window of a batch as a state machine: whatever answers come, each item is begun once and counted once."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import ValidationError

from countersign.batch.window import Window

HOWS = ("waiting", "released", "blocked", "failed")


class Batch(RuleBasedStateMachine):
    """The window against a plain account of every item."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.size = 30, 5
        self.window = Window(items=self.items, size=self.size)
        self.begun: list[int] = []
        self.ended: dict[int, str] = {}

    @rule(count=st.integers(0, 10), broken=st.sets(st.integers(0, 9)))
    def begin(self, count: int, broken: set[int]) -> None:
        """The door lets in the first few of those that may begin; some are broken and end at once."""
        asked = self.window.to_begin[:count]
        flying = [p for place, p in enumerate(asked) if place not in broken]
        ended = {p: "failed" for place, p in enumerate(asked) if place in broken}
        self.window = self.window.begin(flying, ended)
        self.begun += asked
        self.ended |= ended

    @rule(positions=st.sets(st.integers(0, 29)), how=st.sampled_from(HOWS))
    def end(self, positions: set[int], how: str) -> None:
        """An answer about any items: under way, ended before (told twice), or never begun."""
        self.window = self.window.end(dict.fromkeys(positions, how))
        for position in positions & set(self.begun) - self.ended.keys():
            self.ended[position] = how

    @rule()
    def pause(self) -> None:
        self.window = self.window.pause()

    @rule()
    def resume(self) -> None:
        self.window = self.window.resume()

    @precondition(lambda self: len(self.begun) > 20)
    @rule()
    def cancel(self) -> None:
        self.window = self.window.cancel()

    @rule()
    def goes_on_in_a_new_run(self) -> None:
        self.window = Window.model_validate_json(self.window.model_dump_json())

    @invariant()
    def adds_up(self) -> None:
        window = self.window
        assert self.begun == list(range(window.next))
        assert set(window.flying) == set(self.begun) - self.ended.keys()
        assert sum(window.ended.values()) == len(self.ended)
        assert all(window.ended[how] == list(self.ended.values()).count(how) for how in window.ended)
        assert len(window.flying) <= self.size

    @invariant()
    def begins_what_it_may(self) -> None:
        window = self.window
        if window.paused or window.cancelled:
            assert window.to_begin == ()
        else:
            assert len(window.to_begin) == min(window.left, self.size - len(window.flying))
        assert window.is_over == (not window.flying and (window.cancelled or window.next == self.items))


TestWindow = Batch.TestCase


def test_a_batch_without_people_runs_to_its_end_in_order() -> None:
    window, seen = Window(items=7, size=3), []
    while not window.is_over:
        seen += window.to_begin
        window = window.begin(window.to_begin, {})
        window = window.end({window.flying[0]: "waiting"})
    assert (seen, window.ended) == (list(range(7)), {"waiting": 7})


@pytest.mark.parametrize(
    ("begun", "ended"),
    [((1,), {}), ((0, 2), {}), ((), {1: "failed"}), ((0, 1, 2), {}), ((0,), {0: "failed"})],
)
def test_items_out_of_turn_do_not_begin(begun: tuple[int, ...], ended: dict[int, str]) -> None:
    with pytest.raises(ValueError, match="not the next items"):
        Window(items=5, size=2).begin(begun, ended)


@pytest.mark.parametrize(
    "fields",
    [
        {"next": 3},
        {"next": 2, "flying": (0, 5)},
        {"next": 4, "flying": (0, 1, 2, 3)},
        {"next": 9, "ended": {"done": 9}},
    ],
)
def test_a_state_that_does_not_add_up_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate({"items": 5, "size": 3, **fields})
