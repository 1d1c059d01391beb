// kstatus reads objects, a JSON list of them, from stdin, and prints what kstatus says of each: one word a line. Flux, Helm 4 and
// kpt decide by it whether to go on waiting.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	var objects []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		fail(err)
	}
	for _, raw := range objects {
		object := &unstructured.Unstructured{}
		// As a client reads it, with whole numbers as such.
		if err := object.UnmarshalJSON(raw); err != nil {
			fail(err)
		}
		said, err := status.Compute(object)
		if err != nil {
			fail(err)
		}
		fmt.Println(said.Status)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "kstatus: error:", err)
	os.Exit(1)
}
