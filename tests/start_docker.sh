#!/bin/sh
# Start a Docker engine of the tests' own: `sh tests/start_docker.sh DIRECTORY`. Its socket is DIRECTORY/docker.sock, its number
# DIRECTORY/docker.pid; it makes no networks and no iptables rules. End it with `sh tests/end_docker.sh DIRECTORY`. Prints the DOCKER_HOST
# to use. Needs root and dockerd (Debian: docker.io).
set -eu
directory=$1
command -v dockerd >/dev/null || { echo "dockerd is missing: apt-get install docker.io" >&2; exit 1; }
mkdir -p "$directory"
setsid dockerd --host "unix://$directory/docker.sock" --data-root "$directory/data" --exec-root "$directory/exec" \
  --pidfile "$directory/docker.pid" --iptables=false --ip6tables=false --bridge=none --ip-forward=false --ip-masq=false \
  --exec-opt native.cgroupdriver=cgroupfs >"$directory/dockerd.log" 2>&1 </dev/null &
started=$!
for _ in $(seq 150); do
  if grep -q "API listen on" "$directory/dockerd.log"; then
    echo "unix://$directory/docker.sock"
    exit 0
  fi
  kill -0 "$started" 2>/dev/null || break
  sleep 0.2
done
tail -20 "$directory/dockerd.log" >&2
exit 1
