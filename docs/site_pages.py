"""Pages of the site that are made from other files: hooks of `mkdocs.yml`.

The start page is the README; the reference has a page for each package, with all its modules; a link to a file that
is not on the site becomes its text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = "napari_deferredseg"
PACKAGES = ("core", "io", "masks", "routing", "scoring", "export", "usecases")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {
        "index.md": _of_the_root(ROOT / "README.md"),
        "changes.md": _of_the_root(ROOT / "CHANGELOG.md"),
        "benchmarks.md": (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").replace("](../docs/", "]("),
        "images/icon.svg": (ROOT / "resources" / "icon.svg").read_text(encoding="utf-8"),
        "reference/index.md": _front_door(),
        **{f"reference/{name}.md": _reference(name) for name in PACKAGES},
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave the text of links that lead to files of the repository which the site does not have."""

    def kept(link: re.Match[str]) -> str:
        target = (Path(page.file.src_uri).parent / link[2]).as_posix()
        return link[0] if files.get_file_from_path(target) else link[1]

    return LINK.sub(kept, markdown)


def _of_the_root(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("](docs/", "](")


def _front_door() -> str:
    """Page of what a notebook imports."""
    api = [f"{PACKAGE}.api"] if (ROOT / PACKAGE / "api.py").is_file() else []
    return "# Front door\n\n" + "\n\n".join(_module(name) for name in (PACKAGE, *api)) + "\n"


def _reference(package: str) -> str:
    """Page of a package: each module that says something to users, in the order of their names."""
    folder = ROOT / PACKAGE / package
    found = sorted(path for path in folder.rglob("*.py") if not path.name.startswith("_"))
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found)
    return f"# {package}\n\n" + "\n\n".join(_module(name) for name in names) + "\n"


def _module(name: str) -> str:
    return f"::: {name}\n    options:\n      show_submodules: false"
