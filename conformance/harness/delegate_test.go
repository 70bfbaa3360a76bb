package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/testutils"
)

// Another IPAM plugin below podlan: the reference's, and one that writes down its input.
func TestDelegation(t *testing.T) {
	for name, folder := range map[string]string{"newest": reference, "Debian": debian} {
		versions := testutils.AllSpecVersions[:]
		if name == "Debian" {
			versions = versions[:6]
		}
		for _, v := range versions {
			t.Run("S-115 S-118 S-120 host-local below podlan/"+name+"/"+v, func(t *testing.T) {
				w := newWorld(t)
				ipam := object{"type": "host-local", "dataDir": w.data, "ranges": []any{[]any{object{"subnet": "10.1.2.0/24"}},
					[]any{object{"subnet": "2001:db8:1::/64"}}}, "routes": []any{object{"dst": "0.0.0.0/0"}, object{"dst": "::/0"}}}
				delegated(w, v, folder, ipam, 2)
				files, _ := filepath.Glob(filepath.Join(w.data, "podnet", "10.*"))
				equal(t, "reservations left", len(files), 0)
			})
			t.Run("S-115 S-118 S-120 static below podlan/"+name+"/"+v, func(t *testing.T) {
				// Its CHECK compares its configured gateway with the pod's, which is the node: so it has none configured.
				ipam := object{"type": "static", "addresses": []any{object{"address": "10.1.2.7/24"}},
					"routes": []any{object{"dst": "172.16.0.0/12"}}, "dns": object{"nameservers": []string{"10.1.2.1"}}}
				result := delegated(newWorld(t), v, folder, ipam, 1)
				equal(t, "dns", text(result.DNS), `{"nameservers":["10.1.2.1"]}`)
			})
		}
	}
	delegateContract(t)
	delegateFailures(t)
}

// spy makes an IPAM plugin of this name that writes down verb, variables and stdin, and then runs the script.
func spy(w *world, name, script string) (folder, notes string) {
	folder = w.t.TempDir()
	notes = filepath.Join(folder, "notes")
	program := fmt.Sprintf("#!/bin/sh\nstdin=$(cat)\necho \"$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_ARGS $TRACEPARENT\" >>%s\n"+
		"printf '%%s' \"$stdin\" >%s.$CNI_COMMAND\n%s\n", notes, notes, script)
	check(w.t, os.WriteFile(filepath.Join(folder, name), []byte(program), 0o755))
	return folder, notes
}

const oneAddress = `[ "$CNI_COMMAND" != ADD ] || echo '{"ips":[{"address":"10.1.2.9/24","gateway":"10.1.2.1"}]}'`

func read(t *testing.T, path string) string {
	t.Helper()
	bytes, err := os.ReadFile(path)
	check(t, err)
	return string(bytes)
}

