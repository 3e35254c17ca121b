"""The voice that detectors are developed on."""

from __future__ import annotations

import random
import re

from benchmarks.messy.voice import Attribute, Voice, numbers

MONTHS = "January February March April May June July August September October November December".split()
WORDS = {"five": 5, "ten": 10, "fourteen": 14, "thirty": 30, "sixty": 60, "ninety": 90}


def dates(rng: random.Random, count: int) -> list[str]:
    """Return distinct dates of the years 2024 to 2026."""
    months = rng.sample(range(36), count)
    return [f"{rng.randint(1, 28)} {MONTHS[m % 12]} {2024 + m // 12}" for m in months]


def people(rng: random.Random, count: int) -> list[str]:
    """Return distinct names."""
    chosen = rng.sample([(a, b) for a in FIRST for b in LAST], count)
    return [f"{a} {b}" for a, b in chosen]


def in_words(value: str) -> str | None:
    """30 days -> thirty days."""
    for word, number in WORDS.items():
        if re.match(rf"{number} ", value):
            return re.sub(rf"^{number} ", f"{word} ", value)
    return None


def weeks(value: str) -> str | None:
    """14 days -> 2 weeks."""
    found = re.fullmatch(r"(\d+) days", value)
    return f"{int(found.group(1)) // 7} weeks" if found and int(found.group(1)) % 7 == 0 else None


def iso(value: str) -> str | None:
    """5 March 2025 -> 2025-03-05."""
    found = re.fullmatch(r"(\d+) (\w+) (\d{4})", value)
    if not found or found.group(2) not in MONTHS:
        return None
    return f"{found.group(3)}-{MONTHS.index(found.group(2)) + 1:02}-{int(found.group(1)):02}"


FIRST = tuple(
    "Agnes Bruno Carla Dmitri Edith Farid Greta Hamid Ingrid Jonas Katya Leon Mira Nadia Oscar Petra".split()
)
LAST = tuple(
    "Abbott Brandt Castell Dorsey Ekwall Fontaine Gallo Hartwig Ivers Jansen Keller Lindqvist Moreau".split()
)

PRODUCT_ATTRIBUTES = (
    Attribute(
        "price",
        "list price",
        numbers(8, 96, 2, "€{n} per seat per month"),
        ("The list price of {S} is {V}.", "{S} costs {V}.", "Customers pay {V} for {S}."),
        ("The price is {V}.", "It is sold at {V}.", "Pricing: {V}."),
        ("fyi the price of {S} is {V}", "{S} is {V}, just confirmed with finance"),
    ),
    Attribute(
        "rate limit",
        "API rate limit",
        numbers(100, 2000, 50, "{n} requests per minute"),
        (
            "The API rate limit of {S} is {V}.",
            "{S} accepts at most {V} per API key.",
            "API calls to {S} are limited to {V}.",
        ),
        ("The API rate limit is {V}.", "Calls are throttled above {V}.", "Rate limit: {V}."),
        ("rate limit on {S} is {V} btw", "@here {S} rate limits API calls at {V}"),
    ),
    Attribute(
        "retention",
        "data retention period",
        numbers(7, 365, 7, "{n} days"),
        (
            "{S} keeps customer data for {V} after the contract ends.",
            "The data retention period of {S} is {V}.",
            "Customer data in {S} is retained for {V}.",
        ),
        ("Customer data is kept for {V} after the contract ends.", "Data retention: {V}."),
        ("data retention for {S} is {V}", "just so we all say the same thing: {S} retains customer data {V}"),
    ),
    Attribute(
        "uptime",
        "uptime commitment",
        lambda rng, n: rng.sample(["99.5 %", "99.9 %", "99.95 %", "99.0 %", "99.99 %", "98.5 %"], n),
        (
            "The uptime commitment of {S} is {V}.",
            "We guarantee {V} availability for {S}.",
            "{S} comes with an availability of {V} in the SLA.",
        ),
        ("The SLA promises {V} availability.", "Uptime commitment: {V}."),
        ("SLA for {S} says {V} uptime", "uptime of {S} in the contract is {V}"),
    ),
    Attribute(
        "upload size",
        "maximum upload size",
        numbers(10, 500, 10, "{n} MB"),
        (
            "The maximum upload size in {S} is {V}.",
            "{S} rejects uploads larger than {V}.",
            "Uploads to {S} may be up to {V}.",
        ),
        ("The maximum upload size is {V}.", "Files up to {V} can be uploaded."),
        ("max upload in {S} is {V}", "{S} upload limit: {V}"),
    ),
    Attribute(
        "owner",
        "product owner",
        people,
        (
            "The product owner of {S} is {V}.",
            "{V} owns {S}.",
            "{V} is responsible for {S}.",
        ),
        ("Product owner: {V}.", "The product owner is {V}."),
        ("{V} is the owner of {S}", "owner of {S} is {V}, ask there"),
    ),
    Attribute(
        "launch",
        "launch date",
        dates,
        (
            "The launch date of {S} is {V}.",
            "{S} launches on {V}.",
            "General availability of {S} is planned for {V}.",
        ),
        ("Launch date: {V}.", "General availability is on {V}."),
        ("{S} launches {V}", "launch of {S} is on {V} :rocket:"),
    ),
    Attribute(
        "response time",
        "support response time",
        numbers(1, 24, 1, "{n} hours"),
        (
            "The support response time for {S} is {V}.",
            "Support answers tickets about {S} within {V}.",
        ),
        ("Support answers within {V}.", "Support response time: {V}."),
        ("support response time for {S} is {V}", "for {S} support has to answer within {V}"),
    ),
)

