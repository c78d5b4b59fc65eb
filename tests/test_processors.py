"""Digests are the same on every processor: numpy without its fast instructions gives the same ones."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

DIGESTS = """
import json
import warnings
import numpy as np
from retriever.catalogs.random import RandomCatalog
from retriever.catalogs.remote import TAPCatalog
from retriever.identity import digest_bytes
from retriever.observatories.demo import DemoObservatory
from retriever.observatories.requests import request_digests
from retriever.observatories.tap import TAPObservatory
from retriever.observatories.ztf import ZTFObservatory
from retriever.source import SourceTable

sky = RandomCatalog(size=20_000).load()
rng = np.random.default_rng(3)
moving = SourceTable.from_columns(
    name=sky.name, ra=rng.uniform(0, 360, len(sky)), dec=np.degrees(np.arcsin(rng.uniform(-1, 1, len(sky)))), mag=sky.mag,
    pmra=rng.normal(0, 100, len(sky)), pmdec=rng.normal(0, 100, len(sky)), epoch=np.full(len(sky), 2016.0),
)
tap = TAPObservatory(query="{ra} {dec}", url="http://x", epoch=2010.0)
found = {"random": sky.digest, "moving": moving.digest}
for observatory in (ZTFObservatory(), DemoObservatory(), tap):
    digests = [request_digests(observatory, table).tobytes() for table in (sky, moving)]
    found[type(observatory).__name__] = digest_bytes(*digests)
answers = [answer.digest() for answer in DemoObservatory(flares=0.5).fetch([moving.source(row) for row in range(300)])]
found["answers"] = digest_bytes(repr(answers).encode())
print(json.dumps(found))
from retriever.pipeline.version import environment
print(json.dumps(environment()["simd"]))
"""


def dispatched() -> list[str]:
    """Instruction sets that numpy chooses at run time on this machine."""
    told = np.show_config(mode="dicts")
    return list(told["SIMD Extensions"].get("found", []))


def run(**environment: str) -> tuple[dict[str, str], str]:
    command = [sys.executable, "-W", "ignore", "-c", DIGESTS]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    digests, simd = map(json.loads, ended.stdout.splitlines())
    return digests, simd


@pytest.mark.skipif(not dispatched(), reason="numpy has no instructions to leave out on this machine")
def test_digests_are_those_of_a_processor_without_fast_instructions() -> None:
    usual, simd = run()
    plain, fewer = run(NPY_DISABLE_CPU_FEATURES=" ".join(dispatched()))
    assert usual == plain
    assert simd != fewer and set(fewer.split()) < set(simd.split())
