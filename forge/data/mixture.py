"""How often each document is in the training stream, so that each source has the tokens its weight asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def mixed(sources: Sequence[str], lengths: Ints, weights: Mapping[str, float]) -> Ints:
    """Return places of documents, each as often as it is to be read, in rounds over all of them.

    Of a source with weight w every document comes floor(w) times, and as many once more as bring its tokens closest to
    w times all of them: to within half a document. Documents are in the order of a hash, so those are a fair sample.

    Args:
        sources: of each document.
        lengths: tokens of each document.
        weights: by source; one not named has weight 1.
    """
    names = np.array(sources, dtype=object)
    times = np.zeros(len(lengths), np.int64)
    for source in dict.fromkeys(sources):
        own = np.flatnonzero(names == source)
        weight = weights.get(source, 1.0)
        times[own] = int(weight)
        wanted = (weight - int(weight)) * int(lengths[own].sum())
        reached = np.cumsum(lengths[own])
        more = int(np.searchsorted(reached, wanted))
        if more < len(own) and reached[more] - wanted < wanted - (reached[more - 1] if more else 0):
            more += 1
        times[own[:more]] += 1
    rounds = [np.flatnonzero(times > number) for number in range(int(times.max(initial=0)))]
    return np.concatenate([*rounds, np.empty(0, np.int64)])
