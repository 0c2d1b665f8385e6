package decoded_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/ledger"
)

// largest is the sealed blob that holds most data; which is that of the disk.
func (p *pair) largest() string {
	p.t.Helper()
	name, most := "", int64(0)
	for n, size := range p.blobs() {
		if size > most {
			name, most = n, size
		}
	}
	return name
}

func change(t *testing.T, path string, do func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, do(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

// copyTo copies to the mirror alone.
func (p *pair) copyTo(src target.Source, doubted ...ledger.Copy) target.Outcome {
	p.t.Helper()
	tgt := p.mirror()
	defer tgt.Close()
	for _, c := range doubted {
		tgt.Doubt(c)
	}
	return target.Copy(p.t.Context(), src, []*target.Target{tgt})[0]
}

// only copies to the local repository.
func (p *pair) only(src target.Source) ledger.Copy {
	p.t.Helper()
	l := p.local()
	defer l.Close()
	return One(p.t, src, l).Copy
}

// A sealed blob that is missing, changed, cut off, longer, or another one is found by a read and by who brings the copy back; copying again
// heals it, and seals nothing else.
func TestASealedBlobThatIsNotWhatWasStored(t *testing.T) {
	p := newPair(t)
	disk := random(1, 3<<20)
	src := night(t, 24, disk)
	_, c := p.copied(src)
	name := p.largest()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	other := ""
	for n := range p.blobs() {
		if n != name {
			other = n
		}
	}
	for i, fault := range []struct {
		name   string
		stored bool // seen without reading
		do     func() error
	}{
		{"missing", true, func() error { return os.Remove(name) }},
		{"flipped", false, func() error { return os.WriteFile(name, flip(bytes.Clone(whole)), 0o600) }},
		{"cut off", true, func() error { return os.WriteFile(name, whole[:len(whole)-1], 0o600) }},
		{"empty", true, func() error { return os.WriteFile(name, nil, 0o600) }},
		{"longer", true, func() error { return os.WriteFile(name, append(bytes.Clone(whole), 0), 0o600) }},
		{"another one", true, func() error {
			b, err := os.ReadFile(other)
			return errors.Join(err, os.WriteFile(name, b, 0o600))
		}},
		{"sealed by somebody else", false, func() error { return os.WriteFile(name, p.forged(len(whole)), 0o600) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			if err := fault.do(); err != nil {
				t.Fatal(err)
			}
			tgt := p.mirror()
			if _, err := tgt.Verify(t.Context(), c, ledger.Stored, nil, nil); fault.stored != (err != nil) {
				t.Errorf("stored: %v", err)
			}
			_, err := tgt.Verify(t.Context(), c, ledger.Read, nil, nil)
			Refused(t, err, target.CodeDamaged)
			if i > 1 { // how it is read is one way, and how it is healed another
				if err := os.WriteFile(name, whole, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if _, err = p.alone().OpenFile(t.Context(), c, src.Artifact.Files[0], []age.Identity{p.id}); err == nil {
				t.Error("it comes back")
			}
			Refused(t, err, target.CodeDamaged)
			o := p.copyTo(src, c)
			if o.Err != nil || o.Resumed == 0 {
				t.Fatalf("copied again: %+v", o)
			}
			p.same(o.Copy, src, disk)
			if whole, err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// forged is a blob of so many bytes that anybody could have sealed.
func (p *pair) forged(size int) []byte {
	p.t.Helper()
	to, err := age.ParseX25519Recipient(p.recipient)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := age.EncryptReader(bytes.NewReader(make([]byte, size)), to)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return b[:size]
}

func TestAMirrorOpensWithItsIdentityAlone(t *testing.T) {
	p := newPair(t)
	src := night(t, 24, random(1, 1<<20))
	_, c := p.copied(src)
	wrong, _ := Keys(t, false)
	for name, ids := range map[string][]age.Identity{"none": nil, "another": {wrong}} {
		_, err := p.alone().OpenFile(t.Context(), c, src.Artifact.Files[0], ids)
		if err == nil {
			t.Errorf("%s: it opens", name)
		}
		Refused(t, err, target.CodeNoIdentity)
	}
}

// A list that somebody else wrote or changed is not believed by the host; a state that is not complete is none.
func TestAStateThatIsNotTheHostsOwn(t *testing.T) {
	p := newPair(t)
	disk := random(1, 2<<20)
	src := night(t, 24, disk)
	_, c := p.copied(src)
	list := p.states()[0]
	kept, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"a digest was changed": bytes.Replace(kept, []byte("  mirror/blobs"), []byte("0 mirror/blobs"), 1),
		"cut off":              kept[:len(kept)/2],
		"a blob was left out":  withoutOne(kept),
		"empty":                {},
	} {
		if err := os.WriteFile(list, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := p.mirror().Verify(t.Context(), c, ledger.Read, nil, nil)
		if err == nil {
			t.Errorf("%s: it is believed", name)
		}
		Refused(t, err, target.CodeDamaged)
	}
	// Another night writes a state of its own, and seals anew what no believed list vouches for.
	if o := p.copyTo(src); o.Err != nil || !strings.Contains(strings.Join(o.Notes, "\n"), "is not believed") {
		t.Errorf("got %v, notes %v", o.Err, o.Notes)
	}
	p.same(c, src, disk)
	if err := os.Remove(p.states()[1]); err != nil {
		t.Fatal(err)
	}
	if o := p.copyTo(src); o.Err != nil {
		t.Error(o.Err)
	}
	p.same(c, src, disk)
}

// withoutOne leaves the last blob out of a list.
func withoutOne(list []byte) []byte {
	lines := bytes.SplitAfter(list, []byte("\n"))
	return bytes.Join(slices.Delete(lines, len(lines)-4, len(lines)-2), nil)
}

// The local repository is damaged: nothing is sealed and nothing claimed. It is lost: what was mirrored is proven and comes back.
func TestTheMirroredRepositoryIsDamagedOrLost(t *testing.T) {
	p := newPair(t)
	disk := random(1, 3<<20)
	src := night(t, 24, disk)
	_, c := p.copied(src)
	later := night(t, 25, random(5, 3<<20))
	before := p.packs()
	p.only(later)
	for _, pack := range p.packs() {
		if !slices.Contains(before, pack) {
			change(t, pack, flip)
		}
	}
	blobs := p.blobs()
	o := p.copyTo(later)
	Refused(t, o.Err, target.CodeDamaged)
	if o.Err == nil || !strings.Contains(o.Err.Error(), "second-disk") {
		t.Errorf("got %v", o.Err)
	}
	if len(p.blobs()) != len(blobs) {
		t.Error("something was sealed")
	}
	if all, _, err := p.mirror().List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d copies, %v", len(all), err)
	}
	if err := os.RemoveAll(filepath.Join(p.disk, "chunks")); err != nil {
		t.Fatal(err)
	}
	p.repositories = &target.Repositories{}
	if v, err := p.mirror().Verify(t.Context(), c, ledger.Read, nil, nil); err != nil || v.Level != ledger.Read || v.Bytes < 3<<20 {
		t.Errorf("read: %+v, %v", v, err)
	}
	p.same(c, src, disk)
}

// packs are the files of the repository that hold data.
func (p *pair) packs() []string {
	p.t.Helper()
	packs, err := filepath.Glob(filepath.Join(p.disk, "chunks/p/*/*.f"))
	if err != nil || len(packs) == 0 {
		p.t.Fatal(packs, err)
	}
	return packs
}

// Steps of one run copy at once, and prove meanwhile.
func TestStepsOfARunMirrorAtOnce(t *testing.T) {
	p := newPair(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			disk := random(byte(i), 1<<20)
			_, c := p.copied(night(t, 24+i, disk))
			if v, err := p.mirror().Verify(t.Context(), c, ledger.Read, nil, nil); err != nil || v.Level != ledger.Read {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
	all.Wait()
	for i := range 4 {
		src := night(t, 24+i, random(byte(i), 1<<20))
		all, _, err := p.alone().List(t.Context())
		if err != nil || len(all) != 4 {
			t.Fatalf("%d copies, %v", len(all), err)
		}
		for _, m := range all {
			if m.Artifact.ID == src.Artifact.ID {
				p.same(m.Copy, src, random(byte(i), 1<<20))
			}
		}
	}
}
