# The world of the tests, built inside fresh user, network, mount and PID
# namespaces by their first process:
#
#   client 192.168.5.2, fd05::2          backend1..3 10.9.0.11..13, fd09::11..13
#     |                                     |  |  |
#   c0 192.168.5.1 --------- node --------- br0 10.9.0.1, fd09::1
#
# Used by tests/support/world.rs and scripts/quickstart.
set -eu
mount -t tmpfs world /run
mkdir /run/netns
if ! test -w /proc/sys/net/ipv4/ip_forward; then
  # A container's read-only /proc/sys hides the sysctls of our own namespace.
  mount -t proc proc /proc
fi

ip link set lo up
ip link add br0 type bridge
ip address add 10.9.0.1/24 dev br0
ip address add fd09::1/64 dev br0 nodad
ip link set br0 up

join() { # NAME PEER ADDRESS ADDRESS6 GATEWAY GATEWAY6
  ip netns add "$1"
  ip link add "$2" type veth peer name eth0 netns "$1"
  ip link set "$2" up
  ip -n "$1" link set lo up
  ip -n "$1" address add "$3" dev eth0
  ip -n "$1" address add "$4" dev eth0 nodad
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "$5"
  ip -n "$1" -6 route add default via "$6"
}

join client c0 192.168.5.2/24 fd05::2/64 192.168.5.1 fd05::1
ip address add 192.168.5.1/24 dev c0
ip address add fd05::1/64 dev c0 nodad
for n in 1 2 3; do
  join "backend$n" "b$n" "10.9.0.1$n/24" "fd09::1$n/64" 10.9.0.1 fd09::1
  ip link set "b$n" master br0
done
