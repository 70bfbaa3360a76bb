// Convert reads results, one JSON object a line, with the reference's types, and answers each with one line: what it is
// in every version, or null where it cannot be that; or null where it is no result.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
)

var versions = []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

func convert(line []byte) (all []types.Result) {
	// A null among the addresses is more than the types can bear.
	defer func() {
		if recover() != nil {
			all = nil
		}
	}()
	version, err := create.DecodeVersion(line)
	if err != nil {
		return nil
	}
	result, err := create.Create(version, line)
	if err != nil {
		return nil
	}
	all = make([]types.Result, len(versions))
	for i, version := range versions {
		if converted, err := result.GetAsVersion(version); err == nil {
			all[i] = converted
		}
	}
	return all
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for in.Scan() {
		if err := encoder.Encode(convert(in.Bytes())); err != nil {
			// What the types cannot print is no result.
			out.WriteString("null\n")
		}
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
	out.Flush()
}
