"""Packs on the terminal: what one is and whose, what its runs measured."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from forge.cli.console import make_console
from forge.recipes.evidence import Evidence, evidence_rows, ran_on
from forge.recipes.verify import Verified
from forge.run.quantities import duration, figure, size
from forge.spec.packs import InstalledPack


def show_pack(pack: Verified) -> None:
    """Print what a verified pack is, and whose."""
    use = pack.use
    print(f"{use.name} {use.version}")
    if pack.key is None:
        print("signed by  nobody")
    else:
        print(f"signed by  {use.signer or 'a key without a name here'}, {pack.key}")
    print(f"sha256     {use.sha256}")
    print(f"forge      {pack.manifest.forge_from} and later, below {pack.manifest.forge_below}")
    for recipe in pack.recipes:
        runs = sum(recipe == f"{use.name}/{evidence.recipe}" for evidence in pack.evidence)
        with_runs = "" if not runs else f"  (evidence of {runs} run{'s' * (runs > 1)})"
        print(f"recipe     {recipe}{with_runs}")


def show_evidence(evidence: Sequence[Evidence]) -> None:
    """Print what the runs of a pack measured."""
    for each in evidence:
        print(f"\n{each.recipe}: {ran_on(each)}")
        if each.content["changed_keys"]:
            print(f"run with other values of {', '.join(each.content['changed_keys'])}")
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for name in ("measured", "predicted"):
            table.add_column(name, justify="right")
        for row in evidence_rows(each):
            predicted = "" if row.predicted is None else quantity(row.predicted, row.unit)
            table.add_row(row.name, quantity(row.value, row.unit), predicted)
        make_console().print(table)


def quantity(value: float, unit: str) -> str:
    """Return a figure of evidence with its unit."""
    if unit == "bytes":
        return size(value)
    if unit == "s":
        return duration(value)
    return f"{figure(value)} {unit}".rstrip()


def show_installed(packs: Sequence[InstalledPack]) -> None:
    """Print the packs that are there."""
    if not packs:
        print("no packs: forge recipe install FILE")
    for pack in packs:
        use = pack.use
        signed = f"signed by {use.signer or 'a key without a name here'}, {use.fingerprint}"
        whose = signed if use.fingerprint else f"{pack.kind}, not signed"
        # Whose it was is no word on what it is now.
        print(f"{use.name} {use.version}  {f'cannot be used: {pack.problem}' if pack.problem else whose}")
        for recipe in pack.recipes:
            print(f"  {recipe}")
