"""The voice written after the detectors were done, and run once: what it scores is what strangers may expect."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.messy import dev, held_out
from benchmarks.messy.voice import Attribute, numbers

FIRST = tuple(
    "Ayla Bertil Colette Dario Elif Florian Giulia Henrik Imani Jelena Kofi Lucie Marek Noor Otto Paola".split()
)
LAST = tuple("Andersson Bellini Cermak Duarte Eriksen Feld Gruber Hoang Ilves Janssen Kovacs Laurent".split())
MONTHS = dev.MONTHS


def dates(rng: random.Random, count: int) -> list[str]:
    """Return distinct dates of the years 2025 to 2027."""
    months = rng.sample(range(36), count)
    return [f"{MONTHS[m % 12]} {rng.randint(1, 28)}, {2025 + m // 12}" for m in months]


def people(rng: random.Random, count: int) -> list[str]:
    """Return distinct names."""
    return [f"{a} {b}" for a, b in rng.sample([(a, b) for a in FIRST for b in LAST], count)]


PRODUCT_ATTRIBUTES = (
    Attribute(
        "warranty",
        "warranty",
        numbers(6, 60, 6, "{n} months"),
        (
            "{S} carries a warranty of {V}.",
            "The manufacturer's warranty on {S} runs for {V}.",
            "Every unit of {S} is covered by a {V} warranty.",
        ),
        ("The warranty runs for {V}.", "Warranty: {V}"),
        ("warranty on {S} is {V}", "customers get {V} of warranty with {S}"),
    ),
    Attribute(
        "session timeout",
        "session timeout",
        numbers(5, 90, 5, "{n} minutes"),
        (
            "Sessions in {S} time out after {V} of inactivity.",
            "The session timeout in {S} is {V}.",
            "{S} logs idle users off after {V}.",
        ),
        ("The session timeout is {V}.", "Idle users are logged off after {V}."),
        ("session timeout in {S} is {V}", "{S} sessions time out after {V}"),
    ),
    Attribute(
        "delivery time",
        "delivery time",
        numbers(2, 40, 1, "{n} working days"),
        (
            "Orders of {S} are delivered within {V}.",
            "The delivery time for {S} is {V}.",
            "Delivery of {S} takes {V}.",
        ),
        ("Orders are delivered within {V}.", "Delivery time: {V}"),
        ("delivery time for {S}: {V}", "{S} orders are delivered in {V}"),
    ),
    Attribute(
        "discount",
        "volume discount",
        lambda rng, n: [f"{v}%" for v in rng.sample(range(3, 40), n)],
        (
            "The volume discount on {S} is {V}.",
            "Resellers of {S} do not matter here: the volume discount for {S} stands at {V}.",
            "Large orders of {S} get a volume discount of {V}.",
        ),
        ("The volume discount is {V}.", "Volume discount: {V}"),
        ("volume discount for {S} is {V}", "we give {V} volume discount on {S}"),
    ),
    Attribute(
        "maintainer",
        "maintainer",
        people,
        ("{S} is maintained by {V}.", "The maintainer of {S} is {V}.", "{V} maintains {S}."),
        ("Maintainer: {V}", "The maintainer is {V}."),
        ("{V} maintains {S}", "maintainer of {S} is {V}"),
    ),
    Attribute(
        "renewal",
        "renewal date",
        dates,
        (
            "The renewal date of the {S} contract is {V}.",
            "The contract for {S} renews on {V}.",
            "Renewal of {S} is due on {V}.",
        ),
        ("The contract renews on {V}.", "Renewal date: {V}"),
        ("{S} renewal is on {V}", "contract for {S} renews on {V}"),
    ),
    Attribute(
        "storage",
        "storage quota",
        numbers(5, 800, 5, "{n} GB"),
        (
            "Each account in {S} has a storage quota of {V}.",
            "The storage quota in {S} is {V}.",
            "{S} includes {V} of storage for each account.",
        ),
        ("Each account has a storage quota of {V}.", "Storage quota: {V}"),
        ("storage quota in {S}: {V}", "{S} accounts have {V} of storage"),
    ),
)
POLICY_ATTRIBUTES = (
    Attribute(
        "sick note",
        "sick note",
        numbers(2, 12, 1, "{n} days"),
        ("The {S} asks for a sick note after {V}.", "According to the {S}, a sick note is due after {V}."),
        ("A sick note is due after {V}.", "Sick note: after {V}"),
        ("sick note per the {S}: after {V}", "the {S} says a sick note is due after {V}"),
    ),
    Attribute(
        "gift limit",
        "gift limit",
        numbers(20, 200, 5, "€{n}"),
        ("Under the {S}, gifts up to {V} are allowed.", "The gift limit in the {S} is {V}."),
        ("Gifts up to {V} are allowed.", "Gift limit: {V}"),
        ("gift limit in the {S} is {V}", "{S}: gifts are ok up to {V}"),
    ),
    Attribute(
        "remote days",
        "remote work allowance",
        numbers(1, 18, 1, "{n} days per month"),
        ("The {S} allows remote work on {V}.", "The remote work allowance in the {S} is {V}."),
        ("Remote work is allowed on {V}.", "Remote work allowance: {V}"),
        ("remote work allowance in the {S} is {V}", "the {S} allows {V} of remote work"),
    ),
)

VOICE = replace(
    held_out.VOICE,
    company="Corvane Optics",
    domain="corvane-optics.eu",
    products=tuple(
        f"{a} {b}"
        for a, b in zip(
            "Iris Halo Vega Lumen Atlas Comet Delta Ember Frost Glacier Helix Ion Jade Karst Lotus Magma Nova "
            "Onyx".split(),
            "400 Pro9 Scope Bench Cloud Reader Link Kit Mount Drive Stage Sensor Frame Server Cam Probe Tracker "
            "Shield".split(),
            strict=True,
        )
    ),
    policies=(
        "Absence Policy",
        "Anti-Bribery Policy",
        "Working Time Agreement",
        "Health and Safety Manual",
        "Clean Desk Policy",
        "Visitor Policy",
        "Home Office Policy",
        "Company Car Policy",
    ),
    first_names=FIRST,
    last_names=LAST,
    fillers=(*dev.VOICE.fillers[::2], *held_out.VOICE.fillers[1::2]),
    parts=(*dev.VOICE.parts[::2], *held_out.VOICE.parts[::2]),
    product_attributes=PRODUCT_ATTRIBUTES,
    policy_attributes=POLICY_ATTRIBUTES,
    same=(dev.in_words, held_out.in_months, held_out.no_space, dev.iso),
    history=(
        "From {year} on, {S} came with a {noun} of {V}.",
        "The {noun} of {S} stood at {V} before the change of {year}.",
        "Minutes of {year}: {noun} of {S} raised to {V}.",
        "We dropped the old {noun} of {S} ({V}) in {year}.",
    ),
    elsewhere=(
        "In Japan, {S} has a {noun} of {V}.",
        "Trial accounts of {S} have a {noun} of {V}.",
        "{S} Junior has a {noun} of {V}.",
        "For public authorities the {noun} of {S} is {V}.",
    ),
    idle=(
        "Could the {noun} of {S} be {V} next year?",
        "{P} would like to see {V} as the {noun} of {S}.",
        "A {noun} of {V} for {S} is under discussion.",
    ),
    superseded_banners=(
        "This instruction has been withdrawn.",
        "Please note that this manual is no longer valid.",
        "OUTDATED - see the quality portal",
        "Superseded by QM-114.",
        "This checklist was replaced in spring and is kept for reference only.",
    ),
    expired_lines=(
        "This price list is valid through {past}.",
        "Effective until {past}",
        "The exception described in this notice expires on {past}.",
    ),
    reviewed_lines=("Last revision: {past}", "Last checked on {past}"),
    alive_lines=(
        "This manual supersedes the edition of {past}.",
        "Deprecated functions are listed in the appendix.",
        "The certificate is valid until {future}.",
        "The lens series was discontinued, its manuals stay with support.",
        "Expired badges must be handed in at the desk.",
    ),
    version_names=(
        ("{stem} v0.9", "{stem} v1.0", "{stem} v1.1"),
        ("{stem} 1st draft", "{stem} 2nd draft"),
        ("{stem}_2023-01-10", "{stem}_2024-02-20"),
        ("{stem} ver. 1", "{stem} ver. 2", "{stem} ver. 3"),
        ("{stem}_wip", "{stem}_signed"),
        ("{stem} (old)", "{stem} (new)"),
    ),
    version_lines=("Edition {n}, {date}", "Rev. {n}", ""),
    copy_names=("{stem} copy 2", "Copy of Copy of {stem}", "{stem}-backup", "{stem}"),
    secret_lines={
        "email": ("Applicant: {V}", "Forward it to {V}, please."),
        "phone": ("reachable at {V}", "Emergency contact {V}"),
        "iban": ("Salary account {V}", "Pay to {V} by Friday."),
        "card": ("Hotel booked on {V}", "Corporate card: {V}"),
        "us_ssn": ("Employee SSN: {V}",),
        "aws_key": ("key id {V}", "[default] aws_access_key_id={V}"),
        "github_token": ("Authorization: token {V}", "GH_PAT={V}"),
        "slack_token": ("webhook bot {V}",),
        "stripe_key": ("live key: {V}",),
        "jwt": ("cookie: session={V}",),
        "private_key": ("{V}",),
        "password": ("Wifi password: {V}", "PASSWORD='{V}'"),
        "url_password": ("dsn={V}", "Use {V} to connect."),
    },
    clean_lines=(
        "md5 5d41402abc4b2a76b9719d911017c592",
        "The password is stored in the vault.",
        "PASSWORD=changeme",
        "Part 4500-1234-5678-9010 is out of stock.",
        "Ask helpdesk@corvane-optics.eu first.",
        "IBAN: DE00 0000 0000 0000 0000 00",
        "Firmware 3.2.10.7 is required.",
        "ISBN 978-3-16-148410-0",
    ),
)
