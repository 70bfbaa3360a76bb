package harness

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"
)

// delegated is a pod's life with an IPAM plugin of folder below podlan; every verb that the version has.
func delegated(w *world, v, folder string, ipam object, addresses int) *current.Result {
	w.t.Helper()
	r := newRuntime(w, v, []string{ours, folder}, object{"type": "podlan", "ipam": ipam})
	links, routes := w.links(w.node), w.routes(w.node)
	result := r.add()
	equal(w.t, "addresses", len(result.IPs), addresses)
	equal(w.t, "prefix", len(result.IPs[0].Address.Mask)*8, ones(result.IPs[0]))
	w.ping(w.node, result.IPs[0].Address.IP.String())
	w.ping(w.pod, nodeV4)
	if testutils.SpecVersionHasCHECK(v) {
		check(w.t, r.check())
	}
	check(w.t, r.del())
	check(w.t, r.del())
	equal(w.t, "links", w.links(w.node), links)
	equal(w.t, "routes", w.routes(w.node), routes)
	return result
}

func ones(ip *current.IPConfig) int {
	ones, _ := ip.Address.Mask.Size()
	return ones
}

// podlan-ipam below the reference's main plugins, under its own name and under host-local's.
func TestBelow(t *testing.T) {
	asHostLocal := t.TempDir()
	program, err := os.ReadFile(find(t, "podlan-ipam", ours))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(asHostLocal, "host-local"), program, 0o755))
	for name, c := range map[string]struct{ kind, folder string }{
		"by its name": {"podlan-ipam", ours}, "as host-local": {"host-local", asHostLocal},
	} {
		for distribution, folder := range map[string]string{"newest": reference, "Debian": debian} {
			for main, conf := range map[string]object{
				"ptp":     {"type": "ptp"},
				"bridge":  {"type": "bridge", "bridge": "cni0", "isGateway": true},
				"macvlan": {"type": "macvlan", "master": "eth9"},
			} {
				t.Run("H-116 S-122 podlan-ipam "+name+" below "+main+"/"+distribution, func(t *testing.T) {
					below(t, conf, c.kind, []string{c.folder, folder})
				})
			}
		}
	}
}

func below(t *testing.T, main object, kind string, folders []string) {
	probe := newWorld(t)
	if main["type"] == "macvlan" {
		probe.on(probe.node, func() {
			check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br"}}))
			if err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "x", ParentIndex: link(t, "br").Attrs().Index}}); err != nil {
				t.Skipf("this kernel has no macvlan: %v", err)
			}
		})
	}
	for _, v := range []string{"0.3.1", "0.4.0", "1.0.0"} {
		for _, subnets := range [][]string{{"10.1.2.0/24"}, dualStack} {
			if main["type"] == "ptp" && len(subnets) == 2 && v != "1.0.0" {
				continue // the reference waits two seconds for IPv6 each time
			}
			w := newWorld(t)
			if main["type"] == "macvlan" {
				w.wire(w.netns(), nil, nil)
			}
			ipam := with(w.ipam(subnets...), "type", kind)
			ipam["routes"] = []any{object{"dst": "0.0.0.0/0"}}
			r := newRuntime(w, v, folders, with(main, "ipam", ipam))
			result := r.add()
			equal(t, "addresses", len(result.IPs), len(subnets))
			equal(t, "first", result.IPs[0].Address.String(), "10.1.2.2/24")
			equal(t, "leased", w.holds("pod1", "eth0"), true)
			if main["type"] != "macvlan" {
				w.ping(w.pod, "10.1.2.1")
				w.ping(w.node, "10.1.2.2")
			}
			if testutils.SpecVersionHasCHECK(v) {
				check(t, r.check())
			}
			check(t, r.del())
			equal(t, "leased", w.holds("pod1", "eth0"), false)
			failing := newRuntime(w, v, folders, with(with(main, "ipam", ipam), "mtu", 1<<30))
			if _, err := addNetwork(failing); err == nil {
				t.Fatal("an absurd MTU was taken")
			}
			equal(t, "leased after a failed ADD", w.holds("pod1", "eth0"), false)
			check(t, r.del())
		}
	}
}

func addNetwork(r *runtime) (result types.Result, err error) {
	err = r.do(func(ctx context.Context) (err error) {
		result, err = r.cni.AddNetworkList(ctx, r.list, &r.rt)
		return err
	})
	return result, err
}
