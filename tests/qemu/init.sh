#!/bin/busybox sh
# The first process of a machine: mounts what programs expect, builds the world
# of tests/support/world.sh where it was asked for, and runs what comes over a line
# of virtio (an emulated UART loses a character now and then). Commands and answers end with a line of their
# own: `%%end`, and the exit code behind it in an answer.
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp /run /etc
/bin/busybox --install -s /bin
/bin/busybox ln -s /bin/busybox /sbin/modprobe
export PATH=/bin:/sbin:/foreign/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
modprobe -q virtio_pci
modprobe -q virtio_console
# The device is there before it can be opened; its name comes after both.
until [ -e /sys/class/virtio-ports/vport0p1/name ]; do usleep 10000; done
exec 3<>/dev/vport0p1

# This shell prefers its own `ip`, which knows no namespaces.
ip() { /foreign/bin/ip "$@"; }

case " $(cat /proc/cmdline) " in
  *" world "*) (. /world.sh) || { echo "no world" >&3; poweroff -f; } ;;
  *) mount -t tmpfs run /run; ip link set lo up ;;
esac
echo ready >&3

while :; do
  : >/tmp/command
  while IFS= read -r line <&3 && [ "$line" != %%end ]; do
    printf '%s\n' "$line" >>/tmp/command
  done
  # What a command leaves behind must not hold the line open.
  timeout -s KILL "$(cat /tmp/patience 2>/dev/null || echo 60)" sh /tmp/command >/tmp/answer 2>&1 </dev/null 3>&-
  code=$?
  cat /tmp/answer >&3
  printf '\n%%%%end %s\n' "$code" >&3
done
