// Readers of an exported transparency log that are not ours: the checksum database's (golang.org/x/mod/sumdb) and
// Tessera's. Exit code 0: accepted; 1: refused, with the reason on standard error; 2: usage.
//
//	tlog sumdb DIR KEYS             checkpoint, tree, and every record's inclusion
//	tlog tessera DIR KEYS           the whole export, by Tessera's fsck
//	tlog consistency DIR KEYS FILE  the checkpoint in FILE is of a prefix of the export
//	tlog proof FILE KEYS LEAF       a C2SP tlog-proof for the leaf whose bytes are in LEAF
//
// KEYS is a file with one verifier key a line.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 4 {
		usage()
	}
	command, path, extra := os.Args[1], os.Args[2], ""
	wanted := 4
	if command == "consistency" || command == "proof" {
		wanted = 5
	}
	if len(os.Args) != wanted {
		usage()
	}
	if wanted == 5 {
		extra = os.Args[4]
	}
	keys, err := readKeys(os.Args[3])
	if err == nil {
		switch command {
		case "sumdb":
			err = sumdb(path, keys)
		case "tessera":
			err = tessera(path, keys)
		case "consistency":
			err = consistency(path, keys, extra)
		case "proof":
			err = proof(path, keys, extra)
		default:
			usage()
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "tlog: %s: %v\n", command, err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: tlog sumdb|tessera DIR KEYS | tlog consistency DIR KEYS FILE | tlog proof FILE KEYS LEAF")
	os.Exit(2)
}
