package ledger

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheckFindsDamage(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(x tamper)
		want string // beginning of the only problem; "": none
	}{
		{"nothing", func(tamper) {}, ""},
		{"an entry was edited", func(x tamper) { x.exec("UPDATE entries SET raw = replace(raw, 'erp', 'exp') WHERE seq = 3") },
			"entry 3: it is not what was recorded"},
		{"the hashes beside an entry were edited",
			func(x tamper) { x.exec("UPDATE entries SET hashes = zeroblob(length(hashes)) WHERE seq = 5") }, "entry 5: it is not what was recorded"},
		{"an entry was removed", func(x tamper) { x.exec("DELETE FROM entries WHERE seq = 4") }, "entry 4: removed"},
		{"the last entry was removed", func(x tamper) { x.exec("DELETE FROM entries WHERE seq = 13") }, "entry 13: removed"},
		{"the recorded root was edited", func(x tamper) { x.exec("UPDATE head SET root = zeroblob(32)") }, "the recorded root "},
		{"it ends earlier than it did", func(x tamper) {
			x.exec("DELETE FROM entries WHERE seq = 13")
			x.exec("UPDATE head SET size = 13")
		}, "truncated: 14 entries were recorded, 13 are left"},
		{"it was made anew", func(x tamper) {
			x.exec("UPDATE entries SET raw = replace(raw, 'erp', 'exp') WHERE seq = 3")
			x.whole()
		}, "the first 14 entries are not those that were there when the run began"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, before := nights(t, c.edit)
			rep, err := Check(t.Context(), s, Part{Before: before, From: before.Size})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && !rep.OK() || c.want != "" && (rep.OK() || !strings.HasPrefix(rep.Problems[0].String(), c.want)) {
				t.Errorf("got %v, want %q", rep.Problems, c.want)
			}
			if f := rep.Finding(nil, true); (f != nil) != (c.want != "") || f != nil &&
				(f.Severity != Failed || f.Type != "runner ledger verify --lab") {
				t.Errorf("got the finding %+v", f)
			}
		})
	}
}

// Of a long ledger a part is read, and what is above the blocks always.
func TestCheckOfALongLedger(t *testing.T) {
	m := NewMemory()
	var entries []Entry
	for i := range 3*blockSize + 5 {
		e, err := NewEntry(StepMark, t0, "r", fmt.Sprint("/", i), Mark{Key: "n"})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	head, err := m.Append(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	newest := Part{From: head.Size - 1}
	for _, c := range []struct {
		name string
		at   []byte // one of its bytes is changed
		part Part
		read int64
		want bool // it is found
	}{
		{"an old entry, and only the newest are read", m.entries[7].raw, newest, 5, false},
		{"an old entry, with every older block", m.entries[7].raw, Part{From: head.Size - 1, Older: 3}, 0, true},
		{"a new entry", m.entries[head.Size-1].raw, newest, 0, true},
		{"an entry of the block in which the run began", m.entries[2*blockSize+1].raw, Part{From: 3*blockSize - 1}, 0, true},
		{"a hash above the blocks", m.blobs[2*blockSize-1][(blockLevel+1)*32:], newest, 5, true},
		{"the hash of an old block", m.blobs[blockSize-1][blockLevel*32:], newest, 5, true},
	} {
		c.at[3] ^= 1
		rep, err := Check(t.Context(), m, c.part)
		if err != nil || rep.OK() == c.want || c.read > 0 && rep.Entries != c.read {
			t.Errorf("%s: got %v, %v of %d entries, want it found: %v", c.name, err, rep.Problems, rep.Entries, c.want)
		}
		c.at[3] ^= 1
	}
	for older, want := range []int64{5, blockSize + 5, 2*blockSize + 5, 3*blockSize + 5, 3*blockSize + 5} {
		if rep, err := Check(t.Context(), m, Part{Before: head, From: head.Size, Older: older}); err != nil || !rep.OK() || rep.Entries != want {
			t.Errorf("%d older blocks: got %v, %+v, want %d entries read", older, err, rep, want)
		}
	}
}
