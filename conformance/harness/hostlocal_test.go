package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/testutils"
	"golang.org/x/sys/unix"
)

// host-local's suite, for podlan-ipam as a program: which address, when none, when an error. No namespace is needed.
func TestIpam(t *testing.T) {
	for _, v := range testutils.AllSpecVersions {
		t.Run(v, func(t *testing.T) { leaseCases(t, v) })
	}
	requestedCases(t)
	poolCases(t)
	rangeCases(t)
	lockCases(t)
}

// bench is podlan-ipam with one config: its pods have no namespaces, so that none of its leases is provably dead.
type bench struct {
	*world
	conf object
}

func newBench(t *testing.T, version string, subnets ...string) bench {
	w := newWorld(t)
	return bench{w, w.podnet(version, subnets...)}
}

func (b bench) ipamKey(key string, value any) bench {
	conf := with(b.conf, "ipam", with(b.conf["ipam"].(object), key, value))
	return bench{b.world, conf}
}

func (b bench) call(verb, id string) answer {
	b.t.Helper()
	return b.run(call{program: "podlan-ipam", verb: verb, id: id, conf: b.conf})
}

// gets requires that ADD returns these addresses.
func (b bench) gets(id string, addresses ...string) {
	b.t.Helper()
	b.given(b.call("ADD", id), addresses...)
}

func (b bench) given(answer answer, addresses ...string) {
	b.t.Helper()
	got := []string{}
	for _, ip := range answer.result().IPs {
		got = append(got, ip.Address.String())
	}
	if !slices.Equal(got, addresses) {
		b.t.Fatalf("got %v, want %v", got, addresses)
	}
}

func leaseCases(t *testing.T, v string) {
	t.Run("H-067 S-018 S-121 S-133 S-135 H-073 one address of each set, all routes, no interface", func(t *testing.T) {
		b := newBench(t, v, dualStack...)
		b = b.ipamKey("routes", []any{object{"dst": "0.0.0.0/0"}, object{"dst": "::/0"},
			object{"dst": "192.168.0.0/16", "gw": "1.1.1.1"}, object{"dst": "2001:db8:2::0/64", "gw": "2001:db8:3::1"}})
		raw := b.call("ADD", "dummy").ok().stdout
		result := readResult(t, raw)
		equal(t, "first", result.IPs[0].Address.String()+" "+result.IPs[0].Gateway.String(), "10.1.2.2/24 10.1.2.1")
		equal(t, "second", result.IPs[1].Address.String()+" "+result.IPs[1].Gateway.String(), "2001:db8:1::2/64 2001:db8:1::1")
		equal(t, "routes", len(result.Routes), 4)
		for _, route := range result.Routes {
			if route.Dst.String() == "192.168.0.0/16" {
				equal(t, "gateway", route.GW.String(), "1.1.1.1")
			}
		}
		equal(t, "interface", strings.Contains(raw, `"interface`), false)
		sameJSON(t, []byte(raw), mustParse(t, raw))
		b.call("DEL", "dummy").silent()
		equal(t, "leased", b.holds("dummy", "eth0"), false)
	})
	t.Run("H-068 D-18 S-005 S-106 the same id on two networks and two interfaces", func(t *testing.T) {
		b := newBench(t, v, "10.1.2.0/24")
		other := bench{b.world, with(b.conf, "name", "other")}
		b.gets("dummy", "10.1.2.2/24")
		other.gets("dummy", "10.1.2.2/24")
		b.given(b.run(call{program: "podlan-ipam", id: "dummy", ifname: "net1", conf: b.conf}), "10.1.2.3/24")
		other.call("DEL", "dummy").silent()
		b.run(call{program: "podlan-ipam", verb: "DEL", id: "dummy", ifname: "net1", conf: b.conf}).silent()
		equal(t, "leased", b.holds("dummy", "eth0"), true)
		equal(t, "leased", b.holds("dummy", "net1"), false)
	})
	t.Run("H-069 D-15 E-24 a second ADD is an error and costs nothing", func(t *testing.T) {
		b := newBench(t, v, "10.1.2.0/24")
		b.gets("dummy", "10.1.2.2/24")
		b.call("ADD", "dummy").fails(102, "dummy")
		b.gets("dummy1", "10.1.2.3/24")
		equal(t, "leased", b.holds("dummy", "eth0"), true)
	})
	t.Run("H-070 S-056 S-124 E-60 DEL of an unknown id makes no store", func(t *testing.T) {
		b := newBench(t, v, "10.1.2.0/24")
		b.run(call{program: "podlan-ipam", verb: "DEL", netns: "/some/where", conf: b.conf}).silent()
		if _, err := os.Stat(b.data); err == nil {
			t.Fatal("a store was made")
		}
		b.given(b.run(call{program: "podlan-ipam", netns: "/some/where", conf: b.conf}), "10.1.2.2/24")
	})
	t.Run("H-074 H-078 S-187 S-188 D-09 an address is asked for in four ways, the newest first", func(t *testing.T) {
		b := newBench(t, v, "10.1.2.0/24")
		inArgs := with(b.conf, "args", object{"cni": object{"ips": []string{"10.1.2.88"}}})
		atRuntime := with(inArgs, "runtimeConfig", object{"ips": []string{"10.1.2.77/24"}})
		plain := with(b.conf, "runtimeConfig", object{"ips": []string{"10.1.2.66"}})
		for i, c := range []struct {
			conf object
			args string
			got  string
		}{{b.conf, "IP=10.1.2.10", "10"}, {b.conf, "IP=10.1.2.11/24", "11"}, {inArgs, "IP=10.1.2.12", "88"},
			{atRuntime, "IP=10.1.2.13", "77"}, {plain, "", "66"}} {
			answer := b.run(call{program: "podlan-ipam", id: fmt.Sprintf("pod%d", i), args: c.args, conf: c.conf})
			b.given(answer, "10.1.2."+c.got+"/24")
		}
	})
	if testutils.SpecVersionHasCHECK(v) {
		t.Run("H-084 S-122 CHECK knows the lease", func(t *testing.T) {
			b := newBench(t, v, "10.1.2.0/24")
			b.gets("dummy", "10.1.2.2/24")
			b.call("CHECK", "dummy").silent()
			b.call("DEL", "dummy").silent()
			b.call("CHECK", "dummy").fails(105, "dummy")
		})
	}
}

