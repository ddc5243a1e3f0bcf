"""The sliding window of a batch: which items may begin, which are under way, how the others ended. Pure.

Items are positions from 0, begun in order. At most `size` are under way; one that waits for a person has ended for the
machine, and makes room. Whatever order answers come in, and however often, each item is begun and counted once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import Field, model_validator

from countersign.review.payloads import Payload


class Window(Payload):
    """One moment of a batch. Small whatever its size: positions under way, and counts of what ended.

    Attributes:
        items: how many there are.
        size: how many may be under way at once.
        next: the first that was not begun.
        flying: those under way, in order.
        ended: how many ended how.
        paused: nothing begins for now.
        cancelled: nothing begins any more.
    """

    items: int = Field(ge=0)
    size: int = Field(ge=1)
    next: int = Field(default=0, ge=0)
    flying: tuple[int, ...] = ()
    ended: dict[str, int] = Field(default_factory=dict)
    paused: bool = False
    cancelled: bool = False

    @model_validator(mode="after")
    def _adds_up(self) -> "Window":
        if self.next != len(self.flying) + sum(self.ended.values()) or self.next > self.items:
            raise ValueError("items begun are those under way and those that ended")
        if len(self.flying) > self.size or any(not 0 <= position < self.next for position in self.flying):
            raise ValueError("more items are under way than may be, or some that were not begun")
        return self

    @property
    def to_begin(self) -> tuple[int, ...]:
        """Items that may begin now, in order."""
        if self.paused or self.cancelled:
            return ()
        return tuple(range(self.next, min(self.items, self.next + self.size - len(self.flying))))

    @property
    def left(self) -> int:
        """Items that were not begun."""
        return self.items - self.next

    @property
    def is_over(self) -> bool:
        """Whether the machine has nothing more to do: all ended, or cancelled and none under way."""
        return not self.flying and (self.cancelled or self.left == 0)

    def begin(self, begun: Iterable[int], ended: Mapping[int, str]) -> "Window":
        """These were begun, and those ended as they began (they were broken).

        Raises `ValueError` unless together they are the next items in order, and no more than fit.
        """
        started = tuple(sorted(begun))
        expected = tuple(range(self.next, self.next + len(started) + len(ended)))
        if tuple(sorted((*started, *ended))) != expected or len(self.flying) + len(started) > self.size:
            raise ValueError(f"not the next items: {started} and {sorted(ended)} where {self.next} is next")
        return self._with(
            next=self.next + len(expected),
            flying=(*self.flying, *started),
            ended=self._counted(ended.values()),
        )

    def end(self, ended: Mapping[int, str]) -> "Window":
        """The machine is done with these. One that is not under way (any more) was counted before, and is left out."""
        new = {position: how for position, how in ended.items() if position in self.flying}
        return self._with(
            flying=tuple(position for position in self.flying if position not in new),
            ended=self._counted(new.values()),
        )

    def pause(self) -> "Window":
        """Nothing begins until `resume`."""
        return self._with(paused=True)

    def resume(self) -> "Window":
        """Go on."""
        return self._with(paused=False)

    def cancel(self) -> "Window":
        """Nothing begins any more; what is under way goes on to its end."""
        return self._with(cancelled=True)

    def _counted(self, hows: Iterable[str]) -> dict[str, int]:
        return dict(sorted((Counter(self.ended) + Counter(hows)).items()))

    def _with(self, **changes: object) -> "Window":
        return Window.model_validate({**dict(self), **changes})
