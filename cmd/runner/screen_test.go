package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5<<30 + 1<<29: "5.5 GiB", 3 << 40: "3.0 TiB", 2 << 50: "2.0 PiB",
	} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 999 * time.Millisecond: "999ms", 1500 * time.Millisecond: "1.5s", 61 * time.Second: "1m1s", 2*time.Hour + 400*time.Millisecond: "2h0m0s",
	} {
		if got := took(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestWhenColoursAreUsed(t *testing.T) {
	for _, c := range []struct {
		name, flag string
		env        map[string]string
		terminal   bool
		want       bool
	}{
		{"a terminal", "auto", nil, true, true},
		{"a pipe", "auto", nil, false, false},
		{"a terminal, and NO_COLOR", "auto", map[string]string{"NO_COLOR": "1"}, true, false},
		{"a pipe, forced", "auto", map[string]string{"CLICOLOR_FORCE": "1"}, false, true},
		{"a pipe, forced by the other name", "auto", map[string]string{"FORCE_COLOR": "1"}, false, true},
		{"NO_COLOR is stronger", "auto", map[string]string{"NO_COLOR": "1", "FORCE_COLOR": "1"}, false, false},
		{"never, on a terminal", "never", nil, true, false},
		{"always, into a pipe", "always", nil, false, true},
		{"always is stronger than NO_COLOR", "always", map[string]string{"NO_COLOR": "1"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []string{"NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR"} {
				t.Setenv(n, c.env[n])
			}
			if got := useColor(c.flag, c.terminal); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// What a step prints where there is no terminal: one line when it ends, LAB on
// each line of the lab, and why it failed.
func TestLinesOfARun(t *testing.T) {
	end := runtime.Event{Kind: runtime.EventEnd, Step: "/0", Primitive: "guests", Args: []byte(`{}`), Elapsed: 12 * time.Millisecond}
	failed := end
	failed.Failure = &ledger.Failure{Code: "E_PVE_DOWN", Message: "proxmox pve: list guests: connection refused"}
	for _, c := range []struct {
		name string
		lab  string
		e    runtime.Event
		want string
	}{
		{"the run", "", runtime.Event{Kind: runtime.EventRun, Text: "2026-x"}, "run 2026-x\n"},
		{"in the lab", "LAB ", runtime.Event{Kind: runtime.EventRun, Text: "2026-x"}, "LAB run 2026-x\n"},
		{"a beginning says nothing", "", runtime.Event{Kind: runtime.EventBegin, Step: "/0", Primitive: "guests"}, ""},
		{"an end", "", end, "ok   /0         12ms    guests()\n"},
		{"a failure", "LAB ", failed, "LAB FAIL /0         12ms    guests()\nLAB      proxmox pve: list guests: connection refused\n"},
		{"a line of a primitive", "", runtime.Event{Kind: runtime.EventLog, Step: "/0", Primitive: "copy", Text: "resumed"}, "/0         copy: resumed\n"},
		{"a line of several", "LAB ", runtime.Event{Kind: runtime.EventLog, Step: "/0", Primitive: "copy", Text: "resumed\nhint: wait"}, "LAB /0         copy: resumed\nLAB      hint: wait\n"},
		{"print", "", runtime.Event{Kind: runtime.EventPrint, Text: "hello"}, "hello\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			s := &screen{err: &out, lab: c.lab, told: map[string]time.Time{}, verbose: true}
			s.event(c.e)
			if got := out.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			s.close()
			s.event(c.e)
			if got := out.String(); got != c.want {
				t.Errorf("after the end: got %q, want %q", got, c.want)
			}
		})
	}
}

// Without --verbose an item is a line when its copies are proven, and a step is none
// unless it fails.
func TestLinesOfItems(t *testing.T) {
	var out bytes.Buffer
	s := &screen{err: &out, told: map[string]time.Time{}}
	at := time.Date(2026, 11, 23, 1, 41, 20, 0, time.Local)
	artifact := ledger.Artifact{ID: "a", Asset: "vms", Item: "erp", Bytes: 5 << 30}
	s.event(runtime.Event{Kind: runtime.EventEnd, Time: at.Add(-16 * time.Minute), Primitive: "snapshot_vm", Facts: &ledger.Facts{Artifacts: []ledger.Artifact{artifact}}})
	s.event(runtime.Event{Kind: runtime.EventEnd, Time: at, Primitive: "verify", Facts: &ledger.Facts{Proofs: []ledger.Proof{
		{Artifact: "a", Asset: "vms", Item: "erp", Target: "offsite", Level: ledger.Read}, {Artifact: "a", Asset: "vms", Item: "erp", Target: "node", Level: ledger.Opened}}}})
	s.event(runtime.Event{Kind: runtime.EventEnd, Time: at, Primitive: "guests", Args: []byte(`{}`), Failure: &ledger.Failure{Message: "connection refused"}})
	want := "01:41:20 ok      erp              5.0 GiB in 16m0s   node opened; offsite read\n01:41:20 FAILED  guests()\n     connection refused\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := s.items.text(time.Minute), "1 of 1 items done, 1 FAILED   1m0s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoTextOfAMediumMovesTheCursor(t *testing.T) {
	for in, want := range map[string]string{
		"dd if=x of=/dev/STICK   # plain, ü": "dd if=x of=/dev/STICK   # plain, ü",
		"a\x1b[2Jb":                          "a\uFFFD[2Jb",
		"a\nok   everything":                 "a\uFFFDok   everything",
		"a\u202eb\u009bc\rd\x00":             "a\uFFFDb\uFFFDc\uFFFDd\uFFFD",
		"\xff\x9b":                           "\uFFFD\uFFFD",
	} {
		if got := shown(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got, want := shownLines("a\x1b\nhint:\tb", "  "), "a\uFFFD\n  hint: b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
