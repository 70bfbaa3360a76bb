package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocni "github.com/containerd/go-cni"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"
)

// runtime is libcni as a container runtime uses it, with a cache of its own.
type runtime struct {
	*world
	cni   *libcni.CNIConfig
	list  *libcni.NetworkConfigList
	cache string
	rt    libcni.RuntimeConf
}

// newRuntime loads a conflist of these plugins; each is looked up in the folders, in order.
func newRuntime(w *world, version string, folders []string, plugins ...object) *runtime {
	w.t.Helper()
	return newRuntimeOf(w, object{"cniVersion": version, "name": "podnet", "plugins": plugins}, folders)
}

func newRuntimeOf(w *world, conflist object, folders []string) *runtime {
	w.t.Helper()
	list, err := libcni.NetworkConfFromBytes([]byte(text(conflist)))
	check(w.t, err)
	cache := w.t.TempDir()
	return &runtime{
		w, libcni.NewCNIConfigWithCacheDir(folders, cache, nil), list, cache,
		libcni.RuntimeConf{ContainerID: "pod1", NetNS: w.pod.Path(), IfName: "eth0"},
	}
}

// do runs f in the node's namespace: libcni starts plugins on the caller's thread.
func (r *runtime) do(f func(context.Context) error) (err error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.on(r.node, func() { err = f(ctx) })
	return err
}

func (r *runtime) add() *current.Result {
	r.t.Helper()
	var result types.Result
	check(r.t, r.do(func(ctx context.Context) (err error) {
		result, err = r.cni.AddNetworkList(ctx, r.list, &r.rt)
		return err
	}))
	converted, err := current.NewResultFromResult(result)
	check(r.t, err)
	return converted
}

func (r *runtime) check() error {
	return r.do(func(ctx context.Context) error { return r.cni.CheckNetworkList(ctx, r.list, &r.rt) })
}

func (r *runtime) del() error {
	return r.do(func(ctx context.Context) error { return r.cni.DelNetworkList(ctx, r.list, &r.rt) })
}

func (r *runtime) gc(valid []types.GCAttachment) error {
	return r.do(func(ctx context.Context) error {
		return r.cni.GCNetworkList(ctx, r.list, &libcni.GCArgs{ValidAttachments: valid})
	})
}

func (r *runtime) status() error {
	return r.do(func(ctx context.Context) error { return r.cni.GetStatusNetworkList(ctx, r.list) })
}

func (r *runtime) cached() int {
	files, _ := filepath.Glob(filepath.Join(r.cache, "results", "*"))
	return len(files)
}

func plain(w *world, subnets ...string) object {
	return object{"type": "podlan", "ipam": w.ipam(subnets...)}
}

func folders() []string { return []string{ours, reference} }

func TestLibcni(t *testing.T) {
	for _, v := range testutils.AllSpecVersions {
		t.Run("H-101 H-102 S-054 S-107 S-110 S-111 S-194 H-036 a life with libcni's cache/"+v, func(t *testing.T) { lifeWithLibcni(t, v) })
	}
	libcniGarbage(t)
	libcniStatus(t)
	libcniKills(t)
	t.Run("H-036 S-089 a version that the plugin lacks is refused by name", func(t *testing.T) {
		r := newRuntime(newWorld(t), "9.9.9", folders(), plain(newWorld(t), "10.1.2.0/24"))
		err := r.do(func(ctx context.Context) error { _, err := r.cni.ValidateNetworkList(ctx, r.list); return err })
		if err == nil || !strings.Contains(err.Error(), "9.9.9") {
			t.Fatal(err)
		}
	})
	t.Run("S-003 S-156 of cniVersions the newest that both know is taken", func(t *testing.T) {
		w := newWorld(t)
		r := newRuntimeOf(w, object{"cniVersion": "1.0.0", "cniVersions": []string{"0.4.0", "1.0.0", "1.1.0"}, "name": "podnet",
			"plugins": []object{plain(w, "10.1.2.0/24")}}, folders())
		equal(t, "version", r.list.CNIVersion, "1.1.0")
		equal(t, "MTU told", r.add().Interfaces[1].Mtu, 1500)
		check(t, r.del())
	})
	t.Run("H-115 E-45 S-052 two networks of a pod: one default route, each removed alone", twoNetworks)
	t.Run("H-117 S-104 E-32 a hundred ADDs at once, a hundred DELs at once", aHundredAtOnce)
}

