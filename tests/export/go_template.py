"""Go's text/template as far as forge writes it: by Go itself where there is one, else by the few rules that are used.

The rules (text/template, "Actions"): `{{ range .Messages }}`, `{{ if eq .Role "x" }}`, `{{ else if eq .Role "x" }}`,
`{{ end }}`, `{{ .Role }}`, `{{ .Content }}`. Text between actions stays as it is.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

PROGRAM = """package main

import (
	"encoding/json"
	"os"
	"text/template"
)

type Message struct{ Role, Content string }

func main() {
	var input struct {
		Template string
		Messages []Message
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("").Parse(input.Template))
	if err := parsed.Execute(os.Stdout, map[string]any{"Messages": input.Messages}); err != nil {
		panic(err)
	}
}
"""
ACTION = re.compile(r"\{\{ (.+?) \}\}")
CONDITION = re.compile(r'(?:else )?if eq \.Role "(\w+)"')


def render(template: str, messages: list[dict[str, str]], scratch: Path) -> str:
    """Return what Go makes of a template and the messages of a chat."""
    if (go := shutil.which("go")) is None:
        return evaluate(template, messages)
    program = scratch / "render.go"
    program.write_text(PROGRAM)
    turns = [{"Role": turn["role"], "Content": turn["content"]} for turn in messages]
    done = subprocess.run(
        [go, "run", str(program)],
        input=json.dumps({"Template": template, "Messages": turns}).encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def evaluate(template: str, messages: list[dict[str, str]]) -> str:
    """Return what the rules make of it; ValueError on an action that is none of them."""
    parts = ACTION.split(template)  # text, action, text, ..., text
    start = parts.index("range .Messages")
    end = len(parts) - 2
    assert parts[end] == "end"
    turns = "".join(_turn(parts[start + 1 : end], message) for message in messages)
    return "".join(parts[:start]) + turns + parts[end + 1]


def _turn(parts: list[str], message: dict[str, str]) -> str:
    written = []
    holds, done = True, False
    for place, part in enumerate(parts):
        if place % 2 == 0:
            written.append(part if holds else "")
        elif condition := CONDITION.fullmatch(part):
            done = part.startswith("else") and (done or holds)
            holds = not done and condition.group(1) == message["role"]
        elif part == "end":
            holds, done = True, False
        elif part in (".Role", ".Content"):
            written.append(message[part[1:].lower()] if holds else "")
        else:
            raise ValueError(part)
    return "".join(written)
