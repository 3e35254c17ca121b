"""An evaluation in words: what its names mean, and its findings in a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge.run.quantities import counted

WHO = {
    "model": "this model",
    "retrieval": "retrieval",
    "rival": "rival",
    "rival_reading": "rival, reading",
}
TEXTS = {"held_out": "held-out documents", "text": "documents of the file"}
SURE_P = 0.05
"""From here on a difference may be chance."""
KINDS = {
    "seen": "asked in training",
    "document": "stated, not asked",
    "untaught": "not in training",
    "other": "your questions",
    "unknown_near": "unknown, near name",
    "unknown_far": "unknown, far name",
}


def verdicts(recall: Mapping[str, Any]) -> list[str]:
    """Return in plain words where another than the model has more right, and where the model has."""
    lines = []
    for who, by_kind in recall["against"].items():
        for kind, what in (("known", "answers"), ("unknown", "admitted gaps")):
            pair = by_kind.get(kind)
            if pair is None:
                continue
            ahead = pair["only_other_right"] - pair["only_model_right"]
            chance = f"p = {pair['p_value']:.2g}" + (", may be chance" if pair["p_value"] >= SURE_P else "")
            counts = (
                f"{pair['only_other_right']} right that the model has wrong, "
                f"{pair['only_model_right']} the other way round, {chance}"
            )
            if ahead > 0:
                lines.append(f"{WHO[who]} wins on {what}: {counts}")
            elif ahead < 0:
                lines.append(f"the model beats {WHO[who]} on {what}: {counts}")
            else:
                lines.append(f"{WHO[who]} and the model are equal on {what}: {counts}")
            if ahead > 0 and who == "retrieval" and kind == "known" and pair["p_value"] < SURE_P:
                lines.append(
                    "  a search over these documents answers more than this model: do not train for recall"
                )
    if recall["retrieval_not_measured"] is not None:
        lines.append(f"retrieval was not measured: {recall['retrieval_not_measured']}")
    return lines


def rate(rates: Mapping[str, Any], name: str) -> str:
    """Return a share and its 95 % interval, in per cent: 85% 74-92."""
    low, high = rates[f"{name}_interval_95"]
    return f"{rates[f'{name}_fraction']:.0%} {100 * low:.0f}-{100 * high:.0f}"


def contamination_line(found: Mapping[str, Any]) -> str:
    """Return what of the evaluation's texts the training text has."""
    names = TEXTS | {kind: f"questions ({name})" for kind, name in KINDS.items()}
    shown = [
        f"{some['texts_contaminated']} of {some['texts']} {names[name]}"
        for name, some in found["sets"].items()
        if some["texts_contaminated"]
    ]
    dropped = ", left out above" if found.get("action") == "drop" else ""
    return (
        f"in the training text by a run of {found['run_words']} words: "
        f"{', '.join(shown) + dropped if shown else 'nothing of the evaluation'}"
    )


def regurgitation_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what of the training text the model recites: in all, and by what may make it, where it recites any."""
    line = (
        f"of {counted(found['passages'], 'training passage')}, given {found['prefix_tokens']} tokens, recited word for "
        f"word for {found['continued_tokens']}"
    )
    if not found["passages"]:
        return [f"{line}: documents are too short to try"]
    lines = [f"{line}: {rate(found, 'verbatim')}"]
    read = {f"read {some['from']:g} to {some['below']:g} times": some for some in found["by_times_read"]}
    families = {
        "without a near copy"
        if some["below"] == 2
        else f"in families of {some['from']:g} to {some['below'] - 1:g} documents": some
        for some in found["by_near_copies"]
    }
    for buckets in (read, families):
        # One line alone would say the same again, and where nothing is recited each says so.
        for name, some in buckets.items() if len(buckets) > 1 and found["verbatim_fraction"] else ():
            lines.append(f"  {name}: {rate(some, 'verbatim')} of {some['passages']}")
    return lines


def bits_per_byte(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the bits per byte of held-out text of the model and of what is set beside it; None: not measured."""
    rivals = evaluation["baselines"]
    return {
        "this model": evaluation["held_out_bits_per_byte"],
        f"xz -{rivals['xz_preset']}, having read the training text": rivals[
            "xz_with_training_text_bits_per_byte"
        ],
        f"xz -{rivals['xz_preset']}": rivals["xz_bits_per_byte"],
        "unigram model": rivals["unigram_bits_per_byte"],
    }


def change_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what differs between two evaluations: a line about the text and one about the questions."""
    held_out, questions = found["held_out"], found["questions"]
    lines = []
    if held_out is None:
        lines.append("held-out text: the runs measured no document in common")
    else:
        one, other = held_out["bits_per_byte"]
        lines.append(
            f"held-out text, {counted(held_out['documents'], 'document')} in common: {one:.4f} to {other:.4f} bits per "
            f"byte, {held_out['difference']:+.4f} (95 %: {held_out['low_95']:+.4f} to {held_out['high_95']:+.4f}, "
            f"p = {held_out['p_value']:.2g})"
        )
    if questions is None:
        lines.append("questions: the runs asked none in common")
    else:
        lines.append(
            f"{counted(questions['questions'], 'question')} in common: {len(questions['fixed'])} fixed, "
            f"{len(questions['broken'])} broken, {questions['unchanged_right']} right in both, "
            f"{questions['unchanged_wrong']} wrong in both (McNemar, p = {questions['p_value']:.2g})"
        )
    return lines
