package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever entries hold: they pass as they are, each is counted, and where the stream
// is cut what passed before is whole.
func TestAnyEntriesPassAsTheyAre(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		var in strings.Builder
		var ends []int
		for n := range 1 + r.IntN(6) {
			fmt.Fprintf(&in, "__CURSOR=s=abc;i=%x;b=def\n__REALTIME_TIMESTAMP=%d\n_BOOT_ID=def\n", n+1, 1_700_000_000_000_000+n)
			for f := range r.IntN(5) {
				value := make([]byte, r.IntN([]int{2, 40, 300_000}[r.IntN(3)]))
				for i := range value {
					value[i] = byte(r.IntN(256))
				}
				if bytes.IndexByte(value, '\n') >= 0 || r.IntN(2) == 0 {
					in.WriteString(field(fmt.Sprintf("FIELD_%d", f), value))
				} else {
					fmt.Fprintf(&in, "FIELD_%d=%s\n", f, value)
				}
			}
			in.WriteString("\n")
			ends = append(ends, in.Len())
		}
		entries, out, err := read(strings.NewReader(in.String()))
		if err != nil || out != in.String() || len(entries) != len(ends) {
			t.Fatalf("seed %d: %d of %d entries, %d of %d bytes, %v", seed, len(entries), len(ends), len(out), in.Len(), err)
		}
		cut := 1 + r.IntN(in.Len()-1)
		whole := 0
		for _, e := range ends {
			if e <= cut {
				whole++
			}
		}
		entries, out, err = read(strings.NewReader(in.String()[:cut]))
		if len(entries) != whole || !strings.HasPrefix(in.String(), out) || (err == nil) != (cut == 0 || whole > 0 && ends[whole-1] == cut) ||
			err != nil && !errors.Is(err, ErrCut) {
			t.Fatalf("seed %d, cut at %d: %d of %d entries, %v", seed, cut, len(entries), whole, err)
		}
	}
}
