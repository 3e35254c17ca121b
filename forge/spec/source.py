"""How Hydra reads forge's files: the order in which they are merged, by Hydra's rules for defaults lists.

Of Hydra's composition only that step is used. Its own tree of settings, its plugins (which are code), its resolvers
and its sources of configuration never load, and no value of a file reaches it: it sees names of options and recipes
that were looked up before.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydra import version
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ConfigDefault, GroupDefault, InputDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from forge.spec.defaults import PRIMARY, Entry, is_recipe
from forge.spec.schema import spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, SpecFile
from forge.spec.types import KeyPath

HYDRA_VERSION_BASE = "1.3"
_NO_CONTENT = OmegaConf.create({})


def merge_order(
    entries: Mapping[str, list[Entry]],
    choices: Mapping[str, str],
    recipe: str | None,
    search_path: SearchPath,
) -> list[tuple[SpecFile, KeyPath]]:
    """Return the files of a composition in the order they are merged, each with the key path it is placed at.

    Args:
        entries: for each file that may take part, by config path, the entries of its defaults list; all name
            something there is, and no file is reached twice.
        choices: group to the option that the command line chooses.
        recipe: the recipe, if any.
        search_path: where the files are.
    """
    version.setbase(HYDRA_VERSION_BASE)
    overrides = [
        Override(OverrideType.CHANGE, group, ValueType.ELEMENT, name) for group, name in choices.items()
    ]
    if recipe is not None:
        overrides.append(Override(OverrideType.ADD, RECIPE_GROUP, ValueType.ELEMENT, recipe))
    listed = create_defaults_list(
        _Repository(entries), PRIMARY, overrides, prepend_hydra=False, skip_missing=False
    )
    files: list[tuple[SpecFile, KeyPath]] = []
    for default in listed.defaults:
        file = search_path.find(default.config_path or "")
        assert file is not None
        files.append((file, _place(file)))
    return files


def _place(file: SpecFile) -> KeyPath:
    """Return where a file's keys go: those of an option, also of a pack's (`model/acme/small`), below its group."""
    group, inner, _ = file.config_path.partition("/")
    return () if is_recipe(file) or not inner else (group,)


class _Repository(IConfigRepository):
    """Serves defaults lists to Hydra, each in the order it wants: extended files, the file itself, overrides."""

    def __init__(self, entries: Mapping[str, list[Entry]]) -> None:
        self._entries = entries

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Return the defaults list of a file. A recipe is placed at the root, so its author needs no header."""
        if config_path not in self._entries:
            return None
        entries = self._entries[config_path]
        recipe = config_path.startswith(f"{RECIPE_GROUP}/")
        chosen = [
            GroupDefault(
                group=f"/{entry.target}" if recipe else entry.target, value=entry.option, override=recipe
            )
            for entry in entries
            if entry.kind == "choose"
        ]
        listed: list[InputDefault] = [
            ConfigDefault(path=f"/{entry.target}") for entry in entries if entry.kind == "extend"
        ]
        itself = ConfigDefault(path="_self_")
        listed += [itself, *chosen] if recipe else [*chosen, itself]
        header = {"package": "_global_" if recipe else None}
        return ConfigResult("forge", config_path, _NO_CONTENT, header, listed)

    def group_exists(self, config_path: str) -> bool:
        """Return whether an option can be chosen for `config_path`."""
        return config_path == RECIPE_GROUP or config_path in spec_schema().groups

    def config_exists(self, config_path: str) -> bool:
        """Return whether `config_path` is a file of this composition."""
        return config_path in self._entries

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """Return nothing: Hydra asks only to advise, and forge gives its own advice."""
        return []

    def get_sources(self) -> list[ConfigSource]:
        """Return nothing: Hydra asks only to advise."""
        return []

    def get_schema_source(self) -> ConfigSource:
        """Refuse: there is no such source."""
        raise NotImplementedError

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Do nothing: the files are looked up already."""
