package harness

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The same calls on ptp with host-local and on podlan: where the outcomes differ, docs/differences.md has the
// difference and its reason.
func TestDifferences(t *testing.T) {
	page := os.Getenv("PODLAN_DIFFERENCES")
	told, err := os.ReadFile(page)
	check(t, err)
	for _, c := range differences {
		t.Run(c.name, func(t *testing.T) {
			theirs := c.outcome(pair{newWorld(t), "ptp", "host-local"})
			own := c.outcome(pair{newWorld(t), "podlan", "podlan-ipam"})
			named := fmt.Sprintf("\n| %s |", c.name)
			row := fmt.Sprintf("%s %s | %s |", named, theirs, own)
			listed := strings.Contains(string(told), row)
			if listed != (theirs != own) || listed != strings.Contains(string(told), named) {
				t.Fatalf("this should be listed in %s if the two differ, and only then: %s", page, row)
			}
		})
	}
	t.Run("every row is of a call that is made here", func(t *testing.T) {
		for _, line := range strings.Split(string(told), "\n") {
			if name, is := strings.CutPrefix(line, "| "); is && !strings.HasPrefix(name, "call |") {
				name, _, _ = strings.Cut(name, " |")
				made := slices.ContainsFunc(differences, func(c difference) bool { return c.name == name })
				equal(t, name, made, true)
			}
		}
	})
}

// pair is a main plugin with its IPAM.
type pair struct {
	*world
	main, ipamType string
}

func (p pair) conf(subnets ...string) object {
	ipam := with(p.ipam(subnets...), "type", p.ipamType)
	return object{"cniVersion": "1.1.0", "name": "podnet", "type": p.main, "ipam": ipam}
}

func (p pair) call(c call) answer {
	c.program = p.main
	return p.run(c)
}

// said is an answer in short.
func said(a answer) string {
	if a.code == 0 {
		return "success"
	}
	var problem struct{ Code int }
	if err := json.NewDecoder(strings.NewReader(a.stdout)).Decode(&problem); err != nil || problem.Code == 0 {
		return "failure, and no error object alone"
	}
	return fmt.Sprintf("error %d", problem.Code)
}

var small = "10.1.2.0/30"

type difference struct {
	name    string
	outcome func(p pair) string
}

