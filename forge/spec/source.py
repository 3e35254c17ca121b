"""How Hydra reads forge's files: one config source over the search path, with the safe subset checked first.

Hydra builds a source from a string, so the search path of the composition under way is handed over in a
context variable. Third-party Hydra plugins are code and are kept out.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar

if "hydra_plugins" not in sys.modules:
    # Hydra imports every module below this name when it starts; None makes that import fail quietly.
    sys.modules["hydra_plugins"] = None  # type: ignore[assignment]

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from forge.spec.defaults import composable
from forge.spec.search_path import RECIPE_GROUP, SearchPath

ACTIVE_SEARCH_PATH: ContextVar[SearchPath] = ContextVar("ACTIVE_SEARCH_PATH")


class ForgeSource(ConfigSource):
    """Serves conf/, recipes and packs to Hydra from the active search path."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of forge's search-path element."""
        return "forge"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the file's safe content. A recipe is placed at the root, so its author needs no header."""
        search_path = ACTIVE_SEARCH_PATH.get()
        file = search_path.find(config_path.removesuffix(".yaml"))
        if file is None:
            raise ConfigLoadError(config_path)
        is_recipe = config_path.startswith(f"{RECIPE_GROUP}/")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create(composable(file, search_path)),
            header={"package": "_global_" if is_recipe else None},
        )

    def available(self) -> bool:
        """Return True: there is always a search path."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return whether `config_path` is a folder of options."""
        return ACTIVE_SEARCH_PATH.get().is_group(config_path.rstrip("/"))

    def is_config(self, config_path: str) -> bool:
        """Return whether `config_path` is a file."""
        return ACTIVE_SEARCH_PATH.get().find(config_path.removesuffix(".yaml")) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names below `config_path`."""
        search_path = ACTIVE_SEARCH_PATH.get()
        groups = list(search_path.groups()) if config_path == "" else []
        options = list(search_path.options(config_path)) if config_path else []
        if results_filter == ObjectType.GROUP:
            return groups
        if results_filter == ObjectType.CONFIG:
            return options
        return groups + options


class ForgeSearchPath(SearchPathPlugin):
    """Puts forge's source where Hydra expects the application's config folder."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Replace the main element."""
        for element in search_path.get_path():
            if element.provider == "main":
                element.path = "forge://"


def register() -> None:
    """Make Hydra know forge's source. Safe to call again."""
    Plugins.instance().register(ForgeSource)
    Plugins.instance().register(ForgeSearchPath)
