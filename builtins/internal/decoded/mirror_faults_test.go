package decoded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// victim is a process that mirrors, and tells of each blob. The test that starts it kills it.
const victim = "RUNNER_MIRROR_VICTIM"

func TestVictim(t *testing.T) {
	said := os.Getenv(victim)
	if said == "" {
		t.Skip("it is for another test to start")
	}
	f := strings.Fields(said)
	p := &pair{t: t, disk: f[0], away: f[1], recipient: f[2], repositories: &target.Repositories{}}
	p.progress = func(done, total int64) { fmt.Println("sealed", done, total) }
	if o := p.copyTo(night(t, 24, random(1, 26<<20))); o.Err != nil {
		t.Error(o.Err)
	}
}

// A mirror is killed while it sends; the repository is compacted; what comes then sends the rest, and a prune removes what nobody needs.
func TestAMirrorThatWasKilledGoesOnAndACompactionInBetweenDoesNoHarm(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted %v", compacted), func(t *testing.T) {
			p := newPair(t)
			disk := random(1, 26<<20)
			src := night(t, 24, disk)
			before := p.only(night(t, 23, random(7, 2<<20)))
			p.only(src)
			p.kill(8 << 20)
			if len(p.states()) > 0 || len(p.blobs()) == 0 {
				t.Fatalf("%d states, %d blobs after it was killed", len(p.states()), len(p.blobs()))
			}
			if all, _, err := p.mirror().List(t.Context()); err != nil || len(all) > 0 {
				t.Errorf("%d copies are seen, %v", len(all), err)
			}
			if compacted {
				l := p.local()
				if _, err := l.Remove(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				if _, err := l.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				l.Close()
			}
			o := p.copyTo(src)
			if o.Err != nil || !compacted && (o.Resumed < 8<<20 || o.Copy.WriteBytes > 27<<20-o.Resumed) {
				t.Fatalf("%v: %d bytes were there already, %d were sent", o.Err, o.Resumed, o.Copy.WriteBytes)
			}
			p.same(o.Copy, src, disk)
			// Which packs were sent and then compacted away is up to their names: this one was.
			gone := filepath.Join(filepath.Dir(p.largest()), strings.Repeat("0", 64))
			for _, name := range []string{gone, gone + ".part"} {
				if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if freed, err := p.mirror().Maintain(t.Context()); err != nil || freed < 2000 {
				t.Errorf("%d bytes were given back, %v", freed, err)
			}
			p.tidy()
			p.same(o.Copy, src, disk)
		})
	}
}

// kill starts a victim and kills it after so many bytes of blobs.
func (p *pair) kill(after int64) {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
	c.Env = append(os.Environ(), victim+"="+p.disk+" "+p.away+" "+p.recipient)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var done int64
		if n, _ := fmt.Sscanf(lines.Text(), "sealed %d", &done); n == 1 && done > after {
			_ = c.Process.Kill() // it may have ended just before
		}
	}
	if err := c.Wait(); err == nil {
		p.t.Fatal("it ended before it was killed")
	}
}

// tidy holds that nothing lies on the mirror but what its newest state names.
func (p *pair) tidy() {
	p.t.Helper()
	states := p.states()
	if len(states) != 1 {
		p.t.Fatalf("%d states are there", len(states))
	}
	list, err := os.ReadFile(states[0])
	if err != nil {
		p.t.Fatal(err)
	}
	named := bytes.Count(list, []byte("  mirror/blobs/"))
	if blobs := p.blobs(); len(blobs) != named {
		p.t.Errorf("%d blobs are there, the state names %d", len(blobs), named)
	}
	if notes, _ := filepath.Glob(filepath.Join(p.away, "mirror/sums/*")); len(notes) > 0 {
		p.t.Errorf("%v are left", notes)
	}
	c := exec.CommandContext(p.t.Context(), "sha256sum", "--quiet", "-c", states[0])
	c.Dir = p.away
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Errorf("sha256sum: %v: %s", err, out)
	}
}

// The connection breaks in the middle of a blob.
func TestAMirrorOverAConnectionThatBreaks(t *testing.T) {
	p := newPair(t)
	p.server = Serve(t, p.away)
	disk := random(1, 30<<20)
	src := night(t, 24, disk)
	p.only(src)
	p.server.Set(Faults{CutAfter: 24 << 20})
	o := p.copyTo(src)
	Refused(t, o.Err, target.CodeDown)
	if o = p.copyTo(src); o.Err != nil {
		t.Fatal(o.Err)
	}
	if o.Resumed < 8<<20 || o.Copy.WriteBytes > 31<<20-o.Resumed {
		t.Errorf("%d bytes were there, %d were sent", o.Resumed, o.Copy.WriteBytes)
	}
	p.same(o.Copy, src, disk)
	p.server.Set(Faults{FullAfter: 1 << 20})
	later := night(t, 25, random(9, 3<<20))
	p.only(later)
	o = p.copyTo(later)
	Refused(t, o.Err, target.CodeFull)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	p.server.Set(Faults{})
	if o := target.Copy(ctx, later, []*target.Target{p.mirror()})[0]; o.Err == nil {
		t.Error("it went on after it was cancelled")
	}
}
