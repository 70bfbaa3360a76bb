package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What CHECK must detect, what DEL must survive, and unusual nodes.
func TestEdge(t *testing.T) {
	checkCases(t)
	delCases(t)
	nodeCases(t)
	processCases(t)
}

// attached is a pod of both families with its config and its result.
func attached(t *testing.T) (w *world, conf object, raw string) {
	w = newWorld(t)
	conf = w.podnet("1.1.0", dualStack...)
	return w, conf, w.run(call{conf: conf}).ok().stdout
}

func checkCases(t *testing.T) {
	t.Run("E-65 D-17 D-19 S-072 CHECK without a result, without the pod, and of an attachment that never was", func(t *testing.T) {
		w, conf, raw := attached(t)
		w.run(call{verb: "CHECK", conf: conf}).fails(7, "prevResult")
		w.run(call{verb: "CHECK", netns: "/nowhere", conf: withPrevious(conf, raw)}).fails(3)
		other := w.netns()
		answer := w.run(call{verb: "CHECK", netns: other.Path(), conf: withPrevious(conf, raw)})
		if answer.code == 0 {
			t.Fatal("a result of another sandbox was taken")
		}
		answer = w.run(call{verb: "CHECK", id: "stranger", conf: withPrevious(conf, raw)})
		if answer.code == 0 {
			t.Fatal("a stranger was known")
		}
	})
	hostLink := func(w *world, raw string) string { return readResult(w.t, raw).Interfaces[0].Name }
	for name, c := range map[string]struct {
		harm  func(w *world, raw string)
		words string
	}{
		"an address of the pod": {func(w *world, _ string) {
			w.on(w.pod, func() {
				address, _ := netlink.ParseAddr("10.1.2.2/32")
				check(w.t, netlink.AddrDel(link(w.t, "eth0"), address))
			})
		}, "10.1.2.2"},
		"the default route of the pod": {func(w *world, _ string) {
			w.on(w.pod, func() {
				_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
				check(w.t, netlink.RouteDel(&netlink.Route{Dst: everywhere}))
			})
		}, "0.0.0.0/0"},
		"the pod's link, down": {func(w *world, _ string) {
			w.on(w.pod, func() { check(w.t, netlink.LinkSetDown(link(w.t, "eth0"))) })
		}, "eth0"},
		"both links": {func(w *world, raw string) {
			w.on(w.node, func() { check(w.t, netlink.LinkDel(link(w.t, hostLink(w, raw)))) })
		}, "missing"},
		"the node's route": {func(w *world, _ string) {
			w.on(w.node, func() {
				_, pod, _ := net.ParseCIDR("2001:db8:1::2/128")
				check(w.t, netlink.RouteDel(&netlink.Route{Dst: pod}))
			})
		}, "2001:db8:1::2"},
		"the node's link, down": {func(w *world, raw string) {
			w.on(w.node, func() { check(w.t, netlink.LinkSetDown(link(w.t, hostLink(w, raw)))) })
		}, "down"},
		"forwarding": {func(w *world, _ string) {
			w.on(w.node, func() { check(w.t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0)) })
		}, "ip_forward"},
		"the lease": {func(w *world, _ string) {
			w.run(call{program: "podlan-ipam", verb: "DEL", conf: w.podnet("1.1.0", dualStack...)}).silent()
		}, "10.1.2.2"},
	} {
		t.Run("E-66 S-065 S-066 S-067 CHECK names what is amiss/"+name, func(t *testing.T) {
			w, conf, raw := attached(t)
			w.run(call{verb: "CHECK", conf: withPrevious(conf, raw)}).silent()
			c.harm(w, raw)
			w.run(call{verb: "CHECK", conf: withPrevious(conf, raw)}).fails(105, c.words)
		})
	}
	t.Run("S-070 CHECK does not mind CNI_ARGS in another order", func(t *testing.T) {
		w, conf, raw := attached(t)
		for _, args := range []string{"IgnoreUnknown=1;K8S_POD_NAME=a;K8S_POD_NAMESPACE=b", "K8S_POD_NAMESPACE=b;IgnoreUnknown=1;K8S_POD_NAME=a", ""} {
			w.run(call{verb: "CHECK", args: args, conf: withPrevious(conf, raw)}).silent()
		}
	})
}

