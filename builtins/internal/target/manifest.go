package target

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/neosofia/runner/runtime/ledger"
)

const (
	manifestVersion = 1
	maxManifest     = 8 << 20 // bytes; about 25,000 parts
	maxWords        = 1 << 20 // of one text that an exporter declares
)

// Manifest says what a copy is. Artifact.Files have the clear sizes and digests,
// Copy.Files those of the bytes on the target. Artifact.Origin is left out: where
// the files lay on the source is not the target's business.
type Manifest struct {
	Version  int               `json:"version"`
	Artifact ledger.Artifact   `json:"artifact"`
	Copy     ledger.Copy       `json:"copy"`
	Tree     Tree              `json:"tree"`
	Decoded  []Decoded         `json:"decoded,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"` // policy, sop, version of runner
}

// Tree is the ledger's head as of the step that made the copy.
type Tree struct {
	Size int64  `json:"size"`
	Root string `json:"root"` // hex
}

// Head is the same as a ledger has it.
func (t Tree) Head() (h ledger.Head, err error) {
	raw, err := hex.DecodeString(t.Root)
	if err == nil && len(raw) != len(h.Root) {
		err = errors.New("the ledger's head is not one")
	}
	copy(h.Root[:], raw)
	h.Size = t.Size
	return h, err
}

func encodeManifest(m Manifest) ([]byte, error) {
	m.Version = manifestVersion
	m.Artifact.Origin = ledger.Origin{}
	m.oneLine()
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	b = append(b, '\n')
	if _, err := ParseManifest(b); err != nil {
		return nil, fmt.Errorf("encode manifest: it could not be read again: %w", err)
	}
	return b, nil
}

// ParseManifest reads a manifest and believes nothing in it: sizes, names,
// digests and counts are bounded, and no key may be there twice. A manifest that
// passes can be used in paths and on a terminal; whether it is true, only the
// digests of the files and the ledger say.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if len(b) > maxManifest {
		return m, fmt.Errorf("parse manifest: it has more than %d bytes", maxManifest)
	}
	if !utf8.Valid(b) {
		return m, errors.New("parse manifest: not UTF-8")
	}
	if err := strict(b); err != nil {
		return m, fmt.Errorf("parse manifest: %w", err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return m, fmt.Errorf("parse manifest: %w", err)
	}
	if head.Version != manifestVersion {
		return m, fmt.Errorf("parse manifest: version %d is not known; this program knows version %d", head.Version, manifestVersion)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("parse manifest: %w", err)
	}
	if err := m.validate(); err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	return m, nil
}

