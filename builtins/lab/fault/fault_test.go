package fault

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMatch(t *testing.T) {
	cases := []struct {
		pattern, place string
		want           bool
	}{
		{"vzdump 100", "vzdump 100", true}, {"vzdump 100", "vzdump 1001", false}, {"vzdump *", "vzdump 1001", true},
		{"* /nodes/*/vzdump", "POST /nodes/pve1/vzdump", true}, {"* /nodes/*/vzdump", "POST /nodes/pve1/vzdump/defaults", false},
		{"*", "", true}, {"a*a", "a", false}, {"a*b*c", "a-b-b-c", true}, {"", "x", false},
	}
	for _, c := range cases {
		if got := Match(c.pattern, c.place); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.pattern, c.place, got, c.want)
		}
	}
}

func TestCountsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]Fault{{On: "x", Do: "cut 5", Times: 1}, {On: "x", Do: "slow"}}); err != nil {
		t.Fatal(err)
	}
	due, err := s.Due("x", "cut", "slow")
	if err != nil || len(due) != 2 || due[0] != (Deed{"cut", "5"}) {
		t.Fatalf("first meeting: got %v, %v, want both", due, err)
	}
	s, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if due, err := s.Due("x", "cut", "slow"); err != nil || len(due) != 1 || due[0].Name != "slow" {
		t.Errorf("after the process: got %v, %v, want slow alone", due, err)
	}
	if due, err := s.Due("x", "deny"); err != nil || len(due) != 0 {
		t.Errorf("another deed: got %v, %v, want none", due, err)
	}
}

func TestBadFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	if err := os.WriteFile(path, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("got no error")
	}
	s, err := Open(filepath.Join(t.TempDir(), "faults.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]Fault{{On: "x"}}); err == nil {
		t.Error("a fault without a deed: got no error")
	}
}
