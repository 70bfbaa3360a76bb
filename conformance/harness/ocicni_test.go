package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/cri-o/ocicni/pkg/ocicni"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
)

// crio is a node with CRI-O's network library, which CRI-O calls as these cases do: ADD, then CHECK at once; DEL from
// the cached config; and GC with all known pods when it starts.
type crio struct {
	*world
	conf, cache string
	cni         ocicni.CNIPlugin
}

func newCrio(t *testing.T, conflists ...object) *crio {
	t.Helper()
	logrus.SetLevel(logrus.PanicLevel)
	c := &crio{world: newWorld(t), conf: t.TempDir(), cache: t.TempDir()}
	for _, conflist := range conflists {
		for _, plugin := range conflist["plugins"].([]object) {
			if ipam, is := plugin["ipam"].(object); is {
				ipam["dataDir"] = c.data
			}
		}
		check(t, os.WriteFile(filepath.Join(c.conf, conflist["name"].(string)+".conflist"), []byte(text(conflist)), 0o600))
	}
	c.restart()
	return c
}

// list is a conflist of podlan only; the folder of its leases is the node's.
func list(version, name string, subnets ...string) object {
	nowhere := &world{}
	return object{"cniVersion": version, "name": name, "plugins": []object{plain(nowhere, subnets...)}}
}

// restart does what CRI-O does when it starts: it has nothing but the files. The first network is the default one.
func (c *crio) restart() {
	c.t.Helper()
	c.on(c.node, func() {
		made, err := ocicni.InitCNINoInotify("", c.conf, c.cache, folders()...)
		check(c.t, err)
		c.cni = made
	})
}

func (c *crio) network(id string, where ns.NetNS, networks ...ocicni.NetAttachment) ocicni.PodNetwork {
	return ocicni.PodNetwork{Name: id, Namespace: "shop", ID: id, UID: "uid-of-" + id, NetNS: where.Path(), Networks: networks}
}

// up does what CRI-O does for a new sandbox. It returns the addresses, network by network.
func (c *crio) up(pod ocicni.PodNetwork) (addresses []string) {
	c.t.Helper()
	c.on(c.node, func() {
		_, err := c.cni.SetUpPod(pod)
		check(c.t, err)
	})
	return c.status(pod)
}

// status requires that CHECK passes, and returns the contents of the cache.
func (c *crio) status(pod ocicni.PodNetwork) (addresses []string) {
	c.t.Helper()
	c.on(c.node, func() {
		results, err := c.cni.GetPodNetworkStatus(pod)
		check(c.t, err)
		for _, one := range results {
			result, err := current.NewResultFromResult(one.Result)
			check(c.t, err)
			for _, ip := range result.IPs {
				addresses = append(addresses, ip.Address.IP.String())
			}
		}
	})
	return addresses
}

func (c *crio) down(pod ocicni.PodNetwork) {
	c.t.Helper()
	c.on(c.node, func() { check(c.t, c.cni.TearDownPod(pod)) })
}

func (c *crio) gc(valid ...ocicni.PodNetwork) {
	c.t.Helper()
	pods := []*ocicni.PodNetwork{}
	for _, pod := range valid {
		pods = append(pods, &pod)
	}
	c.on(c.node, func() { check(c.t, c.cni.GC(context.Background(), pods)) })
}

// forget deletes the runtime's state of a pod.
func (c *crio) forget(id string) {
	c.t.Helper()
	files, _ := filepath.Glob(filepath.Join(c.cache, "results", "*-"+id+"-*"))
	for _, file := range files {
		check(c.t, os.Remove(file))
	}
	equal(c.t, "was known", len(files) > 0, true)
}

func TestOcicni(t *testing.T) {
	for _, v := range testutils.AllSpecVersions {
		t.Run("S-068 E-67 S-058 S-059 E-14 a pod's life: ADD and CHECK back to back, DEL three times/"+v, func(t *testing.T) { lifeWithCrio(t, v) })
	}
	for _, v := range []string{"0.4.0", "1.0.0", "1.1.0"} {
		t.Run("S-068 E-53 CRI-O is killed, and every pod is checked again/"+v, func(t *testing.T) {
			c := newCrio(t, list(v, "podnet", dualStack...))
			pod := c.network("pod1", c.pod)
			addresses := c.up(pod)
			c.restart()
			equal(t, "addresses", fmt.Sprint(c.status(pod)), fmt.Sprint(addresses))
			c.down(pod)
		})
	}
	crioGarbage(t)
	crioStatus(t)
	crioAsks(t)
	t.Run("S-104 S-105 E-32 twenty pods at once, each with an address of its own", twentyAtOnce)
}