func delCases(t *testing.T) {
	gone := func(t *testing.T, w *world, before int) {
		t.Helper()
		equal(t, "links of the node", w.links(w.node), before)
		equal(t, "leased", w.holds("pod1", "eth0"), false)
	}
	for name, harm := range map[string]func(w *world){
		"renamed": func(w *world) {
			w.on(w.pod, func() {
				check(w.t, netlink.LinkSetDown(link(w.t, "eth0")))
				check(w.t, netlink.LinkSetName(link(w.t, "eth0"), "moved"))
			})
		},
		"moved to another namespace": func(w *world) {
			other := w.netns()
			w.on(w.pod, func() { check(w.t, netlink.LinkSetNsFd(link(w.t, "eth0"), int(other.Fd()))) })
		},
		"given another MAC": func(w *world) {
			w.on(w.pod, func() {
				check(w.t, netlink.LinkSetHardwareAddr(link(w.t, "eth0"), net.HardwareAddr{2, 9, 9, 9, 9, 9}))
			})
		},
	} {
		t.Run("E-58 S-053 S-055 the pod's interface/"+name, func(t *testing.T) {
			w, conf, _ := attached(t)
			harm(w)
			w.run(call{verb: "DEL", conf: conf}).silent()
			gone(t, w, 1)
		})
	}
	for name, change := range map[string]func(netlink.Link) error{
		"another MAC": func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 8, 8, 8, 8, 8}) },
		"another name": func(l netlink.Link) error {
			return netlink.LinkSetName(l, "renamed")
		},
		"another alias and group": func(l netlink.Link) error {
			return errors.Join(netlink.LinkSetAlias(l, "mine"), netlink.LinkSetGroup(l, 5))
		},
	} {
		t.Run("E-52 a manager of the node gives the node's end "+name, func(t *testing.T) {
			w, conf, raw := attached(t)
			w.on(w.node, func() { check(t, change(link(t, readResult(t, raw).Interfaces[0].Name))) })
			w.run(call{verb: "DEL", conf: withPrevious(conf, raw)}).silent()
			gone(t, w, 1)
		})
	}
	t.Run("E-61 S-062 a recycled path: the newcomer's interface stays", func(t *testing.T) {
		w, conf, _ := attached(t)
		newcomer := w.netns()
		result := w.run(call{id: "pod2", netns: newcomer.Path(), conf: conf}).result()
		w.run(call{verb: "DEL", netns: newcomer.Path(), conf: conf}).silent()
		w.on(newcomer, func() { link(t, "eth0") })
		w.ping(w.node, result.IPs[0].Address.IP.String())
		equal(t, "leased", w.holds("pod1", "eth0"), false)
		equal(t, "leased", w.holds("pod2", "eth0"), true)
	})
	t.Run("E-63 S-061 a result that lies: what counts is the key", func(t *testing.T) {
		w, conf, raw := attached(t)
		other := w.netns()
		w.run(call{id: "pod2", netns: other.Path(), conf: conf}).ok()
		w.run(call{verb: "DEL", conf: withPrevious(conf, strings.ReplaceAll(raw, "10.1.2.2/", "10.1.2.3/"))}).silent()
		equal(t, "leased", w.holds("pod2", "eth0"), true)
		gone(t, w, 2)
	})
	t.Run("E-54 S-016 the config changed meanwhile", func(t *testing.T) {
		w, conf, _ := attached(t)
		ipam := with(conf["ipam"].(object), "ranges", []any{[]any{object{"subnet": "nonsense"}}})
		w.run(call{verb: "DEL", conf: with(with(conf, "ipam", ipam), "mtu", -5)}).silent()
		gone(t, w, 1)
	})
	t.Run("E-59 S-058 many DELs at once", func(t *testing.T) {
		w, conf, _ := attached(t)
		answers := make([]answer, 8)
		var running sync.WaitGroup
		for i := range answers {
			running.Go(func() { answers[i] = w.run(call{verb: "DEL", conf: conf}) })
		}
		running.Wait()
		for _, answer := range answers {
			answer.silent()
		}
		gone(t, w, 1)
	})
}

