"""The arrays of a prediction, as plain .npy files beside the database."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.core.volume import voxel_hash
from napari_deferredseg.store.files import is_left_alone, patiently, private_folder, remedy, sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array

Arrays = tuple["Array", "Array", "NDArray[np.float32]"]

KEPT_DEFER = np.dtype(np.float16)
"""Type that a deferral map is kept in."""

NAMES = ("labels", "alternative", "defer")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class PredictionFiles:
    """Folder with one subfolder a prediction, named by its id.

    Parameters
    ----------
    folder : Path
        Made at the first `save`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, prediction_id: str, labels: Array, alternative: Array, defer: NDArray[np.float32]) -> bool:
        """Keep the arrays of a prediction, all three or none. Saving the same again changes nothing.

        Parameters
        ----------
        labels, alternative : (z, y, x) uint8 or uint16
        defer : (z, y, x) float
            0 to 1; kept as float16.

        Returns
        -------
        bool
            False when they were there already.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        target = self._path(prediction_id)
        arrays = (labels, alternative, defer)
        if self._holds(target, arrays):
            return False
        try:
            private_folder(self.folder)
            self._write(target, arrays)
        except OSError as error:
            raise InputError(f"{target} cannot be written: {error.strerror or error}; {remedy(error)}") from None
        return True

    def discard(self, prediction_id: str) -> None:
        """Delete the arrays of a prediction that came to nothing. Harmless when there are none."""
        shutil.rmtree(self._path(prediction_id), ignore_errors=True)

    def sweep(self, keep: Collection[str], known: Collection[str]) -> int:
        """Delete the arrays of all predictions but those to keep; returns how many folders went.

        What is neither to keep nor `known` may be the work of a run that goes on: it stays for an hour. What another
        program holds open stays for the next time.
        """
        gone = 0
        for folder in self.folder.glob("*"):
            if folder.name not in keep and (folder.name in known or is_left_alone(folder)):
                shutil.rmtree(folder, ignore_errors=True)
                gone += not folder.exists()
        return gone

    def hashes(self, prediction_id: str) -> tuple[str, str, str]:
        """Hashes of (labels, alternative, defer) as the files hold them; InputError as in `load`."""
        labels, alternative, defer = (voxel_hash(array, b"") for array in self._kept(prediction_id))
        return labels, alternative, defer

    def load(self, prediction_id: str, expected: Sequence[str] = ()) -> Arrays:
        """Return (labels, alternative, defer) as saved.

        The first two are read-only and mapped: only the planes that are looked at are read from the disk. `defer` is
        float32 in memory.

        Parameters
        ----------
        expected : sequence of str
            Their hashes as the record has them, in this order; an empty one is not known.

        Raises
        ------
        InputError
            They are missing or damaged, or not those with the hashes.
        """
        arrays = labels, alternative, defer = self._kept(prediction_id)
        known = [(name, array, kept) for name, array, kept in zip(NAMES, arrays, expected, strict=False) if kept]
        with ThreadPoolExecutor(len(NAMES)) as pool:
            same = list(pool.map(lambda x: voxel_hash(x[1], b"") == x[2], known))
        for (name, _, _), is_same in zip(known, same, strict=True):
            if not is_same:
                file = self._path(prediction_id) / f"{name}.npy"
                raise Damaged(f"{file} is damaged, not what the run wrote: restore a backup, or run the model again")
        return labels, alternative, defer.astype(np.float32)

    def _kept(self, prediction_id: str) -> tuple[Array, Array, Array]:
        target = self._path(prediction_id)
        try:
            return _read(target)
        except FileNotFoundError as error:
            raise Damaged(f"{error.filename or target} is missing: run the model on this case again") from error
        except (OSError, ValueError, EOFError) as error:
            raise Damaged(f"{target} is damaged: delete it and run the model on this case again") from error

    def _path(self, prediction_id: str) -> Path:
        if not NAME.fullmatch(prediction_id):
            raise ValueError(f"{prediction_id!r} is no prediction id")
        return self.folder / prediction_id

    def _holds(self, target: Path, arrays: tuple[Array, ...]) -> bool:
        try:
            kept = _read(target)
        except (OSError, ValueError, EOFError):
            return False
        return all(
            a.dtype == dtype
            and a.shape == b.shape
            and all(np.array_equal(x, y) for x, y in zip(a, _planes(b, dtype), strict=True))
            for a, b, dtype in zip(kept, arrays, _types(arrays), strict=True)
        )

    def _write(self, target: Path, arrays: tuple[Array, ...]) -> None:
        fresh, old = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder)), None
        try:
            for name, array, dtype in zip(NAMES, arrays, _types(arrays), strict=True):
                with (fresh / f"{name}.npy").open("wb") as stream:
                    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
                    np.lib.format.write_array_header_1_0(stream, head)
                    stream.writelines(plane.data for plane in _planes(array, dtype))
                    stream.flush()
                    os.fsync(stream.fileno())
            sync_folder(fresh)
            if target.exists():
                old = aside = Path(tempfile.mkdtemp(prefix=".old-", dir=self.folder))
                patiently(lambda: target.rename(aside / "old"))
            patiently(lambda: fresh.rename(target))
            sync_folder(self.folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)


def _types(arrays: tuple[Array, ...]) -> tuple[np.dtype[Any], ...]:
    """Types that labels, alternative and deferral map are kept in."""
    labels, alternative, _ = arrays
    return labels.dtype, alternative.dtype, KEPT_DEFER


def _planes(array: Array, dtype: np.dtype[Any]) -> Iterator[Array]:
    """Planes as they are kept: a whole volume of another type would take long and much memory."""
    if dtype.hasobject:
        raise ValueError("objects would need a pickle")
    return (np.ascontiguousarray(plane, dtype) for plane in array)


def _read(target: Path) -> tuple[Array, Array, Array]:
    labels, alternative, defer = (_load(target / f"{name}.npy") for name in NAMES)
    if not labels.shape == alternative.shape == defer.shape or defer.dtype != np.float16 or labels.ndim != 3:
        raise ValueError("the arrays do not belong together")
    return labels, alternative, defer


def _load(path: Path) -> Array:
    array: Array = np.load(path, allow_pickle=False, mmap_mode="r")
    return array
