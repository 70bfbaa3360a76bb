package harness

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"
)

// The bridge suite's cases that do not concern bridges, and those of the reference's pkg/ip, pkg/ipam and pkg/ns.
func TestBridge(t *testing.T) {
	addressFamilies(t)
	hardwareAddresses(t)
	failures(t)
	kernelState(t)
	strangePaths(t)
}

func addressFamilies(t *testing.T) {
	for name, subnets := range map[string][]string{
		"IPv4 alone": {"192.168.0.0/24"}, "IPv6 alone": {"2001:db8::/64"}, "both": {"192.168.0.0/24", "fd00::/64"},
		"one IPv4 and two IPv6": {"192.168.0.0/24", "fd00::/64", "2001:db8::/64"},
	} {
		t.Run("H-047 H-049 H-053 S-045 S-046 S-049 S-063 S-068 S-073 S-074 E-67 "+name, func(t *testing.T) {
			for _, v := range testutils.AllSpecVersions[2:] {
				w := newWorld(t)
				conf := w.podnet(v, subnets...)
				nodeLinks := w.links(w.node)
				_, raw, err := w.cmdAdd(call{conf: conf})
				check(t, err)
				equal(t, "links of the node", w.links(w.node), nodeLinks+1)
				wanted := map[int]int{}
				for _, ip := range readResult(t, string(raw)).IPs {
					wanted[len(ip.Address.Mask)]++
				}
				w.on(w.pod, func() {
					eth0 := link(t, "eth0")
					equal(t, "state", eth0.Attrs().OperState, netlink.LinkOperState(netlink.OperUp))
					for family, size := range map[int]int{netlink.FAMILY_V4: 4, netlink.FAMILY_V6: 16} {
						addresses, err := netlink.AddrList(eth0, family)
						check(t, err)
						global := 0
						for _, address := range addresses {
							if address.IP.IsGlobalUnicast() {
								global++
							}
						}
						equal(t, "global addresses", global, wanted[size])
						routes, err := netlink.RouteListFiltered(family, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
						check(t, err)
						equal(t, "default routes", len(routes), min(1, wanted[size]))
					}
				})
				if testutils.SpecVersionHasCHECK(v) {
					nodeRoutes, podRoutes := w.routes(w.node), w.routes(w.pod)
					for range 2 {
						check(t, w.cmdCheck(call{conf: withPrevious(conf, string(raw))}))
					}
					equal(t, "routes after CHECK", w.routes(w.node)+w.routes(w.pod), nodeRoutes+podRoutes)
				}
				check(t, w.cmdDel(call{conf: withPrevious(conf, string(raw))}))
				equal(t, "links of the node", w.links(w.node), nodeLinks)
			}
		})
	}
}

func hardwareAddresses(t *testing.T) {
	t.Run("H-051 H-060 S-189 a MAC is asked for in three ways, the newest first", func(t *testing.T) {
		for _, v := range testutils.AllSpecVersions {
			w := newWorld(t)
			conf := w.podnet(v, "10.1.2.0/24")
			args := "IgnoreUnknown=1;MAC=02:00:00:00:00:01"
			inArgs := with(conf, "args", object{"cni": object{"mac": "02:00:00:00:00:02"}})
			atRuntime := with(inArgs, "RuntimeConfig", object{"mac": "02:00:00:00:00:03"})
			for i, conf := range []object{conf, inArgs, atRuntime} {
				_, raw, err := w.cmdAdd(call{conf: conf, args: args})
				check(t, err)
				var pod, node string
				w.on(w.pod, func() { pod = link(t, "eth0").Attrs().HardwareAddr.String() })
				equal(t, "the pod's MAC", pod, fmt.Sprintf("02:00:00:00:00:%02d", i+1))
				if testutils.SpecVersionHasChaining(v) {
					interfaces := readResult(t, string(raw)).Interfaces
					w.on(w.node, func() { node = link(t, interfaces[0].Name).Attrs().HardwareAddr.String() })
					equal(t, "told", interfaces[0].Mac+" "+interfaces[1].Mac, node+" "+pod)
				}
				w.ping(w.node, fmt.Sprintf("10.1.2.%d", i+2))
				check(t, w.cmdDel(call{conf: conf, args: args}))
			}
		}
	})
}

func failures(t *testing.T) {
	t.Run("H-052 H-057 S-047 S-050 E-23 an interface of that name in the pod: an error, and no address is kept", func(t *testing.T) {
		w := newWorld(t)
		w.on(w.pod, func() {
			check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}))
		})
		links := w.links(w.node)
		w.run(call{conf: w.podnet("1.0.0", "10.1.2.0/24")}).fails(100, "eth0")
		w.run(call{ifname: "lo", conf: w.podnet("1.0.0", "10.1.2.0/24")}).fails(100, "lo")
		equal(t, "leased", w.holds("pod1", "eth0"), false)
		equal(t, "links", w.links(w.node), links)
		w.on(w.pod, func() { link(t, "eth0") })
	})
	t.Run("H-055 S-015 S-055 a bad value is found before anything is made", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		for _, mtu := range []any{-1, 67, 65536, "1500", 1500.5} {
			w.run(call{conf: with(conf, "mtu", mtu)}).fails(7, "mtu")
		}
		if _, err := os.Stat(w.data); err == nil {
			t.Fatal("a store was made")
		}
	})
	t.Run("E-43 the MTU of the way out is inherited, one that IPv6 cannot use refused with IPv6 and taken without", func(t *testing.T) {
		w := newWorld(t)
		_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
		w.on(w.node, func() {
			check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: 1, Dst: everywhere, Scope: netlink.SCOPE_LINK}))
		})
		inherits := func(want int) {
			result := w.run(call{conf: w.podnet("1.1.0", "10.1.2.0/24")}).result()
			equal(t, "mtu", result.Interfaces[1].Mtu, want)
			w.run(call{verb: "DEL", conf: w.podnet("1.1.0", "10.1.2.0/24")}).silent()
		}
		inherits(1500)
		lan := w.netns()
		w.wire(lan, []string{"172.30.0.1/24"}, []string{"172.30.0.2/24"})
		w.on(w.node, func() {
			check(t, netlink.LinkSetMTU(link(t, "eth9"), 1400))
			check(t, netlink.RouteReplace(&netlink.Route{Dst: everywhere, Gw: net.ParseIP("172.30.0.2")}))
		})
		inherits(1400)
		w.run(call{conf: with(w.podnet("1.0.0", dualStack...), "mtu", 1279)}).fails(7, "mtu", "1280")
		for _, mtu := range []int{68, 1279} {
			w.run(call{conf: with(w.podnet("1.0.0", "10.1.2.0/24"), "mtu", mtu)}).ok()
			w.run(call{verb: "DEL", conf: w.podnet("1.0.0", "10.1.2.0/24")}).silent()
		}
	})
	t.Run("H-058 E-28 a foreign link of the host end's name is neither taken nor removed", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		name := w.run(call{conf: conf}).result().Interfaces[0].Name
		w.run(call{verb: "DEL", conf: conf}).silent()
		w.on(w.node, func() { check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}})) })
		w.run(call{conf: conf}).fails(104, name)
		equal(t, "leased", w.holds("pod1", "eth0"), false)
		w.run(call{verb: "DEL", conf: conf}).silent()
		w.on(w.node, func() { equal(t, "type", link(t, name).Type(), "bridge") })
	})
	t.Run("H-059 S-048 E-25 one interface name in two pods, two in one", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		other := w.netns()
		for i, c := range []call{{}, {id: "pod2", netns: other.Path()}, {ifname: "net1"}} {
			c.conf = conf
			equal(t, "address", w.run(c).result().IPs[0].Address.IP[15], byte(2+i))
		}
	})
	t.Run("H-061 S-058 E-59 a second DEL, and one for a pod whose interface is gone", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		w.run(call{conf: conf}).ok()
		w.on(w.pod, func() { check(t, netlink.LinkDel(link(t, "eth0"))) })
		for range 3 {
			w.run(call{verb: "DEL", conf: conf}).silent()
		}
	})
	t.Run("H-064 E-15 an earlier result that points nowhere is an error, not a crash", func(t *testing.T) {
		w := newWorld(t)
		for _, at := range []any{7, -1, "eth0", 1.5} {
			previous := text(object{"cniVersion": "1.0.0", "interfaces": []any{object{"name": "x"}},
				"ips": []any{object{"address": "10.9.0.2/24", "interface": at}}})
			for _, verb := range []string{"ADD", "CHECK"} {
				answer := w.run(call{verb: verb, conf: withPrevious(w.podnet("1.0.0", "10.1.2.0/24"), previous)})
				if answer.code != 1 {
					t.Fatalf("%s with interface %v: exit %d: %s", verb, at, answer.code, answer.stdout)
				}
			}
			w.run(call{verb: "DEL", conf: withPrevious(w.podnet("1.0.0", "10.1.2.0/24"), previous)}).silent()
		}
	})
}

