#!/bin/sh
# Install what tests/debian-packages.txt names and is missing, without starting any of it. Does nothing without root and apt.
set -eu
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
missing=
for package in $(sed 's/#.*//' "$(dirname "$0")/debian-packages.txt"); do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing for the tests:$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then  # a package's own service must not start on this machine
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $missing >/dev/null
