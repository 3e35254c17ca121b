"""The voice kept apart: no detector was changed to suit it. Other names, attributes, sentences and habits."""

from __future__ import annotations

import random
import re

from benchmarks.messy.voice import Attribute, Voice, numbers

FIRST = tuple(
    "Amara Benedikt Chiara Declan Esra Finn Gwen Hugo Ilse Jamal Kirsten Lorenzo Maeve Niklas Orla Pavel".split()
)
LAST = tuple(
    "Achterberg Bianchi Corrigan Delacroix Engstrom Faulkner Grimaldi Holloway Ibsen Jurado Kowalski Lund".split()
)
SHORT_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def dates(rng: random.Random, count: int) -> list[str]:
    """Return distinct dates of the years 2024 to 2027."""
    months = rng.sample(range(48), count)
    return [f"{SHORT_MONTHS[m % 12]} {rng.randint(1, 28)}, {2024 + m // 12}" for m in months]


def people(rng: random.Random, count: int) -> list[str]:
    """Return distinct names."""
    return [f"{a} {b}" for a, b in rng.sample([(a, b) for a in FIRST for b in LAST], count)]


def no_space(value: str) -> str | None:
    """16 GB -> 16GB."""
    return re.sub(r"^(\d+) (GB)$", r"\1GB", value) if re.match(r"^\d+ GB$", value) else None


def in_months(value: str) -> str | None:
    """24 months -> 2 years."""
    found = re.fullmatch(r"(\d+) months", value)
    return f"{int(found.group(1)) // 12} years" if found and int(found.group(1)) % 12 == 0 else None


def dollars(value: str) -> str | None:
    """$1,500 -> USD 1500."""
    return "USD " + value[1:].replace(",", "") if value.startswith("$") else None


PRODUCT_ATTRIBUTES = (
    Attribute(
        "trial",
        "free trial",
        numbers(5, 60, 5, "{n} days"),
        (
            "New sign-ups get a free trial of {V} on {S}.",
            "{S} can be tried free of charge for {V}.",
            "The free trial for {S} lasts {V}.",
        ),
        ("The free trial lasts {V}.", "Anyone can try it free of charge for {V}."),
        ("reminder that {S} has a {V} free trial", "free trial on {S} = {V}, please stop promising more"),
    ),
    Attribute(
        "memory",
        "minimum memory",
        numbers(2, 64, 2, "{n} GB"),
        (
            "{S} needs at least {V} of memory to start.",
            "Servers that host {S} must have a minimum of {V} RAM.",
            "Minimum memory for {S}: {V}.",
        ),
        ("At least {V} of memory is needed.", "Minimum memory: {V}"),
        ("{S} wants {V} of memory minimum", "you can't start {S} with less than {V} memory"),
    ),
    Attribute(
        "users",
        "user limit",
        numbers(25, 900, 25, "{n} users"),
        (
            "A workspace in {S} holds up to {V}.",
            "The user limit for a workspace in {S} stands at {V}.",
            "{S} allows a maximum of {V} in each workspace.",
        ),
        ("A workspace holds up to {V}.", "User limit per workspace: {V}"),
        ("workspace limit in {S} is {V}", "{S} workspaces max out at {V}"),
    ),
    Attribute(
        "log retention",
        "log retention",
        numbers(3, 48, 3, "{n} months"),
        (
            "Audit logs of {S} are stored for {V}.",
            "{S} deletes audit logs after {V}.",
            "Log retention in {S} is set to {V}.",
        ),
        ("Audit logs are stored for {V}.", "Log retention: {V}"),
        ("audit logs in {S} go away after {V}", "we keep the audit logs of {S} {V}"),
    ),
    Attribute(
        "recovery time",
        "recovery time objective",
        numbers(1, 48, 1, "{n} hours"),
        (
            "The recovery time objective for {S} is {V}.",
            "After an outage, {S} has to be restored within {V}.",
            "{S} must be back within {V} after a disaster (RTO).",
        ),
        ("The recovery time objective is {V}.", "RTO: {V}"),
        ("RTO of {S} is {V}", "recovery time objective on {S}: {V}"),
    ),
    Attribute(
        "escalation",
        "escalation contact",
        people,
        (
            "Escalations concerning {S} go to {V}.",
            "The escalation contact for {S} is {V}.",
            "{V} leads the {S} team.",
        ),
        ("Escalation contact: {V}", "Escalations go to {V}."),
        ("escalation contact for {S} is {V}", "{V} leads {S} now"),
    ),
    Attribute(
        "end of life",
        "end of life",
        dates,
        (
            "{S} reaches end of life on {V}.",
            "Support for {S} ends on {V}.",
            "The end-of-life date of {S} is {V}.",
        ),
        ("End of life: {V}", "Support ends on {V}."),
        ("EOL of {S} is {V}", "{S} end of life: {V}"),
    ),
    Attribute(
        "set-up fee",
        "set-up fee",
        lambda rng, n: [f"${v:,}" for v in rng.sample(range(500, 9000, 250), n)],
        (
            "We charge a one-time set-up fee of {V} for {S}.",
            "The set-up fee for {S} amounts to {V}.",
            "Setting up {S} is billed once at {V}.",
        ),
        ("A one-time set-up fee of {V} applies.", "Set-up fee: {V}"),
        ("set-up fee for {S} is {V}", "{S} setup fee -> {V}"),
    ),
)

