from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from forge.cli.compiling import compile_overrides
from forge.cli.console import make_console
from forge.cli.plan_view import plan_screen
from forge.errors import PackError, SpecError
from forge.plan.types import load_plan, plan_id, plan_to_json
from forge.recipes.install import lock_packs, remove_pack
from forge.recipes.listing import list_recipes
from forge.recipes.pack import make_pack
from forge.resources import data_dir
from forge.spec.compose import compose_spec
from forge.spec.pack_format import SIGNATURE, encode
from forge.spec.pack_manifest import json_bytes
from forge.spec.packs import installed_packs
from forge.spec.search_path import default_search_path
from tests.plan.specs import LAPTOP
from tests.recipes.kit import EVIDENCE, RECIPES, Kit, needs_ssh_keygen

pytestmark = needs_ssh_keygen

OTHER = {"recipes/legal.yaml": b"# Another.\ndefaults:\n  - base\n\nname: legal\nseed: 8\n"}


@pytest.fixture
def known(kit: Kit) -> Kit:
    kit.know("maker")
    return kit


def _folder(kit: Kit, files: dict[str, bytes] = RECIPES) -> Path:
    for path, content in files.items():
        file = kit.folder / "mine" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return kit.folder / "mine"


def _seed(*overrides: str) -> int:
    seed: int = compose_spec(overrides).values["seed"]
    return seed