POLICY_ATTRIBUTES = (
    Attribute(
        "annual leave",
        "annual leave",
        numbers(22, 36, 1, "{n} days"),
        ("Under the {S}, employees have {V} of annual leave.", "Annual leave under the {S} is {V}."),
        ("Employees are entitled to {V} of annual leave per year.", "Annual leave: {V}."),
        ("annual leave in the {S} is {V}", "the {S} says {V} of annual leave"),
    ),
    Attribute(
        "hotel cap",
        "hotel limit",
        numbers(90, 260, 10, "€{n} per night"),
        ("The hotel limit in the {S} is {V}.", "According to the {S}, hotels are reimbursed up to {V}."),
        ("Hotels are reimbursed up to {V}.", "Hotel limit: {V}."),
        ("hotel limit in the {S} is {V}", "{S}: hotels up to {V}"),
    ),
    Attribute(
        "password length",
        "minimum password length",
        numbers(8, 20, 1, "{n} characters"),
        ("The {S} requires passwords of at least {V}.", "The minimum password length in the {S} is {V}."),
        ("Passwords must have at least {V}.", "Minimum password length: {V}."),
        ("min password length per {S} is {V}", "the {S} wants passwords with at least {V}"),
    ),
)

VOICE = Voice(
    company="Aldermoor Systems",
    domain="aldermoor-systems.com",
    products=tuple(
        f"{a} {b}"
        for a, b in zip(
            "Larkspur Tidewater Fenwick Marlowe Quillon Harrow Bexley Osprey Calder Juniper Thistle Wrenfield "
            "Redmere Sorrel Pemberton Vesper Ashdown Kestrel".split(),
            "Gateway Ledger Scheduler Archive Insights Connect Vault Monitor Studio Relay Planner Desk "
            "Exchange Capture Analytics Portal Forms Billing".split(),
            strict=True,
        )
    ),
    policies=(
        "Travel Policy",
        "Leave Policy",
        "Information Security Policy",
        "Expense Policy",
        "Contractor Policy",
        "Sabbatical Policy",
        "Guest Access Policy",
        "Relocation Policy",
    ),
    first_names=FIRST,
    last_names=LAST,
    fillers=(
        "{P} reported that the {part} of {prod} {verb} after the {thing} was {verb2} by {P2}.",
        "The team agreed to move the {thing} into the {quality} {part} before anyone touches the {thing2}.",
        "During the walkthrough {P} showed how the {part} handles a {quality} {thing} without help from {P2}.",
        "Nobody could explain why the {thing} {verb} while the {part} stayed {quality}.",
        "{P} will write down the steps for the {thing} and share them with the {part} group.",
        "A {quality} {thing} is worth more to customers than a {quality2} {part}, as {P} likes to repeat.",
        "We noticed {n} {thing}s in the queue, most of them left over from the {part} rollout.",
        "The {part} depends on the {thing}, which {verb} whenever the {thing2} is {quality}.",
        "{P} asked {P2} to review the {quality} {thing} and to report back to the {part} team.",
        "For the {part} we prefer a {quality} approach: one {thing}, one owner, one place to look.",
        "Customers told {P} that the {thing} feels {quality}, and that the {part} page hides it.",
        "In week {week} the {part} {verb} {n} times; the {thing} was the reason every time.",
        "If the {thing} is {quality}, restart the {part} and tell {P} in the channel.",
        "{P} measured the {part} again and found it {n} percent {quality} than the {thing} had suggested.",
        "The contract names the {thing} as a {quality} dependency, so {P2} keeps a copy near the {part}.",
        "Before the {part} is opened, the {thing} must be {verb2} and the {thing2} put back.",
        "A note from {P}: the {quality} {part} should never share a {thing} with {prod}.",
        "{P2} compared three vendors for the {thing} and found the {quality} one easiest to run beside the {part}.",
        "There is a checklist for the {part}, and {P} updates it whenever a {thing} {verb}.",
        "The {thing} that {P} built for {prod} turned out {quality}, though the {part} still needs care.",
        "Several people asked where the {thing} lives; it is next to the {part}, under {quality} items.",
        "{P} and {P2} paired on the {part} all afternoon and left a {quality} {thing} behind.",
        "Without the {thing}, the {part} shows a {quality} banner and waits for {P}.",
        "Training for the {part} covers the {thing}, the {thing2} and the {quality} parts of {prod}.",
        "An auditor wanted to see the {thing}; {P} found it {quality} and filed it with the {part} records.",
        "The {quality} {thing} saved us about {n} hours of work on the {part}, says {P2}.",
        "Ask {P} before changing the {part}: its {thing} is {quality} and easy to break.",
        "On the whole the {part} is {quality}, yet the {thing} {verb} more often than {P} would like.",
        "{prod} shares the {part} with other products, so a {quality} {thing} hurts everyone.",
        "We keep the {thing} {quality} on purpose, because {P} learned that the {part} is read by newcomers.",
    ),
    parts=tuple(
        "import pipeline|billing screen|search index|login flow|export job|mobile client|event bus|admin console"
        "|report builder|notification service|staging cluster|permission model|customer portal|audit trail"
        "|invoice template|onboarding wizard|cache layer|release train|support inbox|partner catalogue".split(
            "|"
        )
    ),
    verbs=tuple(
        "stalled|recovered|drifted|failed over|slowed down|went quiet|behaved|timed out|filled up|was rebuilt"
        "|was paused|lost its settings".split("|")
    ),
    things=tuple(
        "runbook|ticket|dashboard|certificate|migration script|feature flag|mapping table|retry rule|workshop"
        "|translation file|price list|webhook|backup tape|test plan|signature|style guide|sample order|change request"
        "|access badge|forecast".split("|")
    ),
    qualities=tuple(
        "stable|fragile|quiet|noisy|slow|tidy|surprising|cheap|complete|stubborn|careful|manual|automatic|clean"
        "|half-finished|well-known|honest|temporary|simple|odd".split("|")
    ),
    product_attributes=PRODUCT_ATTRIBUTES,
    policy_attributes=POLICY_ATTRIBUTES,
    same=(in_words, weeks, iso),
    history=(
        "Until {year}, the {noun} of {S} was {V}.",
        "The {noun} of {S} was changed from {V} to {W} in {year}.",
        "Back in {year} the {noun} of {S} used to be {V}.",
        "History: in {year} the {noun} of {S} was still {V}.",
    ),
    elsewhere=(
        "For Enterprise customers, the {noun} of {S} is {V}.",
        "In the staging environment the {noun} of {S} is {V}.",
        "For pilot customers in Norway, the {noun} of {S} is {V}.",
        "The {noun} of {S} Lite is {V}.",
    ),
    idle=(
        "Should the {noun} of {S} become {V}? No decision was taken.",
        "{P} proposed {V} as the {noun} of {S}; it was declined.",
        "If the {noun} of {S} were {V}, sales would have to redo the slides.",
    ),
    superseded_banners=(
        "This document has been superseded by the new handbook.",
        "DEPRECATED: do not use this page any more.",
        "Status: obsolete",
        "This page is no longer maintained.",
        "This guide is out of date and kept for reference only.",
    ),
    expired_lines=(
        "This instruction is valid until {past}.",
        "Valid until: {past}",
        "This offer expires on {past}.",
    ),
    reviewed_lines=("Last reviewed: {past}", "Last updated: {past}"),
    alive_lines=(
        "This document supersedes the guidance of {past}.",
        "The v1 endpoint is deprecated; new integrations call the v2 endpoint.",
        "This policy is valid until {future}.",
        "Old browsers are no longer supported by the customer portal.",
        "The obsolete cables were replaced during the move.",
    ),
    version_names=(
        ("{stem}_v1", "{stem}_v2", "{stem}_v3"),
        ("{stem} draft", "{stem} final", "{stem} FINAL2"),
        ("{stem}-v1.0", "{stem}-v1.1", "{stem}-v2.0"),
        ("{stem} 2022", "{stem} 2023", "{stem} 2024"),
        ("{stem}_old", "{stem}"),
    ),
    version_lines=("Version {n}.0, {date}", "", "Version: {n}"),
    copy_names=("Copy of {stem}", "{stem} (1)", "{stem}", "{stem} - Copy"),
    secret_lines={
        "email": ("Write to {V} for access.", "Contact: {V}"),
        "phone": ("Call {V} after hours.", "Mobile: {V}"),
        "iban": ("Please transfer the amount to {V}.", "IBAN: {V}"),
        "card": ("The card on file is {V}.", "Card number {V}"),
        "us_ssn": ("SSN {V} was given on the form.",),
        "aws_key": ("aws_access_key_id = {V}", "Use the key {V} for the bucket."),
        "github_token": ("GITHUB_TOKEN={V}", "the deploy token is {V}"),
        "slack_token": ("The bot token is {V}", "SLACK_TOKEN={V}"),
        "stripe_key": ("stripe.api_key = '{V}'",),
        "jwt": ("Authorization: Bearer {V}",),
        "private_key": ("{V}",),
        "password": ("password = {V}", "DB_PASSWORD={V}"),
        "url_password": ("DATABASE_URL={V}", "Connect with {V}"),
    },
    clean_lines=(
        "The commit is 9fceb02d0ae598e95dc970b74767f19372d61af8.",
        "password = <your password>",
        "Ticket 2023-0419-7781 was closed.",
        "Order 4929 1234 5678 9012 has shipped.",
        "Write to support@example.com for help.",
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "The request id was 123e4567-e89b-12d3-a456-426614174000.",
        "Build 10.2.1 went out with release 4.18.",
    ),
)
