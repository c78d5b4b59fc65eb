"""Packing a version, and unpacking what may be anything."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import assert_same_tables, last_summary, version_folder

SIZE = ("catalog.size=40", "executor.batch_size=10")


def test_a_packed_version_goes_to_another_place_and_computes_nothing(retriever, stand, monkeypatch) -> None:
    assert retriever("run", *SIZE).code == 0
    original = version_folder(Path("outputs")).absolute()
    (original / "notes of mine.txt").write_text("not for others")
    (original / "pinned.json").write_text("{}")
    packed = stand / "demo.zip"
    assert retriever("pack", original.name, str(packed)).code == 0
    elsewhere = stand / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert json.loads(retriever("unpack", str(packed), "--json").out) == {"version": original.name}
    folder = version_folder(Path("outputs"))
    assert not (folder / "notes of mine.txt").exists() and not (folder / "pinned.json").exists()
    assert_same_tables(folder, original)
    assert retriever("verify").code == 0
    assert retriever("run", *SIZE).code == 0
    assert sum(last_summary(folder)["computed"].values()) == 0
    assert json.loads(retriever("show", folder.name, "--json").out)["hash_holds"] is True
    assert retriever("unpack", str(packed)).code == 0


def rewritten(packed: Path, target: Path, change) -> Path:
    """An archive with its members changed by a function of (name, bytes), and a manifest that fits or does not."""
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(target, "w") as out:
        manifest = json.loads(source.read("manifest.json"))
        members = {name: source.read(name) for name in source.namelist() if name != "manifest.json"}
        manifest, members = change(manifest, members)
        out.writestr("manifest.json", json.dumps(manifest))
        for name, image in members.items():
            out.writestr(name, image)
    return target


def fitting(manifest, members):
    manifest["files"] = {name: [len(image), hashlib.sha256(image).hexdigest()] for name, image in members.items()}
    return manifest, members


def with_member(name: str, image: bytes = b"x"):
    return lambda manifest, members: fitting(manifest, {**members, name: image})


def segment_of(members) -> str:
    return next(name for name in members if name.endswith(".h5"))


HOSTILE = {
    "a path upward": with_member("outputs/../../evil"),
    "an absolute path": with_member("/tmp/evil"),
    "a path with a backslash": with_member("outputs\\evil"),
    "a file beside the version": with_member("outputs/retriever.db"),
    "another version's folder": with_member("outputs/OTHER/version.json"),
    "a hidden file": with_member("outputs/.tmp/evil"),
    "a module upward": lambda m, f: fitting(m, {**f, f"outputs/{m['version']}/modules/...py": b"x"}),
    "a changed segment": lambda m, f: fitting(m, {**f, segment_of(f): f[segment_of(f)] + b"x"}),
    "a wrong size": lambda m, f: (
        {**m, "files": {name: [size + 1, digest] for name, (size, digest) in m["files"].items()}},
        f,
    ),
    "a wrong digest": lambda m, f: (
        {**m, "files": {name: [size, "0" * 64] for name, (size, _) in m["files"].items()}},
        f,
    ),
    "a member less": lambda m, f: (m, dict(list(f.items())[1:])),
    "a name that is a path": lambda m, f: ({**m, "version": "../x"}, f),
    "a future format": lambda m, f: ({**m, "format": 99}, f),
    "a broken manifest": lambda m, f: ([], f),
    "a forged record": lambda m, f: fitting(
        m,
        {
            name: image.replace(b'"snr_threshold": 5.0', b'"snr_threshold": 4.0')
            if name.endswith("version.json")
            else image
            for name, image in f.items()
        },
    ),
}


def test_unpack_trusts_nothing(retriever, stand, monkeypatch) -> None:
    assert retriever("run", "catalog.size=5").code == 0
    folder = version_folder(Path("outputs"))
    assert retriever("pack", folder.name, "good.zip").code == 0
    good = (stand / "good.zip").absolute()
    (stand / "broken.zip").write_bytes(good.read_bytes()[:-100])
    cases = {name: rewritten(good, stand / f"{k}.zip", change) for k, (name, change) in enumerate(HOSTILE.items())}
    for k, (name, path) in enumerate({**cases, "a broken file": stand / "broken.zip"}.items()):
        place = stand / "places" / str(k)
        place.mkdir(parents=True)
        monkeypatch.chdir(place)
        ended = retriever("unpack", str(path))
        assert ended.code == 1 and ended.err.startswith("retriever: ") and "unexpected" not in ended.err, (name, ended)
        left = [str(one.relative_to(place)) for one in place.rglob("*") if one.is_file()]
        assert not [one for one in left if "evil" in one or one.endswith("version.json") or ".tmp" in one], (name, left)
        assert not list((stand / "places").rglob("evil")) and not Path("/tmp/evil").exists()


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits_are_told_and_never_taken(retriever, stand, monkeypatch, seed) -> None:
    assert retriever("run", "catalog.size=5").code == 0
    folder = version_folder(Path("outputs")).absolute()
    assert retriever("pack", folder.name, "good.zip").code == 0
    good = (stand / "good.zip").read_bytes()
    rng = np.random.default_rng(seed)
    for k in range(12):
        image = bytearray(good)
        image[int(rng.integers(len(image)))] ^= 1 << int(rng.integers(8))
        place = stand / f"place{k}"
        place.mkdir()
        (place / "bad.zip").write_bytes(image)
        monkeypatch.chdir(place)
        ended = retriever("unpack", "bad.zip")
        assert "unexpected" not in ended.err, ended
        if ended.code == 0:  # a bit that says nothing of the content, such as one of a time
            assert_same_tables(version_folder(place / "outputs"), folder)
        else:
            assert ended.code == 1 and ended.err.startswith("retriever: ") and ended.err.count("\n") == 1, ended
            assert not list(place.glob("outputs/*/version.json")) and not list(place.rglob(".tmp/*"))
