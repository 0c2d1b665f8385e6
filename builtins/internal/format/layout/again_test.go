package layout

import (
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
)

// again writes a layout down from what was read of it.
func again(l Layout) string {
	var b strings.Builder
	for _, c := range l.Components {
		if !c.Active {
			b.WriteByte('#')
		}
		b.WriteString(c.Line + "\n")
	}
	return b.String()
}

// What is kept of any layout says all that was read of it.
func TestAnyLayoutIsReadAgainFromItsLines(t *testing.T) {
	var lines []string
	for _, name := range []string{"pve.conf", "whole-disk.conf"} {
		raw, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSpace(string(raw)), "\n")...)
	}
	read := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var text strings.Builder
		for range 1 + r.IntN(20) {
			line := lines[r.IntN(len(lines))]
			if !strings.HasPrefix(line, "# ") { // no remark
				line = strings.Repeat("#", r.IntN(2)) + strings.TrimPrefix(line, "#")
			}
			text.WriteString(line + "\n")
		}
		first, err := Parse(strings.NewReader(text.String()))
		if err != nil {
			continue // half of a line that goes on
		}
		read++
		second, err := Parse(strings.NewReader(again(first)))
		for i := range first.Components {
			first.Components[i].Cut = false
		}
		if err != nil || !reflect.DeepEqual(first, second) || len(Diff(first, second)) > 0 {
			t.Fatalf("seed %d: %v\ngot  %+v\nwant %+v\nof\n%s", seed, err, second, first, text.String())
		}
	}
	if read < 100 {
		t.Errorf("only %d layouts were read", read)
	}
}
