package logbatch

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMarksThatCannotBeAreRefused(t *testing.T) {
	for _, s := range []string{"", "1 2 3", "1 2 3 4 5 6 a b x", "1 2 -3 4 5 6 a b -", "1 2 3 4 -5 6 a b -", "1 2 3 4 5 1025 a b -",
		"1 2 3 4 5 -6 a b -", "a 2 3 4 5 6 a b -"} {
		if err := new(Mark).UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// What earlier batches say is read, and written again as it was.
func TestSpotsOfEarlierBatches(t *testing.T) {
	old := `{"/a":{"dev":1,"inode":2,"offset":3,"head":"aa","head_len":3,"tail":"bb","rotated":true,"before":{"dev":4,"inode":5,"head":"cc","len":6}}}`
	var f Files
	if err := json.Unmarshal([]byte(old), &f); err != nil || f["/a"].Earlier == nil || f["/a"].Offset != 3 || !f["/a"].Rotated ||
		f["/a"].Before.Len != 6 {
		t.Fatalf("got %+v, %v", f, err)
	}
	if raw, err := json.Marshal(f); err != nil || string(raw) != old {
		t.Errorf("got %s, %v", raw, err)
	}
	if raw, err := json.Marshal(Files{"/a": {Marks: []Mark{{Dev: 1, Last: true}}}}); err != nil || strings.Contains(string(raw), "head_len") {
		t.Errorf("got %s, %v", raw, err)
	}
}
