package harness

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"
)

// lan is a node with a neighbour on its LAN that has routes to the pods.
type lan struct {
	*world
	neighbour ns.NetNS
}

const (
	lanNode, lanNode6     = "172.30.0.1", "fd30::1"
	lanClient, lanClient6 = "172.30.0.2", "fd30::2"
	podAddress            = "10.1.2.2"
	podAddress6           = "2001:db8:1::2"
)

func newLan(t *testing.T) lan {
	w := newWorld(t)
	l := lan{w, w.netns()}
	w.wire(l.neighbour, []string{lanNode + "/24", lanNode6 + "/64"}, []string{lanClient + "/24", lanClient6 + "/64"})
	w.on(l.neighbour, func() {
		for to, via := range map[string]string{dualStack[0]: lanNode, dualStack[1]: lanNode6} {
			_, destination, err := net.ParseCIDR(to)
			check(t, err)
			check(t, netlink.RouteAdd(&netlink.Route{Dst: destination, Gw: net.ParseIP(via)}))
		}
	})
	return l
}

// sees requires that the server at address saw this client.
func (l lan) sees(from ns.NetNS, network, address, client string) {
	l.t.Helper()
	seen, err := l.ask(from, network, address)
	if err != nil {
		l.t.Fatalf("%s %s: %v", network, address, err)
	}
	if client != "" {
		equal(l.t, network+" "+address+" saw", seen, client)
	}
}

// serves requires that the server at address sees the pod, which sends from its own address: sbr routes no other
// traffic.
func (l lan) serves(network, address, own string) {
	l.t.Helper()
	seen, err := l.askFrom(l.pod, network, own, address)
	if err != nil {
		l.t.Fatalf("%s %s: %v", network, address, err)
	}
	equal(l.t, network+" "+address+" saw", seen, own)
}

// flat requires that LAN, node and pod reach each other with their own addresses; the pod gets the first request.
func (l lan) flat(networks ...string) {
	l.t.Helper()
	for _, network := range networks {
		l.sees(l.node, network, podAddress+":7777", "")
		l.sees(l.node, network, "["+podAddress6+"]:7777", "")
		l.sees(l.neighbour, network, podAddress+":7777", lanClient)
		l.sees(l.neighbour, network, "["+podAddress6+"]:7777", lanClient6)
		l.serves(network, lanClient+":7777", podAddress)
		l.serves(network, "["+lanClient6+"]:7777", podAddress6)
	}
}

// The reference's plugins after podlan: ADD, CHECK, traffic, DEL; the newest and Debian's.
func TestChain(t *testing.T) {
	for name, folder := range map[string]string{"newest": reference, "Debian": debian} {
		versions := []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}
		if name == "Debian" {
			versions = versions[:3]
		}
		for _, v := range versions {
			at := "/" + name + "/" + v
			t.Run("H-109 S-177 S-183 bandwidth"+at, func(t *testing.T) { chained(t, v, folder, bandwidth(), hasShaper, all) })
			t.Run("H-111 S-061 S-064 E-66 tuning of sysctls and MTU"+at, func(t *testing.T) { chained(t, v, folder, tuned(""), isTuned, all) })
			t.Run("H-111 S-061 S-064 E-66 tuning of the MAC"+at, func(t *testing.T) { chained(t, v, folder, tuned(newMac), isTuned, all) })
			t.Run("H-112 S-064 S-136 sbr"+at, func(t *testing.T) { chained(t, v, folder, object{"type": "sbr"}, isSourceRouted, bySource) })
			if v != "0.3.1" { // it came with 0.4.0
				t.Run("H-113 firewall"+at, func(t *testing.T) {
					chained(t, v, folder, object{"type": "firewall", "backend": "iptables"}, nothing, all)
				})
			}
			for _, backend := range []string{"iptables", "nftables"} {
				if backend == "nftables" && name == "Debian" {
					continue // it came later
				}
				t.Run("H-110 S-181 D-K04 portmap by "+backend+at, func(t *testing.T) { portmap(t, v, folder, backend) })
			}
		}
	}
	t.Run("H-109 H-110 H-111 H-112 H-113 all of them in a row", allInARow)
}

const newMac = "c2:11:22:33:44:55"

func nothing(lan) {}

// What sbr leaves working: its pods route by source address, and a UDP server on all addresses answers without one.
var bySource = []string{"tcp"}

var all = []string{"tcp", "udp"}

func bandwidth() object {
	return object{"type": "bandwidth", "ingressRate": 80_000_000, "ingressBurst": 8_000_000, "egressRate": 80_000_000, "egressBurst": 8_000_000}
}

