#!/bin/sh
# Start a Docker engine for the tests where none answers: `sh tests/start_docker.sh DIRECTORY`. Its socket is
# DIRECTORY/docker.sock, its number DIRECTORY/docker.pid; it makes no networks and no iptables rules. End it with
# `kill $(cat DIRECTORY/docker.pid)`. Prints the DOCKER_HOST to use. Needs root and dockerd (Debian: docker.io).
set -eu
directory=$1
if [ -S /var/run/docker.sock ] && docker version >/dev/null 2>&1; then
  echo "unix:///var/run/docker.sock"
  exit 0
fi
command -v dockerd >/dev/null || { echo "dockerd is missing: apt-get install docker.io" >&2; exit 1; }
mkdir -p "$directory"
setsid dockerd --host "unix://$directory/docker.sock" --data-root "$directory/data" --exec-root "$directory/exec" \
  --pidfile "$directory/docker.pid" --iptables=false --ip6tables=false --bridge=none --ip-forward=false --ip-masq=false \
  --exec-opt native.cgroupdriver=cgroupfs >"$directory/dockerd.log" 2>&1 </dev/null &
for _ in $(seq 100); do
  if [ -S "$directory/docker.sock" ] && [ -f "$directory/docker.pid" ]; then
    echo "unix://$directory/docker.sock"
    exit 0
  fi
  sleep 0.2
done
tail -20 "$directory/dockerd.log" >&2
exit 1