func lifeWithLibcni(t *testing.T, v string) {
	w := newWorld(t)
	nodeLinks, nodeRoutes := w.links(w.node), w.routes(w.node)
	plugin := with(plain(w, dualStack...), "capabilities", object{"ips": true, "portMappings": true})
	r := newRuntime(w, v, folders(), plugin)
	r.rt.Args = [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", "web"}, {"K8S_POD_NAMESPACE", "shop"}}
	r.rt.CapabilityArgs = map[string]any{"ips": []string{"10.1.2.42"}}
	check(t, r.do(func(ctx context.Context) error {
		capabilities, err := r.cni.ValidateNetworkList(ctx, r.list)
		equal(t, "capabilities", len(capabilities), 2)
		return err
	}))
	result := r.add()
	equal(t, "address", result.IPs[0].Address.IP.String(), "10.1.2.42")
	equal(t, "cached", r.cached(), 1)
	if testutils.SpecVersionHasCHECK(v) {
		check(t, r.check())
	}
	w.ping(w.node, "10.1.2.42")
	check(t, r.del())
	equal(t, "cached", r.cached(), 0)
	check(t, r.del())
	equal(t, "links", w.links(w.node), nodeLinks)
	equal(t, "routes", w.routes(w.node), nodeRoutes)
	equal(t, "leased", w.holds("pod1", "eth0"), false)
	// The runtime lost its cache: DEL has nothing but the key.
	r.add()
	check(t, os.RemoveAll(filepath.Join(r.cache, "results")))
	check(t, r.del())
	equal(t, "links", w.links(w.node), nodeLinks)
}

func libcniGarbage(t *testing.T) {
	t.Run("H-103 S-090 S-094 S-099 S-102 D-07 D-08 GC keeps what is valid, then removes all", func(t *testing.T) {
		r := newRuntime(newWorld(t), "1.1.0", folders(), plain(newWorld(t), "10.1.2.0/24"))
		r.list.Plugins[0] = newRuntime(r.world, "1.1.0", folders(), plain(r.world, "10.1.2.0/24")).list.Plugins[0]
		before := r.links(r.node)
		r.add()
		check(t, r.gc([]types.GCAttachment{{ContainerID: "pod1", IfName: "eth0"}}))
		check(t, r.check())
		check(t, r.gc(nil))
		equal(t, "links", r.links(r.node), before)
		equal(t, "leased", r.holds("pod1", "eth0"), false)
		check(t, r.gc(nil))
		check(t, r.del())
	})
	t.Run("S-006 disableGC keeps the plugin from being called", func(t *testing.T) {
		w := newWorld(t)
		r := newRuntimeOf(w, object{"cniVersion": "1.1.0", "name": "podnet", "disableGC": true,
			"plugins": []object{plain(w, "10.1.2.0/24")}}, folders())
		r.add()
		check(t, r.gc(nil))
		equal(t, "leased", w.holds("pod1", "eth0"), true)
	})
	t.Run("H-104 S-091 S-092 S-101 E-53 GC removes what no cache knows, the pod's link too", func(t *testing.T) {
		w := newWorld(t)
		r := newRuntime(w, "1.1.0", folders(), plain(w, dualStack...))
		before := w.links(w.node)
		r.add()
		check(t, os.RemoveAll(filepath.Join(r.cache, "results")))
		check(t, r.gc([]types.GCAttachment{{ContainerID: "pod1", IfName: "net1"}}))
		equal(t, "links", w.links(w.node), before)
		equal(t, "leased", w.holds("pod1", "eth0"), false)
	})
	t.Run("S-092 E-52 GC removes a link whose name and group somebody changed", func(t *testing.T) {
		w := newWorld(t)
		r := newRuntime(w, "1.1.0", folders(), plain(w, "10.1.2.0/24"))
		before := w.links(w.node)
		r.add()
		w.on(w.node, func() {
			all, err := netlink.LinkList()
			check(t, err)
			host := all[len(all)-1]
			check(t, netlink.LinkSetDown(host))
			check(t, netlink.LinkSetName(host, "renamed"))
			check(t, netlink.LinkSetGroup(host, 7))
			check(t, netlink.LinkSetUp(host))
			check(t, netlink.RouteReplace(&netlink.Route{Dst: netlink.NewIPNet(net.ParseIP("10.1.2.2")), LinkIndex: host.Attrs().Index, Protocol: 112}))
		})
		// libcni deletes by DEL what is in its cache.
		check(t, os.RemoveAll(filepath.Join(r.cache, "results")))
		check(t, r.gc(nil))
		equal(t, "links", w.links(w.node), before)
		equal(t, "leased", w.holds("pod1", "eth0"), false)
	})
	t.Run("S-062 S-098 S-106 DEL and GC of a dead pod spare another network's living one of the same address", func(t *testing.T) {
		for _, verb := range []string{"DEL", "GC"} {
			w := newWorld(t)
			old, renamed := w.podnet("1.1.0", "10.1.2.0/24"), with(w.podnet("1.1.0", "10.1.2.0/24"), "name", "renamed")
			dead := w.netns()
			w.run(call{netns: dead.Path(), conf: old}).ok()
			w.on(dead, func() { check(t, netlink.LinkDel(link(t, "eth0"))) })
			w.run(call{id: "living", conf: renamed}).ok()
			w.ping(w.node, "10.1.2.2")
			w.run(call{verb: verb, netns: dead.Path(), conf: with(old, "cni.dev/valid-attachments", []any{})}).silent()
			w.ping(w.node, "10.1.2.2")
		}
	})
	t.Run("S-098 E-73 GC leaves other networks alone, and links that only look like ours", func(t *testing.T) {
		w := newWorld(t)
		other := with(w.podnet("1.1.0", "10.7.0.0/24"), "name", "other")
		w.run(call{ifname: "net1", conf: other}).ok()
		w.on(w.node, func() {
			check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "podlaaaaaaaaaaa"}}))
		})
		before := w.links(w.node)
		check(t, newRuntime(w, "1.1.0", folders(), plain(w, "10.1.2.0/24")).gc(nil))
		equal(t, "links", w.links(w.node), before)
		w.run(call{verb: "DEL", ifname: "net1", conf: other}).silent()
		equal(t, "links", w.links(w.node), before-1)
	})
}