func hasShaper(l lan) {
	l.on(l.node, func() {
		links, err := netlink.LinkList()
		check(l.t, err)
		shaped := 0
		for _, link := range links {
			if disciplines, _ := netlink.QdiscList(link); len(disciplines) > 0 && disciplines[0].Type() == "tbf" {
				shaped++
			} else if len(disciplines) > 0 && disciplines[0].Type() == "htb" {
				shaped++
			}
		}
		equal(l.t, "shaped links", shaped, 2)
	})
}

func tuned(mac string) object {
	conf := object{"type": "tuning", "mtu": 1400, "dataDir": "/run/tuning", "sysctl": object{"net.core.somaxconn": "500"}}
	if mac != "" {
		conf["mac"] = mac
	}
	return conf
}

func isTuned(l lan) {
	l.on(l.pod, func() {
		equal(l.t, "mtu", link(l.t, "eth0").Attrs().MTU, 1400)
		value, err := os.ReadFile("/proc/sys/net/core/somaxconn")
		check(l.t, err)
		equal(l.t, "somaxconn", strings.TrimSpace(string(value)), "500")
	})
}

func isSourceRouted(l lan) {
	l.on(l.pod, func() {
		rules, err := netlink.RuleList(netlink.FAMILY_V4)
		check(l.t, err)
		equal(l.t, "rules", len(rules), 4)
	})
}

// chained is a pod's life in a chain of podlan and one more plugin.
func chained(t *testing.T, v, folder string, plugin object, holds func(lan), networks []string) {
	l := newLan(t)
	links, routes := l.links(l.node), l.routes(l.node)
	r := newRuntime(l.world, v, []string{ours, folder}, plain(l.world, dualStack...), plugin)
	l.echo(l.pod, 7777)
	l.echo(l.neighbour, 7777)
	r.add()
	holds(l)
	l.flat(networks...)
	if testutils.SpecVersionHasCHECK(v) {
		check(t, r.check())
		check(t, r.check())
	}
	check(t, r.del())
	// Debian's sbr requires the interface that the first DEL has removed.
	if plugin["type"] != "sbr" || folder != debian {
		check(t, r.del())
	}
	equal(t, "links", l.links(l.node), links)
	equal(t, "routes", l.routes(l.node), routes)
	equal(t, "leased", l.holds("pod1", "eth0"), false)
}

func portmap(t *testing.T, v, folder, backend string) {
	l := newLan(t)
	r := newRuntime(l.world, v, []string{ours, folder}, plain(l.world, dualStack...), portmapOf(folder, backend))
	// Debian's looks for the IPv4 rules in the IPv6 table, whatever the main plugin is.
	hostPorts(l, r, testutils.SpecVersionHasCHECK(v) && folder != debian)
}

func portmapOf(folder, backend string) object {
	plugin := object{"type": "portmap", "capabilities": object{"portMappings": true}}
	if backend == "nftables" || folder == reference {
		plugin["backend"] = backend
	}
	return plugin
}

// withPorts is podlan as the agent writes it: it has the host ports itself.
func withPorts(w *world) object {
	return with(plain(w, dualStack...), "capabilities", object{"portMappings": true})
}

var mappings = map[string]any{"portMappings": []object{
	{"hostPort": 8080, "containerPort": 7777, "protocol": "tcp"},
	{"hostPort": 8080, "containerPort": 7777, "protocol": "udp"},
	{"hostPort": 8081, "containerPort": 7777, "protocol": "tcp", "hostIP": lanNode},
	{"hostPort": 8082, "containerPort": 7777, "protocol": "tcp", "hostIP": lanNode6},
	{"hostPort": 8083, "containerPort": 7777, "protocol": "tcp", "hostIP": nodeV4},
}}

// hostPorts is the life of a pod with host ports, whoever maps them.
func hostPorts(l lan, r *runtime, checks bool) {
	t := l.t
	r.rt.CapabilityArgs = mappings
	l.echo(l.pod, 7777)
	r.add()
	for _, network := range []string{"tcp", "udp"} {
		l.sees(l.neighbour, network, lanNode+":8080", lanClient)
		l.sees(l.neighbour, network, "["+lanNode6+"]:8080", lanClient6)
		l.sees(l.node, network, lanNode+":8080", "")
		l.sees(l.node, network, "127.0.0.1:8080", "")
	}
	l.sees(l.neighbour, "tcp", lanNode+":8081", lanClient)
	l.sees(l.neighbour, "tcp", "["+lanNode6+"]:8082", lanClient6)
	if _, err := l.ask(l.neighbour, "tcp", lanNode+":8083"); err == nil {
		t.Fatal("a port of another host address was mapped")
	}
	// A pod reaches itself by the port of its node.
	l.sees(l.pod, "tcp", lanNode+":8080", "")
	if checks {
		check(t, r.check())
	}
	check(t, r.del())
	if _, err := l.ask(l.neighbour, "tcp", lanNode+":8080"); err == nil {
		t.Fatal("the port is still mapped after DEL")
	}
	check(t, r.del())
}