func nodeCases(t *testing.T) {
	t.Run("E-22 D-K11 E-21 a namespace of another user namespace", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.1.0", dualStack...)
		pod := exec.Command("sleep", "60")
		pod.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
		check(t, pod.Start())
		t.Cleanup(func() { pod.Process.Kill(); pod.Wait() })
		path := fmt.Sprintf("/proc/%d/ns/net", pod.Process.Pid)
		result := w.run(call{netns: path, conf: conf}).result()
		equal(t, "sandbox", result.Interfaces[1].Sandbox, path)
		w.ping(w.node, "10.1.2.2")
		w.run(call{verb: "DEL", netns: path, conf: conf}).silent()
	})
	t.Run("E-42 a pod whose new links have no IPv6, and one that asks for none", func(t *testing.T) {
		w := newWorld(t)
		w.on(w.pod, func() { check(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)) })
		w.run(call{conf: w.podnet("1.0.0", dualStack...)}).ok()
		w.ping(w.node, "2001:db8:1::2")
		w.run(call{ifname: "net1", conf: w.podnet("1.0.0", "10.1.2.0/24")}).ok()
		value, err := sysctl(w.pod, "net/ipv6/conf/net1/disable_ipv6")
		check(t, err)
		equal(t, "disable_ipv6", value, "1")
	})
	t.Run("E-44 S-068 an IPv6 address is usable when ADD returns, and ADD waits for nothing", func(t *testing.T) {
		w := newWorld(t)
		begun := time.Now()
		w.run(call{conf: w.podnet("1.0.0", dualStack...)}).ok()
		if took := time.Since(begun); took > 500*time.Millisecond {
			t.Fatalf("it took %v", took)
		}
		w.on(w.pod, func() {
			addresses, err := netlink.AddrList(link(t, "eth0"), netlink.FAMILY_V6)
			check(t, err)
			for _, address := range addresses {
				if address.IP.IsGlobalUnicast() && address.Flags&unix.IFA_F_TENTATIVE != 0 {
					t.Fatalf("%v is tentative", address)
				}
			}
		})
	})
	t.Run("E-47 a route to the address that is another's", func(t *testing.T) {
		w := newWorld(t)
		_, pod, _ := net.ParseCIDR("10.1.2.2/32")
		w.on(w.node, func() {
			check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: 1, Dst: pod, Scope: netlink.SCOPE_LINK}))
		})
		w.run(call{conf: w.podnet("1.0.0", "10.1.2.0/24")}).fails(104, "10.1.2.2")
		equal(t, "leased", w.holds("pod1", "eth0"), false)
		equal(t, "links", w.links(w.node), 1)
		equal(t, "routes", w.routes(w.node), 1)
	})
	t.Run("E-49 a node with strict filters of its own", func(t *testing.T) {
		l := newLan(t)
		l.on(l.node, func() {
			for _, key := range []string{"all/rp_filter=1", "default/rp_filter=1", "all/arp_ignore=1", "all/arp_announce=2", "all/log_martians=1"} {
				name, value, _ := strings.Cut(key, "=")
				check(t, os.WriteFile("/proc/sys/net/ipv4/conf/"+name, []byte(value), 0))
			}
		})
		l.run(call{conf: l.podnet("1.0.0", dualStack...)}).ok()
		l.echo(l.pod, 7777)
		l.echo(l.neighbour, 7777)
		l.flat(all...)
	})
	t.Run("S-002 S-009 S-010 S-011 D-11 S-112 S-114 what is not ours in a config does not matter", func(t *testing.T) {
		w := newWorld(t)
		conf := with(with(with(with(w.podnet("1.0.0", "10.1.2.0/24"), "capabilities", object{"mac": true}), "x", nil), "cniVersions", []string{"1.1.0"}),
			"cni.dev/whatever", object{})
		w.run(call{conf: with(conf, "disableCheck", true)}).ok()
	})
	t.Run("S-026 S-115 an empty CNI_PATH and one with empty parts", func(t *testing.T) {
		w := newWorld(t)
		w.run(call{program: find(t, "podlan", ours), path: "::/nowhere:", conf: w.podnet("1.0.0", "10.1.2.0/24")}).ok()
	})
	t.Run("S-175 E-55 our interface is in the earlier result already", func(t *testing.T) {
		w, conf, raw := attached(t)
		w.run(call{verb: "DEL", conf: conf}).silent()
		w.run(call{conf: withPrevious(conf, raw)}).fails(100, "eth0")
		equal(t, "leased", w.holds("pod1", "eth0"), false)
	})
}