func requestedCases(t *testing.T) {
	asked := func(b bench, ips ...string) bench {
		return bench{b.world, with(b.conf, "args", object{"cni": object{"ips": ips}})}
	}
	t.Run("H-075 H-076 two addresses of two sets, of one family or two", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.2.0/24", "10.1.3.0/24")
		asked(b, "10.1.2.88", "10.1.3.77").gets("a", "10.1.2.88/24", "10.1.3.77/24")
		b = newBench(t, "1.0.0", "172.16.1.0/24", "2001:db8:1::/64")
		asked(b, "172.16.1.88", "2001:db8:1::999").gets("a", "172.16.1.88/24", "2001:db8:1::999/64")
	})
	t.Run("H-077 S-015 E-31 what fits no range is named, and nothing is kept", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.2.0/24", "10.1.3.0/24")
		for _, ips := range [][]string{{"10.1.2.88", "10.9.9.9"}, {"10.1.2.77", "10.1.2.88"}} {
			asked(b, ips...).call("ADD", "a").fails(101, "failed to allocate all requested IPs", ips[1])
			equal(t, "leased", b.holds("a", "eth0"), false)
		}
		asked(b, "10.1.2.88").gets("b", "10.1.2.88/24", "10.1.3.2/24")
	})
	t.Run("H-080 H-081 H-082 the gateway, an address that is taken, one outside the range", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.9.0.0/24")
		asked(b, "10.9.0.1").call("ADD", "a").fails(101, "requested ip 10.9.0.1 is subnet's gateway")
		asked(b, "10.9.0.5").gets("a", "10.9.0.5/24")
		asked(b, "10.9.0.5").call("ADD", "b").fails(101, "10.9.0.5", "not available")
		b.conf["ipam"].(object)["ranges"] = []any{[]any{object{"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.10", "rangeEnd": "10.9.0.20"}}}
		asked(b, "10.9.0.30").call("ADD", "b").fails(101, "10.9.0.30")
	})
	t.Run("H-083 S-025 S-190 S-191 E-16 CNI_ARGS that cannot be read", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.2.0/24")
		for args, words := range map[string]string{"FOO=BAR": `unknown args ["FOO=BAR"]`, "FOO": `invalid pair "FOO"`,
			"IP=xyz": "invalid IP address xyz", "IgnoreUnknown=maybe": "CNI_ARGS"} {
			b.run(call{program: "podlan-ipam", args: args, conf: b.conf}).fails(4, words)
			b.run(call{program: "podlan-ipam", verb: "DEL", args: args, conf: b.conf}).silent()
		}
		for i, value := range []string{"1", "true", "True", "TRUE"} {
			c := call{program: "podlan-ipam", id: fmt.Sprint("pod", i), args: "FOO=BAR;IgnoreUnknown=" + value, conf: b.conf}
			b.run(c).ok()
		}
	})
	t.Run("S-192 what kubelet's runtimes say in CNI_ARGS, in any order and twice", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.2.0/24")
		b.run(call{program: "podlan-ipam", args: "K8S_POD_UID=u;IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;" +
			"IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=pod1", conf: b.conf}).ok()
	})
	t.Run("H-079 S-182 ranges of the runtime come first, then subnet, then ranges", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.4.0/24").ipamKey("subnet", "10.1.3.0/24")
		b.conf["runtimeConfig"] = object{"ipRanges": []any{[]any{object{"subnet": "10.1.2.0/24"}}}}
		b.gets("a", "10.1.2.2/24", "10.1.3.2/24", "10.1.4.2/24")
	})
	t.Run("H-100 an address that is none, by each way of asking", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.2.0/24")
		for _, key := range []string{"args", "runtimeConfig"} {
			value := object{"ips": []string{"10.1.2.300"}}
			if key == "args" {
				value = object{"cni": value}
			}
			answer := b.run(call{program: "podlan-ipam", conf: with(b.conf, key, value)})
			if key == "runtimeConfig" {
				answer.fails(7, "10.1.2.300")
			}
		}
		b.run(call{program: "podlan-ipam", args: "IP=10.1.2.300", conf: b.conf}).fails(4, "10.1.2.300")
		b.ipamKey("subnet", "10.1.2.0").call("ADD", "a").fails(7, "10.1.2.0")
	})
}