func libcniStatus(t *testing.T) {
	t.Run("H-105 S-075 S-076 S-079 S-171 STATUS reaches the runtime as an error with its code", func(t *testing.T) {
		w := newWorld(t)
		r := newRuntime(w, "1.1.0", folders(), plain(w, "10.1.2.0/30"))
		check(t, r.status())
		r.add()
		isError(t, r.status(), 50)
		check(t, r.check())
		check(t, r.del())
		check(t, r.status())
	})
	t.Run("H-107 S-035 S-184 S-185 S-199 what is for chained plugins is noted on stderr, and stdout has the result alone", func(t *testing.T) {
		w := newWorld(t)
		conf := with(w.podnet("1.0.0", "10.1.2.0/24"), "runtimeConfig", object{
			"portMappings": []any{object{"HostPort": 80, "ContainerPort": 8080, "Protocol": "tcp", "HostIP": ""}},
			"bandwidth":    object{"IngressRate": 1, "IngressBurst": 1}, "dns": object{"Servers": []string{"10.0.0.10"}, "Searches": nil, "Options": nil},
			"cgroupPath": "/x", "io.kubernetes.cri.pod-annotations": object{"a": "b"}})
		answer := w.run(call{conf: conf})
		equal(t, "dns", text(answer.result().DNS), `{"nameservers":["10.0.0.10"]}`)
		equal(t, "lines on stderr", strings.Count(answer.stderr, "\n"), 1)
	})
}

func libcniKills(t *testing.T) {
	t.Run("H-106 S-051 S-053 E-36 an ADD killed at any moment leaves nothing that the next DEL does not find", func(t *testing.T) {
		w := newWorld(t)
		r := newRuntime(w, "1.0.0", folders(), plain(w, "10.1.2.0/30", "2001:db8:1::/126"))
		links, routes := w.links(w.node), w.routes(w.node)
		killed := 0
		for i := range 60 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(200+100*i)*time.Microsecond)
			w.on(w.node, func() {
				if _, err := r.cni.AddNetworkList(ctx, r.list, &r.rt); err != nil {
					killed++
				}
			})
			cancel()
			check(t, r.del())
			equal(t, "links", w.links(w.node), links)
			equal(t, "routes", w.routes(w.node), routes)
		}
		if killed == 0 {
			t.Fatal("none was killed")
		}
		// A pool of one address: if a killed ADD had kept it, it would be missing now.
		r.add()
		check(t, r.del())
	})
}

