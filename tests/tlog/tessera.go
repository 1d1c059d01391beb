package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

func tessera(dir string, keys []note.Verifier) error {
	message, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	_, signer, err := readCheckpoint(message, keys)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	files := client.FileFetcher{Root: dir}
	// A worker ends at the first difference it finds; with too few of them nobody takes what comes after, and it hangs.
	workers := fsck.Opts{N: 1024}
	if err := fsck.New(signer.Name(), signer, files, leaves, workers).Check(context.Background()); err != nil {
		return err
	}
	fmt.Println("accepted")
	return nil
}

func leaves(bundle []byte) ([][]byte, error) {
	var entries api.EntryBundle
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(entries.Entries))
	for _, entry := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}
