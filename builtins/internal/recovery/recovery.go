// Package recovery brings things back from one copy's medium alone: no site, no
// ledger, no keyring, no network but the medium's own. What it knows it reads
// from manifests, which it does not believe: every byte is checked against the
// digests before it counts, and every name stays below the folder that the
// operator gave.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Medium is an open place that holds copies.
type Medium struct {
	Place string
	Bad   []error // what lies there and cannot be read
	list  []target.Manifest
	notes map[string]string // artifact -> "read on 2026-…", as its maker noted it
	t     *target.Target
	ids   []age.Identity
}

// Options say how a medium is opened.
type Options struct {
	HostKey    string // sftp
	Key        []byte // sftp: private key
	Identities []age.Identity
	Env        target.Env
	Progress   func(file string, done, total int64)
}

// Open reads the manifests of a place: a folder, or an sftp URL.
func Open(ctx context.Context, place string, o Options) (*Medium, error) {
	if !strings.Contains(place, "://") {
		abs, err := filepath.Abs(place)
		if err != nil {
			return nil, err
		}
		place = abs
	}
	o.Env.Now = runtime.RealClock{}.Now
	if o.Progress != nil {
		o.Env.Progress = func(_, file string, done, total int64) { o.Progress(file, done, total) }
	}
	t, err := target.OpenPath(ctx, place, o.Env, target.Access{HostKey: o.HostKey, Key: func(context.Context) ([]byte, error) {
		if len(o.Key) == 0 {
			return nil, errors.New("an sftp place needs --key FILE, and --host-key")
		}
		return append([]byte(nil), o.Key...), nil
	}})
	if err != nil {
		return nil, err
	}
	m := &Medium{Place: place, t: t, ids: o.Identities}
	if m.list, m.Bad, err = t.List(ctx); err != nil {
		t.Close()
		return nil, err
	}
	m.readProofs(ctx)
	sort.SliceStable(m.list, func(i, j int) bool {
		a, b := m.list[i].Artifact, m.list[j].Artifact
		if a.Kind+a.Item != b.Kind+b.Item {
			return a.Kind+"/"+a.Item < b.Kind+"/"+b.Item
		}
		return a.Created.After(b.Created)
	})
	return m, nil
}

// readProofs reads what the maker noted of proofs. It is only told: what a medium
// says of itself proves nothing.
func (m *Medium) readProofs(ctx context.Context) {
	m.notes = map[string]string{}
	texts, err := m.t.Checkpoints(ctx)
	if err != nil {
		m.Bad = append(m.Bad, err)
	}
	for name, text := range texts {
		if !strings.HasSuffix(name, "-proofs") {
			continue
		}
		for _, line := range strings.Split(text, "\n") {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			at, err := time.Parse(time.RFC3339, f[2])
			if _, known := ledger.ParseLevel(f[1]); known && err == nil {
				m.notes[f[0]] = f[1] + " on " + at.UTC().Format("2006-01-02")
			}
		}
	}
}

// Close lets go of the medium.
func (m *Medium) Close() error { return m.t.Close() }

// Entry is one copy on the medium.
type Entry struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Item        string    `json:"item"`
	Taken       time.Time `json:"taken"`
	Written     time.Time `json:"written"`
	Bytes       int64     `json:"bytes"`
	Files       []string  `json:"files"`
	Sealed      bool      `json:"sealed"`
	Opened      bool      `json:"opened_before_sealing"`
	Consistency string    `json:"consistency,omitempty"`
	Gaps        []string  `json:"gaps,omitempty"`
	Run         string    `json:"run"`
	Proven      string    `json:"proven,omitempty"` // as its maker noted it on the medium
	Folder      string    `json:"folder"`
}

// Entries lists what is there: by kind and item, the newest first.
func (m *Medium) Entries() []Entry {
	var out []Entry
	for _, x := range m.list {
		e := Entry{ID: x.Artifact.ID, Kind: x.Artifact.Kind, Item: x.Artifact.Item, Taken: x.Artifact.Created, Written: x.Copy.Created, Bytes: x.Copy.Bytes,
			Sealed: len(x.Copy.SealedTo) > 0, Opened: x.Copy.Opened, Consistency: x.Artifact.Consistency, Run: x.Artifact.Run, Folder: x.Copy.Ref, Proven: m.notes[x.Artifact.ID]}
		for _, f := range x.Copy.Files {
			e.Files = append(e.Files, f.Name)
		}
		for _, g := range x.Artifact.Gaps {
			e.Gaps = append(e.Gaps, g.What+": "+g.Why)
		}
		out = append(out, e)
	}
	return out
}

