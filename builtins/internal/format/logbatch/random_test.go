package logbatch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What is written of any batch is read as it was, and written so again.
func TestAnyIndexIsReadAsItWasWritten(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		digest := func() string { return strings.Repeat(fmt.Sprintf("%02x", r.IntN(256)), 32) }
		word := func() string { return []string{"", "web", "ä ö", "/var/log/a b.log", `"q\\`, "<&>"}[r.IntN(6)] }
		x := Index{Version: 1, Source: word(), Host: word(), Kind: []string{Journal, Lines, Tasks, Ledger}[r.IntN(4)], Seq: 1 + r.Int64N(5),
			Parts: []Part{},
			First: time.Unix(r.Int64N(1<<31), r.Int64N(1e9)).UTC(),
			After: Position{Cursor: word(), Seq: r.Int64N(9), Newest: time.Unix(r.Int64N(1<<31), 0).UTC()}}
		if x.Seq > 1 {
			x.Prev = digest()
		}
		for n := range r.IntN(5) {
			p := Part{File: fmt.Sprintf("%d.zst", n), Of: Name(word()), Log: Name(word()), From: r.Int64N(1 << 40), Entries: r.Int64N(99),
				Bytes: r.Int64N(1 << 40), SHA256: digest()}
			x.Parts, x.Entries, x.Bytes = append(x.Parts, p), x.Entries+p.Entries, x.Bytes+p.Bytes
		}
		for range r.IntN(3) {
			x.Gaps = append(x.Gaps, Gap{word(), word()})
			x.Boots = append(x.Boots, digest()[:32])
			if x.After.Files == nil {
				x.After.Files = Files{}
			}
			spot := Spot{Gone: r.IntN(2) == 0, Old: r.Int64()}
			if r.IntN(2) == 0 {
				spot.Earlier = &Earlier{Dev: r.Uint64(), Inode: r.Uint64(), Offset: r.Int64(), Head: digest(), Len: r.Int64N(1024), Tail: digest(),
					Rotated: r.IntN(2) == 0}
			}
			if spot.Earlier != nil && r.IntN(2) == 0 {
				spot.Before = &Print{r.Uint64(), r.Uint64(), digest(), 7}
			}
			if r.IntN(2) == 0 {
				spot.Names = []Name{Name(word()), "/a/b.log-0\xff"}
			}
			for range r.IntN(4) {
				m := Mark{Dev: r.Uint64(), Inode: r.Uint64(), Size: r.Int64(), Changed: r.Int64() - r.Int64(), Offset: r.Int64(),
					Len: r.Int64N(MaxPrint)}
				if m.Len > 0 {
					m.Head, m.Tail = digest()[:16], digest()[:16]
				}
				m.Last, m.Unread, m.Copy, m.Bad = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
				spot.Marks = append(spot.Marks, m)
			}
			x.After.Files[word()] = spot
		}
		raw, err := x.Encode()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, err := Parse(raw)
		if err != nil || !reflect.DeepEqual(*back, x) {
			t.Fatalf("seed %d: %v\ngot  %+v\nwant %+v", seed, err, back, x)
		}
		if again, err := back.Encode(); err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("seed %d: it is written otherwise again: %v", seed, err)
		}
	}
}
