// Lists calls a list of plugins as a container runtime does: with libcni, its cache of results, the arguments of
// Kubernetes, and one process for all pods. It reads calls, one JSON object a line, and answers each with the time that it
// took.
//
//	lists CONFLIST FOLDER-OF-PLUGINS FOLDER-OF-RESULTS
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"
	"syscall"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// call is one ADD or DEL of one pod.
type call struct {
	Verb         string         `json:"verb"`
	ContainerID  string         `json:"containerID"`
	NetNS        string         `json:"netns"`
	Args         [][2]string    `json:"args"`
	Capabilities map[string]any `json:"capabilities"`
}

// answer has times in milliseconds, the CPU's that of the plugins alone.
type answer struct {
	Wall   float64      `json:"wall"`
	CPU    float64      `json:"cpu"`
	Result types.Result `json:"result,omitempty"`
	Error  string       `json:"error,omitempty"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// used is the CPU time of all plugins that have ended.
func used() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func do(cni libcni.CNI, list *libcni.NetworkConfigList, c call) (a answer) {
	pod := &libcni.RuntimeConf{
		ContainerID: c.ContainerID, NetNS: c.NetNS, IfName: "eth0", Args: c.Args, CapabilityArgs: c.Capabilities,
	}
	var err error
	before, begun := used(), time.Now()
	if c.Verb == "ADD" {
		a.Result, err = cni.AddNetworkList(context.Background(), list, pod)
	} else {
		err = cni.DelNetworkList(context.Background(), list, pod)
	}
	a.Wall = milliseconds(time.Since(begun))
	a.CPU = milliseconds(used() - before)
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: lists CONFLIST FOLDER-OF-PLUGINS FOLDER-OF-RESULTS")
	}
	list, err := libcni.ConfListFromFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{os.Args[2]}, os.Args[3], nil)
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var c call
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(do(cni, list, c)); err != nil {
			log.Fatal(err)
		}
	}
}
