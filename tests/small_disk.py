"""Python on a file system that really gets full, in its own mount namespace, so that nothing is left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from closure import ROOT

MOUNT = 'mount -t tmpfs -o size="$1"k none "$0" && cd "$0" && shift && exec "$@"'


def run(directory: Path, code: str, kibibytes: int = 64) -> str:
    """Run code in a directory with room for `kibibytes`, and return its output; skip the test if nothing may be mounted."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(directory), str(kibibytes)]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this test fills a file system of its own, and may not mount one here")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([*command, sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert not done.returncode, done.stderr
    return done.stdout