func twoNetworks(t *testing.T) {
	w := newWorld(t)
	first, second := w.podnet("1.0.0", "10.1.2.0/24"), with(w.podnet("1.0.0", "10.7.0.0/24"), "name", "other")
	raw := w.run(call{conf: first}).ok().stdout
	w.run(call{ifname: "net1", conf: second}).ok()
	defaults := func() (count int) {
		w.on(w.pod, func() {
			routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
			check(t, err)
			count = len(routes)
		})
		return count
	}
	equal(t, "default routes of the main table", defaults(), 1)
	w.ping(w.node, "10.1.2.2")
	w.ping(w.node, "10.7.0.2")
	w.run(call{verb: "DEL", ifname: "net1", conf: second}).silent()
	w.run(call{verb: "CHECK", conf: withPrevious(first, raw)}).silent()
	w.ping(w.node, "10.1.2.2")
	w.run(call{ifname: "net1", conf: second}).ok()
	w.run(call{verb: "DEL", conf: first}).silent()
	w.ping(w.node, "10.7.0.3")
	w.run(call{verb: "DEL", ifname: "net1", conf: second}).silent()
}

func aHundredAtOnce(t *testing.T) {
	const many = 100
	w := newWorld(t)
	conf := w.podnet("1.0.0", dualStack...)
	links := w.links(w.node)
	pods := make([]ns.NetNS, many)
	for i := range pods {
		pods[i] = w.netns()
	}
	answers := make([]answer, many)
	all := func(verb string) {
		var running sync.WaitGroup
		for i := range pods {
			running.Go(func() {
				answers[i] = w.run(call{verb: verb, id: fmt.Sprint("pod", i), netns: pods[i].Path(), conf: conf})
			})
		}
		running.Wait()
	}
	all("ADD")
	unique := map[string]bool{}
	for _, answer := range answers {
		for _, ip := range answer.result().IPs {
			unique[ip.Address.String()] = true
		}
	}
	equal(t, "addresses", len(unique), 2*many)
	equal(t, "links", w.links(w.node), links+many)
	all("DEL")
	for i, answer := range answers {
		answer.silent()
		equal(t, "leased", w.holds(fmt.Sprint("pod", i), "eth0"), false)
	}
	equal(t, "links", w.links(w.node), links)
}

