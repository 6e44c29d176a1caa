"""Hand the key of a project to somebody else, and take one in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.keys import KeyMemory, key_path, own_key, read_key, write_new_key

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.store.seal import ProjectKey
    from napari_deferredseg.usecases.project import Project


def export_key(project: Project, file: Path) -> ProjectKey:
    """Write the key of a project to a file that only its user may read, to be handed on or kept apart.

    Raises
    ------
    InputError
        This person does not have it; the file exists or cannot be written.
    """
    key = own_key(project.info.id)
    if key is None:
        named = project.store.key_id() or "none"
        raise InputError(f"this computer has no key of {project.folder} (the project names {named}): import it first")
    write_new_key(file, project.info.id, key)
    return key


def import_key(project: Project, file: Path) -> ProjectKey:
    """Keep the key in a file as one's own, and seal with it what was written without, where that can be written.

    Raises
    ------
    InputError
        The file holds no key, that of another project, or one that this project does not name.
    """
    if not file.is_file():
        raise InputError(f"{file} does not exist: give the file that deferredseg project key export wrote")
    key = read_key(file, project.info.id)
    named = project.store.key_id()
    if named != key.id:
        raise InputError(f"{file} holds the key {key.id}, but {project.folder} names {named or 'none'}: ask its holder")
    own = key_path(project.info.id)
    if own_key(project.info.id) != key:
        own.unlink(missing_ok=True)
        write_new_key(own, project.info.id, key)
    project.store.use_key(key, KeyMemory(project.info.id))
    if not project.store.reads_only:
        project.store.seal()
    return key
