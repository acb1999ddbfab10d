"""What became slower since an older run's JSON file.

Two runs are compared by the ratio to the same peer, because that peer's times carry the machine's
mood in both; only where no such peer is left the times themselves are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FALL = 0.10  # a case whose speed fell by more than this share is flagged


@dataclass(frozen=True)
class Change:
    """Our speed on one case, new over old; below one is slower."""

    family: str
    case: str
    speed: float
    measure: str
    """What the speed is relative to: a peer's name, or ``time``."""

    @property
    def fell(self) -> bool:
        return self.speed < 1 - FALL

    def __str__(self) -> str:
        how = "by its own time" if self.measure == "time" else f"against {self.measure}"
        return f"{self.family}, {self.case}: {self.speed:.2f} of the old speed {how}"


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Every case that both runs measured of ours."""
    before = {(entry["family"], entry["case"]): entry for entry in old["cases"]}
    found = []
    for entry in new["cases"]:
        earlier = before.get((entry["family"], entry["case"]))
        change = _change(earlier, entry) if earlier else None
        if change:
            found.append(change)
    return found


def _change(old: dict[str, Any], new: dict[str, Any]) -> Change | None:
    ours_before, ours_now = _median(old, old["ours"]), _median(new, new["ours"])
    if not ours_before or not ours_now:
        return None
    peer = old["best_peer"]
    peer_before, peer_now = _median(old, peer), _median(new, peer)
    speed, measure = ours_before / ours_now, "time"
    if peer_before and peer_now:
        speed, measure = speed * peer_now / peer_before, str(peer)
    return Change(new["family"], new["case"], speed, measure)


def _median(entry: dict[str, Any], name: str | None) -> float | None:
    if name is None:
        return None
    measured = entry["contestants"].get(name, {})
    median = measured.get("median_us")
    return float(median) if median else None
