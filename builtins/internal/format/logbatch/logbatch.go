// Package logbatch is the index of one batch of logs: what its files hold, where the
// source stood before and after, what was lost, and the digest of the index before
// it. Batches of a source form a chain: a missing one, or one that was changed, is
// seen by the next.
package logbatch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/neosofia/runner/builtins/internal/format/strictjson"
)

// File is the name of the index in a batch.
const File = "batch.json"

// Limits.
const (
	maxIndex = 4 << 20
	maxParts = 10_000
)

// Kinds of sources.
const (
	Journal = "journal" // systemd's export format
	Lines   = "lines"   // log files
	Tasks   = "tasks"   // Proxmox VE task logs, one JSON object a line
	Ledger  = "ledger"  // runner's entries, one JSON object a line
)

// Index describes a batch.
type Index struct {
	Version int       `json:"version"`
	Source  string    `json:"source"`
	Host    string    `json:"host,omitempty"`
	Kind    string    `json:"kind"`
	Seq     int64     `json:"seq"`  // from 1
	Prev    string    `json:"prev"` // SHA-256 of the index before; "" of the first
	Parts   []Part    `json:"parts"`
	Entries int64     `json:"entries"`
	Bytes   int64     `json:"bytes"` // clear
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Boots   []string  `json:"boots,omitempty"`
	Gaps    []Gap     `json:"gaps,omitempty"`
	After   Position  `json:"after"` // where the next batch begins
}

// Part is one file of a batch: zstd over what the source held.
type Part struct {
	File    string `json:"file"`
	Of      Name   `json:"of"`             // path on the host; "" of what is not a file
	Log     Name   `json:"log,omitempty"`  // the log that it belongs to, also when it was rotated
	From    int64  `json:"from,omitempty"` // offset of the first byte, in the file as it was written
	Entries int64  `json:"entries"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"` // of the clear bytes
}

// Gap is something that is lost.
type Gap struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Position is where a source stands.
type Position struct {
	Cursor string    `json:"cursor,omitempty"` // journal
	Files  Files     `json:"files,omitempty"`  // path -> where its reading stands
	Seq    int64     `json:"seq,omitempty"`    // ledger: the next entry
	Newest time.Time `json:"newest,omitzero"`  // of the newest entry seen
}

// Encode writes the index.
func (x Index) Encode() ([]byte, error) {
	x.Version = 1
	if x.Parts == nil {
		x.Parts = []Part{}
	}
	x.Gaps = slices.Clone(x.Gaps)
	for i, g := range x.Gaps { // they name files of the host, and are printed
		x.Gaps[i] = Gap{shown(g.What), shown(g.Why)}
	}
	b, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	if _, err := Parse(b); err != nil {
		return nil, fmt.Errorf("encode batch: it could not be read again: %w", err)
	}
	return b, nil
}

func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// Digest names an index: what the next one holds as Prev.
func Digest(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

// Parse reads an index and believes nothing in it.
func Parse(b []byte) (*Index, error) {
	x := &Index{}
	if err := strictjson.Decode(b, maxIndex, x); err != nil {
		return nil, fmt.Errorf("parse batch: %w", err)
	}
	return x, x.check()
}

func (x *Index) check() error {
	if x.Version != 1 {
		return fmt.Errorf("parse batch: version %d is not known; this program knows version 1", x.Version)
	}
	switch x.Kind {
	case Journal, Lines, Tasks, Ledger:
	default:
		return fmt.Errorf("parse batch: kind %q is not known", x.Kind)
	}
	if x.Seq < 1 || (x.Seq == 1) != (x.Prev == "") || x.Prev != "" && !isDigest(x.Prev) || len(x.Parts) > maxParts {
		return errors.New("parse batch: its place in the chain cannot be")
	}
	words := []string{x.Source, x.Host}
	for _, g := range x.Gaps {
		words = append(words, g.What, g.Why)
	}
	for _, w := range words {
		if strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("parse batch: %.80q has characters that cannot be shown", w)
		}
	}
	var entries, size int64
	seen := map[string]bool{File: true}
	for _, p := range x.Parts {
		if seen[p.File] || p.File != path.Base(p.File) || strings.HasPrefix(p.File, ".") || !isDigest(p.SHA256) || p.Bytes < 0 ||
			p.Entries < 0 || p.From < 0 || p.Bytes > 1<<50 {
			return fmt.Errorf("parse batch: part %q cannot be", p.File)
		}
		seen[p.File] = true
		entries, size = entries+p.Entries, size+p.Bytes
	}
	if entries != x.Entries || size != x.Bytes {
		return errors.New("parse batch: its parts do not add up")
	}
	return nil
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

// Broken says where a chain is not one. Indexes are in the order of their numbers.
func Broken(chain []*Index, digests []string) error {
	for i := 1; i < len(chain); i++ {
		switch a, b := chain[i-1], chain[i]; {
		case b.Seq == a.Seq:
			return fmt.Errorf("batch %d of %s is there twice", b.Seq, b.Source)
		case b.Seq != a.Seq+1:
			return fmt.Errorf("batches %d to %d of %s are missing", a.Seq+1, b.Seq-1, b.Source)
		case b.Prev != digests[i-1]:
			return fmt.Errorf("batch %d of %s is not the one that batch %d was made after: one of them was changed", a.Seq, b.Source, b.Seq)
		}
	}
	return nil
}
