// Package harness tests the built plugins with the reference implementation of CNI: its test library runs them as
// external programs, its types parse their output, its runtimes call them, its plugins run before, after and below
// them. It has the cases that need Go; all others are Rust tests beside it.
//
// It runs inside `podlan-lab enter` (see ./run): root of namespaces of its own, /run its own.
package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

type object = map[string]any

// The folders of the programs: those under test, the newest reference plugins, Debian's.
var (
	ours      = os.Getenv("PODLAN_BIN_DIR")
	reference = os.Getenv("PODLAN_REFERENCE_DIR")
)

const debian = "/usr/lib/cni"

// The node's own addresses, at which a pod sees it.
const (
	nodeV4 = "172.31.0.1"
	nodeV6 = "fd31::1"
)

// CNI_PATH of most calls.
func searchPath() string { return ours + ":" + reference }

func TestMain(m *testing.M) {
	if ours == "" || reference == "" || os.Getenv("PODLAN_LAB") == "" {
		fmt.Fprintln(os.Stderr, "run this by conformance/harness/run: it needs a lab and the built plugins")
		os.Exit(1)
	}
	os.Unsetenv("XDG_RUNTIME_DIR")
	// Temp files are in the lab's own /run: they disappear with the lab, and no mistake here touches the machine's.
	os.Setenv("TMPDIR", "/run/tmp")
	if err := os.MkdirAll("/run/tmp", 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("PATH", searchPath()+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	os.Exit(m.Run())
}

// world is a node without a runtime: its network namespace, one pod's, and a folder for state.
type world struct {
	t    *testing.T
	node ns.NetNS
	pod  ns.NetNS
	data string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, data: filepath.Join(t.TempDir(), "leases")}
	w.node, w.pod = w.netns(), w.netns()
	w.on(w.node, func() {
		check(t, netlink.LinkSetUp(link(t, "lo")))
		w.address("lo", nodeV4+"/32")
		w.address("lo", nodeV6+"/128")
	})
	return w
}

// address gives a link of this thread's namespace one more address.
func (w *world) address(name, address string) {
	w.t.Helper()
	parsed, err := netlink.ParseAddr(address)
	check(w.t, err)
	parsed.Flags = unix.IFA_F_NODAD
	check(w.t, netlink.AddrAdd(link(w.t, name), parsed))
}

// netns makes one more network namespace, removed after the test.
func (w *world) netns() ns.NetNS {
	w.t.Helper()
	made, err := testutils.NewNS()
	check(w.t, err)
	w.t.Cleanup(func() {
		made.Close()
		testutils.UnmountNS(made)
	})
	return made
}

// on runs f on a thread that is in the namespace.
func (w *world) on(where ns.NetNS, f func()) {
	w.t.Helper()
	check(w.t, where.Do(func(ns.NetNS) error { f(); return nil }))
}

// podnet is a config of podlan with one range set for each subnet.
func (w *world) podnet(version string, subnets ...string) object {
	return object{"cniVersion": version, "name": "podnet", "type": "podlan", "ipam": w.ipam(subnets...)}
}

func (w *world) ipam(subnets ...string) object {
	sets := []any{}
	for _, subnet := range subnets {
		sets = append(sets, []any{object{"subnet": subnet}})
	}
	return object{"type": "podlan-ipam", "ranges": sets, "dataDir": w.data}
}

// call is one execution of a plugin, as a runtime does it. The zero value of a field leaves its default.
type call struct {
	program string
	verb    string
	id      string
	netns   string
	ifname  string
	args    string
	conf    object
	stdin   string
	path    string
	unset   []string
	set     []string
	where   ns.NetNS
}

type answer struct {
	t              *testing.T
	code           int
	stdout, stderr string
}

func (w *world) environment(c call) []string {
	variables := object{
		"CNI_COMMAND": or(c.verb, "ADD"), "CNI_CONTAINERID": or(c.id, "pod1"), "CNI_NETNS": or(c.netns, w.pod.Path()),
		"CNI_IFNAME": or(c.ifname, "eth0"), "CNI_ARGS": c.args, "CNI_PATH": or(c.path, searchPath()),
	}
	for _, name := range c.unset {
		delete(variables, name)
	}
	environment := []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range variables {
		environment = append(environment, fmt.Sprintf("%s=%s", name, value))
	}
	return append(environment, c.set...)
}

// run executes a plugin directly, without a library.
func (w *world) run(c call) answer {
	w.t.Helper()
	program := or(c.program, "podlan")
	if !strings.Contains(program, "/") {
		program = find(w.t, program, or(c.path, searchPath()))
	}
	command := exec.Command(program)
	command.Env = w.environment(c)
	stdin := c.stdin
	if c.conf != nil {
		stdin = text(c.conf)
	}
	command.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	where := c.where
	if where == nil {
		where = w.node
	}
	var failed error
	w.on(where, func() { failed = command.Run() })
	if failed != nil && command.ProcessState == nil {
		w.t.Fatal(failed)
	}
	return answer{w.t, command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok requires success; only ADD and VERSION may print something.
func (a answer) ok() answer {
	a.t.Helper()
	if a.code != 0 {
		a.t.Fatalf("it failed: exit %d, stdout %s, stderr %s", a.code, a.stdout, a.stderr)
	}
	return a
}

// silent requires success without any output on stdout.
func (a answer) silent() {
	a.t.Helper()
	if a.ok(); a.stdout != "" {
		a.t.Fatalf("it should have been silent: %s", a.stdout)
	}
}

// fails requires exit code 1 and one error object with this code, whose text has all the words.
func (a answer) fails(code uint, words ...string) *types.Error {
	a.t.Helper()
	problem := &types.Error{}
	decoder := json.NewDecoder(strings.NewReader(a.stdout))
	if err := decoder.Decode(problem); err != nil || a.code == 0 {
		a.t.Fatalf("it should have failed with an error object: exit %d, stdout %q, stderr %q", a.code, a.stdout, a.stderr)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		a.t.Fatalf("more than one object on stdout: %s", a.stdout)
	}
	isError(a.t, problem, code, words...)
	return problem
}

func isError(t *testing.T, err error, code uint, words ...string) {
	t.Helper()
	var problem *types.Error
	if !errors.As(err, &problem) {
		t.Fatalf("no CNI error: %v", err)
	}
	said := problem.Msg + "; " + problem.Details
	if problem.Code != code {
		t.Fatalf("code %d, want %d: %s", problem.Code, code, said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Fatalf("the error does not say %q: %s", word, said)
		}
	}
}

// result reads what ADD printed, in the shape of 1.1.0.
func (a answer) result() *current.Result {
	a.t.Helper()
	return readResult(a.t, a.ok().stdout)
}

func readResult(t *testing.T, raw string) *current.Result {
	t.Helper()
	read, err := newResult([]byte(raw))
	check(t, err)
	result, err := current.NewResultFromResult(read)
	check(t, err)
	return result
}

// external is the function that testutils.Cmd* calls in place of a plugin's own: it executes the program.
func external(w *world, c call) func() error {
	return func() error {
		command := exec.Command(find(w.t, or(c.program, "podlan"), searchPath()))
		command.Env = append(os.Environ(), "CNI_PATH="+searchPath(), "CNI_ARGS="+c.args)
		command.Stdin = strings.NewReader(text(c.conf))
		var stdout, stderr bytes.Buffer
		command.Stdout, command.Stderr = &stdout, &stderr
		if err := command.Run(); err != nil {
			problem := &types.Error{}
			if json.Unmarshal(stdout.Bytes(), problem) == nil {
				return problem
			}
			return fmt.Errorf("%w: stdout %q, stderr %q", err, stdout.String(), stderr.String())
		}
		_, err := os.Stdout.Write(stdout.Bytes())
		return err
	}
}

// cmdAdd is ADD by the harness: what it prints must parse in the config's own version.
func (w *world) cmdAdd(c call) (result types.Result, raw []byte, err error) {
	w.t.Helper()
	w.on(w.node, func() {
		result, raw, err = testutils.CmdAdd(or(c.netns, w.pod.Path()), or(c.id, "dummy"), or(c.ifname, "eth0"),
			[]byte(text(c.conf)), external(w, c))
	})
	return result, raw, err
}

func (w *world) cmdDel(c call) (err error) {
	w.t.Helper()
	w.on(w.node, func() {
		err = testutils.CmdDel(or(c.netns, w.pod.Path()), or(c.id, "dummy"), or(c.ifname, "eth0"), external(w, c))
	})
	return err
}

func (w *world) cmdCheck(c call) (err error) {
	w.t.Helper()
	w.on(w.node, func() {
		err = testutils.CmdCheck(or(c.netns, w.pod.Path()), or(c.id, "dummy"), or(c.ifname, "eth0"), external(w, c))
	})
	return err
}

// holds reports whether the attachment has a lease, by calling the IPAM plugin as its own caller does.
func (w *world) holds(id, ifname string) bool {
	w.t.Helper()
	conf := object{"cniVersion": "1.1.0", "name": "podnet", "type": "podlan", "ipam": w.ipam("10.1.2.0/24")}
	return w.run(call{program: "podlan-ipam", verb: "CHECK", id: id, ifname: ifname, conf: conf}).code == 0
}

// links counts the links of a namespace.
func (w *world) links(where ns.NetNS) (count int) {
	w.t.Helper()
	w.on(where, func() {
		all, err := netlink.LinkList()
		check(w.t, err)
		count = len(all)
	})
	return count
}

// routes counts the routes of the main table of a namespace, without those that the kernel derives from addresses.
func (w *world) routes(where ns.NetNS) (count int) {
	w.t.Helper()
	w.on(where, func() {
		all, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
		check(w.t, err)
		for _, route := range all {
			if route.Protocol != unix.RTPROT_KERNEL {
				count++
			}
		}
	})
	return count
}

// withPrevious is a config with the result of an ADD, as a runtime passes it to CHECK and DEL.
func withPrevious(conf object, raw string) object {
	return with(conf, "prevResult", json.RawMessage(raw))
}

// with is a copy of an object with one more key.
func with(of object, key string, value any) object {
	copied := object{}
	for name, old := range of {
		copied[name] = old
	}
	copied[key] = value
	return copied
}

// ping pings address from within a namespace until it answers.
func (w *world) ping(where ns.NetNS, address string) {
	w.t.Helper()
	w.on(where, func() {
		if output, err := exec.Command(filepath.Join(ours, "podlan-lab"), "ping", address).CombinedOutput(); err != nil {
			w.t.Fatalf("%s does not answer: %s", address, output)
		}
	})
}

// echo serves TCP and UDP in a namespace: it answers with the address that it saw.
func (w *world) echo(where ns.NetNS, port int) {
	w.t.Helper()
	w.on(where, func() {
		listener, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		check(w.t, err)
		packets, err := net.ListenPacket("udp", fmt.Sprintf("[::]:%d", port))
		check(w.t, err)
		w.t.Cleanup(func() { listener.Close(); packets.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer connection.Close()
					io.WriteString(connection, connection.RemoteAddr().String())
				}()
			}
		}()
		go func() {
			buffer := make([]byte, 1500)
			for {
				_, from, err := packets.ReadFrom(buffer)
				if err != nil {
					return
				}
				packets.WriteTo([]byte(from.String()), from)
			}
		}()
	})
}

// ask sends to an echo server from a namespace and returns the address that the server saw, or an error by a deadline.
func (w *world) ask(where ns.NetNS, network, address string) (seen string, err error) {
	w.t.Helper()
	return w.askFrom(where, network, "", address)
}

// askFrom is ask with a source address; none leaves the choice to the kernel.
func (w *world) askFrom(where ns.NetNS, network, own, address string) (seen string, err error) {
	w.t.Helper()
	dialer := net.Dialer{Timeout: 2 * time.Second}
	if source := net.ParseIP(own); source != nil {
		dialer.LocalAddr = map[string]net.Addr{"tcp": &net.TCPAddr{IP: source}, "udp": &net.UDPAddr{IP: source}}[network]
	}
	w.on(where, func() {
		var connection net.Conn
		if connection, err = dialer.Dial(network, address); err != nil {
			return
		}
		defer connection.Close()
		connection.SetDeadline(time.Now().Add(2 * time.Second))
		if network == "udp" {
			io.WriteString(connection, "who am I")
		}
		buffer := make([]byte, 200)
		var count int
		if count, err = connection.Read(buffer); err == nil {
			seen, _, err = net.SplitHostPort(string(buffer[:count]))
		}
	})
	return strings.TrimPrefix(seen, "::ffff:"), err
}

// wire joins two namespaces: the node gets eth9 with the first addresses, the other one eth9 with the second.
func (w *world) wire(other ns.NetNS, addresses, others []string) {
	w.t.Helper()
	w.on(w.node, func() {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth9"}, PeerName: "eth9",
			PeerNamespace: netlink.NsFd(int(other.Fd()))}
		check(w.t, netlink.LinkAdd(pair))
	})
	end := func(where ns.NetNS, addresses []string) {
		w.on(where, func() {
			check(w.t, netlink.LinkSetUp(link(w.t, "lo")))
			check(w.t, netlink.LinkSetUp(link(w.t, "eth9")))
			for _, address := range addresses {
				w.address("eth9", address)
			}
		})
	}
	end(w.node, addresses)
	end(other, others)
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	found, err := netlink.LinkByName(name)
	check(t, err)
	return found
}

func find(t *testing.T, program, path string) string {
	t.Helper()
	for _, folder := range strings.Split(path, ":") {
		if candidate := filepath.Join(folder, program); isFile(candidate) {
			return candidate
		}
	}
	t.Fatalf("%s is not in %s", program, path)
	return ""
}

func isFile(path string) bool {
	found, err := os.Stat(path)
	return err == nil && found.Mode().IsRegular()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func text(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