func (m *Manifest) validate() error {
	a, c := m.Artifact, m.Copy
	if !plain(a.ID) || !plain(c.ID) {
		return errors.New("an id is not one")
	}
	if c.Artifact != a.ID || c.Kind != a.Kind || c.Asset != a.Asset || c.Item != a.Item {
		return errors.New("copy and artifact are not of one thing")
	}
	for _, s := range []string{a.Kind, a.Asset, a.Item, a.Run, a.Step, a.Source, c.Target, c.Medium, c.Location, c.Account, c.Device.ID} {
		if !printable(s) {
			return fmt.Errorf("%q has characters that cannot be shown", s)
		}
	}
	if strings.ContainsAny(a.Asset, `/\`) || !safePart(safeKind(a.Kind)) {
		return fmt.Errorf("%q of kind %q is not an asset", a.Asset, a.Kind)
	}
	for _, id := range a.Devices {
		if !printable(id) {
			return fmt.Errorf("device %q has characters that cannot be shown", id)
		}
	}
	for _, n := range a.Needs {
		if !plain(n) {
			return fmt.Errorf("it needs %q, which is not an artifact", n)
		}
	}
	if a.Bytes < 0 || c.Bytes < 0 || c.WriteBytes < 0 || c.WriteNanos < 0 {
		return errors.New("it counts less than nothing")
	}
	if err := m.validateWords(); err != nil {
		return err
	}
	if err := checkFolder(c.Ref, a.ID); err != nil {
		return err
	}
	if want := folderOf(a); c.Ref != want {
		return fmt.Errorf("a copy of %s %s of %s lies in %s, and not in %s", a.Kind, a.Item, a.Created.UTC().Format(timeLayout), want, c.Ref)
	}
	if len(a.Files) == 0 {
		return errors.New("the artifact has no files")
	}
	if m.Tree.Size < 0 || m.Tree.Root != "" && !isDigest(m.Tree.Root) {
		return errors.New("the ledger's head is not one")
	}
	if err := m.validateDecoded(); err != nil {
		return err
	}
	return m.validateFiles()
}

// words gives every text of a manifest that is free: what an exporter declares,
// what is missing, what it needs, what it lies on. They are shown, and some stand in
// comments of scripts.
func (m *Manifest) words(fn func(string) string) {
	for _, table := range []*map[string]string{&m.Artifact.Declared, &m.Fields} {
		if *table == nil {
			continue
		}
		out := make(map[string]string, len(*table))
		for k, v := range *table {
			out[fn(k)] = fn(v)
		}
		*table = out
	}
	gaps := slices.Clone(m.Artifact.Gaps)
	for i := range gaps {
		g := &gaps[i]
		g.Asset, g.Item, g.What, g.Why = fn(g.Asset), fn(g.Item), fn(g.What), fn(g.Why)
	}
	m.Artifact.Gaps = gaps
	m.Artifact.Needs = slices.Clone(m.Artifact.Needs)
	for i, n := range m.Artifact.Needs {
		m.Artifact.Needs[i] = fn(n)
	}
	d := &m.Copy.Device
	d.ID, d.Serial, d.UUID, d.Label, d.FS, d.Mount = fn(d.ID), fn(d.Serial), fn(d.UUID), fn(d.Label), fn(d.FS), fn(d.Mount)
	m.Copy.SealedTo = slices.Clone(m.Copy.SealedTo)
	for i, to := range m.Copy.SealedTo {
		m.Copy.SealedTo[i] = fn(to)
	}
	m.Artifact.Consistency = fn(m.Artifact.Consistency)
}

// oneLine makes free texts such as can be shown: a tab in a guest's description is
// no reason to have no copy.
func (m *Manifest) oneLine() {
	m.words(func(s string) string {
		return strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, strings.ReplaceAll(s, "\n", " | "))
	})
}

func (m *Manifest) validateWords() error {
	var err error
	m.words(func(s string) string {
		if len(s) > maxWords || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			err = fmt.Errorf("%.80q has characters that cannot be shown, or too many", s)
		}
		return s
	})
	return err
}

// validateFiles holds that each file of the artifact is there exactly once, as
// one stored file or as all of its parts in order.
func (m *Manifest) validateFiles() error {
	names := map[string]bool{}
	stored := m.Copy.Files
	var clear, bytes int64
	for _, f := range m.Artifact.Files {
		if f.Name == "" || len(f.Name) > 1024 || !printable(f.Name) || names["="+f.Name] {
			return fmt.Errorf("file %q has a name that cannot be, or is there twice", f.Name)
		}
		names["="+f.Name] = true
		if !add(&clear, f.Size) || !isDigest(f.SHA256) {
			return fmt.Errorf("file %q has a size or digest that cannot be", f.Name)
		}
		_, decoded := m.decoded(f.Name)
		part, whole, sealed := 0, int64(0), decoded
		for part == 0 || len(stored) > 0 && stored[0].Of == f.Name && stored[0].Part == part+1 {
			if len(stored) == 0 || stored[0].Of != f.Name || stored[0].Part > 1 && part == 0 {
				return fmt.Errorf("file %q is not stored, or its parts are not in order", f.Name)
			}
			s := stored[0]
			stored = stored[1:]
			key := strings.ToLower(s.Name)
			if !safePart(s.Name) || names[key] || !add(&bytes, s.Size) || !isDigest(s.SHA256) || !printable(s.Native) {
				return fmt.Errorf("stored file %q has a name, size or digest that cannot be", s.Name)
			}
			names[key] = true
			whole, sealed = whole+s.Size, sealed || s.Sealed
			if part = s.Part; part == 0 {
				break
			}
		}
		if !sealed && whole != f.Size {
			return fmt.Errorf("file %q has %d bytes and is stored with %d", f.Name, f.Size, whole)
		}
	}
	if len(stored) > 0 {
		return fmt.Errorf("stored file %q is of no file", stored[0].Name)
	}
	if bytes != m.Copy.Bytes {
		return fmt.Errorf("the stored files have %d bytes together, not %d", bytes, m.Copy.Bytes)
	}
	return nil
}

// add sums sizes of at most 2^60 bytes, so that nothing overflows.
func add(sum *int64, n int64) bool {
	const most = 1 << 60
	if n < 0 || n > most || *sum > most {
		return false
	}
	*sum += n
	return true
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && strings.ToLower(s) == s
}

func printable(s string) bool {
	if len(s) > 4096 {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
