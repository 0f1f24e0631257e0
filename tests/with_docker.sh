#!/bin/sh
# Run a command where a Docker engine answers: `sh tests/with_docker.sh VENV/bin COMMAND...`. Where none does, and this is root with
# dockerd installed, one is started for as long as the command runs. The base image is put into it. Where no engine is to be had the
# command runs all the same: its tests that need one are skipped, and say why.
set -eu
bin=$1
shift
answers() { "$bin/python" -c 'from chaoskit.backends.docker import engine; engine.opened().close()' 2>/dev/null; }
own=
end() {
  code=$?
  trap - EXIT INT TERM
  [ -z "$own" ] || sh "$(dirname "$0")/end_docker.sh" "$own" || code=1
  exit "$code"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! answers && [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null; then
  own=$(mktemp -d "${TMPDIR:-/var/tmp}/chaoskit-docker.XXXXXX")
  if DOCKER_HOST=$(sh "$(dirname "$0")/start_docker.sh" "$own"); then
    export DOCKER_HOST
    echo "a Docker engine for the tests: $DOCKER_HOST"
  else
    unset DOCKER_HOST
    echo "no Docker engine can be started here; tests that need one are skipped" >&2
  fi
fi
if answers; then
  "$bin/chaoskit" image base || echo "without the base image tests of containers fail or are skipped" >&2
fi
"$@"
