#!/usr/bin/env bash
# A virtual machine with Debian's own kernel that sees this machine's files (read-only, changes in memory) and runs one script:
#   tests/vm/machine.sh CACHE SCRIPT
# CACHE keeps the kernel, its modules and the initrd; nothing of them is installed here. Needs qemu-system-x86 and busybox-static
# (apt), and apt-get for the kernel. Without KVM it is emulated, about twenty times slower than this machine.
set -euo pipefail
cache=$(mkdir -p "$1" && cd "$1" && pwd)
script=$(readlink -f "$2")
for program in qemu-system-x86_64 busybox; do
  command -v "$program" >/dev/null || { echo "missing: $program (apt-get install qemu-system-x86 busybox-static)"; exit 77; }
done

if [ ! -e "$cache/release" ]; then
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  [ -n "$package" ] || { echo "missing: apt knows no linux-image-amd64"; exit 77; }
  (cd "$cache" && apt-get -qq download "$package" && dpkg -x "$package"_*.deb root && rm "$package"_*.deb)
  echo "${package#linux-image-}" > "$cache/release"
fi
release=$(cat "$cache/release")
modules="$cache/root/lib/modules/$release"
[ -e "$modules/modules.dep" ] || busybox depmod -b "$cache/root" "$release"

rm -rf "$cache/initrd"
mkdir -p "$cache"/initrd/{bin,dev,proc,sys,host,tmpfs,new} "$cache/initrd/lib/modules/$release"
cp "$(command -v busybox)" "$cache/initrd/bin/busybox"
cp "$modules"/modules.{dep,alias,symbols} "$cache/initrd/lib/modules/$release/"
for module in virtio_pci 9pnet_virtio 9p overlay; do
  for file in $(grep -E "/$module\.ko(\.[a-z]+)?:" "$modules/modules.dep" | tr -d ':'); do
    file=${file#"/lib/modules/$release/"}
    mkdir -p "$cache/initrd/lib/modules/$release/$(dirname "$file")"
    cp "$modules/$file" "$cache/initrd/lib/modules/$release/$file"
  done
done
cat > "$cache/initrd/init" <<INIT
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
for module in virtio_pci 9pnet_virtio 9p overlay; do modprobe \$module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /host
mount -t tmpfs none /tmpfs; mkdir /tmpfs/up /tmpfs/work
mount -t overlay -o lowerdir=/host,upperdir=/tmpfs/up,workdir=/tmpfs/work none /new
mount --move /dev /new/dev; mount -t proc none /new/proc; mount -t sysfs none /new/sys
mkdir -p /new/dev/shm /new/dev/pts /new/lib/modules
mount --bind "/host$cache/root/lib/modules" /new/lib/modules
mount -t cgroup2 none /new/sys/fs/cgroup
cp /bin/busybox /new/usr/sbin/modprobe
for module in crc32c_generic libcrc32c veth bridge nf_tables nft_meta_bridge nft_fwd_netdev sch_htb sch_netem nft_reject_bridge loop ext4 ipv6; do
  chroot /new /usr/sbin/modprobe \$module || echo "no module \$module"
done
ifconfig lo up
chroot /new /bin/bash "$script"
echo "the script ended with \$?"
poweroff -f
INIT
chmod +x "$cache/initrd/init"
(cd "$cache/initrd" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) > "$cache/initrd.gz"

acceleration=tcg,thread=multi
exec qemu-system-x86_64 -accel "$acceleration" -cpu max -smp 2 -m 1536 -nographic -no-reboot -nic none \
  -kernel "$cache/root/boot/vmlinuz-$release" -initrd "$cache/initrd.gz" -append "console=ttyS0 quiet panic=-1" \
  -fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=host,mount_tag=host </dev/null
