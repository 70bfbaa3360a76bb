package harness

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// newResult reads a result in the version that it names itself.
func newResult(raw []byte) (types.Result, error) {
	named, err := (&version.ConfigDecoder{}).Decode(raw)
	if err != nil {
		return nil, err
	}
	return version.NewResult(named, raw)
}

var dualStack = []string{"10.1.2.0/24", "2001:db8:1::/64"}

// Every version's result is parsed by the reference's types of that version, and has no key that they lack.
func TestResult(t *testing.T) {
	for _, v := range testutils.AllSpecVersions {
		t.Run(v, func(t *testing.T) {
			w := newWorld(t)
			conf := w.podnet(v, dualStack...)
			conf["ipam"].(object)["routes"] = []any{object{"dst": "0.0.0.0/0", "priority": 7, "mtu": 1400, "advmss": 1300},
				object{"dst": "::/0"}, object{"dst": "192.168.0.0/16", "gw": "10.1.2.1"}}
			conf["dns"] = object{"nameservers": []string{"10.0.0.10"}, "search": []string{"cluster.local"}}
			result, raw, err := w.cmdAdd(call{conf: conf})
			check(t, err)
			t.Run("H-029 S-087 S-126 S-155 it parses in the config's version", func(t *testing.T) {
				equal(t, "version", result.Version(), v)
			})
			t.Run("S-142 S-147 S-148 S-149 S-151 S-152 D-13 it has no key that the version does not know", func(t *testing.T) {
				sameJSON(t, raw, result)
			})
			t.Run("H-030 S-150 its shape is the version's", func(t *testing.T) {
				for key, wanted := range map[string]bool{
					`"interfaces":`: testutils.SpecVersionHasChaining(v), `"ip":`: !testutils.SpecVersionHasChaining(v),
					`"version":"4"`: testutils.SpecVersionHasIPVersion(v), `"mtu":`: v == "1.1.0",
				} {
					equal(t, key, strings.Contains(string(raw), key), wanted)
				}
			})
			t.Run("H-033 H-034 S-130 S-137 only 1.1.0 tells MTU and route extras", func(t *testing.T) {
				for _, key := range []string{`"priority":7`, `"advmss":1300`, `"mtu":1400`, `"mtu":1500`} {
					equal(t, key, strings.Contains(string(raw), key), v == "1.1.0")
				}
			})
			t.Run("S-153 H-102 it converts to every version that can tell it", func(t *testing.T) {
				for _, other := range testutils.AllSpecVersions {
					converted, err := result.GetAsVersion(other)
					check(t, err)
					equal(t, "version", converted.Version(), other)
				}
			})
			t.Run("S-087 H-035 the version is one that VERSION advertises", func(t *testing.T) {
				said := w.run(call{verb: "VERSION", stdin: text(object{"cniVersion": v})}).ok().stdout
				info, err := (&version.PluginDecoder{}).Decode([]byte(said))
				check(t, err)
				if !strings.Contains(strings.Join(info.SupportedVersions(), " "), v) {
					t.Fatal(said)
				}
			})
		})
	}
	t.Run("H-031 S-143 0.2.0 has one object for each family", func(t *testing.T) {
		w := newWorld(t)
		_, raw, err := w.cmdAdd(call{conf: w.podnet("0.2.0", dualStack...)})
		check(t, err)
		var told struct {
			Interfaces []any
			IP4, IP6   struct {
				IP, Gateway string
				Routes      []struct{ Dst string }
			}
		}
		check(t, json.Unmarshal(raw, &told))
		equal(t, "ip4", told.IP4.IP+" "+told.IP4.Gateway+" "+told.IP4.Routes[0].Dst, "10.1.2.2/32 169.254.1.1 0.0.0.0/0")
		equal(t, "ip6", told.IP6.IP+" "+told.IP6.Gateway+" "+told.IP6.Routes[0].Dst, "2001:db8:1::2/128 fe80::1 ::/0")
		equal(t, "interfaces", len(told.Interfaces), 0)
	})
	t.Run("H-021 S-042 S-123 E-12 without a version it is 0.1.0", func(t *testing.T) {
		for _, stated := range []any{nil, ""} {
			w := newWorld(t)
			conf := w.podnet("", "10.1.2.0/24")
			if stated == nil {
				delete(conf, "cniVersion")
			}
			raw := w.run(call{conf: conf}).ok().stdout
			read, err := version.NewResult("0.1.0", []byte(raw))
			check(t, err)
			equal(t, "version", read.Version(), "0.1.0")
		}
	})
	t.Run("H-048 S-144 S-145 two addresses of a family cannot be told before 0.3.0", func(t *testing.T) {
		for _, v := range []string{"0.1.0", "0.2.0"} {
			w := newWorld(t)
			conf := w.podnet(v, "10.1.2.0/24", "2001:db8:1::/64", "2001:db8:2::/64")
			links := w.links(w.node)
			w.run(call{conf: conf}).fails(7, "does not support more than 1 address per family")
			equal(t, "links of the node", w.links(w.node), links)
			equal(t, "leased", w.holds("pod1", "eth0"), false)
			w.run(call{verb: "DEL", conf: conf}).silent()
		}
	})
	t.Run("S-113 S-154 S-140 S-174 S-176 an earlier result of any version is passed on, ours behind it", func(t *testing.T) {
		for _, earlier := range testutils.AllSpecVersions {
			for _, v := range testutils.AllSpecVersions[2:] {
				before := newWorld(t)
				_, raw, err := before.cmdAdd(call{conf: before.podnet(earlier, "10.9.0.0/24"), ifname: "net1"})
				check(t, err)
				w := newWorld(t)
				result, _, err := w.cmdAdd(call{conf: withPrevious(w.podnet(v, "10.1.2.0/24"), string(raw))})
				check(t, err)
				combined := readResult(t, text(result))
				equal(t, "addresses", len(combined.IPs), 2)
				equal(t, "first", combined.IPs[0].Address.String(), "10.9.0.2/32")
				equal(t, "of", combined.Interfaces[*combined.IPs[1].Interface].Name, "eth0")
			}
		}
	})
}

// sameJSON requires that the reference prints what it parsed as podlan printed it, so that nothing was lost.
func sameJSON(t *testing.T, raw []byte, read types.Result) {
	t.Helper()
	var printed, rendered object
	check(t, json.Unmarshal(raw, &printed))
	check(t, json.Unmarshal([]byte(text(read)), &rendered))
	for _, side := range []object{printed, rendered} {
		if dns, ok := side["dns"].(object); ok && len(dns) == 0 {
			delete(side, "dns")
		}
	}
	if !reflect.DeepEqual(printed, rendered) {
		t.Fatalf("printed %s, read as %s", raw, text(read))
	}
}
