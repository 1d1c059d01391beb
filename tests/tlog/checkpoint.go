package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// readKeys reads verifier keys, one a line.
func readKeys(path string) ([]note.Verifier, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys []note.Verifier
	for _, line := range strings.Fields(string(text)) {
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// readCheckpoint verifies a signed note and reads the C2SP checkpoint in it: origin, size and root, one a line.
func readCheckpoint(message []byte, keys []note.Verifier) (tlog.Tree, note.Verifier, error) {
	var tree tlog.Tree
	opened, err := note.Open(message, note.VerifierList(keys...))
	if err != nil {
		return tree, nil, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 {
		return tree, nil, fmt.Errorf("a checkpoint of %d lines", len(lines))
	}
	// The log signs under its own name; a cosignature alone does not make a checkpoint its.
	var signer note.Verifier
	for _, key := range keys {
		for _, signature := range opened.Sigs {
			if key.Name() == lines[0] && signature.Name == key.Name() && signature.Hash == key.KeyHash() {
				signer = key
			}
		}
	}
	if signer == nil {
		return tree, nil, fmt.Errorf("no signature by the origin %q itself", lines[0])
	}
	tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || tree.N < 0 || strconv.FormatInt(tree.N, 10) != lines[1] {
		return tree, nil, fmt.Errorf("%q is no size", lines[1])
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, signer, err
}