// Pick returns the copies that are meant: those of an item, or the one with an id;
// with neither, all. newest keeps of every item the newest alone.
func (m *Medium) Pick(item, id string, newest bool) ([]Entry, error) {
	var out []Entry
	seen := map[string]bool{}
	for _, e := range m.Entries() {
		switch {
		case id != "" && e.ID != id, item != "" && e.Item != item:
			continue
		case newest && id == "" && seen[e.Kind+"/"+e.Item]:
			continue
		}
		seen[e.Kind+"/"+e.Item] = true
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no copy of %s%s\nhint: runner recover --from %s lists what is there", m.Place, item, id, m.Place)
	}
	return out, nil
}

func (m *Medium) find(id string) (target.Manifest, error) {
	for _, x := range m.list {
		if x.Artifact.ID == id {
			return x, nil
		}
	}
	return target.Manifest{}, fmt.Errorf("no copy %s on %s", id, m.Place)
}

// Verify reads a copy back: to "opened" when it can be opened here, else to
// "read". Beyond the digests of the medium it compares the clear digest.
func (m *Medium) Verify(ctx context.Context, id string) (target.Verified, error) {
	x, err := m.find(id)
	if err != nil {
		return target.Verified{}, err
	}
	level := ledger.Opened
	if len(x.Copy.SealedTo) > 0 && len(m.ids) == 0 {
		level = ledger.Read
	}
	return m.t.Verify(ctx, x.Copy, level, m.ids, func(ctx context.Context, name string, r io.Reader) error {
		_, err := archive.Check(ctx, name, r)
		return err
	})
}

// Extracted tells what came out of a copy.
type Extracted struct {
	Paths   []string // files and folders that were made
	Skipped []string // entries that could not be made, with the reason
	Config  []string // configuration files of the guest
}

// Archive writes the clear files of a copy into a folder, as the vendor's tools
// want them.
func (m *Medium) Archive(ctx context.Context, id, dir string) (Extracted, error) {
	var out Extracted
	x, err := m.find(id)
	if err != nil {
		return out, err
	}
	for _, f := range x.Artifact.Files {
		path := filepath.Join(dir, filepath.Base(f.Name))
		if err := m.write(ctx, x, f.Name, path); err != nil {
			return out, err
		}
		out.Paths = append(out.Paths, path)
	}
	return out, nil
}

// write copies one clear file; it is there under its name only when its digest
// was right.
func (m *Medium) write(ctx context.Context, x target.Manifest, file, path string) error {
	r, err := m.open(ctx, x, file)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder to restore into: %w", err)
	}
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		_, serr := os.Lstat(path)
		if serr == nil {
			err = fmt.Errorf("%s is there already: it is not overwritten", path)
		}
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		os.Remove(path + ".part")
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Extract brings the content of a copy into a new folder below dir: disks as raw
// sparse files, a container's tree below rootfs.
func (m *Medium) Extract(ctx context.Context, id, dir string) (out Extracted, err error) {
	x, err := m.find(id)
	if err != nil {
		return out, err
	}
	if len(x.Artifact.Files) != 1 {
		return out, fmt.Errorf("a %s has %d files: take them with --archive", x.Artifact.Kind, len(x.Artifact.Files))
	}
	name := x.Artifact.Files[0].Name
	into := filepath.Join(dir, safe(x.Artifact.Item)+"-"+x.Artifact.Created.UTC().Format("20060102T150405Z"))
	r, err := m.open(ctx, x, name)
	if err != nil {
		return out, err
	}
	defer r.Close()
	if err := makeInto(into); err != nil {
		return out, err
	}
	return unpack(ctx, name, r, into)
}

// open reads one clear file of a copy.
func (m *Medium) open(ctx context.Context, x target.Manifest, file string) (io.ReadCloser, error) {
	r, err := m.t.OpenFile(ctx, x.Copy, file, m.ids)
	var known *target.Error
	switch {
	case errors.As(err, &known) && known.Code == target.CodeNoIdentity:
		return nil, fmt.Errorf("%w\nhint: name the file of the recovery identity with --identity", err)
	case errors.As(err, &known) && known.Hint != "":
		return nil, fmt.Errorf("%w\nhint: %s", err, known.Hint)
	case err != nil:
		return nil, err
	}
	return r, nil
}