// The cases of portmap on podlan alone.
func TestHostPort(t *testing.T) {
	for _, v := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run("H-110 S-181 host ports without portmap/"+v, func(t *testing.T) {
			l := newLan(t)
			hostPorts(l, newRuntime(l.world, v, []string{ours}, withPorts(l.world)), testutils.SpecVersionHasCHECK(v))
		})
	}
	for name, folder := range map[string]string{"newest": reference, "Debian": debian} {
		for _, backend := range []string{"iptables", "nftables"} {
			if backend == "nftables" && name == "Debian" {
				continue // it came later
			}
			for _, verb := range []string{"DEL", "GC", "GC without a lease"} {
				if verb == "GC without a lease" && backend == "nftables" {
					continue // its rules do not name their network
				}
				t.Run("H-110 "+verb+" removes what portmap left by "+backend+"/"+name, func(t *testing.T) {
					portmapLeft(t, folder, backend, verb)
				})
			}
		}
	}
}

// portmapLeft adds two pods by a list with portmap, and takes one of them away by a list without.
func portmapLeft(t *testing.T, folder, backend, verb string) {
	l := newLan(t)
	before := newRuntime(l.world, "1.0.0", []string{ours, folder}, plain(l.world, dualStack...), portmapOf(folder, backend))
	before.rt.CapabilityArgs = mappings
	l.echo(l.pod, 7777)
	before.add()
	other := *before
	second := l.netns()
	other.rt.ContainerID, other.rt.NetNS = "pod2", second.Path()
	other.rt.CapabilityArgs = map[string]any{"portMappings": []object{{"hostPort": 9090, "containerPort": 7777, "protocol": "tcp"}}}
	l.echo(second, 7777)
	other.add()
	l.sees(l.neighbour, "tcp", lanNode+":8080", lanClient)

	after := newRuntime(l.world, "1.1.0", []string{ours}, withPorts(l.world))
	after.rt.CapabilityArgs = mappings
	if verb == "DEL" {
		check(t, after.del())
		check(t, after.del())
	} else {
		if verb != "GC" {
			l.run(call{program: "podlan-ipam", verb: "DEL", conf: object{
				"cniVersion": "1.0.0", "name": "podnet", "type": "podlan", "ipam": l.ipam(dualStack...),
			}})
		}
		check(t, after.gc([]types.GCAttachment{{ContainerID: "pod2", IfName: "eth0"}}))
	}
	rules := l.rules()
	if strings.Contains(rules, "8080") || strings.Contains(rules, "pod1") || strings.Contains(rules, podAddress+":7777") {
		t.Fatalf("portmap's rules are left:\n%s", rules)
	}
	l.sees(l.neighbour, "tcp", lanNode+":9090", lanClient)
	// The next pod gets the port, not the one that portmap has in its rules.
	third := *after
	third.rt.ContainerID, third.rt.NetNS = "pod3", l.netns().Path()
	third.rt.CapabilityArgs = mappings
	third.add()
	check(t, third.del())
	check(t, other.del())
}

// rules is what nft has to say of the node.
func (l lan) rules() (said string) {
	l.t.Helper()
	l.on(l.node, func() {
		out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
		check(l.t, err)
		said = string(out)
	})
	return said
}

func allInARow(t *testing.T) {
	l := newLan(t)
	links := l.links(l.node)
	r := newRuntime(l.world, "1.0.0", folders(), plain(l.world, dualStack...),
		object{"type": "portmap", "capabilities": object{"portMappings": true}}, object{"type": "firewall", "backend": "iptables"},
		tuned(newMac), bandwidth(), object{"type": "sbr"})
	r.rt.CapabilityArgs = map[string]any{"portMappings": []object{{"hostPort": 8080, "containerPort": 7777, "protocol": "tcp"}}}
	l.echo(l.pod, 7777)
	l.echo(l.neighbour, 7777)
	r.add()
	l.flat(bySource...)
	l.sees(l.neighbour, "tcp", lanNode+":8080", lanClient)
	check(t, r.check())
	check(t, r.del())
	equal(t, "links", l.links(l.node), links)
}
