"""What is measured of an artifact: the options of ``onenet bench``, as they travel to a device. Python's own library alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import cast

from onenet.errors import RequestError

MOST_SAMPLES = 10_000
"""The most samples of one round; a network so fast that it reaches this before ``seconds`` has said enough."""


@dataclass(frozen=True)
class Plan:
    """What is measured of one artifact on one device.

    A round is a process of its own: it loads the artifact, warms up, and takes samples. Several, because what differs between
    processes (where memory came to lie) is often more than what differs between runs of one.
    """

    threads: tuple[int, ...] = ()
    """Each is a row of its own; none: one row with all cores that the process may use."""
    runs: int = 30
    """At least this many samples in a round."""
    seconds: float = 1.0
    """A round samples at least this long."""
    rounds: int = 3
    warmup_runs: int = 3
    warmup_seconds: float = 0.5
    """The warm-up ends when both are reached."""
    cores: tuple[int, ...] = ()
    """CPU cores that the process is bound to; none: the system's choice."""
    sustained_minutes: float = 0.0
    """After the rounds of a row, run without pause for so long, and report every minute."""
    profile: bool = False
    """Time every operator, in one more process."""
    timeout: float = 600.0
    """Seconds for everything on the device, ``sustained_minutes`` not counted."""

    def __post_init__(self) -> None:
        wrong = [name for name in ("runs", "rounds", "timeout") if getattr(self, name) <= 0]
        wrong += [name for name in ("seconds", "warmup_runs", "warmup_seconds", "sustained_minutes") if getattr(self, name) < 0]
        wrong += ["runs"] * (self.runs > MOST_SAMPLES)
        wrong += ["threads"] * any(n < 1 for n in self.threads) + ["cores"] * any(n < 0 for n in self.cores)
        if wrong:
            what = f"{wrong[0].replace('_', ' ')} {getattr(self, wrong[0])!r}"
            raise RequestError(f"{what} makes no measurement; docs/measuring.md says what each means")

    def deadline(self) -> float:
        """Seconds after which a device gives up by itself."""
        return self.timeout + 60 * self.sustained_minutes * max(1, len(self.threads))

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it: with lists, no tuples."""
        return {**asdict(self), "threads": list(self.threads), "cores": list(self.cores)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Plan:
        """From what ``as_dict`` gave."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return cast("Callable[..., Plan]", cls)(**values)