func lifeWithCrio(t *testing.T, v string) {
	c := newCrio(t, list(v, "podnet", dualStack...))
	links, routes := c.links(c.node), c.routes(c.node)
	pod := c.network("pod1", c.pod)
	addresses := c.up(pod)
	if v != "0.1.0" && v != "0.2.0" {
		// Those versions have at most one address of each family, in a form that CRI-O parses differently.
		equal(t, "addresses", fmt.Sprint(addresses), "[10.1.2.2 2001:db8:1::2]")
	}
	c.ping(c.node, "10.1.2.2")
	c.down(pod)
	equal(t, "links", c.links(c.node), links)
	equal(t, "routes", c.routes(c.node), routes)
	equal(t, "leased", c.holds("pod1", "eth0"), false)
	// The cache is empty now, and so is the path once the sandbox is gone.
	c.down(pod)
	pod.NetNS = ""
	c.down(pod)
}

func crioGarbage(t *testing.T) {
	t.Run("S-090 S-091 S-092 S-094 S-101 S-102 E-53 GC at start-up keeps the known pods alone, then DELs the others", func(t *testing.T) {
		c := newCrio(t, list("1.1.0", "podnet", dualStack...))
		empty := c.links(c.node)
		known, cached, forgotten := c.network("known", c.pod), c.network("cached", c.netns()), c.network("forgotten", c.netns())
		addresses := c.up(known)
		c.up(cached)
		c.up(forgotten)
		c.forget("forgotten")
		c.restart()
		c.gc(known)
		equal(t, "links", c.links(c.node), empty+1)
		for _, id := range []string{"cached", "forgotten"} {
			equal(t, id, c.holds(id, "eth0"), false)
		}
		c.down(cached)
		c.down(forgotten)
		equal(t, "addresses", fmt.Sprint(c.status(known)), fmt.Sprint(addresses))
		c.ping(c.node, addresses[0])
		c.down(known)
		equal(t, "links", c.links(c.node), empty)
	})
	t.Run("S-098 S-099 GC keeps both networks of a known pod, and takes the second of one that has lost it", func(t *testing.T) {
		c := newCrio(t, list("1.1.0", "podnet", "10.1.2.0/24"), list("1.1.0", "storage", "10.7.0.0/24"))
		both := []ocicni.NetAttachment{{Name: "podnet", Ifname: "eth0"}, {Name: "storage", Ifname: "net1"}}
		one, two := c.network("one", c.pod, both...), c.network("two", c.netns(), both...)
		equal(t, "addresses", fmt.Sprint(c.up(one)), "[10.1.2.2 10.7.0.2]")
		equal(t, "addresses", fmt.Sprint(c.up(two)), "[10.1.2.3 10.7.0.3]")
		links := c.links(c.node)
		c.restart()
		c.gc(one, two)
		equal(t, "links", c.links(c.node), links)
		c.status(one)
		c.status(two)
		two.Networks = both[:1]
		c.gc(one, two)
		equal(t, "links", c.links(c.node), links-1)
		c.status(one)
		c.status(two)
		c.ping(c.node, "10.1.2.3")
		c.down(one)
		c.down(two)
		equal(t, "links", c.links(c.node), links-4)
	})
	t.Run("S-101 GC of a network that is older than GC DELs what the cache knows", func(t *testing.T) {
		c := newCrio(t, list("1.0.0", "podnet", "10.1.2.0/24"))
		empty := c.links(c.node)
		c.up(c.network("pod1", c.pod))
		c.restart()
		c.gc()
		equal(t, "links", c.links(c.node), empty)
		equal(t, "leased", c.holds("pod1", "eth0"), false)
	})
}