func processCases(t *testing.T) {
	t.Run("E-51 too few file descriptors: an error, and nothing is left", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.0.0", dualStack...)
		failed := 0
		for limit := 4; limit < 16; limit++ {
			program := t.TempDir() + "/podlan"
			script := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec %s\n", limit, find(t, "podlan", ours))
			check(t, os.WriteFile(program, []byte(script), 0o755))
			if w.run(call{program: program, conf: conf}).code != 0 {
				failed++
				equal(t, "links", w.links(w.node), 1)
				equal(t, "leased", w.holds("pod1", "eth0"), false)
			}
			w.run(call{verb: "DEL", conf: conf}).silent()
		}
		if failed == 0 {
			t.Fatal("none failed")
		}
	})
	t.Run("E-69 S-082 many STATUS beside ADDs write nothing", func(t *testing.T) {
		w := newWorld(t)
		conf := w.podnet("1.1.0", dualStack...)
		w.run(call{conf: conf}).ok()
		store := w.data + "/podnet/store"
		before, err := os.Stat(store)
		check(t, err)
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for range 50 {
					w.run(call{verb: "STATUS", conf: conf}).silent()
				}
			})
		}
		running.Wait()
		after, err := os.Stat(store)
		check(t, err)
		equal(t, "written", after.ModTime(), before.ModTime())
	})
	t.Run("E-76 started by a person, with arguments and a terminal's patience", func(t *testing.T) {
		for _, program := range programs {
			command := exec.Command(find(t, program, ours), "--version")
			command.Env = []string{}
			output, err := command.CombinedOutput()
			check(t, err)
			if !strings.Contains(string(output), "CNI "+program) {
				t.Fatalf("%s", output)
			}
		}
	})
	t.Run("E-37 C-9 an ADD whose result nobody can read is taken back", func(t *testing.T) {
		w := newWorld(t)
		for _, stdout := range []string{">/dev/full", "| :"} {
			program := t.TempDir() + "/podlan"
			script := "#!/bin/bash\nset -o pipefail\n(sleep 0.1; exec " + find(t, "podlan", ours) + ") " + stdout + "\n"
			check(t, os.WriteFile(program, []byte(script), 0o755))
			if w.run(call{program: program, conf: w.podnet("1.0.0", dualStack...)}).code == 0 {
				t.Fatalf("with stdout %s it succeeded", stdout)
			}
			equal(t, "links", w.links(w.node), 1)
			equal(t, "leased", w.holds("pod1", "eth0"), false)
		}
	})
}

func sysctl(where ns.NetNS, name string) (value string, err error) {
	err = where.Do(func(ns.NetNS) error {
		bytes, err := os.ReadFile("/proc/sys/" + name)
		value = strings.TrimSpace(string(bytes))
		return err
	})
	return value, err
}
