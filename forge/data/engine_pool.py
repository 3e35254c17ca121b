"""Reading batches of files on an engine: each of its workers has a reading process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from forge.data.batches import Batch, batch_from_json, batch_to_json
from forge.data.packs import pack_name, pack_rows, pack_units
from forge.data.pool import Limits, Pool, Read
from forge.data.workers import map_in_order

_OWN = threading.local()


class EnginePool:
    """Reads as `Pool` does, on the workers of an engine; they write the packs."""

    def __init__(
        self, executor: Executor, parameters: Mapping[str, Any], folder: Path, keep: bool, limits: Limits
    ) -> None:
        """Args: as `Pool` has them; `executor` in place of a number of processes."""
        self._executor = executor
        self._parameters, self._folder, self._keep, self._limits = dict(parameters), folder, keep, limits

    def read(self, batches: Iterable[Batch]) -> Iterator[Read]:
        """Yield what was read of each batch; its rows must be taken before the next.

        Raises:
            OSError: the rows cannot be written.
            MachineError: a worker was killed.
        """

        def order(batch: Batch) -> tuple[Any, ...]:
            return batch_to_json(batch), self._parameters, self._folder.resolve(), self._limits

        for batch, found in map_in_order(self._executor, read_on_worker, batches, order):
            pack = self._folder / f"{pack_name(batch)}.pack"
            yield Read(batch, pack_units(pack), pack_rows(pack), found)
            if not self._keep:
                pack.unlink(missing_ok=True)


def read_on_worker(batch: dict[str, Any], parameters: dict[str, Any], folder: Path, limits: Limits) -> bool:
    """Read a batch and write its pack to `folder`; return whether it was there already."""
    use = (folder, repr(sorted(parameters.items())), limits)
    if getattr(_OWN, "use", None) != use:
        if hasattr(_OWN, "pool"):
            _OWN.pool.__exit__()
        # Its process stays from one batch to the next, and ends with this one.
        _OWN.use, _OWN.pool = use, Pool(1, parameters, folder, True, limits)
    (read,) = _OWN.pool.read([batch_from_json(batch)])
    return bool(read.found)
