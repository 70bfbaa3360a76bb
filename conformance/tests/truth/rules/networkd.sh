# systemd-networkd configures the uplink. It starts twice: at its start it removes what it does not know
# (ManageForeignRoutes, ManageForeignRoutingPolicyRules), and it waits for udev where /sys can be written.
set -e
mount --bind /sys /sys
mount -o remount,bind,ro /sys
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
cat >/run/systemd/network/10-uplink.network <<END
[Match]
Name=eth0
[Network]
Address=172.31.0.1/16
Address=fd31::1/64
IPv6AcceptRA=no
END
[ -z "$EVERY" ] || printf '[Match]\nName=*\n[Network]\nDHCP=yes\n' >/run/systemd/network/90-every.network
state=/run/systemd/netif/links/$(cat /sys/class/net/eth0/ifindex)
for start in 1 2; do
    rm -f "$state"
    /lib/systemd/systemd-networkd >/run/networkd.log 2>&1 &
    timeout 20 sh -c "until grep -qs ADMIN_STATE=configured $state; do sleep 0.1; done"
    [ $start = 2 ] || { kill $! && wait $!; }
done
