"""The built wheel runs the demo from any folder, with its config tree in it."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_wheel_runs_the_demo_from_another_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "retriever/conf/config.yaml" in names
    assert "retriever/sample_catalogs/white_dwarfs_sample.csv" in names
    assert not [name for name in names if "test" in name]
    site = tmp_path / "site"
    # beside the packages of this environment, so that nothing is downloaded; the checkout itself is not on the path
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]; sys.path.insert(0, {str(site)!r})\n"
        "import retriever; print(retriever.__file__)\n"
        "from retriever.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    stand = tmp_path / "elsewhere"
    stand.mkdir()
    for words in (
        ["init", "my_search"],
        ["run", "catalog.size=20"],
        ["run", "catalog.size=20", "executor=processes"],
        ["run", "catalog=white_dwarfs_sample"],
        ["plan", "catalog.size=20", "finder.snr_threshold=7"],
        ["compare", "DEMO_*"],
        ["show", "random_000003"],
        ["verify"],
        ["gc", "--dry-run"],
        ["rebuild"],
        ["status"],
    ):
        env = {"PATH": "", "PYTHONPATH": f"{site}:{sysconfig.get_path('purelib')}"}
        told = subprocess.run([sys.executable, "-c", code, *words], cwd=stand, env=env, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr
        assert str(site) in told.stdout
    assert len(list(stand.glob("outputs/DEMO_*"))) == 2
    made = {str(path.relative_to(stand / "my_search")) for path in stand.glob("my_search/**/*") if path.is_file()}
    assert made == {
        ".gitignore", "README.md", "bursts.py", "catalogs/targets.csv", "conf/catalog/mine.yaml",
        "conf/finder/mine.yaml", "conf/project.yaml",
    }  # fmt: skip
