"""Randomness that replay draws again: every stream derives from the run's seed.

Each purpose has a stream of its own, so that a call added to one does not shift the numbers of another.
A stream is made when it is first drawn from: most runs never pay for one.
"""

from hashlib import sha256
from random import Random
from typing import Any
from uuid import UUID
from weakref import WeakSet


class Randomness:
    """The random streams of one run."""

    __slots__ = ("_children", "_made", "_seed", "_streams")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._streams: dict[str, Random] = {}
        self._made = 0
        self._children: WeakSet[Random] | None = None

    def stream(self, name: str) -> Random:
        """The generator of this name; the same object each time."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = Random(derive_number(self._seed, name))  # noqa: S311  # not for secrets
        return found

    def new_stream(self) -> Random:
        """A generator that nobody else draws from, seeded from the main one."""
        self._made += 1
        seed = f"{self.stream('random').getrandbits(128):032x}"
        child = Random(derive_number(seed, f"child {self._made}"))  # noqa: S311  # not for secrets
        if self._children is None:
            self._children = WeakSet()
        self._children.add(child)
        return child

    def uuid4(self) -> UUID:
        """A random UUID."""
        return UUID(int=self.stream("uuid4").getrandbits(128), version=4)

    def uuid7(self, time_us: int) -> UUID:
        """A UUID that sorts by `time_us` to the microsecond, and at random within it."""
        millis, micros = divmod(time_us, 1000)
        # RFC 9562, method 3: the 12 bits after the milliseconds hold the fraction of one.
        fraction = micros * 4096 // 1000
        tail = self.stream("uuid7").getrandbits(62)
        return UUID(int=(millis & (1 << 48) - 1) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | tail)

    def snapshot(self) -> "Snapshot":
        """Where all generators stand, for `restore`."""
        known = [*self._streams.values(), *(self._children or ())]
        return self._made, tuple(self._streams), [(one, one.getstate()) for one in known]

    def restore(self, snapshot: "Snapshot") -> None:
        """Take back every draw since `snapshot`, also those through generators that code kept."""
        self._made, names, states = snapshot
        for name in self._streams.keys() - set(names):
            del self._streams[name]
        for generator, state in states:
            generator.setstate(state)


Snapshot = tuple[int, tuple[str, ...], list[tuple[Random, Any]]]
"""Generators made, names of the streams, and each generator with its state (opaque by its contract)."""


def derive_number(seed: str, name: str) -> int:
    """A 256-bit number that depends on both texts and nothing else."""
    return int.from_bytes(sha256(f"{len(seed)}:{seed}{name}".encode()).digest(), "big")
