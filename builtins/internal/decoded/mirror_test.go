package decoded_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/decoded"
	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
)

const password = "correct horse"

// pair is a repository and its sealed mirror, each in a folder, as one run has them.
type pair struct {
	t            *testing.T
	disk, away   string
	id           age.Identity
	recipient    string
	repositories *target.Repositories
	server       *Server // the mirror is behind it; nil: in the folder
	progress     func(done, total int64)
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, disk: backups(t), away: backups(t), repositories: &target.Repositories{}}
	p.id, p.recipient = Keys(t, false)
	return p
}

func (p *pair) local() *target.Target {
	p.t.Helper()
	return served(p.t, p.disk, p.repositories, password)
}

// mirror opens the mirror; closed when the test ends.
func (p *pair) mirror() *target.Target {
	p.t.Helper()
	env := Env(Stick())
	env.Repositories, env.Scratch = p.repositories, p.t.TempDir()
	env.Mirrored = func(context.Context) (*target.Target, error) { return p.local(), nil }
	env.Progress = func(name, _ string, done, total int64) {
		if p.progress != nil && name == "offsite" {
			p.progress(done, total)
		}
	}
	return p.open(env)
}

func (p *pair) open(env target.Env) *target.Target {
	p.t.Helper()
	spec := target.Spec{Name: "offsite", URL: "file://" + p.away, Layout: target.LayoutChunks, MirrorOf: "second-disk",
		SealedTo: []string{p.recipient}, Password: func(context.Context) ([]byte, error) { return []byte(password), nil }}
	if p.server != nil {
		at := p.server.Spec()
		spec.URL, spec.HostKey, spec.Key = at.URL, at.HostKey, at.Key
	}
	tgt, err := target.Open(p.t.Context(), spec, env)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { tgt.Close() })
	return tgt
}

// alone opens the mirror as who has nothing else does.
func (p *pair) alone() *target.Target {
	p.t.Helper()
	env := Env(Stick())
	env.Scratch, env.Decoder = p.scratch(), decoded.Decoder{Dir: p.t.TempDir(), Limit: 64 << 20}
	tgt, err := target.OpenPath(p.t.Context(), p.away, env, target.Access{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := tgt.Close(); err != nil {
			p.t.Error(err)
		}
		if left, err := os.ReadDir(env.Scratch); err == nil && len(left) > 0 {
			p.t.Errorf("%v is left of the repository", left)
		}
	})
	return tgt
}

func (p *pair) scratch() string { return filepath.Join(p.t.TempDir(), "scratch") }

// night is the source of one guest's archive.
func night(t *testing.T, n int, disks ...[]byte) target.Source {
	src := artifact(Source(File{Name: fmt.Sprintf("vzdump-qemu-104-2026_11_%d-01_00_00.vma.zst", n), Data: packed(t, machine(t, disks...))}),
		fmt.Sprint("guest-", n))
	src.Check = opens
	return src
}

// copied copies to both.
func (p *pair) copied(src target.Source) (local, away ledger.Copy) {
	p.t.Helper()
	l := p.local()
	defer l.Close()
	out := target.Copy(p.t.Context(), src, []*target.Target{p.mirror(), l})
	if out[0].Err != nil || out[1].Err != nil {
		p.t.Fatal(out[0].Err, out[1].Err)
	}
	return out[1].Copy, out[0].Copy
}