func kernelState(t *testing.T) {
	t.Run("H-062 S-137 a route's scope, priority, table and metrics are the kernel's", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.1.0", dualStack...)
		conf["ipam"].(object)["routes"] = []any{object{"dst": "10.8.0.0/16", "scope": 253},
			object{"dst": "10.9.0.0/16", "priority": 50, "mtu": 1400, "advmss": 1300},
			object{"dst": "10.10.0.0/16", "table": 200}, object{"dst": "2001:db8:9::/48", "priority": 60}}
		result := w.run(call{conf: conf}).result()
		for _, told := range result.Routes {
			w.on(w.pod, func() {
				filter := &netlink.Route{Dst: &told.Dst, Table: 0}
				found, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
				check(t, err)
				equal(t, told.Dst.String(), len(found), 1)
				sameRoute(t, told.Dst, found[0])
			})
		}
	})
	t.Run("H-063 IPv6 addresses outlive a link that goes down and up", func(t *testing.T) {
		w := newWorld(t)
		w.run(call{conf: w.podnet("1.0.0", dualStack...)}).ok()
		w.on(w.pod, func() {
			check(t, netlink.LinkSetDown(link(t, "eth0")))
			check(t, netlink.LinkSetUp(link(t, "eth0")))
			addresses, err := netlink.AddrList(link(t, "eth0"), netlink.FAMILY_V6)
			check(t, err)
			kept := false
			for _, address := range addresses {
				kept = kept || address.IP.Equal(net.ParseIP("2001:db8:1::2"))
			}
			equal(t, "kept", kept, true)
		})
	})
	t.Run("H-065 E-48 a /proc/sys that is as it should be is not written, and may be read-only", func(t *testing.T) {
		w := newWorld(t)
		other := newWorld(t)
		for _, world := range []*world{w, other} {
			world.on(world.node, func() { check(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_ra", []byte("0"), 0)) })
		}
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		w.run(call{conf: conf}).ok()
		w.run(call{verb: "DEL", conf: conf}).ok()
		w.readOnlySysctls(func() {
			w.run(call{conf: conf}).ok()
			// IPv4 forwarding is switched on by netlink, which is impossible for IPv6.
			other.run(call{conf: conf}).ok()
			other.run(call{verb: "DEL", conf: conf}).ok()
			other.run(call{conf: other.podnet("1.0.0", dualStack...)}).fails(104, "/proc/sys/net/ipv6/conf/all/forwarding")
		})
	})
}

func sameRoute(t *testing.T, to net.IPNet, found netlink.Route) {
	t.Helper()
	switch to.String() {
	case "10.8.0.0/16":
		equal(t, "scope", found.Scope, netlink.SCOPE_LINK)
	case "10.9.0.0/16":
		equal(t, "priority, mtu, advmss", [3]int{found.Priority, found.MTU, found.AdvMSS}, [3]int{50, 1400, 1300})
	case "10.10.0.0/16":
		equal(t, "table", found.Table, 200)
	case "2001:db8:9::/48":
		equal(t, "priority", found.Priority, 60)
	}
}

func strangePaths(t *testing.T) {
	t.Run("H-066 D-19 S-165 S-022 S-056 E-18 E-19 E-57 a netns path that is none: ADD refuses it, DEL does not mind", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		file := filepath.Join(t.TempDir(), "file")
		check(t, os.WriteFile(file, nil, 0o600))
		for _, path := range []string{"/nowhere", file, t.TempDir(), "/proc/self/ns/uts", "/dev/null"} {
			w.run(call{netns: path, conf: conf}).fails(4, "CNI_NETNS", path)
			w.run(call{verb: "DEL", netns: path, conf: conf}).silent()
		}
		equal(t, "first address", w.run(call{conf: conf}).result().IPs[0].Address.IP.String(), "10.1.2.2")
	})
	t.Run("D-06 E-20 the node's own namespace is refused, and DEL leaves its links alone", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		w.on(w.node, func() { check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}})) })
		for _, path := range []string{w.node.Path(), "/proc/self/ns/net"} {
			w.run(call{netns: path, ifname: "eth1", conf: conf}).fails(4, "CNI_NETNS")
			w.run(call{verb: "DEL", netns: path, conf: conf}).silent()
		}
		w.on(w.node, func() { link(t, "eth0") })
	})
	t.Run("S-022 E-21 a namespace named by process and thread", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		w.on(w.pod, func() {
			path := currentThread()
			result := w.fromAnotherThread(call{netns: path, conf: conf})
			equal(t, "sandbox", result.Interfaces[1].Sandbox, path)
		})
	})
}

// fromAnotherThread runs ADD while this thread stays in its namespace.
func (w *world) fromAnotherThread(c call) *current.Result {
	done := make(chan answer)
	go func() { done <- w.run(c) }()
	return (<-done).result()
}

// readOnlySysctls makes /proc/sys read-only for programs started in f.
func (w *world) readOnlySysctls(f func()) {
	w.t.Helper()
	check(w.t, remount("/proc/sys", true))
	defer remount("/proc/sys", false)
	f()
}
