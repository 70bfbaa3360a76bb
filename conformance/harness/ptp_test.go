package harness

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"
)

// The ptp suite's cases, of every version: a pod's link is made, reported, checked and removed.
func TestPtp(t *testing.T) {
	for _, v := range testutils.AllSpecVersions {
		t.Run(v, func(t *testing.T) { ptpCases(t, v) })
	}
	t.Run("H-045 D-12 S-012 S-164 ipMasq is refused, and without it no packet filter rule is made", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", "10.1.2.0/24")
		w.run(call{conf: with(conf, "ipMasq", true)}).fails(2, "ipMasq", "true")
		w.run(call{conf: with(conf, "ipMasq", false)}).ok()
		w.on(w.node, func() {
			rules, err := exec.Command("nft", "list", "ruleset").Output()
			check(t, err)
			equal(t, "ruleset", strings.TrimSpace(string(rules)), "")
		})
	})
}

func ptpCases(t *testing.T, v string) {
	t.Run("H-037 H-038 S-023 S-044 S-127 S-128 S-129 S-131 H-044 H-054 H-056 a link is made and removed", func(t *testing.T) {
		w := newWorld(t)
		conf := with(with(w.podnet(v, "10.1.2.0/24"), "mtu", 5000), "dns",
			object{"nameservers": []string{"10.1.2.123"}, "domain": "some.domain.test"})
		if testutils.SpecVersionHasSTATUS(v) {
			w.run(call{verb: "STATUS", conf: conf}).silent()
		}
		links, routes := w.links(w.node), w.routes(w.node)
		result, raw, err := w.cmdAdd(call{conf: conf})
		check(t, err)
		if testutils.SpecVersionHasChaining(v) {
			twoInterfaces(w, readResult(t, string(raw)))
		}
		equal(t, "dns", text(readResult(t, text(result)).DNS), `{"nameservers":["10.1.2.123"],"domain":"some.domain.test"}`)
		w.ping(w.pod, "169.254.1.1")
		w.ping(w.node, "10.1.2.2")
		ptpCheck(w, v, conf, string(raw))
		check(t, w.cmdDel(call{conf: conf}))
		w.on(w.pod, func() {
			if _, err := netlink.LinkByName("eth0"); err == nil {
				t.Fatal("eth0 is still there")
			}
		})
		equal(t, "links of the node", w.links(w.node), links)
		equal(t, "routes of the node", w.routes(w.node), routes)
	})
	t.Run("H-039 H-062 E-46 S-138 both families, and routes of their own", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet(v, dualStack...)
		routes := []any{}
		for _, to := range []string{"0.0.0.0/0", "192.168.0.0/16", "1.2.3.4/32", "::/0", "2001:db8:9::/48"} {
			routes = append(routes, object{"dst": to})
		}
		conf["ipam"].(object)["routes"] = routes
		_, raw, err := w.cmdAdd(call{conf: conf})
		check(t, err)
		result := readResult(t, string(raw))
		equal(t, "addresses", len(result.IPs), 2)
		equal(t, "routes", len(result.Routes), 5)
		for _, route := range result.Routes {
			w.on(w.pod, func() {
				found, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Dst: &route.Dst}, netlink.RT_FILTER_DST)
				check(t, err)
				equal(t, route.Dst.String(), len(found), 1)
				equal(t, "gateway", found[0].Gw.String(), route.GW.String())
			})
		}
		w.ping(w.pod, "169.254.1.1")
		w.ping(w.pod, fmt.Sprintf("fe80::1%%%d", index(w, "eth0")))
		ptpCheck(w, v, conf, string(raw))
		check(t, w.cmdDel(call{conf: conf}))
	})
	ptpDNS(t, v)
	t.Run("H-043 H-050 S-060 a link that never was is no error of DEL", func(t *testing.T) {
		w := newWorld(t)
		check(t, w.cmdDel(call{conf: w.podnet(v, "10.1.2.0/24")}))
	})
}

func twoInterfaces(w *world, result *current.Result) {
	t := w.t
	equal(t, "interfaces", len(result.Interfaces), 2)
	node, pod := result.Interfaces[0], result.Interfaces[1]
	equal(t, "the node's end", strings.HasPrefix(node.Name, "podl") && node.Sandbox == "", true)
	equal(t, "the pod's end", pod.Name+" in "+pod.Sandbox, "eth0 in "+w.pod.Path())
	equal(t, "addresses", len(result.IPs), 1)
	equal(t, "interface of the address", *result.IPs[0].Interface, 1)
	var outer, inner netlink.Link
	w.on(w.node, func() { outer = link(t, node.Name) })
	w.on(w.pod, func() { inner = link(t, pod.Name) })
	for _, end := range []struct {
		told *current.Interface
		is   netlink.Link
		peer netlink.Link
	}{{node, outer, inner}, {pod, inner, outer}} {
		equal(t, "MAC", end.told.Mac, end.is.Attrs().HardwareAddr.String())
		equal(t, "MTU", end.is.Attrs().MTU, 5000)
		equal(t, "state", end.is.Attrs().OperState, netlink.LinkOperState(netlink.OperUp))
		equal(t, "peer", end.is.Attrs().ParentIndex, end.peer.Attrs().Index)
	}
}

// ptpCheck is CHECK with the reference test's own unusual keys, or its refusal before 0.4.0.
func ptpCheck(w *world, v string, conf object, raw string) {
	odd := with(with(withPrevious(conf, raw), "Name", conf["name"]), "dns", object{})
	odd["ipam"] = with(conf["ipam"].(object), "resolvConf", "")
	err := w.cmdCheck(call{conf: odd})
	if testutils.SpecVersionHasCHECK(v) {
		check(w.t, err)
		return
	}
	isError(w.t, err, types.ErrIncompatibleCNIVersion, "config version does not allow CHECK")
}

func ptpDNS(t *testing.T, v string) {
	resolv := types.DNS{Nameservers: []string{"192.0.2.1"}, Domain: "ipam.test", Search: []string{"a.test"}, Options: []string{"ndots:2"}}
	dnsOf := func(t *testing.T, dns any) string {
		w := newWorld(t)
		path, err := testutils.TmpResolvConf(resolv)
		check(t, err)
		t.Cleanup(func() { os.Remove(path) })
		conf := w.podnet(v, "10.1.2.0/24")
		conf["ipam"].(object)["resolvConf"] = path
		if dns != nil {
			conf["dns"] = dns
		}
		_, raw, err := w.cmdAdd(call{conf: conf})
		check(t, err)
		return text(readResult(t, string(raw)).DNS)
	}
	t.Run("H-040 H-085 S-179 S-139 without dns in the config it is the IPAM's", func(t *testing.T) {
		equal(t, "dns", dnsOf(t, nil), text(resolv))
	})
	t.Run("H-041 S-178 S-014 any field of dns in the config replaces the IPAM's whole", func(t *testing.T) {
		for _, dns := range []types.DNS{{Nameservers: []string{"192.0.2.9"}}, {Domain: "x.test"}, {Search: []string{"y.test"}}, {Options: []string{"z"}}} {
			equal(t, "dns", dnsOf(t, dns), text(dns))
		}
	})
	t.Run("H-042 empty lists in the config's dns empty it", func(t *testing.T) {
		equal(t, "dns", dnsOf(t, object{"nameservers": []any{}, "search": []any{}, "options": []any{}}), "{}")
	})
}

// index is the index of the pod's interface in the pod.
func index(w *world, ifname string) (index int) {
	w.on(w.pod, func() { index = link(w.t, ifname).Attrs().Index })
	return index
}
