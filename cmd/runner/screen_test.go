package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/vbauerster/mpb/v8"
)

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
		{"an end", "", end, "ok   /0         0.0 s   guests()\n"},
		{"a failure", "LAB ", failed, "LAB FAIL /0         0.0 s   guests()\nLAB      proxmox pve: list guests: connection refused\n"},
		{"a line of a primitive", "", runtime.Event{Kind: runtime.EventLog, Step: "/0", Primitive: "copy", Text: "resumed"},
			"/0         copy: resumed\n"},
		{"a line of several", "LAB ", runtime.Event{Kind: runtime.EventLog, Step: "/0", Primitive: "copy", Text: "resumed\nhint: wait"},
			"LAB /0         copy: resumed\nLAB      hint: wait\n"},
		{"print", "", runtime.Event{Kind: runtime.EventPrint, Text: "hello"}, "hello\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			s := &screen{err: &out, lab: c.lab, since: map[string]time.Time{}, verbose: true}
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
	s := &screen{err: &out, since: map[string]time.Time{}}
	at := time.Date(2026, 11, 23, 1, 41, 20, 0, time.Local)
	artifact := ledger.Artifact{ID: "a", Asset: "vms", Item: "erp", Bytes: 5 << 30}
	s.event(runtime.Event{Kind: runtime.EventEnd, Time: at.Add(-16 * time.Minute), Primitive: "snapshot_vm",
		Facts: &ledger.Facts{Artifacts: []ledger.Artifact{artifact}}})
	s.event(runtime.Event{Kind: runtime.EventEnd, Time: at, Primitive: "verify", Facts: &ledger.Facts{Proofs: []ledger.Proof{
		{Artifact: "a", Asset: "vms", Item: "erp", Target: "offsite", Level: ledger.Read},
		{Artifact: "a", Asset: "vms", Item: "erp", Target: "node", Level: ledger.Opened}}}})
	s.event(runtime.Event{Kind: runtime.EventEnd, Time: at, Primitive: "guests", Args: []byte(`{}`),
		Failure: &ledger.Failure{Message: "connection refused"}})
	want := "01:41:20 ok      erp              5.0 GiB in 16 min  node opened; offsite read\n01:41:20 FAILED  guests()\n     connection " +
		"refused\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := s.items.tally(), "1 of 1 items done, 1 FAILED"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An item is ok when it is on every target that it was to be copied to. An attempt that
// is followed by another is not a failure, and what many steps say is said once.
func TestAnItemThatATargetLacksIsNotOK(t *testing.T) {
	var out bytes.Buffer
	s := &screen{err: &out, since: map[string]time.Time{}}
	at := time.Date(2026, 11, 23, 1, 41, 20, 0, time.Local)
	end := func(prim string, f ledger.Facts) runtime.Event {
		return runtime.Event{Kind: runtime.EventEnd, Time: at, Primitive: prim, Args: []byte(`{"artifact":{"id":"a1"}}`), Facts: &f}
	}
	lost := []ledger.Finding{{Severity: ledger.Failed, Asset: "keys", Item: "keyring", Target: "offsite",
		Text: "keyring was not copied to offsite"}}
	copies := []ledger.Copy{{Artifact: "a1", Asset: "keys", Item: "keyring", Target: "nas"}}
	proofs := []ledger.Proof{{Artifact: "a1", Asset: "keys", Item: "keyring", Target: "nas", Level: ledger.Read}}
	s.event(end("seal_secrets", ledger.Facts{Artifacts: []ledger.Artifact{{ID: "a1", Asset: "keys", Item: "keyring", Bytes: 2048}}}))
	again := end("copy", ledger.Facts{Copies: copies, Findings: lost})
	again.Failure, again.Again = &ledger.Failure{Message: "target offsite: log in: EOF"}, true
	s.event(again)
	for range 3 {
		s.event(runtime.Event{Kind: runtime.EventLog, Time: at, Primitive: "copy",
			Text: "attempt 1 of 3: target offsite: log in: EOF; next in 5 s"})
		s.event(runtime.Event{Kind: runtime.EventLog, Time: at, Primitive: "copy", Text: "nas: 9 bytes were there already", Detail: true})
	}
	s.event(end("copy", ledger.Facts{Copies: copies, Findings: lost}))
	s.event(end("verify", ledger.Facts{Proofs: proofs}))
	if got, want := s.items.tally(), "0 of 1 items done, 1 FAILED"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	failed := end("copy", ledger.Facts{})
	failed.Failure = &ledger.Failure{Message: "target offsite: log in: EOF", Hint: "look at sshd's log"}
	s.event(failed)
	copies[0].Target = "offsite"
	s.event(end("copy", ledger.Facts{Copies: copies})) // it came to be there after all
	s.event(end("verify", ledger.Facts{Proofs: proofs}))
	want := "01:41:20         copy: attempt 1 of 3: target offsite: log in: EOF; next in 5 s\n" +
		"01:41:20 FAILED  keyring          2.0 KiB in 0.0 s   nas read; NOT on offsite\n" +
		"01:41:20 FAILED  copy(artifact = keyring)\n     target offsite: log in: EOF\n     hint: look at sshd's log\n" +
		"01:41:20 ok      keyring          2.0 KiB in 0.0 s   nas read\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A line is broken between words where the terminal is narrow, its colours are kept, and
// what a system says paints nothing.
func TestLinesFitTheTerminal(t *testing.T) {
	green := "\x1b[32mok\x1b[0m"
	for _, c := range []struct {
		name  string
		width int
		line  string
		want  string
	}{
		{"wide enough", 80, "01:41:20 " + green + "      erp  5.0 GiB in 16 min  node opened",
			"01:41:20 " + green + "      erp  5.0 GiB in 16 min  node opened\n"},
		{"narrow", 44, "01:41:20 " + green + "      erp  5.0 GiB in 16 min  node opened; offsite read",
			"01:41:20 " + green + "      erp  5.0 GiB in 16 min\n                 node opened; offsite read\n"},
		{"just as wide", 30, "123456789 123456789 1234567890", "123456789 123456789 1234567890\n"},
		{"one too many", 30, "123456789 123456789 1234567890 x", "123456789 123456789 1234567890\n     x\n"},
		{"one long word", 30, strings.Repeat("x", 50), strings.Repeat("x", 50) + "\n"},
		{"no terminal", 0, strings.Repeat("long line ", 20), strings.Repeat("long line ", 20) + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			s := &screen{err: &out}
			if c.width > 0 {
				s.columns = func() int { return c.width }
			}
			s.line("%s", painted(c.line))
			if got := out.String(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	var out bytes.Buffer
	s := &screen{err: &out, color: true}
	s.line("%s %s  %s", "01:41:20", s.paint("31", "FAILED"), "vzdump: \x1b[2Jgone")
	if got, want := out.String(), "01:41:20 \x1b[31mFAILED\x1b[0m  vzdump: \uFFFD[2Jgone\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDocumentsFitTheTerminal(t *testing.T) {
	const text = "a first line that is longer than forty columns are\n\n" +
		"  E_DAMAGED   what is there is not what was written\n" +
		"  exec POLICY.star     run a procedure\n" +
		"    code = [\"that stays\", \"as it is\", \"however long\"]\n"
	const want = "a first line that is longer than forty\ncolumns are\n\n" +
		"  E_DAMAGED   what is there is not what\n              was written\n" +
		"  exec POLICY.star     run a procedure\n" +
		"    code = [\"that stays\", \"as it is\", \"however long\"]\n"
	if got := narrowed(text, 40); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestATransferSaysWhatThereIsRoomFor(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		done, total int64
		took        time.Duration
		room        int
		want        string
	}{
		{29 * gib, 48 * gib, 290 * time.Second, 140, "vzdump erp  60 %  29.0 GiB of 48.0 GiB  3:10 left  102.4 MiB/s"},
		{29 * gib, 48 * gib, 290 * time.Second, 60, "vzdump erp  60 %  29.0 GiB of 48.0 GiB  3:10 left"},
		{29 * gib, 48 * gib, 290 * time.Second, 30, "vzdump erp  60 %  3:10 left"},
		{gib, 4 * gib, time.Millisecond, 80, "vzdump erp  25 %  1.0 GiB of 4.0 GiB"},
		{0, gib, time.Minute, 80, "vzdump erp"},
		{gib, 0, time.Minute, 80, "vzdump erp"},
	} {
		if got := transfer("vzdump erp", c.done, c.total, c.took, c.room); got != c.want {
			t.Errorf("%d of %d at %d columns: got %q, want %q", c.done, c.total, c.room, got, c.want)
		}
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

// Lines are printed while the bars are drawn: neither may wait for the other.
func TestLinesAndBarsDoNotWaitForEachOther(t *testing.T) {
	s := &screen{err: io.Discard, bar: map[string]*mpb.Bar{}, since: map[string]time.Time{}, columns: func() int { return 80 }}
	s.bars = mpb.New(mpb.WithOutput(io.Discard), mpb.WithRefreshRate(100*time.Microsecond), mpb.WithAutoRefresh())
	s.count()
	for i := range 20_000 {
		s.event(runtime.Event{Kind: runtime.EventPrint, Text: "line"})
		if i%1000 == 0 {
			s.event(runtime.Event{Kind: runtime.EventProgress, Step: "/0", Transfer: fmt.Sprint(i), Total: 16 << 20, Done: int64(i)})
		}
	}
	s.close()
}
