package harness

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// The programs that implement CNI: both must follow the dispatcher's rules.
var programs = []string{"podlan", "podlan-ipam"}

// The behaviour of the reference's dispatcher for an environment and a stdin, of both programs.
func TestSkel(t *testing.T) {
	for _, program := range programs {
		t.Run(program, func(t *testing.T) {
			w := newWorld(t)
			conf := w.podnet("1.1.0", "10.1.2.0/24")
			run := func(t *testing.T, c call) answer {
				c.program = program
				answer := (&world{t, w.node, w.pod, w.data}).run(c)
				return answer
			}
			environmentCases(t, run, conf, program)
			inputCases(t, run, conf)
		})
	}
}

func environmentCases(t *testing.T, run func(*testing.T, call) answer, conf object, program string) {
	t.Run("H-001 S-020 without CNI_COMMAND it tells what it is", func(t *testing.T) {
		answer := run(t, call{unset: []string{"CNI_COMMAND"}, conf: conf})
		answer.silent()
		versions := strings.Join(testutils.AllSpecVersions[:], ", ")
		if !strings.Contains(answer.stderr, "CNI "+program+" plugin ") || !strings.Contains(answer.stderr, versions) {
			t.Fatal(answer.stderr)
		}
	})
	t.Run("H-002 S-019 E-01 an unknown verb is named", func(t *testing.T) {
		for _, verb := range []string{"NOPE", "add", " ADD"} {
			run(t, call{verb: verb, conf: conf}).fails(types.ErrInvalidEnvironmentVariables, "unknown CNI_COMMAND: "+verb)
		}
	})
	t.Run("H-003 S-030 S-166 all missing variables are named at once", func(t *testing.T) {
		all := []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"}
		run(t, call{unset: all, conf: conf}).fails(4, "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME", "missing")
	})
	t.Run("H-004 S-027 S-029 what ADD and CHECK need", func(t *testing.T) {
		for _, verb := range []string{"ADD", "CHECK"} {
			for _, name := range []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"} {
				run(t, call{verb: verb, unset: []string{name}, conf: conf}).fails(4, name)
				run(t, call{verb: verb, set: []string{name + "="}, conf: conf}).fails(4, name)
			}
		}
	})
	t.Run("H-005 S-028 S-059 what DEL needs", func(t *testing.T) {
		run(t, call{verb: "DEL", unset: []string{"CNI_NETNS", "CNI_ARGS", "CNI_PATH"}, conf: conf}).silent()
		for _, name := range []string{"CNI_CONTAINERID", "CNI_IFNAME"} {
			run(t, call{verb: "DEL", unset: []string{name}, conf: conf}).fails(4, name)
		}
	})
	t.Run("H-006 S-031 S-095 GC and STATUS need no attachment", func(t *testing.T) {
		attachment := []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"}
		empty := []string{"CNI_CONTAINERID=", "CNI_NETNS=", "CNI_IFNAME=", "CNI_ARGS="}
		for verb, conf := range map[string]object{"GC": with(conf, "cni.dev/valid-attachments", []any{}), "STATUS": conf} {
			run(t, call{verb: verb, unset: attachment, conf: conf}).silent()
			run(t, call{verb: verb, set: empty, conf: conf}).silent()
		}
	})
	t.Run("H-007 S-085 S-086 S-158 E-74 VERSION answers to any stdin", func(t *testing.T) {
		for _, stdin := range []string{"", "garbage", `{"cniVersion":"1.0.0"}`, `{"cniVersion":"2.0.0"}`, `{"cniVersion":5}`} {
			said := run(t, call{verb: "VERSION", unset: []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}, stdin: stdin})
			var versions map[string]json.RawMessage
			check(t, json.Unmarshal([]byte(said.ok().stdout), &versions))
			equal(t, "keys", len(versions), 2)
			equal(t, "versions", string(versions["supportedVersions"]), text(testutils.AllSpecVersions))
		}
	})
	t.Run("H-008 H-009 H-072 S-021 a container id is of safe characters", func(t *testing.T) {
		for _, id := range []string{"some-%%container-id", "../x", "-x", ".x", "a/b", "a b", "é", " x", "x\n"} {
			problem := run(t, call{id: id, conf: conf}).fails(4, "invalid characters in containerID")
			equal(t, "details", problem.Details, id)
		}
		run(t, call{verb: "DEL", id: "A0_.-z", conf: conf}).silent()
	})
	t.Run("H-010 H-011 H-012 H-013 H-014 H-015 S-024 an interface name is one that the kernel takes", func(t *testing.T) {
		for ifname, words := range map[string]string{
			"1234567890123456": "interface name is too long", ".": "interface name is . or ..", "..": "interface name is . or ..",
			"test/test":      "interface name contains / or : or whitespace characters",
			"test:test":      "interface name contains / or : or whitespace characters",
			"test test":      "interface name contains / or : or whitespace characters",
			"test\ttest":     "interface name contains / or : or whitespace characters",
			"test\u00a0test": "interface name contains / or : or whitespace characters",
		} {
			run(t, call{ifname: ifname, conf: conf}).fails(4, words)
		}
		run(t, call{verb: "DEL", ifname: "123456789012345", conf: conf}).silent()
	})
	t.Run("H-016 S-039 S-167 an unreadable stdin is an input error", func(t *testing.T) {
		folder, err := os.Open(t.TempDir())
		check(t, err)
		defer folder.Close()
		w := newWorld(t)
		command := exec.Command(find(t, program, ours))
		command.Env, command.Stdin = w.environment(call{}), folder
		stdout, err := command.Output()
		if err == nil {
			t.Fatal("it succeeded")
		}
		answer{t: t, code: 1, stdout: string(stdout)}.fails(5, "error reading from stdin")
	})
	t.Run("H-028 D-14 S-032 CNI_NETNS_OVERRIDE and tracing variables change nothing", func(t *testing.T) {
		for _, set := range []string{"CNI_NETNS_OVERRIDE=1", "CNI_NETNS_OVERRIDE=TRUE", "TRACEPARENT=00-x", "BAGGAGE=a=b"} {
			run(t, call{verb: "DEL", set: []string{set}, conf: conf}).silent()
			run(t, call{netns: "/nowhere", set: []string{set}, conf: with(conf, "cniVersion", "9.9.9")}).fails(1)
		}
	})
}

