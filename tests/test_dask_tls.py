"""A Dask cluster of real processes that talk TLS with certificates on both sides (docs/security.md)."""

import os
import shutil
import subprocess
import sys

import dask
import distributed
import pytest

from aqreanalysis.errors import UserError
from aqreanalysis.workers import run_jobs

assert distributed.config  # its defaults are loaded before a test sets some of them
ROLES = ("client", "scheduler", "worker")


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out",
                    "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1"], cwd=folder, check=True, capture_output=True)
    names = {"ca-file": "cert.pem"} | {f"{role}.{part}": f"{part}.pem" for role in ROLES for part in ("cert", "key")}
    return {f"distributed.comm.tls.{key}": str(folder / name) for key, name in names.items()}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """The configuration and address of a scheduler with one worker."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    settings = certificate(folder) | {"distributed.comm.require-encryption": True}
    environment = os.environ | {f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value)
                                for key, value in settings.items()}
    dask_command = [sys.executable, "-m", "dask"]
    running = [subprocess.Popen([*dask_command, "scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0",
                                 "--no-dashboard", "--scheduler-file", "at.json"], cwd=folder, env=environment,
                                stderr=subprocess.DEVNULL)]
    running.append(subprocess.Popen([*dask_command, "worker", "--scheduler-file", "at.json", "--nthreads", "1",
                                     "--no-nanny", "--no-dashboard"], cwd=folder, env=environment,
                                    stderr=subprocess.DEVNULL))
    try:
        yield settings, address_in(folder / "at.json")
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)


def address_in(path):
    import json
    import time

    for _ in range(200):
        if path.exists() and (text := path.read_text(encoding="utf-8")):
            return json.loads(text)["address"]
        time.sleep(0.1)
    raise AssertionError("the scheduler did not start")


def test_jobs_run_on_an_encrypted_cluster(encrypted):
    settings, address = encrypted
    assert address.startswith("tls://")
    with dask.config.set(settings):
        assert sorted(run_jobs(abs, [-3, 1, -2], scheduler=address)) == [1, 2, 3]


@pytest.mark.parametrize("change, scheme, words", [
    (None, "tls", "there is no certificate"), ({}, "tcp", "requires encryption"),
    ({"distributed.comm.tls.ca-file": "/nowhere/ca.pem"}, "tls", "can't be used")])
def test_a_client_without_what_it_needs_is_told_so_at_once(encrypted, change, scheme, words):
    settings, address = encrypted
    with dask.config.set({} if change is None else settings | change), pytest.raises(UserError, match=words):
        list(run_jobs(abs, [1], scheduler=address.replace("tls", scheme)))
