import os
from pathlib import Path

import numpy as np
import pytest

from retriever.errors import ConfigError
from retriever.observatories.folder import FolderObservatory
from retriever.source import Source, SourceTable


def sources(*names: str) -> SourceTable:
    return SourceTable.from_columns(name=list(names), ra=np.zeros(len(names)), dec=np.zeros(len(names)))


def fetch(observatory: FolderObservatory, name: str, aliases: tuple[str, ...] = ()) -> object:
    (answer,) = observatory.fetch([Source(name=name, ra=0.0, dec=0.0, aliases=aliases)])
    return answer


def write(folder: Path, name: str, rows: int = 2) -> None:
    (folder / name).write_text("mjd,mag\n" + "".join(f"{k},{k}\n" for k in range(rows)))


@pytest.mark.parametrize(
    ("pattern", "file", "name"),
    [
        ("{name}.csv", "X 1.csv", "X 1"),
        ("{name}.csv", "X_1.csv", "X 1"),
        ("lc-{name}-v2.csv", "lc-a.b-v2.csv", "a.b"),
        ("*{name}.csv", "irsa_103.csv", "103"),
        ("{name}_*.csv", "103_s01.csv", "103"),
        ("*{name}*", "tess-103-s1.csv", "103"),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, file: str, name: str) -> None:
    write(tmp_path, file)
    assert fetch(FolderObservatory(pattern=pattern, folder=str(tmp_path)), name).n_rows == 2


def test_parts_of_numbers_are_no_names(tmp_path: Path) -> None:
    write(tmp_path, "irsa_103.csv")
    observatory = FolderObservatory(pattern="*{name}.csv", folder=str(tmp_path))
    assert fetch(observatory, "03").is_empty


def test_several_files_and_aliases(tmp_path: Path) -> None:
    write(tmp_path, "A_1.csv", 2)
    write(tmp_path, "B_2.csv", 3)
    observatory = FolderObservatory(pattern="{name}_*.csv", folder=str(tmp_path))
    assert fetch(observatory, "A", ("B",)).n_rows == 5


def test_names_never_become_paths(tmp_path: Path) -> None:
    write(tmp_path, "secret.csv")
    inside = tmp_path / "inside"
    inside.mkdir()
    write(inside, "A.csv")
    observatory = FolderObservatory(folder=str(inside))
    assert fetch(observatory, "../secret").is_empty
    assert fetch(observatory, "*").is_empty


def test_a_broken_file_fails_its_source_alone(tmp_path: Path) -> None:
    write(tmp_path, "A.csv")
    (tmp_path / "B.csv").write_text("a,b\n1\n")
    observatory = FolderObservatory(folder=str(tmp_path))
    answers = list(observatory.fetch([Source(name=name, ra=0.0, dec=0.0) for name in "ABC"]))
    assert [type(answer).__name__ for answer in answers] == [
        "RawPhotometry",
        "FileFormatError",
        "RawPhotometry",
    ]
    assert answers[2].is_empty


def test_states_follow_the_files(tmp_path: Path) -> None:
    write(tmp_path, "A.csv")
    write(tmp_path, "B.csv")
    before = FolderObservatory(folder=str(tmp_path)).states(sources("A", "B", "C"))
    os.utime(tmp_path / "B.csv", ns=(1, 1))
    after = FolderObservatory(folder=str(tmp_path)).states(sources("A", "B", "C"))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    with pytest.raises(ConfigError, match="no file like"):
        FolderObservatory(folder=str(tmp_path)).states(sources("nobody"))


def test_bad_folders_and_patterns(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        FolderObservatory(folder=str(tmp_path / "none")).states(sources("A"))
    with pytest.raises(ConfigError, match="not given"):
        FolderObservatory().states(sources("A"))
    with pytest.raises(ConfigError, match="pattern"):
        FolderObservatory(pattern="all.csv")


def test_real_answers_are_kept_whole(real_data: Path) -> None:
    observatory = FolderObservatory(pattern="*{name}.csv", folder=str(real_data / "ztf"))
    table = fetch(observatory, "3750072904055666176").tables[0]
    lines = (real_data / "ztf" / "irsa_3750072904055666176.csv").read_text().splitlines()
    assert list(table.columns) == lines[0].split(",")
    assert table.n_rows == len(lines) - 1
    for number in (1, 200, len(lines) - 1):
        for name, text in zip(table.columns, lines[number].split(","), strict=True):
            value = table.columns[name][number - 1]
            assert str(value) == text if value.dtype.kind in "UiS" else value == float(text)
    assert table.columns["ccdid"].dtype.kind == "U"