// go-cni as containerd uses it. It starts plugins on threads of its own, so that here the node is the lab itself.
func TestGoCni(t *testing.T) {
	w := newWorld(t)
	lab, err := ns.GetCurrentNS()
	check(t, err)
	w.node = lab
	check(t, netlink.LinkSetUp(link(t, "lo")))
	w.address("lo", nodeV4+"/32")
	t.Cleanup(func() {
		address, _ := netlink.ParseAddr(nodeV4 + "/32")
		netlink.AddrDel(link(t, "lo"), address)
	})
	before := w.links(w.node)
	load := func(t *testing.T, conflist object, options ...gocni.Opt) gocni.CNI {
		conf := t.TempDir()
		check(t, os.WriteFile(filepath.Join(conf, "10-podlan.conflist"), []byte(text(conflist)), 0o600))
		cni, err := gocni.New(gocni.WithMinNetworkCount(len(options)), gocni.WithPluginDir(folders()), gocni.WithPluginConfDir(conf))
		check(t, err)
		check(t, cni.Load(options...))
		return cni
	}
	ctx := context.Background()
	options := []gocni.NamespaceOpts{gocni.WithLabels(map[string]string{"K8S_POD_NAME": "web", "IgnoreUnknown": "1"}),
		gocni.WithCapabilityDNS(gocni.DNS{Servers: []string{"10.0.0.10"}})}
	for _, v := range testutils.AllSpecVersions[2:] {
		conflist := object{"cniVersion": v, "name": "podnet", "plugins": []object{with(plain(w, dualStack...), "capabilities", object{"dns": true})}}
		t.Run("H-114 E-14 E-56 D-10 S-057 S-059 Setup beside loopback, Check, Remove/"+v, func(t *testing.T) {
			// Its own loopback network is of 0.3.1, so that Check works without it alone.
			alone := load(t, conflist, gocni.WithDefaultConf)
			cni := load(t, conflist, gocni.WithLoNetwork, gocni.WithDefaultConf)
			check(t, cni.Status())
			result, err := cni.Setup(ctx, "pod1", w.pod.Path(), options...)
			check(t, err)
			equal(t, "addresses of eth0", len(result.Interfaces["eth0"].IPConfigs), 2)
			equal(t, "dns", result.DNS[len(result.DNS)-1].Nameservers[0], "10.0.0.10")
			w.ping(w.node, result.Interfaces["eth0"].IPConfigs[0].IP.String())
			if testutils.SpecVersionHasCHECK(v) {
				check(t, alone.Check(ctx, "pod1", w.pod.Path(), options...))
			}
			check(t, cni.Remove(ctx, "pod1", w.pod.Path(), options...))
			equal(t, "links", w.links(w.node), before)
			if _, err = cni.SetupSerially(ctx, "pod1", w.pod.Path(), options...); err != nil {
				t.Fatal(err)
			}
			check(t, cni.Remove(ctx, "pod1", "", options...))
			equal(t, "links", w.links(w.node), before)
			check(t, cni.Remove(ctx, "pod1", "", options...))
		})
	}
	t.Run("H-114 E-64 a config without a version", func(t *testing.T) {
		cni, err := gocni.New(gocni.WithMinNetworkCount(1), gocni.WithPluginDir(folders()))
		check(t, err)
		conf := with(plain(w, "10.1.2.0/24"), "name", "podnet")
		check(t, cni.Load(gocni.WithConf([]byte(text(conf)))))
		_, err = cni.Setup(ctx, "pod1", w.pod.Path())
		check(t, err)
		check(t, cni.Remove(ctx, "pod1", w.pod.Path()))
		equal(t, "links", w.links(w.node), before)
	})
}

// The reference's command, as its integration suite uses it.
func TestCnitool(t *testing.T) {
	w := newWorld(t)
	conf := t.TempDir()
	tool := func(t *testing.T, verb, network string) answer {
		command := exec.Command(filepath.Join(reference, "cnitool"), verb, network, w.pod.Path())
		command.Env = append(os.Environ(), "NETCONFPATH="+conf, "CNI_PATH="+searchPath())
		var output []byte
		w.on(w.node, func() { output, _ = command.CombinedOutput() })
		return answer{t, command.ProcessState.ExitCode(), string(output), ""}
	}
	for i, c := range []object{
		{"cniVersion": "0.3.0", "name": "basic", "plugins": []object{with(plain(w, "10.1.2.0/24"), "mtu", 512)}},
		{"cniVersion": "0.3.1", "name": "chained", "plugins": []object{plain(w, "10.1.2.0/24"), {"type": "bandwidth",
			"ingressRate": 8000, "ingressBurst": 16000, "egressRate": 8000, "egressBurst": 16000}}},
		{"cniVersion": "1.1.0", "name": "newest", "plugins": []object{plain(w, dualStack...)}},
	} {
		name := c["name"].(string)
		check(t, os.WriteFile(filepath.Join(conf, fmt.Sprintf("%d-%s.conflist", i, name)), []byte(text(c)), 0o600))
		t.Run("H-108 H-109 S-200 cnitool add, check, del/"+name, func(t *testing.T) {
			before := w.links(w.node)
			tool(t, "add", name).ok()
			w.on(w.pod, func() {
				eth0 := link(t, "eth0")
				addresses, err := netlink.AddrList(eth0, netlink.FAMILY_V4)
				check(t, err)
				equal(t, "net", strings.HasPrefix(addresses[0].IP.String(), "10.1.2."), true)
				if name == "basic" {
					equal(t, "mtu", eth0.Attrs().MTU, 512)
				}
			})
			if testutils.SpecVersionHasCHECK(c["cniVersion"].(string)) {
				tool(t, "check", name).ok()
			}
			tool(t, "del", name).ok()
			equal(t, "links", w.links(w.node), before)
		})
	}
}
