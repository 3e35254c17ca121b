import itertools
import random
from collections import Counter
from typing import Any

from forge.data.draft import Finding
from forge.data.repeated_runs import repeated_runs
from forge.data.shingles import runs
from forge.data.word_codes import WordCodes, word_codes

GOPHER = {
    "max_top_ngram_fractions": [0.2, 0.18, 0.16],
    "max_repeated_ngram_fractions": [0.15, 0.14, 0.13, 0.12, 0.11, 0.1],
}


def plain(words: WordCodes, parameters: dict[str, Any]) -> Finding | None:
    """Judge one text run by run."""
    lengths, count = words.lengths.tolist(), len(words)
    whole = max(1, sum(lengths))
    for size, limit in zip((2, 3, 4), parameters["max_top_ngram_fractions"] or (), strict=False):
        if count < size:
            continue
        grams = runs(words.codes, size).tolist()
        times, gram = min((-times, gram) for gram, times in Counter(grams).items())
        first = grams.index(gram)
        fraction = -times * sum(lengths[first : first + size]) / whole
        if times < -1 and fraction > limit:
            detail = f"{fraction:.3f} of it is one run of {size} words, max_top_ngram_fractions has {limit}"
            return Finding(f"top {size}-gram", detail, fraction)
    for size, limit in enumerate(parameters["max_repeated_ngram_fractions"] or (), 5):
        grams = [tuple(words.codes[first : first + size].tolist()) for first in range(count - size + 1)]
        seen = set()
        covered: set[int] = set()
        for first, gram in enumerate(grams):
            if gram in seen:
                covered.update(range(first, first + size))
            seen.add(gram)
        fraction = sum(lengths[place] for place in covered) / whole
        if fraction > limit:
            detail = f"{fraction:.3f} of it is runs of {size} words again, max_repeated_ngram_fractions has {limit}"
            return Finding(f"repeated {size}-grams", detail, fraction)
    return None


def text(draw: random.Random) -> str:
    vocabulary = [draw.choice("abcdefgh") * draw.randrange(1, 9) for _ in range(draw.choice([1, 3, 20, 300]))]
    words = draw.choices(vocabulary, k=draw.choice([0, 1, 2, 3, 4, 5, 9, 30, 200]))
    for _ in range(draw.randrange(3)):  # a piece of it again
        begin = draw.randrange(len(words) + 1)
        words += words[begin : begin + draw.choice([4, 5, 8, 11, 40])]
    return " ".join(words)


TOPS = [None, [], [0.2], [0, 0, 0], [0.5, 0.4, 0.3], [1, 1, 0.02], GOPHER["max_top_ngram_fractions"]]
REPEATED = [
    None,
    [0.1],
    [0] * 6,
    [0.9, 0.5, 0.4, 0.3, 0.2, 0.1],
    [1] * 5 + [0],
    GOPHER["max_repeated_ngram_fractions"],
]


def test_blocks_are_judged_as_each_text_run_by_run() -> None:
    draw = random.Random(1)
    reasons: Counter[str] = Counter()
    for tops, repeated in itertools.product(TOPS, REPEATED):
        limits = {"max_top_ngram_fractions": tops, "max_repeated_ngram_fractions": repeated}
        texts = list(word_codes([text(draw) for _ in range(30)]))
        found = repeated_runs(texts, limits)
        assert found == [plain(one, limits) for one in texts]
        reasons.update(one.reason for one in found if one is not None)
    assert {f"top {size}-gram" for size in (2, 3, 4)} < set(reasons)
    assert {"repeated 5-grams", "repeated 6-grams", "repeated 10-grams"} < set(reasons)


def test_what_a_text_says_does_not_count_for_its_neighbours() -> None:
    """Both texts have the same five words once, and end and begin with the same."""
    texts = list(word_codes(["one two three four five", "one two three four five", "five one"]))
    limits = {"max_top_ngram_fractions": [0, 0, 0], "max_repeated_ngram_fractions": [0] * 6}
    assert repeated_runs(texts, limits) == [None, None, None]


def test_no_texts() -> None:
    assert repeated_runs([], GOPHER) == []