// makeInto makes the folder that is extracted into, and those above it. What is
// there is not written over.
func makeInto(into string) error {
	err := os.MkdirAll(filepath.Dir(into), 0o755)
	if err == nil {
		err = os.Mkdir(into, 0o700)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already\nhint: move it away, or name another folder with --to", into)
	case err != nil:
		return fmt.Errorf("make the folder to restore into: %w", err)
	}
	return nil
}

// unpack extracts the clear stream of an archive into a folder that is there.
func unpack(ctx context.Context, name string, r io.Reader, into string) (out Extracted, err error) {
	var report archive.Report
	if strings.Contains(name, ".vma") {
		report, err = extractDisks(ctx, name, r, into, &out)
	} else {
		root := filepath.Join(into, "rootfs")
		if err := os.Mkdir(root, 0o755); err != nil {
			return out, err
		}
		report, err = archive.ExtractTree(ctx, name, r, root, archive.Options{SkipDevices: os.Geteuid() != 0})
		out.Paths = append(out.Paths, root)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the digest is known at the end
	}
	if err != nil {
		return out, fmt.Errorf("extract %s: %w\nwhat is in %s is incomplete", name, err, into)
	}
	out.Skipped = report.Skipped
	return out, configs(report, into, &out)
}

func configs(report archive.Report, into string, out *Extracted) error {
	for _, c := range report.Configs {
		path := filepath.Join(into, safe(c.Name))
		if err := os.WriteFile(path, c.Data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		out.Config = append(out.Config, path)
	}
	return nil
}

func extractDisks(ctx context.Context, name string, r io.Reader, into string, out *Extracted) (report archive.Report, err error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			if serr := f.Sync(); err == nil {
				err = serr
			}
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
	}()
	return archive.ExtractDisks(ctx, name, r, func(d vma.Device) (io.WriterAt, error) {
		path := filepath.Join(into, "disk-"+safe(d.Name)+".raw")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		open = append(open, f)
		out.Paths = append(out.Paths, path)
		return f, f.Truncate(d.Size)
	})
}

// safe makes a name out of a manifest or an archive one that stays in its folder.
func safe(name string) string {
	var b strings.Builder
	for _, c := range name {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c) {
			b.WriteRune(c)
		} else {
			b.WriteByte('_')
		}
	}
	if s := strings.TrimLeft(b.String(), "."); s != "" {
		return s
	}
	return "_"
}

// Commands are what an operator types to restore a copy with the vendor's tools
// alone, on a Proxmox VE node to which the medium is attached.
func (m *Medium) Commands(id string, identity string) ([]string, error) {
	x, err := m.find(id)
	if err != nil {
		return nil, err
	}
	folder := strings.TrimSuffix(strings.TrimPrefix(m.Place, "file://"), "/") + "/" + x.Copy.Ref
	out := []string{"cd " + quote(folder), "sha256sum -c SHA256SUMS"}
	if len(x.Copy.SealedTo) > 0 {
		out = append(out, "# age before 1.3 cannot open what is sealed to a hybrid recipient (age1pq1...); the runner on this medium can:",
			"#   runner recover --from "+quote(m.Place)+" --id "+id+" --archive --to /var/lib/vz/dump --identity "+quote(identity))
	}
	for _, f := range x.Artifact.Files {
		var parts []string
		sealed := false
		for _, s := range x.Copy.Files {
			if s.Of == f.Name {
				parts = append(parts, quote(s.Name))
				sealed = sealed || s.Sealed
			}
		}
		from := "cat " + strings.Join(parts, " ")
		if sealed {
			from = "for p in " + strings.Join(parts, " ") + "; do age -d -i " + quote(identity) + " \"$p\"; done"
		}
		dump := "/var/lib/vz/dump/" + quote(f.Name)
		out = append(out, from+" > "+dump)
		switch x.Artifact.Kind {
		case "vm":
			out = append(out, "qmrestore "+dump+" NEWID --storage STORAGE --unique 1")
		case "ct":
			out = append(out, "pct restore NEWID "+dump+" --storage STORAGE")
		}
	}
	return out, nil
}

func quote(s string) string {
	if strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/", c))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// LevelWords names a level as reports do: a sealed copy that was only read says
// when its clear stream was opened.
func LevelWords(level int, sealed, opened bool) string {
	if sealed && opened && level == ledger.Read {
		return "read, opened before sealing"
	}
	return ledger.LevelName(level)
}