func inputCases(t *testing.T, run func(*testing.T, call) answer, conf object) {
	t.Run("H-017 H-027 S-038 S-162 what is not one JSON object is refused", func(t *testing.T) {
		whole := text(conf)
		for _, stdin := range []string{"garbage", "", whole[:40], "[]", whole + "x", whole + whole, "\ufeff" + whole} {
			run(t, call{stdin: stdin}).fails(6)
		}
	})
	t.Run("H-018 S-109 S-169 a network has a name", func(t *testing.T) {
		for _, stdin := range []string{"{}", `{"cniVersion":"1.1.0"}`, `{"cniVersion":"1.1.0","name":""}`} {
			run(t, call{stdin: stdin}).fails(7, "missing network name")
		}
	})
	t.Run("H-019 S-004 a network's name is of safe characters", func(t *testing.T) {
		for _, name := range []string{"te%%st", "a/b", "-a", "..", "a b"} {
			problem := run(t, call{conf: with(conf, "name", name)}).fails(7, "invalid characters found in network name")
			equal(t, "details", problem.Details, name)
		}
		run(t, call{conf: with(conf, "name", 5)}).fails(6)
	})
	t.Run("H-020 S-163 E-11 an unknown version is told with those that are known", func(t *testing.T) {
		for _, verb := range []string{"ADD", "DEL", "CHECK", "GC", "STATUS"} {
			run(t, call{verb: verb, conf: with(conf, "cniVersion", "9.9.9")}).
				fails(1, "incompatible CNI versions", `config is "9.9.9"`, "0.1.0", "1.1.0")
		}
	})
	t.Run("H-022 S-041 S-168 a version is a string", func(t *testing.T) {
		run(t, call{conf: with(conf, "cniVersion", 1.0)}).fails(6)
	})
	t.Run("H-023 S-071 CHECK came with 0.4.0", func(t *testing.T) {
		for _, version := range []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1"} {
			run(t, call{verb: "CHECK", conf: with(conf, "cniVersion", version)}).fails(1, "config version does not allow CHECK")
		}
	})
	t.Run("H-024 S-081 S-100 GC and STATUS came with 1.1.0", func(t *testing.T) {
		for _, verb := range []string{"GC", "STATUS"} {
			for _, version := range []string{"0.4.0", "1.0.0"} {
				run(t, call{verb: verb, conf: with(conf, "cniVersion", version)}).
					fails(1, "config version does not allow "+verb)
			}
		}
	})
	t.Run("H-025 a version that is none", func(t *testing.T) {
		for verb, code := range map[string]uint{"CHECK": 6, "GC": 6, "STATUS": 6, "ADD": 1, "DEL": 1} {
			run(t, call{verb: verb, conf: with(conf, "cniVersion", "adsfsadf")}).fails(code)
		}
	})
	t.Run("S-160 D-05 an error says in which version it is told", func(t *testing.T) {
		for _, version := range testutils.AllSpecVersions {
			said := run(t, call{netns: "/nowhere", ifname: "a/b", conf: with(conf, "cniVersion", version)})
			said.fails(4)
			var problem map[string]json.RawMessage
			check(t, json.Unmarshal([]byte(said.stdout), &problem))
			if _, told := problem["cniVersion"]; !told {
				t.Fatal(said.stdout)
			}
		}
	})
	t.Run("D-01 S-036 S-037 S-173 errors go to stdout, not to stderr", func(t *testing.T) {
		said := run(t, call{stdin: "garbage"})
		said.fails(6)
		equal(t, "stderr", said.stderr, "")
	})
}
