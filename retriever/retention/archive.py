"""One file that carries a version with its products to another machine, or into the appendix of a paper.

A ZIP archive: `manifest.json` first, then the files it lists, below `outputs/` and `data/` as they lay. Whoever unpacks
one trusts nothing in it: every name must be one that retriever itself would give, every size and digest that of the
manifest, every segment that of its own name.
"""

import hashlib
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retriever.errors import StoreError
from retriever.identity import DIGEST_CHARS
from retriever.report.versions import VersionFolder
from retriever.retention.versions import index_versions, register_all
from retriever.store.database import Database
from retriever.store.files import temporary_path
from retriever.store.segments import digest_in
from retriever.store.upkeep import OnProgress, no_progress

__all__ = ["pack_version", "unpack_version"]

FORMAT = 1
"""Number of the archive's format; a reader refuses a higher one."""

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
"""What `zipfile` raises for archives that are cut short, altered, encrypted, or packed in a way it does not know."""

_MOST_MANIFEST = 1 << 28
_CHUNK = 1 << 20
_NAME = r"[A-Za-z0-9%+_ -]{1,200}"
_SEGMENT = re.compile(
    rf"(outputs/\.stages/[a-z][a-z0-9_]{{0,40}}/[0-9a-f]{{12}}|data/{_NAME}/{_NAME})"
    rf"/(RA\d{{3}}/RA[0-9.+-]{{12,14}}|[a-z]{{1,40}}/[A-Za-z0-9%+_ -]{{1,60}})_[0-9a-f]{{{DIGEST_CHARS}}}\.h5"
)
_TABLE = re.compile(
    r"(config\.yaml|version\.json|uncommitted\.patch|(histograms|completeness)\.nc|[a-z][a-z0-9_]{0,40}\.parquet)"
)
_OTHER = re.compile(r"(modules/[A-Za-z0-9_.]{1,200}\.py|runs/[0-9TZ]{16}-[0-9a-f]{6}/(summary\.json|log\.txt))")


def pack_version(
    version: VersionFolder, data: Path, file: Path, *, on_progress: OnProgress = no_progress
) -> dict[str, int]:
    """Write a version and all segments that its tables name into one archive; gives files and bytes.

    Raises
    ------
    StoreError
        When a segment is missing, or the archive cannot be written.
    """
    outputs = version.folder.parent
    segments = sorted({path for path in version.segments["segment"].tolist() if path})
    own = {
        f"outputs/{version.name}/{path.relative_to(version.folder).as_posix()}": path
        for path in sorted(version.folder.rglob("*"))
        if path.is_file()
    }
    # pins and whatever people laid there stay: what goes in is what `unpack` takes
    members = {name: path for name, path in own.items() if _is_ours(name, version.name)}
    for name in segments:
        root, _, path = name.partition("/")
        members[name] = (data if root == "data" else outputs) / path
    partial = file.with_name(f"{file.name}.partial")
    try:
        manifest = {
            "what": "a version of retriever",
            "format": FORMAT,
            "version": version.name,
            "files": {name: [path.stat().st_size, _digest(path)] for name, path in members.items()},
        }
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("manifest.json", json.dumps(manifest))
            for done, (name, path) in enumerate(members.items(), 1):
                archive.write(path, name)
                on_progress(done, len(members))
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        what = f"{error.filename}: " if error.filename else ""
        raise StoreError(f"cannot pack {version.name}: {what}{error.strerror or error}; run it again first") from error
    return {"files": len(members), "bytes": file.stat().st_size}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack_version(file: Path, outputs: Path, data: Path, database: Database) -> str:
    """Put a packed version in its place and index it; gives its name. Nothing is computed.

    Raises
    ------
    StoreError
        When anything about the archive is not as it should be; what was put in place before is whole and harmless.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(archive, file)
            name = manifest["version"]
            needed = sum(size for size, _ in manifest["files"].values())
            outputs.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(outputs).free < needed:
                raise StoreError(f"{file} unpacks to {needed} bytes, and {outputs} has less room; free some space")
            record = f"outputs/{name}/version.json"
            # the manifest last: without it the folder is no version yet
            for member in sorted(manifest["files"], key=lambda member: member == record):
                root = outputs if member.startswith("outputs/") else data
                size, digest = manifest["files"][member]
                _extract(archive, member, size, digest, root, file)
    except BROKEN as error:
        raise StoreError(f"cannot unpack {file}: {error}; get a fresh copy") from error
    version = VersionFolder(outputs / name)
    if not version.hash_holds:
        (version.folder / "version.json").unlink()
        raise StoreError(f"{file} holds a version whose hash is not that of its inputs; it was not taken")
    register_all(outputs, data, database, run="unpack")
    index_versions(outputs, database, [name])
    return str(name)


def _manifest(archive: zipfile.ZipFile, file: Path) -> Mapping[str, Any]:
    """The manifest, checked: only names that retriever gives, each once, with the sizes that the archive declares."""
    infos = archive.infolist()
    if not infos or infos[0].filename != "manifest.json" or infos[0].file_size > _MOST_MANIFEST:
        raise StoreError(f"{file} is no archive of a version: it does not begin with a manifest")
    try:
        manifest = json.loads(archive.read(infos[0]))
        if manifest["format"] > FORMAT:
            raise StoreError(f"{file} has archive format {manifest['format']}, known up to {FORMAT}; update retriever")
        name, files = manifest["version"], manifest["files"]
        payload = {str(member): (int(size), str(digest)) for member, (size, digest) in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{file} is no archive of a version: its manifest is broken") from error
    if not isinstance(name, str) or not re.fullmatch(r"[A-Z0-9][A-Z0-9_-]{0,63}(_[0-9a-f]{12})?", name):
        raise StoreError(f"{file} names a version {name!r}, which is no name that retriever gives")
    for member in payload:
        if not _is_ours(member, name):
            raise StoreError(f"{file} holds {member!r}, which is no file of a version; nothing was unpacked")
    held = {info.filename: info.file_size for info in infos[1:]}
    if len(held) != len(infos) - 1 or held != {member: size for member, (size, _) in payload.items()}:
        raise StoreError(f"{file} does not hold what its manifest says; nothing was unpacked")
    if f"outputs/{name}/version.json" not in payload:
        raise StoreError(f"{file} holds no version.json; nothing was unpacked")
    return {"version": name, "files": payload}


def _is_ours(member: str, version: str) -> bool:
    inside = member.removeprefix(f"outputs/{version}/")
    if inside != member:
        return bool(_TABLE.fullmatch(inside) or _OTHER.fullmatch(inside)) and ".." not in inside
    return bool(_SEGMENT.fullmatch(member))


def _extract(archive: zipfile.ZipFile, member: str, size: int, digest: str, root: Path, file: Path) -> None:
    """Put one member in its place, if it is what the manifest says; one that is there already must be the same."""
    target = root / member.partition("/")[2]
    if target.exists():
        if _digest(target) != digest:
            raise StoreError(f"{target} is there already and differs from the one in {file}; move it away first")
        return
    temporary = temporary_path(root)
    hasher, written = hashlib.sha256(), 0
    try:
        with archive.open(member) as packed, temporary.open("wb") as out:
            while chunk := packed.read(_CHUNK):
                written += len(chunk)
                if written > size:
                    break
                hasher.update(chunk)
                out.write(chunk)
        actual = hasher.hexdigest()
        is_segment = member.endswith(".h5")
        if written != size or actual != digest or (is_segment and actual[:DIGEST_CHARS] != digest_in(target.name)):
            raise StoreError(f"{member!r} in {file} is not what the manifest says; get a fresh copy")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