POLICY_ATTRIBUTES = (
    Attribute(
        "parental leave",
        "parental leave",
        numbers(8, 30, 1, "{n} weeks"),
        ("The {S} grants {V} of parental leave.", "Parental leave according to the {S} lasts {V}."),
        ("Parents may take {V} of parental leave.", "Parental leave: {V}"),
        ("parental leave per the {S} is {V}", "{S} gives you {V} parental leave"),
    ),
    Attribute(
        "training budget",
        "training budget",
        lambda rng, n: [f"${v:,}" for v in rng.sample(range(600, 4000, 100), n)],
        (
            "The {S} allots a training budget of {V} a year to each employee.",
            "As set out in the {S}, the yearly training budget is {V} for each employee.",
        ),
        ("Each employee has a yearly training budget of {V}.", "Training budget: {V}"),
        ("training budget in the {S} is {V}", "{S} -> {V} training budget each"),
    ),
    Attribute(
        "notice",
        "notice period",
        numbers(2, 26, 1, "{n} weeks"),
        ("The notice period under the {S} is {V}.", "The {S} sets a notice period of {V}."),
        ("The notice period is {V}.", "Notice period: {V}"),
        ("notice period per {S}: {V}", "the {S} has a notice period of {V}"),
    ),
)

VOICE = Voice(
    company="Brackenford Instruments",
    domain="brackenford-instruments.net",
    products=tuple(
        f"{a}{b}"
        for a, b in zip(
            "Nimbus Orchid Falcon Granite Cobalt Meridian Lantern Sable Prism Harbor Cascade Tundra Saffron "
            "Obelisk Zephyr Corvid Mistral Argent".split(),
            " Core| Suite|Track| One|Sync| Hub|Base| Flow|Lens| Edge|Pay| Lab|Mail| Guard|Cast| Desk| CRM|Note".split(
                "|"
            ),
            strict=True,
        )
    ),
    policies=(
        "Employee Handbook",
        "Code of Conduct",
        "Procurement Guideline",
        "People Policy",
        "Remote Work Guideline",
        "Learning Policy",
        "Facilities Policy",
        "Interns Guideline",
    ),
    first_names=FIRST,
    last_names=LAST,
    fillers=(
        "{P} opened the meeting with the {thing}, which had {verb} overnight, and thanked {P2} for the {part} notes.",
        "It took {n} attempts until the {part} accepted the {quality} {thing}.",
        "Our partners expect a {quality} {thing}; what they get from the {part} is a {quality2} one.",
        "As of this week, {P2} looks after the {thing} while {P} is busy with the {part}.",
        "To be safe, make a {quality} copy of the {thing} and put it beside the {part} folder.",
        "The {part} and the {thing} were never meant to meet, said {P}, and yet they {verb} together.",
        "Nearly {n} visitors saw the {thing} at the fair, and {P} promised them a {quality} {part}.",
        "{P2} wonders whether the {part} really needs a {quality} {thing} or merely a {thing2}.",
        "Lessons learnt: label the {thing}, keep the {part} {quality}, and call {P} early.",
        "When the {thing} is missing, {prod} falls back to a {quality} {part} and logs the fact.",
        "A second pair of eyes on the {thing} would help; {P} volunteered, the {part} crew did not object.",
        "The supplier delivered a {quality} {thing} and {n} spare parts for the {part}.",
        "{P} keeps a list of every {thing} that {verb}, together with the state of the {part}.",
        "Most complaints about {prod} come down to a {quality} {thing} in the {part}.",
        "We will not rebuild the {part} this season; a {quality} {thing} has to do, {P2} decided.",
        "Interviews with {n} users showed that the {thing} is {quality} and the {part} is rarely opened.",
        "Somebody left the {thing} in a {quality} state, and the {part} {verb} before {P} came in.",
        "The {quality} {part} was handed to {P2}, with the {thing} and a page of remarks.",
        "Please route questions on the {thing} to {P}; the {part} desk only handles {quality} cases.",
        "Compared with the {thing}, the {part} is {quality}, although {P2} sees it differently.",
        "Draft ideas for the {part}: a {quality} {thing}, a shared {thing2}, fewer surprises for {P}.",
        "Once the {thing} has been {verb2}, the {part} needs about {n} minutes to settle.",
        "{P} recorded a short video on the {thing}; it also covers the {quality} corner of the {part}.",
        "It was {P2} who spotted that the {part} of {prod} had a {quality} {thing} attached.",
        "Nothing about the {thing} is {quality}, so nothing about the {part} should be {quality2}.",
        "Volunteers for the {part} rotation should speak to {P} and read up on the {thing}.",
        "A {quality} {thing} arrived by courier for {P2} and went straight to the {part} shelf.",
        "In the retrospective the {part} got {n} votes, the {quality} {thing} fewer.",
    ),
    parts=tuple(
        "calibration bench|order portal|data room|telemetry feed|packing line|help centre|web shop|label printer"
        "|test rig|user directory|archive server|firmware repository|service hotline|quote generator|lab notebook"
        "|sensor network|demo environment|document store|loading dock|showroom".split("|")
    ),
    verbs=tuple(
        "stopped|came loose|got stuck|caught up|went missing|was swapped|fell behind|was reset|lit up|ran dry".split(
            "|"
        )
    ),
    things=tuple(
        "spare probe|purchase order|checksum|roadmap|user story|product key|safety sheet|shipping label|newsletter"
        "|firmware image|press kit|badge reader|survey|site plan|training deck|reference unit|rota|wiring diagram"
        "|quality report|customer quote".split("|")
    ),
    qualities=tuple(
        "robust|shaky|plain|glossy|late|early|dusty|reliable|incomplete|clever|patient|dull|bright|costly|spare"
        "|improvised|documented|rough|polished|borrowed".split("|")
    ),
    product_attributes=PRODUCT_ATTRIBUTES,
    policy_attributes=POLICY_ATTRIBUTES,
    same=(no_space, in_months, dollars),
    history=(
        "Prior to {year}, {S} had a {noun} of {V}.",
        "In {year} we went from a {noun} of {V} to {W} for {S}.",
        "{year}: {noun} of {S} set to {V}.",
        "The former {noun} of {S} ({V}) no longer applies.",
    ),
    elsewhere=(
        "Academic licences of {S} come with a {noun} of {V}.",
        "On the sandbox tenant, {S} has a {noun} of {V}.",
        "Subsidiaries in Portugal have their own {noun} for {S}: {V}.",
        "{S} Mini has a {noun} of {V}.",
    ),
    idle=(
        "Would {V} be a better {noun} for {S}?",
        "{P} suggested changing the {noun} of {S} to {V}, which remains open.",
        "Suppose the {noun} of {S} went to {V}; then the help centre would need new pages.",
    ),
    superseded_banners=(
        "Note: this procedure was replaced by the service handbook and must not be followed.",
        "[ARCHIVED]",
        "This wiki page is outdated, see the intranet instead.",
        "Document status: withdrawn",
        "These instructions have been retired.",
    ),
    expired_lines=(
        "These terms apply through {past}.",
        "Expiry date: {past}",
        "The rules on this page remain in force until {past}.",
    ),
    reviewed_lines=("Last revised {past}", "Date of last review: {past}"),
    alive_lines=(
        "This page replaces the instructions of {past}.",
        "Firmware 1.x has been retired from the product line.",
        "The agreement remains in force until {future}.",
        "Archived tickets can be searched in the help centre.",
        "An outdated browser plug-in caused the delay.",
    ),
    version_names=(
        ("{stem} rev1", "{stem} rev2", "{stem} rev3"),
        ("{stem}-draft", "{stem}-approved"),
        ("{stem}_20220314", "{stem}_20230602", "{stem}_20240118"),
        ("{stem} (version 1)", "{stem} (version 2)"),
        ("{stem}.final", "{stem}.final.v2"),
    ),
    version_lines=("Revision {n}, issued {date}", "Document version: {n}.0", ""),
    copy_names=("{stem}_copy", "{stem} (2)", "{stem}", "Kopie von {stem}"),
    secret_lines={
        "email": ("You can reach the candidate under {V}.", "cc {V}"),
        "phone": ("Her private phone is {V}.", "Tel. {V}"),
        "iban": ("Refund went to account {V}.", "Bank details: {V}"),
        "card": ("Paid with {V}, valid thru 09/27.", "cc no: {V}"),
        "us_ssn": ("Social security number: {V}",),
        "aws_key": ('"accessKeyId": "{V}"', "export AWS_ACCESS_KEY_ID={V}"),
        "github_token": ("git clone https://{V}@github.com/brackenford/tools.git", "token: {V}"),
        "slack_token": ('slack = Client("{V}")',),
        "stripe_key": ("STRIPE_SECRET={V}",),
        "jwt": ("token={V}",),
        "private_key": ("{V}",),
        "password": ("The admin password is: {V}", "pwd={V}", "passwd: {V}"),
        "url_password": ("url: {V}", "engine = create_engine('{V}')"),
    },
    clean_lines=(
        "sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "password: ${DB_PASSWORD}",
        "Serial number 5500 0000 1111 2222 was returned.",
        "api_key = YOUR_API_KEY",
        "For general questions: info@brackenford-instruments.net",
        "Case number 078-05-112 was reopened.",
        "Version 2.0.113.4 fixes the printer.",
        "The token expires after one hour.",
    ),
)