def _forge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forge.cli.main", *arguments],
        env=os.environ | {"PYTHONPATH": str(data_dir("recipes").parent), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def test_the_same_folder_makes_the_same_bytes_and_they_are_what_ssh_keygen_signs(known: Kit) -> None:
    folder = _folder(known)
    content, pack, notes = make_pack(folder, "acme", "1.2.0", known.key("maker"), [])
    assert content == make_pack(folder, "acme", "1.2.0", known.key("maker"), [])[0] == encode(known.members())
    assert pack.recipes == ("acme/base", "acme/legal")
    assert pack.use.signer == "maker@example.org"
    assert notes == ()


def test_a_folder_of_recipes_alone_is_a_pack_too_and_what_is_left_out_is_said(kit: Kit) -> None:
    folder = _folder(kit, {"legal.yaml": b"seed: 3\n", "notes.txt": b"", "run.py": b"import os\n"})
    _, pack, notes = make_pack(folder, "acme", "1.0.0", None, [])
    assert pack.recipes == ("acme/legal",)
    assert [Path(note.partition(": ")[0]).name for note in notes] == ["notes.txt", "run.py"]


@pytest.mark.parametrize(
    ("files", "name", "version", "says"),
    [
        (
            {"recipes/x.yaml": b"sed: 1\n"},
            "acme",
            "1.0.0",
            "acme/x.yaml:1: sed: no such key. did you mean seed?",
        ),
        ({"recipes/x.yaml": b"name: ${oc.env:HOME}\n"}, "acme", "1.0.0", "acme/x.yaml:1: name: "),
        ({"recipes/x.yaml": b"defaults:\n  - other\n"}, "acme", "1.0.0", "there is no recipe 'other'"),
        ({"recipes/_part.yaml": b"seed: 1\n"}, "acme", "1.0.0", "acme: has no recipe that can be chosen"),
        ({"recipes/notes.txt": b""}, "acme", "1.0.0", "has no recipes"),
        ({"recipes/x.yaml": b""}, "Acme", "1.0.0", "command line: name: must be small letters"),
        ({"recipes/x.yaml": b""}, "acme\n", "1.0.0", "command line: holds control characters"),
        ({"recipes/x.yaml": b""}, "acme", "1.0", "command line: version: must be three numbers"),
        ({"recipes/x.yaml": b""}, "legal_7b", "1.0.0", "is the name of a recipe of forge"),
        ({"recipes/x.yaml": b"x" * 70_000}, "acme", "1.0.0", "is larger than 64 KiB"),
        ({"recipes/x.yaml": b""}, "null", "1.0.0", "null reads as a constant"),
        (
            {"recipes/x.yaml": b"", "recipes/1e5.yaml": b""},
            "acme",
            "1.0.0",
            "acme/1e5.yaml: cannot be chosen",
        ),
        (
            {
                "recipes/x.yaml": b"seed: 1\n",
                "conf/model/odd.yaml": b"defaults:\n  - /model/llama_3m\nlayers: a\n",
            },
            "acme",
            "1.0.0",
            "acme/conf/model/odd.yaml:3: model.layers: 'a' is not a whole number",
        ),
        (
            {"recipes/x.yaml": b"seed: 1\n", "conf/modle/odd.yaml": b"layers: 1\n"},
            "acme",
            "1.0.0",
            "acme/conf/modle: is no group that a pack has options of",
        ),
    ],
)
def test_what_cannot_be_packed_is_said_at_its_place(
    files: dict[str, bytes], name: str, version: str, says: str, kit: Kit
) -> None:
    with pytest.raises(PackError) as caught:
        make_pack(_folder(kit, files), name, version, None, [])
    assert len(caught.value.lines) == 1
    assert says in caught.value.lines[0]


def test_a_link_is_not_packed(kit: Kit) -> None:
    folder = _folder(kit)
    (kit.folder / "secret.yaml").write_text("seed: 1\n")
    (folder / "recipes/secret.yaml").symlink_to(kit.folder / "secret.yaml")
    with pytest.raises(PackError, match="is no plain file"):
        make_pack(folder, "acme", "1.0.0", None, [])


def test_a_pack_is_installed_used_and_removed(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    spec = compose_spec(["recipe=acme/legal"])
    assert (spec.values["seed"], spec.values["model"]["layers"]) == (7, 2)
    assert spec.choices["model"] == "acme/small"
    assert spec.recipes == ("acme/base", "acme/legal")
    assert spec.where(("model", "layers")).endswith("conf/model/small.yaml:5")
    (use,) = spec.packs
    assert (use.name, use.version, use.signer) == ("acme", "1.2.0", "maker@example.org")
    assert use.fingerprint == known.fingerprint("maker")
    (pack,) = installed_packs()
    assert pack.recipes == ("acme/base", "acme/legal")
    known.install(known.project / "acme-1.2.0.forge")  # again: nothing is done twice
    assert remove_pack("acme") == ("1.2.0",)
    with pytest.raises(SpecError, match="there is no recipe 'acme/legal'"):
        compose_spec(["recipe=acme/legal"])
    with pytest.raises(PackError, match=r"acme: no such pack\. there are none"):
        remove_pack("acme")
    assert [path.name for path in known.packs.iterdir()] == [".lock"]


def test_the_command_line_beats_a_pack_s_choice(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    spec = compose_spec(["recipe=acme/legal", "model=llama_25m"])
    assert spec.values["model"]["layers"] == 8


@pytest.mark.parametrize("name", ["acme", "../acme", "..", ".", "acme/1.2.0", ".lock", "", "*", "a" * 300])
def test_what_is_no_pack_is_not_removed(name: str, kit: Kit) -> None:
    (kit.packs / "other/1.0.0").mkdir(parents=True)
    before = kit.everything()
    with pytest.raises(PackError, match="no such pack"):
        remove_pack(name)
    assert kit.everything() == before


def test_an_option_of_a_pack_is_for_its_own_recipes(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    with pytest.raises(SpecError, match="model 'acme/small' is of pack acme, and for its own recipes only"):
        compose_spec(["model=acme/small"])
    (known.project / "recipes").mkdir()
    (known.project / "recipes/mine.yaml").write_text("defaults:\n  - override /model: acme/small\n")
    with pytest.raises(SpecError, match=r"recipes/mine\.yaml:2: model 'acme/small' is of pack acme"):
        compose_spec(["recipe=mine"])
    # A recipe of one's own may extend one of the pack, and has its options with it.
    (known.project / "recipes/mine.yaml").write_text("defaults:\n  - /recipe/acme/legal\nseed: 9\n")
    assert _seed("recipe=mine") == 9


def test_an_option_of_a_pack_hides_none_of_forge_s(known: Kit) -> None:
    files = {**RECIPES, "conf/model/llama_25m.yaml": b"defaults:\n  - /model/llama_3m\n\nlayers: 1\n"}
    known.install(known.write("acme-1.2.0.forge", known.members(files)))
    assert compose_spec(["model=llama_25m"]).values["model"]["layers"] == 8
    assert compose_spec(["recipe=acme/legal"]).values["model"]["layers"] == 2


def test_a_recipe_of_one_s_own_that_hides_a_pack_s_is_said(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    (known.project / "recipes/acme").mkdir(parents=True)
    (known.project / "recipes/acme/legal.yaml").write_text("seed: 99\n")
    spec = compose_spec(["recipe=acme/legal"])
    assert spec.values["seed"] == 99
    assert spec.notes == ("recipes/acme/legal.yaml hides the recipe of pack acme",)
    assert spec.packs == ()


def test_recipes_of_packs_are_listed_and_shown_with_their_evidence(known: Kit) -> None:
    files = {**RECIPES, "evidence/legal-1.json": json_bytes(EVIDENCE)}
    known.install(known.write("acme-1.2.0.forge", known.members(files)))
    listed = {recipe.name: recipe.place for recipe in list_recipes(default_search_path())}
    assert (listed["acme/legal"], listed["legal_7b"]) == ("pack acme", "forge")
    shown = _forge("recipe", "show", "acme/legal", "hardware=cpu").stdout
    assert "\nlegal: 1,312,000 parameters, 8 steps, 8,192 tokens" in shown
    assert "held out bits per byte" in shown


def test_a_pack_chooses_no_option_of_another(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    files = {"recipes/x.yaml": b"defaults:\n  - override /model: acme/small\n"}
    with pytest.raises(PackError, match="there is no model 'acme/small'"):
        known.install(known.write("beta-1.0.0.forge", known.members(files, name="beta", version="1.0.0")))


def test_the_newest_version_is_in_force_or_the_one_that_is_pinned(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    lock_packs(known.project)
    known.install(known.write("acme-1.10.0.forge", known.members({**RECIPES, **OTHER}, version="1.10.0")))
    assert _seed("recipe=acme/legal") == 7
    lock_packs(known.project)
    assert _seed("recipe=acme/legal") == 8
    (known.project / "forge.lock").unlink()
    assert _seed("recipe=acme/legal") == 8
    assert remove_pack("acme") == ("1.10.0", "1.2.0")


def test_what_forge_lock_does_not_pin_is_refused(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    lock_packs(known.project)
    lock = (known.project / "forge.lock").read_text()
    (known.project / "forge.lock").write_text(lock.replace('"acme"', '"other"'))
    with pytest.raises(SpecError, match=r"acme/legal\.yaml:1: forge\.lock does not pin acme"):
        compose_spec(["recipe=acme/legal"])


def test_where_there_is_nothing_to_pin_nothing_is_written(kit: Kit) -> None:
    with pytest.raises(PackError, match="there are no packs to pin"):
        lock_packs(kit.project)
    assert not (kit.project / "forge.lock").exists()


def test_a_key_that_is_named_on_the_command_line_is_taken_for_that_pack(kit: Kit) -> None:
    file = kit.write("acme-1.2.0.forge", kit.members(key="stranger"))
    with pytest.raises(PackError) as caught:
        kit.install(file)
    assert f"--trust {kit.fingerprint('stranger')}" in caught.value.lines[0]
    with pytest.raises(PackError):
        kit.install(file, trust=kit.fingerprint("other"))
    with pytest.raises(PackError):
        kit.install(file, allow_unsigned=True)  # it is signed
    known = kit.write("acme-1.1.0.forge", kit.members(version="1.1.0", key="maker"))
    with pytest.raises(PackError, match="--trust asks for another key"):
        kit.install(known, trust=kit.fingerprint("stranger"))
    kit.install(file, trust=kit.fingerprint("stranger"))
    (use,) = compose_spec(["recipe=acme/legal"]).packs
    assert (use.signer, use.fingerprint) == ("", kit.fingerprint("stranger"))


def test_an_unsigned_pack_is_taken_where_the_user_says_so(kit: Kit) -> None:
    file = kit.write("acme-1.2.0.forge", kit.members(key=None))
    with pytest.raises(PackError, match="is not signed, and --trust asks for a key"):
        kit.install(file, trust=kit.fingerprint("maker"), allow_unsigned=True)
    kit.install(file, allow_unsigned=True)
    (use,) = compose_spec(["recipe=acme/legal"]).packs
    assert (use.signer, use.fingerprint) == ("", "")


def test_the_next_version_by_another_key_needs_the_user_s_word(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    file = known.write("acme-1.3.0.forge", known.members(version="1.3.0", key=None))
    with pytest.raises(PackError, match=r"is signed with .*, and 1\.3\.0 by nobody"):
        known.install(file, allow_unsigned=True)
    file = known.write("acme-1.3.0.forge", known.members(version="1.3.0", key="new"))
    known.install(file, trust=known.fingerprint("new"))


def test_the_plan_records_the_pack_and_its_id_does_not_depend_on_it(known: Kit) -> None:
    known.install(known.write("acme-1.2.0.forge", known.members()))
    overrides = ["recipe=acme/legal", "hardware=cpu"]
    compiled = compile_overrides(overrides, LAPTOP, needs_data=False)
    plan = compiled.plan
    (pack,) = plan.packs
    console = make_console()
    with console.capture() as screen:
        plan_screen(compiled, console)
    assert "acme 1.2.0, signed by maker@example.org" in screen.get()
    assert (pack.name, pack.version, pack.fingerprint) == ("acme", "1.2.0", known.fingerprint("maker"))
    assert len(pack.sha256) == 64
    (known.project / "plan.json").write_text(plan_to_json(plan))
    assert load_plan(known.project / "plan.json") == plan
    remove_pack("acme")
    unsigned = known.members(version="1.2.1", key=None)
    known.install(known.write("acme-1.2.1.forge", unsigned), allow_unsigned=True)
    again = compile_overrides(overrides, LAPTOP, needs_data=False).plan
    assert again.id == plan.id == plan_id(again)
    assert (again.packs[0].version, again.packs[0].fingerprint) == ("1.2.1", "")


def test_a_pack_of_a_python_package_is_pinned_recorded_and_never_run(
    known: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = known.folder / "site"
    for name, text in {
        "beta_recipes/__init__.py": "raise SystemExit('the code of a pack was run')\n",
        "beta_recipes/recipes/legal.yaml": "seed: 3\n",
        "beta-1.4.dist-info/METADATA": "Metadata-Version: 2.1\nName: beta\nVersion: 1.4\n",
        "beta-1.4.dist-info/entry_points.txt": "[forge.recipes]\nbeta = beta_recipes\n",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))
    (use,) = compose_spec(["recipe=beta/legal"]).packs
    assert (use.name, use.version, use.signer, use.fingerprint) == ("beta", "1.4", "", "")
    lock_packs(known.project)
    assert _seed("recipe=beta/legal") == 3
    (site / "beta_recipes/recipes/legal.yaml").write_text("seed: 4\n")
    with pytest.raises(SpecError, match=r"forge\.lock pins beta 1\.4 as"):
        compose_spec(["recipe=beta/legal"])
    (known.project / "forge.lock").unlink()
    # Neither kind of pack takes the other's name.
    file = known.write(
        "beta-2.0.0.forge", known.members({"recipes/legal.yaml": b""}, name="beta", version="2.0.0")
    )
    with pytest.raises(PackError, match="a Python package brings a pack of that name already"):
        known.install(file)
    (site / "beta-1.4.dist-info/entry_points.txt").write_text("[forge.recipes]\nacme = beta_recipes\n")
    known.install(
        known.write(
            "beta-2.0.0.forge", known.members({"recipes/legal.yaml": b""}, name="beta", version="2.0.0")
        )
    )
    (site / "beta-1.4.dist-info/entry_points.txt").write_text("[forge.recipes]\nbeta = beta_recipes\n")
    with pytest.raises(SpecError, match="a Python package and `forge recipe install` bring a pack beta"):
        compose_spec(["recipe=beta/legal"])
    assert "beta_recipes" not in sys.modules


@pytest.mark.parametrize(
    "text",
    ["output_dir: /tmp/x\n", "hostfile: hosts\n", "remote_shell: sh -c\n", "model:\n  init_from: x\n",
     "evaluate:\n  tasks: [x.yaml]\n", "data:\n  path: /etc\n", "hardware:\n  gpus_per_node: 4\n"],
)  # fmt: skip
def test_what_only_the_user_may_say_is_refused_from_a_pack(text: str, known: Kit) -> None:
    file = known.write("acme-1.2.0.forge", known.members({"recipes/x.yaml": text.encode()}))
    with pytest.raises(PackError, match=r"acme/x\.yaml:\d: ") as caught:
        known.install(file)
    assert len(caught.value.lines) == 1
    assert not known.packs.exists()


def test_what_a_killed_install_left_is_cleared(known: Kit) -> None:
    left = known.packs / "acme/.1.1.0.999"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{")
    assert installed_packs() == ()
    known.install(known.write("acme-1.2.0.forge", known.members()))
    assert not left.exists()


def test_the_signature_in_a_pack_is_the_one_people_make_by_hand(known: Kit) -> None:
    """Unpack with tar, verify with ssh-keygen: no forge is needed to know whose a pack is."""
    content = make_pack(_folder(known), "acme", "1.2.0", known.key("maker"), [])[0]
    (known.folder / "by_hand").mkdir()
    subprocess.run(["tar", "xf", "-"], input=content, cwd=known.folder / "by_hand", check=True)
    command = ["ssh-keygen", "-Y", "verify", "-n", "forge-pack", "-I", "maker@example.org", "-s", SIGNATURE]
    command += ["-f", str(known.allowed_signers)]
    manifest = (known.folder / "by_hand/manifest.json").read_bytes()
    subprocess.run(command, input=manifest, cwd=known.folder / "by_hand", check=True, capture_output=True)


def test_the_commands_say_what_they_do(known: Kit) -> None:
    _folder(known)
    packed = _forge(
        "recipe", "pack", "../mine", "--name", "acme", "--version", "1.2.0", "--key", "../keys/maker"
    )
    assert packed.stdout.splitlines()[-1] == "written to acme-1.2.0.forge"
    installed = _forge("recipe", "install", "acme-1.2.0.forge")
    assert installed.stdout.splitlines()[:2] == [
        "acme 1.2.0",
        f"signed by  maker@example.org, ED25519 {known.fingerprint('maker')}",
    ]
    listed = _forge("recipe", "packs")
    assert "  acme/legal" in listed.stdout.splitlines()
    planned = json.loads(_forge("plan", "recipe=acme/legal", "hardware=cpu", "--json").stdout)
    assert planned["packs"][0]["version"] == "1.2.0"
    file = known.write("acme-1.2.0.forge", b"no pack")
    refused = _forge("recipe", "verify", file.name)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == ["acme-1.2.0.forge: is not a tar file: it is no pack"]
    assert _forge("recipe", "remove", "acme").stdout == "removed acme 1.2.0\n"
