"""Completion, asked as bash asks: through the script that `retriever completion bash` prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")

ASK = """
eval "$(retriever completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<< "$1"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete retriever
printf '%s\\n' "${COMPREPLY[@]}"
"""


def asked(line: str) -> list[str]:
    """What bash would show; it shows words that hold "=" from there on."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", line], capture_output=True, text=True, env=environment, check=True
    )
    assert not done.stderr
    return [word.strip() for word in done.stdout.splitlines()]


def test_commands_keys_and_choices(stand) -> None:
    assert asked("retriever comp") == ["compare", "completion"]
    assert asked("retriever run fi") == ["finder.", "finder="]
    assert {"bls", "peak"} <= set(asked("retriever run finder="))
    assert asked("retriever run finder.sn") == ["finder.snr_threshold="]
    assert "finder.transits=" in asked("retriever run finder=bls finder.")  # keys of the choices on the line
    assert asked("retriever run 'observatory=[demo,f")[-1].endswith("folder")
    assert asked("retriever run -m detrend=none,bi") == ["none,biweight"]
    assert asked("retriever run +stages=com") == ["combine"]
    assert asked("retriever options de") == ["detrend", "detrend="]
    assert asked("retriever run --mul") == ["--multirun"]


def test_what_lies_in_the_folder(stand) -> None:
    (stand / "outputs" / "DEMO_0123").mkdir(parents=True)
    (stand / "outputs" / "DEMO_0123" / "version.json").write_text("{}")
    (stand / "lightcurves").mkdir()
    mine = stand / "conf" / "finder" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("_target_: mine.Finder\ndepth: 1\n")
    assert asked("retriever compare D") == ["DEMO_0123"]
    assert asked("retriever run --from D") == ["DEMO_0123"]
    assert asked("retriever run paths.lightcurves=light")[0].startswith("lightcurves")
    assert asked("retriever run --config-dir conf finder=m") == ["matched_filter", "mine"]
    assert asked("retriever run --config-dir conf finder=mine finder.d") == ["finder.depth="]


def test_lines_that_cannot_be_read_complete_nothing_and_say_nothing(stand) -> None:
    assert asked("retriever run nothing.like.this=") == [""]
    assert asked("retriever run finder=[[ fin") in ([""], ["finder.", "finder="])
    assert asked("retriever nothing x") == [""]
    assert asked("retriever run --config-dir absent fin") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_name_the_program(retriever, shell: str) -> None:
    script = retriever("completion", shell).out
    assert "retriever" in script and "_ARGCOMPLETE" in script
