"""Text that tokenizers disagree on, and random text for what nobody thought of."""

from __future__ import annotations

import random

HARD_STRINGS = (
    "",
    " ",
    "  ",
    "\n",
    "\r\n\r\n",
    "\t\tx\t",
    " leading and trailing ",
    "a  b   c    d",
    "end of line \n next",
    "I'm sure they'll say it's what we'd've done; DON'T SHOUT, I'LL HEAR",
    "don’t “quote” me – not even…",
    "1 12 123 1234567890 3.14159 1,000,000.00 ½ Ⅷ ٣٤ ²",
    "§ 12(3)(b) of the Act; Art. 5 ff. – see supra n. 17.",
    "snake_case camelCase kebab-case SCREAMING_CASE x->y a::b();",
    "https://example.org/a?b=c&d=%20#e user@example.org",
    "{{ literal }} {% braces %} </s> [INST] <unk> <|endoftext|>",
    "<|bos|>text<|eos|><|pad|> <| eos |>",
    "Grüße, señor! Ça où? Łódź, İstanbul, ẞ, ﬁne",
    "e\u0301 versus \u00e9, n\u0303 versus \u00f1, a\u0308\u0323",
    "日本語のテキスト、中文文本。한국어 텍스트",
    "العربية نص עברית טקסט हिन्दी पाठ ไทย",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽 ☕️",
    "zero\u200bwidth\u200d and \u00a0no\u2003break\u3000spaces\u2028lines\u2029",
    "\ufeffbom \u00ad soft \u202eright to left\u202c",
    "control \x00 \x01 \x1b[0m \x7f \x85",
    "\U0001d54f\U00020000\U0010ffff\ufffd\ufffe",
    "a" * 300,
    "ab" * 150 + "!" * 50 + "=" * 80,
)

RANDOM_STRINGS = 400
RANDOM_MAX_CHARACTERS = 40

RANGES = (
    # First and last code point, weighted by repetition: text is mostly letters and spaces.
    (0x20, 0x7E),
    (0x20, 0x7E),
    (0x61, 0x7A),
    (0x20, 0x20),
    (0x00, 0x1F),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x5FF),
    (0x900, 0x97F),
    (0x2000, 0x206F),
    (0x3040, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xE000, 0xFFFF),
    (0x1F300, 0x1FAFF),
    (0x10000, 0x10FFFF),
)


def random_strings(seed: int, count: int = RANDOM_STRINGS) -> list[str]:
    """Return seeded random Unicode strings without surrogates, each mixing a few scripts."""
    source = random.Random(seed)
    return [_random_string(source) for _ in range(count)]


def _random_string(source: random.Random) -> str:
    ranges = source.sample(RANGES, 3)
    length = source.randint(1, RANDOM_MAX_CHARACTERS)
    return "".join(chr(source.randint(*source.choice(ranges))) for _ in range(length))