// blobs are the sealed blobs, by their names, with their sizes.
func (p *pair) blobs() map[string]int64 {
	p.t.Helper()
	all := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(p.away, "mirror/blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[path] = info.Size()
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

func (p *pair) states() []string {
	p.t.Helper()
	all, err := filepath.Glob(filepath.Join(p.away, "mirror/states/*/SHA256SUMS"))
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// same holds that a guest comes back from the mirror alone with its disks.
func (p *pair) same(c ledger.Copy, src target.Source, disks ...[]byte) {
	p.t.Helper()
	tgt := p.alone()
	defer tgt.Close()
	name := src.Artifact.Files[0].Name
	rc, err := tgt.OpenFile(p.t.Context(), c, ledger.File{Name: name}, []age.Identity{p.id})
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := io.ReadAll(rc)
	if cerr := rc.Close(); err != nil || cerr != nil {
		p.t.Fatal(err, cerr)
	}
	_, have := disksOf(p.t, name, bytes.NewReader(got))
	for i, want := range disks {
		if !bytes.Equal(have[fmt.Sprint("drive-scsi", i)], want) {
			p.t.Errorf("disk %d came back with other bytes", i)
		}
	}
}

// Source, copy, mirror, and back from the mirror alone with the identity: the disks are equal. Of another night
// only what is new is sent, and nothing of what a mirror holds tells what it is.
func TestAMirrorBringsGuestsBackAloneAndSendsWhatIsNew(t *testing.T) {
	p := newPair(t)
	disk := random(1, 9<<20)
	one := night(t, 24, disk, random(2, 100<<10))
	_, first := p.copied(one)
	if !first.Opened || len(first.SealedTo) != 1 || first.WriteBytes < 9<<20 {
		t.Errorf("the first copy: %+v", first)
	}
	before := p.blobs()
	changed := bytes.Clone(disk)
	copy(changed[4<<20:], random(3, 64<<10))
	two := night(t, 25, changed, random(2, 100<<10))
	_, second := p.copied(two)
	if second.WriteBytes > 1<<20 {
		t.Errorf("a night with 64 KiB that changed sent %d bytes", second.WriteBytes)
	}
	for name, size := range before {
		if p.blobs()[name] != size {
			t.Errorf("%s was sent again", name)
		}
	}
	p.same(first, one, disk, random(2, 100<<10))
	p.same(second, two, changed, random(2, 100<<10))

	tgt := p.mirror()
	for _, c := range []ledger.Copy{first, second} {
		if v, err := tgt.Verify(t.Context(), c, ledger.Stored, nil, opens); err != nil || v.Level != ledger.Stored {
			t.Errorf("stored: %+v, %v", v, err)
		}
		_, err := tgt.Verify(t.Context(), c, ledger.Opened, nil, opens)
		Refused(t, err, target.CodeNoIdentity)
	}
	v, err := tgt.Verify(t.Context(), first, ledger.Read, nil, opens)
	if err != nil || v.Level != ledger.Read || v.Bytes < 9<<20 {
		t.Errorf("read: %+v, %v", v, err)
	}
	if v, err := tgt.Verify(t.Context(), second, ledger.Read, nil, opens); err != nil || v.Bytes == 0 || v.Bytes > 1<<20 {
		t.Errorf("what was read in this run was read again: %+v, %v", v, err)
	}
	if v, err := p.alone().Verify(t.Context(), second, ledger.Opened, []age.Identity{p.id}, opens); err != nil || v.Level != ledger.Opened {
		t.Errorf("opened with the identity: %+v, %v", v, err)
	}
	if all, bad, err := p.alone().List(t.Context()); err != nil || len(bad) > 0 || len(all) != 2 {
		t.Errorf("listed %d copies, %v, %v", len(all), bad, err)
	}
	p.nothingInClear()
}

// nothingInClear holds that no file of the mirror has the password, or a name or the bytes of the repository.
func (p *pair) nothingInClear() {
	p.t.Helper()
	local := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(p.disk, "chunks"), func(path string, d fs.DirEntry, err error) error {
		local[strings.TrimSuffix(filepath.Base(path), ".f")] = err == nil && len(filepath.Base(path)) > 20
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	err = filepath.WalkDir(p.away, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(password)) {
			p.t.Errorf("%s holds the password", path)
		}
		for name, long := range local {
			if long && (strings.Contains(path, name) || bytes.Contains(raw, []byte(name))) {
				p.t.Errorf("%s tells of %s", path, name)
			}
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// A copy that is asked for again costs nothing, and no new state.
func TestAMirrorThatHasAllSendsNothing(t *testing.T) {
	p := newPair(t)
	src := night(t, 24, random(1, 3<<20))
	_, first := p.copied(src)
	states, blobs := p.states(), p.blobs()
	l := p.local()
	defer l.Close()
	o := target.Copy(t.Context(), src, []*target.Target{p.mirror()})[0]
	if o.Err != nil || o.Copy.ID != first.ID || !o.Copy.Created.Equal(first.Created) || o.Resumed == 0 {
		t.Errorf("got %+v, %v", o.Copy, o.Err)
	}
	if !slices.Equal(states, p.states()) || !maps.Equal(blobs, p.blobs()) {
		t.Error("a copy that was there was sent again")
	}
}

// What is not on the mirrored disk cannot be mirrored.
func TestAMirrorCopiesWhatItsOriginalHas(t *testing.T) {
	p := newPair(t)
	o := target.Copy(t.Context(), night(t, 24, random(1, 1<<20)), []*target.Target{p.mirror()})[0]
	Refused(t, o.Err, target.CodeNotFound)
	if o.Err == nil || !strings.Contains(o.Err.Error(), "second-disk, which it mirrors, has no copy of it") {
		t.Errorf("got %v", o.Err)
	}
}
