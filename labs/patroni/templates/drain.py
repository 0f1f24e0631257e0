#!{{ "/opt/lab/bin" if backend == "docker" else bin }}/python -I
"""What an operator does before maintenance of {{ node }}, by Patroni's own interface: on | off | shown."""

import json
import re
import sys
import time
import urllib.request
from pathlib import Path

CONFIGURATION = Path("/etc/patroni.yml")
WITHIN_S = 30.0


def asked(path, **body):
    data = json.dumps(body).encode() if body else b"" if path == "reload" else None
    with urllib.request.urlopen("http://127.0.0.1:8008/" + path, data=data, timeout=WITHIN_S) as answer:
        return answer.read()


def seen():
    """Whether it may not become the leader, and whether it is."""
    state = json.loads(asked("patroni"))
    return bool(state.get("tags", {}).get("nofailover")), state["role"] == "primary"


def awaited(test, what):
    deadline = time.monotonic() + WITHIN_S
    while not test():
        if time.monotonic() > deadline:
            sys.exit(what + " within 30 s")
        time.sleep(0.1)


drained = sys.argv[1] == "on"
if sys.argv[1] == "shown":
    sys.exit(0 if seen() == (True, False) else 1)
text = CONFIGURATION.read_text()
CONFIGURATION.write_text(re.sub("nofailover: .*", "nofailover: " + str(drained).lower(), text))
asked("reload")
awaited(lambda: seen()[0] == drained, "Patroni did not take the tag over")
if drained and seen()[1]:
    asked("switchover", leader="{{ node }}")
    awaited(lambda: not seen()[1], "it still leads")