func poolCases(t *testing.T) {
	t.Run("H-086 H-089 S-170 S-077 S-078 H-105 D-16 E-29 a full pool is told, by ADD and by STATUS", func(t *testing.T) {
		b := newBench(t, "1.1.0", "192.168.1.0/29")
		for i := range 5 {
			b.call("STATUS", "").silent()
			b.gets(fmt.Sprint("pod", i), fmt.Sprintf("192.168.1.%d/29", i+2))
		}
		b.call("ADD", "more").fails(11, "no IP addresses available in range set: 192.168.1.1-192.168.1.6")
		b.call("STATUS", "").fails(50)
		b.call("DEL", "pod3").silent()
		b.call("STATUS", "").silent()
		b.gets("more", "192.168.1.5/29")
	})
	t.Run("H-087 E-26 addresses go round, and the last is used again only when all others are taken", func(t *testing.T) {
		b := newBench(t, "1.0.0", "192.168.1.0/29")
		for _, last := range []int{2, 3, 4, 5, 6, 2, 3} {
			b.gets("a", fmt.Sprintf("192.168.1.%d/29", last))
			b.call("DEL", "a").silent()
		}
		for i := range 4 {
			b.call("ADD", fmt.Sprint("b", i)).ok()
		}
		b.gets("a", "192.168.1.3/29")
	})
	t.Run("H-088 the ranges of a set are one pool", func(t *testing.T) {
		b := newBench(t, "1.0.0")
		b.conf["ipam"].(object)["ranges"] = []any{[]any{object{"subnet": "10.0.0.0/30"}, object{"subnet": "10.0.1.0/30"}}}
		b.gets("a", "10.0.0.2/30")
		b.gets("b", "10.0.1.2/30")
		b.call("ADD", "c").fails(11, "no IP addresses available in range set: 10.0.0.1-10.0.0.2,10.0.1.1-10.0.1.2")
		b.call("DEL", "a").silent()
		b.gets("c", "10.0.0.2/30")
	})
	t.Run("H-090 a /31 and a /32 are pools of all their addresses", func(t *testing.T) {
		b := newBench(t, "1.0.0", "192.0.2.4/31")
		b.gets("a", "192.0.2.4/31")
		b.gets("b", "192.0.2.5/31")
		b.call("ADD", "c").fails(11)
		newBench(t, "1.0.0", "192.0.2.4/32").gets("a", "192.0.2.4/32")
	})
	t.Run("S-119 E-30 a full second set gives the first one's address back", func(t *testing.T) {
		b := newBench(t, "1.0.0", "10.1.2.0/24", "10.1.3.0/30")
		b.gets("a", "10.1.2.2/24", "10.1.3.2/30")
		for range 3 {
			b.call("ADD", "b").fails(11)
		}
		b.call("DEL", "a").silent()
		b.gets("b", "10.1.2.3/24", "10.1.3.2/30")
	})
}

