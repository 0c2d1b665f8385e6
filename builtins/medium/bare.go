package medium

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind/guest"

	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/kind"
)

// Bare is a vzdump archive that stands alone, without a manifest: one that
// another tool made, or that was taken off a medium by hand. Nothing says what
// its digest should be; what its format can tell is checked.
type Bare struct{ path string }

// BareArchive returns the archive at path, if that is what it is.
func BareArchive(path string) (*Bare, bool) {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() || !archive.Known(filepath.Base(path)) {
		return nil, false
	}
	return &Bare{path}, true
}

// Checked is what a bare archive came to.
type Checked struct {
	Format  string            `json:"format"`
	SHA256  string            `json:"sha256"` // of the file
	Bytes   int64             `json:"bytes"`  // clear
	Entries int64             `json:"entries,omitempty"`
	Disks   map[string]int64  `json:"disks,omitempty"`   // device -> bytes
	Configs map[string]string `json:"configs,omitempty"` // name -> SHA-256
}

// Check opens the archive completely.
func (b *Bare) Check(ctx context.Context) (Checked, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return Checked{}, err
	}
	defer f.Close()
	h := sha256.New()
	r := io.TeeReader(f, h)
	rep, err := archive.Check(ctx, filepath.Base(b.path), r)
	if err != nil {
		return Checked{}, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return Checked{}, err
	}
	out := Checked{Format: rep.Format, SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: rep.Bytes, Entries: rep.Entries,
		Disks: map[string]int64{}, Configs: map[string]string{}}
	for _, d := range rep.Devices {
		out.Disks[d.Name] = d.Size
	}
	for _, c := range rep.Configs {
		sum := sha256.Sum256(c.Data)
		out.Configs[c.Name] = hex.EncodeToString(sum[:])
	}
	return out, nil
}

// Extract brings its content into a new folder below dir.
func (b *Bare) Extract(ctx context.Context, dir string) (Extracted, error) {
	name := filepath.Base(b.path)
	stem, _, _ := strings.Cut(name, ".")
	into := filepath.Join(dir, kind.Safe(stem))
	f, err := os.Open(b.path)
	if err != nil {
		return Extracted{}, err
	}
	defer f.Close()
	if err := makeInto(into); err != nil {
		return Extracted{}, err
	}
	j := &kind.Job{Into: into}
	if err := guest.Unpack(ctx, j, name, f); err != nil {
		return extracted(j), fmt.Errorf("extract %s: %w\nwhat is in %s is incomplete", name, err, into)
	}
	return extracted(j), nil
}
