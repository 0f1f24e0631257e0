"""Putting back what a lab of running containers has broken, from outside, where its keeper is dead."""

from __future__ import annotations

import os
import subprocess
import sys

from chaoskit.backends.docker import engine
from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.identity import own_environment
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.backends.running.owed import DOWN, ENDED, PAUSED, Owed, clear_network, left_of
from chaoskit.model.errors import LabUnavailable

_WITHIN_S = 20.0


def owed_in_words(lab_id: str, family: str) -> list[str]:
    """What is broken yet, for people."""
    owed = Owed(LabFiles(lab_id, family).directory).all()
    words = {PAUSED: "paused container", ENDED: "container that was ended", DOWN: "link down"}
    return [f"{words[what]} {name}" for what, names in owed.items() for name in names]


def restored(files: LabFiles, mark: str) -> list[str]:
    """Unpause and start containers, remove rules, bring links up; what could not be, with the reason."""
    record, owed = files.read(), Owed(files.directory).all()
    url = record.get("engine")
    if url is None:
        return []  # it died before it had touched anything
    ids = {node["name"]: (node.get("running") or {}).get("id") for node in record.get("plan", {}).get("nodes", ())}
    trouble: list[str] = []
    try:
        found = engine.opened(url)
        try:
            for node in dict.fromkeys([*owed.get(PAUSED, ()), *owed.get(ENDED, ())]):
                trouble += _runs_again(found, node, str(ids.get(node)))
        finally:
            found.close()
        command = [sys.executable, "-m", "chaoskit.backends.running.restoring", str(engine.peer(url)), mark, *owed.get(DOWN, ())]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_WITHIN_S, env=own_environment(), cwd="/"
        )
        trouble += [f"rules and links of {files.lab_id}: {done.stderr[-500:].strip()}"] if done.returncode else []
    except (LabUnavailable, subprocess.TimeoutExpired) as error:
        trouble.append(f"what {files.lab_id} has broken may be so yet: {error}")
    return trouble


def _runs_again(found: engine.Engine, node: str, container: str) -> list[str]:
    import docker.errors

    try:
        with engine.told(f"container {node}"):
            try:
                state = found.client.api.inspect_container(container)["State"]
            except docker.errors.NotFound:
                return []  # somebody has removed it: nothing is left to be put back
            if state["Paused"]:
                found.client.api.unpause(container)
            elif not state["Running"]:
                found.client.api.start(container)
    except LabUnavailable as error:
        return [str(error)]
    return []


def _main(engine_pid: str, mark: str, down: list[str]) -> int:
    fd = os.open(f"/proc/{engine_pid}/ns/net", os.O_RDONLY)
    syscalls.setns(fd, syscalls.CLONE_NEWNET)
    try:
        clear_network(mark, down)
    except (OSError, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    left = left_of(mark)
    print("\n".join(left), file=sys.stderr)
    return bool(left)


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1], sys.argv[2], sys.argv[3:]))