func rangeCases(t *testing.T) {
	type set = []any
	for name, c := range map[string]struct {
		sets  []any
		words string
	}{
		"H-091 host bits":                {[]any{set{object{"subnet": "192.0.2.5/24"}}}, "Network has host bits set"},
		"H-092 a start outside":          {[]any{set{object{"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}}}, "RangeStart"},
		"H-092 an end outside":           {[]any{set{object{"subnet": "10.1.2.0/24", "rangeEnd": "10.1.3.1"}}}, "RangeEnd"},
		"H-092 the end before the start": {[]any{set{object{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.5"}}}, "10.1.2.5"},
		"H-095 an overlap in a set":      {[]any{set{object{"subnet": "10.1.0.0/22"}, object{"subnet": "10.1.2.0/24"}}}, "overlap"},
		"H-095 an overlap of sets":       {[]any{set{object{"subnet": "10.1.0.0/22"}}, set{object{"subnet": "10.1.2.0/24"}}}, "range set 0 overlaps with 1"},
		"H-096 two families in a set":    {[]any{set{object{"subnet": "10.1.0.0/22"}, object{"subnet": "fd00::/64"}}}, "mixed address families"},
		"H-096 an empty set":             {[]any{set{}}, "empty range set"},
		"H-097 no ranges":                {[]any{}, "no IP ranges specified"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "1.0.0").ipamKey("ranges", c.sets)
			b.call("ADD", "a").fails(7, c.words)
			b.call("DEL", "a").silent()
		})
	}
	t.Run("H-097 no ipam at all", func(t *testing.T) {
		b := newBench(t, "1.0.0")
		delete(b.conf, "ipam")
		b.call("ADD", "a").fails(7, "IPAM config missing 'ipam' key")
		b.call("DEL", "a").silent()
	})
	t.Run("H-093 H-094 S-134 gateway, start and end: the defaults and what is given", func(t *testing.T) {
		b := newBench(t, "1.0.0").ipamKey("ranges", []any{set{object{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9",
			"rangeEnd": "10.1.2.11", "gateway": "10.1.2.10"}}})
		equal(t, "gateway", b.call("ADD", "a").result().IPs[0].Gateway.String(), "10.1.2.10")
		b.gets("b", "10.1.2.11/24")
		b.call("ADD", "c").fails(11, "10.1.2.9-10.1.2.11")
		newBench(t, "1.0.0", "fd00:1::/120").gets("a", "fd00:1::2/120")
	})
	t.Run("H-095 H-098 disjoint parts of a subnet, and families that look alike", func(t *testing.T) {
		b := newBench(t, "1.0.0").ipamKey("ranges", []any{
			set{object{"subnet": "10.1.2.0/24", "rangeEnd": "10.1.2.99"}, object{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.100"}}})
		b.call("ADD", "a").ok()
		newBench(t, "1.0.0", "0.0.0.0/24", "::/24").call("ADD", "a").ok()
	})
}

func lockCases(t *testing.T) {
	t.Run("H-099 S-082 S-083 S-105 E-38 a lock that is held is waited for until a deadline, its holder named; STATUS does not wait", func(t *testing.T) {
		b := newBench(t, "1.1.0", "10.1.2.0/24")
		b.gets("a", "10.1.2.2/24")
		lock, err := os.OpenFile(filepath.Join(b.data, "podnet", "lock"), os.O_RDWR, 0)
		check(t, err)
		defer lock.Close()
		check(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
		b.ipamKey("lockTimeout", 1).call("ADD", "b").fails(11, lock.Name(), fmt.Sprint(os.Getpid()))
		begun := time.Now()
		b.call("STATUS", "").silent()
		if took := time.Since(begun); took > time.Second {
			t.Fatalf("STATUS waited %v", took)
		}
		time.AfterFunc(200*time.Millisecond, func() { unix.Flock(int(lock.Fd()), unix.LOCK_UN) })
		b.gets("b", "10.1.2.3/24")
	})
}

func mustParse(t *testing.T, raw string) types.Result {
	t.Helper()
	result, err := newResult([]byte(raw))
	check(t, err)
	return result
}
