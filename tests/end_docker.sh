#!/bin/sh
# End the engine that tests/start_docker.sh started in DIRECTORY, and remove what it kept: `sh tests/end_docker.sh DIRECTORY`.
set -eu
directory=$1
if [ -f "$directory/docker.pid" ]; then
  engine=$(cat "$directory/docker.pid")
  kill "$engine" 2>/dev/null || true
  for _ in $(seq 150); do  # it ends its containers first, and gives them ten seconds
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.2
  done
  if kill -0 "$engine" 2>/dev/null; then
    echo "the engine $engine does not end; its files stay in $directory" >&2
    exit 1
  fi
fi
# mounts that it leaves behind: the network namespace of containers without a network, and layers of containers that did not end
while read -r _ _ _ _ point _; do
  case $point in "$directory"/*) umount -l "$point" 2>/dev/null || true ;; esac
done </proc/self/mountinfo
rm -rf "$directory"
