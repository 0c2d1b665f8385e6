package decoded_test

import (
	"os"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

func (p *pair) size() (n int64) {
	for _, size := range p.blobs() {
		n += size
	}
	return n
}

func (p *pair) remove(tgt *target.Target, c ledger.Copy) {
	p.t.Helper()
	if was, err := tgt.Remove(p.t.Context(), c); err != nil || !was {
		p.t.Fatalf("removed %v, %v", was, err)
	}
}

// What no copy needs any more goes, after a state without it was written; what a copy needs that the
// repository has no more stays, and comes back.
func TestAMirrorIsPruned(t *testing.T) {
	p := newPair(t)
	disks := [][]byte{random(1, 4<<20), random(2, 4<<20), random(3, 4<<20)}
	var locals, aways []ledger.Copy
	for i, disk := range disks {
		l, a := p.copied(night(t, 24+i, disk))
		locals, aways = append(locals, l), append(aways, a)
	}
	full := p.size()
	l := p.local()
	defer l.Close()

	// One copy goes from both.
	p.remove(l, locals[0])
	if most, err := l.Movable(t.Context()); err != nil || most < 12<<20 || most > full {
		t.Errorf("at most %d bytes of %d are written anew, %v", most, full, err)
	}
	if _, err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	tgt := p.mirror()
	p.remove(tgt, aways[0])
	freed, err := tgt.Maintain(t.Context())
	var here int64
	for _, pack := range p.packs() {
		info, err := os.Stat(pack)
		if err != nil {
			t.Fatal(err)
		}
		here += info.Size()
	}
	if err != nil || freed < 4<<20 || p.size() > here+256<<10 {
		t.Errorf("freed %d of %d bytes, %d are left, the repository's packs have %d, %v", freed, full, p.size(), here, err)
	}
	p.tidy()
	for i := 1; i < 3; i++ {
		if v, err := p.mirror().Verify(t.Context(), aways[i], ledger.Read, nil, nil); err != nil || v.Level != ledger.Read {
			t.Errorf("read: %+v, %v", v, err)
		}
	}

	// Another one goes from the repository alone: the mirror keeps what it needs.
	p.remove(l, locals[1])
	if _, err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.mirror().Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.states()) != 2 {
		t.Errorf("%d states are there, want that which holds the copy, and the newest", len(p.states()))
	}
	for i := 1; i < 3; i++ {
		p.same(aways[i], night(t, 24+i, disks[i]), disks[i])
	}
	if v, err := p.mirror().Verify(t.Context(), aways[1], ledger.Read, nil, nil); err != nil || v.Level != ledger.Read {
		t.Errorf("read: %+v, %v", v, err)
	}

	// A night later both are there still; then the older one goes from the mirror, too.
	_, c := p.copied(night(t, 27, disks[0]))
	p.remove(p.mirror(), aways[1])
	if _, err := p.mirror().Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.tidy()
	p.same(c, night(t, 27, disks[0]), disks[0])

	// The last ones: the mirror is empty, and stays usable.
	for _, c := range []ledger.Copy{aways[2], c} {
		p.remove(p.mirror(), c)
	}
	if _, err := p.mirror().Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.tidy()
	_, again := p.copied(night(t, 28, disks[1]))
	p.same(again, night(t, 28, disks[1]), disks[1])
}