func delegateContract(t *testing.T) {
	t.Run("S-116 S-117 S-123 S-032 the delegate gets all that podlan got, and its stderr is podlan's", func(t *testing.T) {
		w := newWorld(t)
		folder, notes := spy(w, "spy", oneAddress+"\necho hello >&2")
		conf := with(with(w.podnet("1.1.0"), "ipam", object{"type": "spy", "own": object{"key": nil}}), "extra", []any{1, nil, "x"})
		c := call{conf: conf, path: folder, program: find(t, "podlan", ours), args: "IgnoreUnknown=1;K8S_POD_NAME=web", set: []string{"TRACEPARENT=00-x"}}
		answer := w.run(c)
		equal(t, "address", answer.result().IPs[0].Address.String(), "10.1.2.9/32")
		equal(t, "stderr", answer.stderr, "hello\n")
		equal(t, "stdin", read(t, notes+".ADD"), text(conf))
		equal(t, "call", read(t, notes), "ADD pod1 eth0 "+w.pod.Path()+" IgnoreUnknown=1;K8S_POD_NAME=web 00-x\n")
	})
	t.Run("S-116 S-120 S-121 S-122 dhcp's contract: its own keys reach it, and what a DHCP server leases is applied", func(t *testing.T) {
		w := newWorld(t)
		// Like the result of the reference's dhcp: the router is the gateway and the next hop of every route.
		folder, notes := spy(w, "dhcp", `env | grep ^CNI_ | sort >`+"$0.environment"+`
			[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"192.168.9.5/24","gateway":"192.168.9.1"}],
				"routes":[{"dst":"0.0.0.0/0","gw":"192.168.9.1"},{"dst":"10.9.0.0/16","gw":"192.168.9.1"}],"dns":{}}'`)
		ipam := object{"type": "dhcp", "daemonSocketPath": "/run/cni/dhcp.sock", "priority": 7,
			"request": []any{object{"skipDefault": true, "option": "subnet-mask"}}, "provide": []any{object{"option": "12", "fromArg": "K8S_POD_NAME"}}}
		conf := with(w.podnet("1.0.0"), "ipam", ipam)
		c := call{conf: conf, path: folder, program: find(t, "podlan", ours), args: "IgnoreUnknown=1;K8S_POD_NAME=web"}
		answer := w.run(c)
		ip := answer.result().IPs[0]
		equal(t, "address", ip.Address.String()+" via "+ip.Gateway.String(), "192.168.9.5/32 via 169.254.1.1")
		w.ping(w.node, "192.168.9.5")
		equal(t, "stdin", read(t, notes+".ADD"), text(conf))
		environment := func(verb, args string) string {
			return "CNI_ARGS=" + args + "\nCNI_COMMAND=" + verb + "\nCNI_CONTAINERID=pod1\nCNI_IFNAME=eth0\nCNI_NETNS=" + w.pod.Path() +
				"\nCNI_PATH=" + folder + "\n"
		}
		equal(t, "environment", read(t, filepath.Join(folder, "dhcp.environment")), environment("ADD", c.args))
		c.verb, c.conf = "CHECK", withPrevious(conf, answer.stdout)
		w.run(c).silent()
		equal(t, "environment", read(t, filepath.Join(folder, "dhcp.environment")), environment("CHECK", c.args))
		c.verb = "DEL"
		w.run(c).silent()
		equal(t, "stdin", read(t, notes+".DEL"), text(c.conf))
		equal(t, "environment", read(t, filepath.Join(folder, "dhcp.environment")), environment("DEL", c.args))
	})
	t.Run("S-069 S-080 S-094 S-118 the delegate is asked with every verb", func(t *testing.T) {
		w := newWorld(t)
		folder, notes := spy(w, "spy", oneAddress)
		conf := with(w.podnet("1.1.0"), "ipam", object{"type": "spy"})
		run := func(verb string, conf object) answer {
			return w.run(call{verb: verb, conf: conf, path: folder, program: find(t, "podlan", ours)})
		}
		raw := run("ADD", conf).ok().stdout
		run("STATUS", conf).silent()
		run("CHECK", withPrevious(conf, raw)).silent()
		run("GC", with(conf, "cni.dev/valid-attachments", []any{object{"containerID": "pod1", "ifname": "eth0"}})).silent()
		run("CHECK", withPrevious(conf, raw)).silent()
		run("DEL", withPrevious(conf, raw)).silent()
		verbs := []string{}
		for _, line := range strings.Split(strings.TrimSpace(read(t, notes)), "\n") {
			verbs = append(verbs, strings.Fields(line)[0])
		}
		equal(t, "verbs", strings.Join(verbs, " "), "ADD STATUS CHECK GC CHECK DEL")
	})
	t.Run("S-069 S-080 S-094 S-118 the delegate's error of any verb is podlan's error", func(t *testing.T) {
		w := newWorld(t)
		folder, _ := spy(w, "spy", oneAddress)
		broken, _ := spy(w, "spy", `echo '{"cniVersion":"1.1.0","code":123,"msg":"no luck","details":"today"}'; exit 1`)
		conf := with(w.podnet("1.1.0"), "ipam", object{"type": "spy"})
		raw := w.run(call{conf: conf, path: folder, program: find(t, "podlan", ours)}).ok().stdout
		for verb, conf := range map[string]object{"STATUS": conf, "CHECK": withPrevious(conf, raw), "DEL": conf,
			"GC": with(conf, "cni.dev/valid-attachments", []any{})} {
			w.run(call{verb: verb, conf: conf, path: broken, program: find(t, "podlan", ours)}).fails(123, "no luck", "today")
		}
	})
}

