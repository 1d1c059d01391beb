package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// height is the one that C2SP tlog-tiles fixes; it does not stand in the paths.
const height = 8

// tiles reads an export for package tlog. The adapter: C2SP's path is the checksum database's without the height,
// tile/<L>/<N>[.p/<W>] instead of tile/8/<L>/<N>[.p/<W>], and where a partial tile is gone the full one serves.
type tiles struct {
	dir  string
	read map[tlog.Tile][]byte
}

func (t *tiles) Height() int { return height }

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, tile := range wanted {
		if _, known := t.read[tile]; !known {
			content, err := t.file(tile, "tile/"+strconv.Itoa(height)+"/", "tile/")
			if err != nil {
				return nil, err
			}
			// Exactly so many in a file of its own width; the start of a full one.
			if want := tile.W * tlog.HashSize; len(content) < want {
				return nil, fmt.Errorf("%v has %d bytes, not %d", tile, len(content), want)
			} else {
				t.read[tile] = content[:want]
			}
		}
		data[i] = t.read[tile]
	}
	return data, nil
}

func (t *tiles) file(tile tlog.Tile, prefix, ours string) ([]byte, error) {
	path := strings.Replace(tile.Path(), prefix, ours, 1)
	content, err := os.ReadFile(filepath.Join(t.dir, path))
	if errors.Is(err, fs.ErrNotExist) && tile.W < 1<<height {
		tile.W = 1 << height
		path = strings.Replace(tile.Path(), prefix, ours, 1)
		content, err = os.ReadFile(filepath.Join(t.dir, path))
	}
	return content, err
}

// entries reads one bundle: each entry behind its length in two bytes.
func (t *tiles) entries(n int64, width int) ([][]byte, error) {
	bundle, err := t.file(tlog.Tile{H: height, L: -1, N: n, W: width},
		"tile/"+strconv.Itoa(height)+"/data/", "tile/entries/")
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return nil, fmt.Errorf("bundle %d ends in half a length", n)
		}
		length := int(binary.BigEndian.Uint16(bundle))
		if bundle = bundle[2:]; len(bundle) < length {
			return nil, fmt.Errorf("bundle %d ends in half an entry", n)
		}
		found, bundle = append(found, bundle[:length]), bundle[length:]
	}
	if len(found) != width && len(found) != 1<<height {
		return nil, fmt.Errorf("bundle %d has %d entries, not %d", n, len(found), width)
	}
	return found, nil
}

func open(dir string, keys []note.Verifier) (tlog.Tree, tlog.HashReader, *tiles, error) {
	message, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return tlog.Tree{}, nil, nil, err
	}
	tree, _, err := readCheckpoint(message, keys)
	if err != nil {
		return tree, nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	files := &tiles{dir: dir, read: map[tlog.Tile][]byte{}}
	return tree, tlog.TileHashReader(tree, files), files, nil
}

func sumdb(dir string, keys []note.Verifier) error {
	tree, hashes, files, err := open(dir, keys)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the tiles give root %v, the checkpoint says %v", root, tree.Hash)
	}
	for n := int64(0); n<<height < tree.N; n++ {
		width := int(min(tree.N-n<<height, 1<<height))
		found, err := files.entries(n, width)
		if err != nil {
			return err
		}
		for i, entry := range found[:width] {
			index := n<<height + int64(i)
			path, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return fmt.Errorf("record %d: %w", index, err)
			}
			if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("record %d is not in the tree: %w", index, err)
			}
		}
	}
	fmt.Printf("accepted: %d records, root %v\n", tree.N, tree.Hash)
	return nil
}

func consistency(dir string, keys []note.Verifier, older string) error {
	tree, hashes, _, err := open(dir, keys)
	if err != nil {
		return err
	}
	message, err := os.ReadFile(older)
	if err != nil {
		return err
	}
	before, _, err := readCheckpoint(message, keys)
	if err != nil {
		return fmt.Errorf("%s: %w", older, err)
	}
	path, err := tlog.ProveTree(tree.N, before.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(path, tree.N, tree.Hash, before.N, before.Hash); err != nil {
		return err
	}
	fmt.Printf("accepted: %d records extend %d\n", tree.N, before.N)
	return nil
}

// proof reads a C2SP tlog-proof: a version line, "extra <base64>" if there is one, "index <N>", the hashes from the
// leaf up, a blank line, the checkpoint.
func proof(path string, keys []note.Verifier, leaf string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	body, err := os.ReadFile(leaf)
	if err != nil {
		return err
	}
	head, message, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return errors.New("no blank line before the checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("%q is no version of tlog-proof", lines[0])
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if _, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[0], "extra ")); err != nil {
			return fmt.Errorf("extra: %w", err)
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	var hashes tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		hashes = append(hashes, hash)
	}
	tree, _, err := readCheckpoint(message, keys)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(body)); err != nil {
		return err
	}
	fmt.Printf("accepted: record %d of %d\n", index, tree.N)
	return nil
}