func crioStatus(t *testing.T) {
	t.Run("S-076 S-156 H-105 STATUS of the newest version holds CRI-O back until the agent is ready", func(t *testing.T) {
		conflist := list("1.0.0", "podnet", "10.1.2.0/24")
		conflist["cniVersions"] = []string{"0.4.0", "1.0.0", "1.1.0"}
		conflist["plugins"].([]object)[0]["agent"] = "/nowhere/node.json"
		c := newCrio(t, conflist)
		c.on(c.node, func() { isError(t, c.cni.Status(), 50, "agent is not ready") })
		delete(conflist["plugins"].([]object)[0], "agent")
		check(t, os.WriteFile(filepath.Join(c.conf, "podnet.conflist"), []byte(text(conflist)), 0o600))
		c.restart()
		c.on(c.node, func() { check(t, c.cni.Status()) })
	})
	t.Run("S-050 S-051 S-060 a sandbox that gets no address is torn down, and harms no other", func(t *testing.T) {
		c := newCrio(t, list("1.1.0", "podnet", "10.1.2.0/30"))
		first, second := c.network("first", c.pod), c.network("second", c.netns())
		c.up(first)
		links := c.links(c.node)
		c.on(c.node, func() {
			_, err := c.cni.SetUpPod(second)
			isError(t, err, 11)
		})
		c.down(second)
		equal(t, "links", c.links(c.node), links)
		c.status(first)
		c.ping(c.node, "10.1.2.2")
		c.down(first)
	})
}

func crioAsks(t *testing.T) {
	t.Run("S-188 S-189 H-051 an address and a MAC in CNI_ARGS, ranges as a capability, in CRI-O's spelling", func(t *testing.T) {
		conflist := list("1.0.0", "podnet", "10.1.2.0/24")
		conflist["plugins"].([]object)[0]["capabilities"] = object{"ipRanges": true, "portMappings": true, "bandwidth": true}
		c := newCrio(t, conflist)
		annotations := map[string]string{"a": "b"}
		asked, ranged := c.network("asked", c.pod), c.network("ranged", c.netns())
		asked.RuntimeConfig = map[string]ocicni.RuntimeConfig{"podnet": {IP: "10.1.2.77", MAC: "02:00:00:00:00:77",
			PortMappings: []ocicni.PortMapping{{HostPort: 80, ContainerPort: 8080, Protocol: "tcp"}},
			Bandwidth:    &ocicni.BandwidthConfig{IngressRate: 1, IngressBurst: 8*(1<<32-1) - 1}, PodAnnotations: &annotations}}
		ranged.RuntimeConfig = map[string]ocicni.RuntimeConfig{"podnet": {
			IpRanges: [][]ocicni.IpRange{{{Subnet: "10.1.3.0/24", RangeStart: "10.1.3.50", RangeEnd: "10.1.3.50"}}}}}
		equal(t, "addresses", fmt.Sprint(c.up(asked)), "[10.1.2.77]")
		// As in host-local, they come before the network's own.
		equal(t, "addresses", fmt.Sprint(c.up(ranged)), "[10.1.3.50 10.1.2.2]")
		c.on(c.pod, func() {
			equal(t, "MAC", link(t, "eth0").Attrs().HardwareAddr.String(), "02:00:00:00:00:77")
		})
		c.down(asked)
		c.down(ranged)
	})
	t.Run("S-065 E-66 CHECK tells CRI-O of a pod whose link was deleted", func(t *testing.T) {
		c := newCrio(t, list("1.0.0", "podnet", "10.1.2.0/24"))
		pod := c.network("pod1", c.pod)
		c.up(pod)
		c.on(c.pod, func() { check(t, netlink.LinkDel(link(t, "eth0"))) })
		c.on(c.node, func() {
			_, err := c.cni.GetPodNetworkStatus(pod)
			var problem *types.Error
			equal(t, "a CNI error", errors.As(err, &problem), true)
		})
		c.down(pod)
	})
}

func twentyAtOnce(t *testing.T) {
	const many = 20
	c := newCrio(t, list("1.1.0", "podnet", dualStack...))
	empty := c.links(c.node)
	pods := []ocicni.PodNetwork{}
	for i := range many {
		pods = append(pods, c.network(fmt.Sprint("pod", i), c.netns()))
	}
	var lock sync.Mutex
	unique := map[string]bool{}
	var running sync.WaitGroup
	for _, pod := range pods {
		running.Go(func() {
			for _, address := range c.up(pod) {
				lock.Lock()
				unique[address] = true
				lock.Unlock()
			}
		})
	}
	running.Wait()
	equal(t, "addresses", len(unique), 2*many)
	for _, pod := range pods {
		running.Go(func() { c.down(pod) })
	}
	running.Wait()
	equal(t, "links", c.links(c.node), empty)
}
