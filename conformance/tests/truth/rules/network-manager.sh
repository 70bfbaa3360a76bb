# NetworkManager configures the uplink, anew (`nmcli connection up` removes addresses and routes first), and then it is started
# again. Pods' links are not its own: its udev rule says so of every veth, and the setting here.
set -e
cd "$(mktemp -d)"
mkdir connections state none
mount --bind /sys /sys
mount -o remount,bind,ro /sys
allow=
for type in method_call method_return signal error; do
    allow="$allow<allow send_type='$type'/><allow receive_type='$type'/>"
done
cat >bus.conf <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=$PWD/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow user="*"/><allow send_destination="*"/>$allow</policy></busconfig>
END
cat >nm.conf <<END
[main]
plugins=keyfile
auth-polkit=false
dns=none
[keyfile]
path=$PWD/connections
unmanaged-devices=interface-name:podl*;interface-name:podprobe0
END
cat >connections/eth0.nmconnection <<END
[connection]
id=eth0
type=ethernet
interface-name=eth0
uuid=11111111-2222-3333-4444-555555555555
[ipv4]
method=manual
address1=172.31.0.1/16
[ipv6]
method=manual
address1=fd31::1/64
END
chmod 600 connections/*
export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$PWD/bus"
"$NETWORK_MANAGER/bin/dbus-daemon" --config-file="$PWD/bus.conf" --nofork --nopidfile >bus.log 2>&1 &
timeout 20 sh -c 'until [ -S bus ]; do sleep 0.1; done'
for start in 1 2; do
    "$NETWORK_MANAGER/sbin/NetworkManager" --no-daemon --config="$PWD/nm.conf" --config-dir="$PWD/none" \
        --system-config-dir="$PWD/none" --intern-config="$PWD/intern.conf" --state-file="$PWD/state/state" --pid-file="$PWD/pid" \
        >log 2>&1 &
    timeout 30 sh -c "until '$NETWORK_MANAGER/bin/nmcli' device 2>&1 | grep -q 'eth0 *ethernet *connected'; do sleep 0.2; done"
    [ $start = 2 ] || {
        "$NETWORK_MANAGER/bin/nmcli" --wait 20 connection up eth0
        kill $! && wait $!
    }
done
