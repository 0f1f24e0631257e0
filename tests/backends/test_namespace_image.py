"""Debian packages in a cached image: nodes have them, the host has not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.image import image_key, layer
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.lab import ImageSpec, LabPlan
from chaoskit.model.steps import Exec

from . import plans

SMALL_PACKAGES = ("tini", "pwgen", "sshpass", "dos2unix")
"""Each has a program of its own name."""


def with_packages(*packages: str) -> LabPlan:
    return plans.bare(2).model_copy(update={"image": ImageSpec(apt=packages)})


def test_a_key_depends_on_packages_and_host_but_not_on_order() -> None:
    assert image_key(["a", "b"], b"host") == image_key(["b", "a", "a"], b"host")
    assert len({image_key(["a"], b"host"), image_key(["b"], b"host"), image_key(["a"], b"other")}) == 3


def test_layers_of_nested_directories_have_names_of_their_own() -> None:
    paths = ["/usr", "/usr/share", "/usr%2fshare"]
    assert len({layer("/i", path) for path in paths}) == len(paths)
    assert all("/" not in layer("/i", path)[3:] for path in paths)


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("apt-get") is None, reason="needs root and apt-get")
def test_nodes_have_packages_that_the_host_has_not(backend: NamespaceBackend, tmp_path: Path) -> None:
    if subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Debian mirror can be reached")
    package = next((name for name in SMALL_PACKAGES if shutil.which(name) is None), None)
    assert package is not None, f"this test needs a package that the host does not have, one of {SMALL_PACKAGES}"
    status = Path("/var/lib/dpkg/status").read_bytes()
    told: list[str] = []
    for round_number in range(2):
        lab_id = f"test-image-{round_number}"
        lab = backend.up(with_packages(package), lab_id, "run", tmp_path / "logs", detached=False, progress=told.append)
        try:
            assert package in lab.perform(Exec(node="n1", argv=("sh", "-c", f"command -v {package}"))).output
            assert (
                lab.perform(Exec(node="n0", argv=("dpkg-query", "-W", "-f", "${Status}", package))).output
                == "install ok installed"
            )
        finally:
            lab.down()
    assert sum("into an image" in line for line in told) == 1
    assert shutil.which(package) is None
    assert Path("/var/lib/dpkg/status").read_bytes() == status
    assert [p.suffix for p in (tmp_path / "state" / "images").glob("*.ext4")] == [".ext4"]
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(tmp_path) in line]


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("apt-get") is None, reason="needs root and apt-get")
@pytest.mark.slow
def test_a_package_that_is_not_there_is_an_error_with_apts_words(backend: NamespaceBackend, tmp_path: Path) -> None:
    with pytest.raises(LabUnavailable, match="installing no-such-package-anywhere failed") as caught:
        backend.up(
            with_packages("no-such-package-anywhere"),
            "test-image-bad",
            "run",
            tmp_path / "logs",
            detached=False,
            progress=lambda _: None,
        )
    assert "Unable to locate package" in caught.value.evidence
    assert backend.leftovers() == []
    assert list((tmp_path / "state" / "images").glob("*.partial")) == []
