package builtins

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestLogsAreNeitherLostNorDoubledByACrash(t *testing.T) {
	t.Parallel()
	policy := main(shipLoose("pve1-web"))
	for name, at := range map[string]func(ledger.Entry) bool{
		"before the batch is recorded": func(e ledger.Entry) bool { return e.Step == "/0" && ending(e) },
		"while it is copied":           func(e ledger.Entry) bool { return e.Step == "/1" && e.Type == ledger.StepBegin },
		"before the copy is recorded":  func(e ledger.Entry) bool { return e.Step == "/1" && ending(e) },
	} {
		for _, again := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, resumed %v", name, again), func(t *testing.T) {
				t.Parallel()
				b := looseBench(t)
				b.write(40)
				b.good(shipLoose("pve1-web"))
				b.write(40)
				id := b.dies(policy, at)
				b.write(10)
				b.rotate(false, true)
				b.write(10)
				if again {
					if out := b.resume(policy, id); out.Err != nil {
						t.Fatal(out.Err)
					}
				}
				b.good(shipLoose("pve1-web"))
				b.wantLines()
			})
		}
	}
}

func TestLogFaults(t *testing.T) {
	t.Parallel()
	journal := func(do string) func(*bench) {
		return func(b *bench) { b.inject(lab.Fault{On: "run pve1.lab journalctl", Do: do}) }
	}
	for name, c := range map[string]struct {
		source string
		then   func(*bench) // after a first batch
		code   string
		gap    string
		find   string
	}{
		"the journal was vacuumed past the cursor": {"pve1-journal", func(b *bench) {
			for i := range 20 {
				if err := b.lab.Node().Log(fmt.Sprint("m", i)); err != nil {
					b.t.Fatal(err)
				}
			}
			if err := b.lab.Node().Vacuum(5); err != nil {
				b.t.Fatal(err)
			}
		}, "", "gone before they were read", ""},
		"a corrupt journal": {"pve1-journal", func(b *bench) {
			for i := range 20 {
				if err := b.lab.Node().Log(fmt.Sprint("m", i)); err != nil {
					b.t.Fatal(err)
				}
			}
			journal("corrupt")(b)
		}, "", "gone before they were read", "what could be read of the damaged source is saved"},
		"a damaged object ends the journal": {"pve1-journal", func(b *bench) {
			for i := range 20 {
				b.must(b.lab.Node().Log(fmt.Sprint("m", i)))
			}
			journal("ends 8")(b)
		}, "", "entries that the journal's header counts did not come", "the journal ends at entry"},
		"journalctl ends within an entry": {"pve1-journal", journal("cut 100"), "E_LOGS_READ", "", ""},
		"journalctl is missing":           {"pve1-journal", journal("missing"), "E_HOST_PROGRAM", "", ""},
		"journalctl is killed":            {"pve1-journal", journal("killed"), "E_HOST", "", ""},
		"journalctl may not": {"pve1-journal", journal("exit 1 No journal files were opened due to insufficient permissions."),
			"E_LOGS_READ", "", ""},
		"a truncated log": {"pve1-web", func(b *bench) {
			if err := os.Truncate(filepath.Join(b.lab.Node().Root, web), 0); err != nil {
				b.t.Fatal(err)
			}
			b.write(3)
		}, "", "it was truncated", ""},
		"an inode that is used again": {"pve1-web", func(b *bench) {
			// The same inode with other content: what a new file looks like that got it.
			if err := os.WriteFile(filepath.Join(b.lab.Node().Root, web),
				[]byte(strings.Repeat("another file altogether, of the same inode\n", 2000)), 0o644); err != nil {
				b.t.Fatal(err)
			}
		}, "", "inode was used again", ""},
		"the log and its rotated ones are gone": {"pve1-web", func(b *bench) {
			files, err := filepath.Glob(filepath.Join(b.lab.Node().Root, web+"*"))
			if err != nil {
				b.t.Fatal(err)
			}
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					b.t.Fatal(err)
				}
			}
		}, "", "the file is gone", ""},
		"a task's log is gone": {"pve1-tasks", func(b *bench) {
			f, err := os.OpenFile(filepath.Join(b.lab.Node().Root, "var/log/pve/tasks/index"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				b.t.Fatal(err)
			}
			defer f.Close()
			fmt.Fprintln(f, "UPID:pve1:00000BB8:00012345:6921D4F5:vzdump:100:root@pam: 6921D500 OK")
		}, "", "its file is gone", ""},
		"a packed log that cannot be unpacked": {"pve1-web", func(b *bench) {
			b.rotate(false, true)
			if err := os.WriteFile(filepath.Join(b.lab.Node().Root, web+".1.gz"), []byte("no gzip"), 0o644); err != nil {
				b.t.Fatal(err)
			}
		}, "", "cannot be unpacked", "what could be read of the damaged source is saved"},
		"the spool is full":       {"pve1-web", func(b *bench) { b.unspool() }, "E_SPOOL", "", ""},
		"the source is silent":    {"quiet", func(b *bench) { b.clock.advance(3 * time.Hour) }, "", "", "has been silent for 3h"},
		"more than a batch holds": {"pve1-web", func(b *bench) { b.write(40_000) }, "", "", "the rest waits for the next run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := looseBench(t, "+", `logs(name = "quiet", host = "pve1", files = ["/var/log/nginx/access.log"], silent = "1h")`)
			b.good(shipLoose(c.source))
			c.then(b)
			out := b.run(`return [a.id for a in ship_logs(source = "` + c.source + `", asset = "logs", most = 1048576)]`)
			if c.code != "" {
				wantCode(t, out, c.code)
				return
			}
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			found := ""
			for _, g := range b.artifact(c.source).Gaps {
				found += g.What + ": " + g.Why + "\n"
			}
			if c.gap != "" && !strings.Contains(found, c.gap) {
				t.Errorf("got gaps %q, want %q", found, c.gap)
			}
			if c.gap == "" && found != "" {
				t.Errorf("got gaps %q", found)
			}
			if c.find != "" {
				severity := ledger.DegradedRun
				if strings.Contains(c.find, "silent") {
					severity = ledger.Failed
				}
				wantFinding(t, out, severity, c.find)
			}
		})
	}
}

func TestNoLogFilesAtAllIsAnError(t *testing.T) {
	t.Parallel()
	b := looseBench(t, "+", `logs(name = "none", host = "pve1", files = ["/var/log/gone/*.log"])`)
	wantCode(t, b.run(shipLoose("none")), "E_LOGS_READ", "nothing on the host fits")
}