var differences = []difference{
	{"ADD of one IPv4 address", func(p pair) string {
		ip := p.call(call{conf: p.conf("10.1.2.0/24")}).result().IPs[0]
		return ip.Address.String() + " via " + ip.Gateway.String()
	}},
	{"ADD, CHECK, DEL, DEL", func(p pair) string {
		raw := p.call(call{conf: p.conf("10.1.2.0/24")}).ok().stdout
		p.call(call{verb: "CHECK", conf: withPrevious(p.conf("10.1.2.0/24"), raw)}).silent()
		p.call(call{verb: "DEL", conf: withPrevious(p.conf("10.1.2.0/24"), raw)}).silent()
		return said(p.call(call{verb: "DEL", conf: p.conf("10.1.2.0/24")}))
	}},
	{"a second ADD of an attachment", func(p pair) string {
		p.call(call{conf: p.conf("10.1.2.0/24")}).ok()
		return said(p.call(call{conf: p.conf("10.1.2.0/24")}))
	}},
	{"ADD with IPv4 and IPv6", func(p pair) string {
		begun := time.Now()
		p.call(call{conf: p.conf(dualStack...)}).ok()
		if time.Since(begun) > 800*time.Millisecond {
			return "a second and more"
		}
		return "at once"
	}},
	{"ADD to a path that is not there, then ADD", func(p pair) string {
		first := said(p.call(call{netns: "/nowhere", conf: p.conf("10.1.2.0/24")}))
		return first + ", then " + p.call(call{conf: p.conf("10.1.2.0/24")}).result().IPs[0].Address.IP.String()
	}},
	{"ADD to the node's own namespace", func(p pair) string {
		return said(p.call(call{netns: p.node.Path(), ifname: "net9", conf: p.conf("10.1.2.0/24")}))
	}},
	{"ADD without CNI_PATH", func(p pair) string {
		return said(p.run(call{program: find(p.t, p.main, searchPath()), unset: []string{"CNI_PATH"}, conf: p.conf("10.1.2.0/24")}))
	}},
	{"ADD to a full pool", func(p pair) string {
		p.call(call{conf: p.conf(small)}).ok()
		return said(p.call(call{id: "pod2", netns: p.netns().Path(), conf: p.conf(small)}))
	}},
	{"STATUS of a full pool", func(p pair) string {
		p.call(call{conf: p.conf(small)}).ok()
		return said(p.call(call{verb: "STATUS", conf: p.conf(small)}))
	}},
	{"GC of an attachment that is not listed", func(p pair) string {
		p.call(call{conf: p.conf("10.1.2.0/24")}).ok()
		done := said(p.call(call{verb: "GC", conf: with(p.conf("10.1.2.0/24"), "cni.dev/valid-attachments", []any{})}))
		return fmt.Sprintf("%s, links left: %d", done, p.links(p.node)-1)
	}},
	{"DEL with an empty CNI_NETNS", func(p pair) string {
		p.call(call{conf: p.conf("10.1.2.0/24")}).ok()
		done := said(p.call(call{verb: "DEL", set: []string{"CNI_NETNS="}, conf: p.conf("10.1.2.0/24")}))
		return fmt.Sprintf("%s, links left: %d", done, p.links(p.node)-1)
	}},
	{"DEL with a plain file for a namespace", func(p pair) string {
		file := p.t.TempDir() + "/file"
		check(p.t, os.WriteFile(file, nil, 0o600))
		return said(p.call(call{verb: "DEL", netns: file, conf: p.conf("10.1.2.0/24")}))
	}},
	{"DEL with ranges that are no longer valid", func(p pair) string {
		p.call(call{conf: p.conf("10.1.2.0/24")}).ok()
		return said(p.call(call{verb: "DEL", conf: p.conf("10.1.2.0/99")}))
	}},
	{"ADD with mtu -1", func(p pair) string { return said(p.call(call{conf: with(p.conf("10.1.2.0/24"), "mtu", -1)})) }},
	{"ADD with ipMasq", func(p pair) string { return said(p.call(call{conf: with(p.conf("10.1.2.0/24"), "ipMasq", true)})) }},
	{"ADD from a /31", func(p pair) string { return said(p.call(call{conf: p.conf("192.0.2.4/31")})) }},
	{"IP= in CNI_ARGS and another one in args.cni.ips", func(p pair) string {
		conf := with(p.conf("10.1.2.0/24"), "args", object{"cni": object{"ips": []string{"10.1.2.8"}}})
		return said(p.call(call{args: "IP=10.1.2.9", conf: conf}))
	}},
	{"a route by a gateway that no range has", func(p pair) string {
		conf := p.conf("10.1.2.0/24")
		conf["ipam"].(object)["routes"] = []any{object{"dst": "10.9.0.0/16", "gw": "10.1.2.77"}}
		return said(p.call(call{conf: conf}))
	}},
	{"VERSION asked in 0.4.0", func(p pair) string {
		var versions struct{ CNIVersion string }
		check(p.t, json.Unmarshal([]byte(p.call(call{verb: "VERSION", stdin: `{"cniVersion":"0.4.0"}`}).ok().stdout), &versions))
		return versions.CNIVersion
	}},
	{"an error names its version", func(p pair) string {
		return fmt.Sprint(strings.Contains(p.call(call{conf: with(p.conf(), "cniVersion", "9.9.9")}).stdout, `"cniVersion"`))
	}},
	{"the node asks a pod whose routes lack the node", func(p pair) string {
		conf := p.conf("10.1.2.0/24")
		conf["ipam"].(object)["routes"] = []any{object{"dst": "10.8.0.0/16"}}
		p.call(call{conf: conf}).ok()
		p.echo(p.pod, 7777)
		if _, err := p.ask(p.node, "tcp", "10.1.2.2:7777"); err != nil {
			return "no answer"
		}
		return "an answer"
	}},
	{"the source that a pod sees of its node", func(p pair) string {
		p.call(call{conf: p.conf("10.1.2.0/24")}).ok()
		if p.ipamType == "host-local" { // it adds no default route of its own accord
			p.on(p.pod, func() {
				_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
				check(p.t, netlink.RouteReplace(&netlink.Route{Dst: everywhere, Gw: net.ParseIP("10.1.2.1")}))
			})
		}
		p.echo(p.pod, 7777)
		seen, err := p.ask(p.node, "tcp", "10.1.2.2:7777")
		check(p.t, err)
		return seen
	}},
}
