"""All that an audit found, by document number, before it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from forge.data.audit.boilerplate import RepeatedLine
from forge.data.audit.conflicts import Conflict
from forge.data.audit.scan import Profile
from forge.data.audit.stale import DEAD_LINK, Signal
from forge.data.audit.token_count import BytesPerToken
from forge.data.versions import Family


@dataclass(frozen=True, slots=True)
class Near:
    """Documents that are near copies of each other."""

    documents: tuple[int, ...]
    jaccard: float
    """The least of the pairs that hold the group together."""


@dataclass(frozen=True)
class Findings:
    """What was found. Documents are named by their place in `profiles`."""

    profiles: Sequence[Profile]
    exact: Sequence[Sequence[int]]
    near: Sequence[Near]
    one_shingle_in: int
    """1: Jaccards are exact; else of how many shingles one was compared."""
    families: Sequence[Family]
    stale: Mapping[int, Sequence[Signal]]
    conflicts: Sequence[Conflict]
    boilerplate: Sequence[RepeatedLine]
    tokens: BytesPerToken

    @cached_property
    def not_usable(self) -> dict[int, str]:
        """Documents that training should not see, and why: 'copy', 'near copy', 'stale'."""
        reasons: dict[int, str] = {}
        for group in self.exact:
            reasons |= dict.fromkeys(group[1:], "copy")
        for near in self.near:
            largest = max(near.documents, key=lambda number: (self.profiles[number].size_bytes, -number))
            reasons |= {
                number: "near copy"
                for number in near.documents
                if number != largest and number not in reasons
            }
        for number in self.over:
            reasons.setdefault(number, "stale")
        return reasons

    @cached_property
    def over(self) -> frozenset[int]:
        """Documents that are stale for more than a dead link."""
        return frozenset(
            number
            for number, signals in self.stale.items()
            if any(one.reason != DEAD_LINK for one in signals)
        )

    @cached_property
    def usable_bytes(self) -> int:
        """Text without copies and what is over, bytes."""
        left_out = self.not_usable
        return sum(profile.size_bytes for profile in self.profiles if profile.number not in left_out)

    @cached_property
    def changing_share(self) -> float:
        """Share of the documents that are over or in a conflict."""
        touched = set(self.over)
        for conflict in self.conflicts:
            touched |= {conflict.first.document, conflict.second.document}
        return len(touched) / max(1, len(self.profiles))