func delegateFailures(t *testing.T) {
	t.Run("S-093 GC removes every link though the delegate fails, and tells of it", func(t *testing.T) {
		w := newWorld(t)
		folder, _ := spy(w, "spy", oneAddress)
		broken, _ := spy(w, "spy", `echo '{"cniVersion":"1.1.0","code":123,"msg":"no luck"}'; exit 1`)
		conf := with(w.podnet("1.1.0"), "ipam", object{"type": "spy"})
		before := w.links(w.node)
		w.run(call{conf: conf, path: folder, program: find(t, "podlan", ours)}).ok()
		all := with(conf, "cni.dev/valid-attachments", []any{})
		w.run(call{verb: "GC", conf: all, path: broken, program: find(t, "podlan", ours)}).fails(123, "no luck")
		equal(t, "links", w.links(w.node), before)
		w.run(call{verb: "GC", conf: all, path: folder, program: find(t, "podlan", ours)}).silent()
	})
	fails := func(t *testing.T, script string, code uint, words ...string) string {
		w := newWorld(t)
		folder, notes := spy(w, "spy", script)
		before := w.links(w.node)
		conf := with(w.podnet("1.0.0"), "ipam", object{"type": "spy"})
		w.run(call{conf: conf, path: folder, program: find(t, "podlan", ours)}).fails(code, words...)
		equal(t, "links", w.links(w.node), before)
		return strings.Join(strings.Fields(read(t, notes)), " ")
	}
	t.Run("S-119 S-050 a delegate that fails to ADD is asked to DEL", func(t *testing.T) {
		said := fails(t, `[ "$CNI_COMMAND" = DEL ] || { echo '{"code":11,"msg":"later"}'; exit 1; }`, 11, "later")
		equal(t, "a DEL", strings.Contains(said, " DEL pod1 eth0"), true)
	})
	t.Run("S-119 an ADD that fails after the delegate gives the address back", func(t *testing.T) {
		w := newWorld(t)
		folder, notes := spy(w, "spy", `[ "$CNI_COMMAND" != ADD ] || echo '{"ips":[{"address":"10.1.2.9/24"}],"routes":[{"dst":"1.2.3.0/24","gw":"9.9.9.9"}]}'`)
		conf := with(w.podnet("1.0.0"), "ipam", object{"type": "spy"})
		w.run(call{conf: conf, path: folder, program: find(t, "podlan", ours)}).fails(7, "9.9.9.9")
		equal(t, "calls", strings.Count(read(t, notes), "\n"), 2)
	})
	t.Run("S-125 an answer without an address is an error", func(t *testing.T) {
		said := fails(t, `[ "$CNI_COMMAND" = DEL ] || echo '{"cniVersion":"1.0.0"}'`, 7, "IPAM plugin returned missing IP config")
		equal(t, "a DEL", strings.Contains(said, "DEL"), true)
	})
	t.Run("S-125 an answer that is none", func(t *testing.T) {
		fails(t, `[ "$CNI_COMMAND" = DEL ] || echo nonsense`, 6, "spy")
		fails(t, `exit 3`, 999, "spy")
	})
	t.Run("S-008 S-013 S-115 a delegate is a file of CNI_PATH, and its name no path", func(t *testing.T) {
		w := newWorld(t)
		folder, _ := spy(w, "spy", oneAddress)
		for _, kind := range []string{"../spy", "/bin/sh", "a/b", `a\b`, "not-there"} {
			conf := with(w.podnet("1.0.0"), "ipam", object{"type": kind})
			w.run(call{conf: conf, path: folder, program: find(t, "podlan", ours)}).fails(7, "ipam.type")
		}
		check(t, os.Mkdir(filepath.Join(folder, "folder"), 0o755))
		conf := with(w.podnet("1.0.0"), "ipam", object{"type": "folder"})
		w.run(call{conf: conf, path: folder, program: find(t, "podlan", ours)}).fails(7, "folder")
		// The first folder of the list that has it is used, a missing one is skipped.
		conf = with(w.podnet("1.0.0"), "ipam", object{"type": "spy"})
		w.run(call{conf: conf, path: "/nowhere:" + folder, program: find(t, "podlan", ours)}).ok()
	})
	t.Run("D-03 S-028 CNI_PATH is needed for a delegate alone", func(t *testing.T) {
		w := newWorld(t)
		program := find(t, "podlan", ours)
		w.run(call{conf: w.podnet("1.0.0", "10.1.2.0/24"), program: program, unset: []string{"CNI_PATH"}}).ok()
		conf := with(w.podnet("1.0.0"), "ipam", object{"type": "host-local"})
		answer := w.run(call{ifname: "net1", conf: conf, program: program, unset: []string{"CNI_PATH"}})
		answer.fails(7, "host-local")
	})
}
