package builtins

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

// shipped returns the clear text of every batch of a source that lies on a target,
// in the order of the batches, each batch as one text.
func (b *bench) shipped(source string) []string {
	b.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.lab.Root(), "srv/copies/logs", source, "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := ledger.Catalog{Store: b.store}.Artifacts(b.t.Context(), ledger.Query{Item: source})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, a := range all { // in the order in which they were made
		for _, dir := range dirs {
			if !strings.HasSuffix(dir, a.ID) {
				continue
			}
			text := ""
			files, err := filepath.Glob(dir + "/*.zst")
			if err != nil {
				b.t.Fatal(err)
			}
			for _, f := range files {
				text += unzstd(b.t, f)
			}
			out = append(out, text)
		}
	}
	return out
}

func unzstd(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// looseBench demands the second disk alone.
func looseBench(t *testing.T, edits ...string) *bench {
	return newBench(t, append([]string{"+", `asset(name = "logs", on = {"second-disk": "opened"})`}, edits...)...)
}

func shipLoose(source string) string {
	return `return [verify(copies = copy(artifact = a)) for a in ship_logs(source = "` + source + `", asset = "logs")]`
}

const web = "var/log/nginx/access.log"

// rotate does what logrotate does: rename and create, or copy and truncate; the one
// before is packed, or this one at once.
func (b *bench) rotate(copyTruncate, compress bool) {
	b.t.Helper()
	log := filepath.Join(b.lab.Node().Root, web)
	for n := 20; n >= 1; n-- {
		for _, ext := range []string{".gz", ""} {
			from := fmt.Sprintf("%s.%d%s", log, n, ext)
			if _, err := os.Stat(from); err != nil {
				continue
			}
			if ext == "" {
				b.pack(from)
				from += ".gz"
			}
			b.must(os.Rename(from, fmt.Sprintf("%s.%d.gz", log, n+1)))
		}
	}
	if copyTruncate {
		raw, err := os.ReadFile(log)
		b.must(err)
		b.must(os.WriteFile(log+".1", raw, 0o644))
		b.must(os.Truncate(log, 0))
	} else {
		b.must(os.Rename(log, log+".1"))
		b.must(os.WriteFile(log, nil, 0o644))
	}
	if compress {
		b.pack(log + ".1")
	}
}

// pack does what gzip does to a file.
func (b *bench) pack(path string) {
	b.t.Helper()
	raw, err := os.ReadFile(path)
	b.must(err)
	st, err := os.Stat(path)
	b.must(err)
	f, err := os.Create(path + ".gz")
	b.must(err)
	z := gzip.NewWriter(f)
	_, err = z.Write(raw)
	b.must(err)
	b.must(z.Close())
	b.must(f.Close())
	b.must(os.Chtimes(path+".gz", st.ModTime(), st.ModTime()))
	b.must(os.Remove(path))
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// write appends numbered lines to the web log.
func (b *bench) write(n int) {
	b.t.Helper()
	f, err := os.OpenFile(filepath.Join(b.lab.Node().Root, web), os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	for range n {
		b.wrote++
		fmt.Fprintf(f, "line %06d of the test, long enough to fill the print of a file with a few of them\n", b.wrote)
	}
}

// wantLines demands each line that was written exactly once, in order.
func (b *bench) wantLines() {
	b.t.Helper()
	next := 1
	for _, line := range strings.Split(strings.Join(b.shipped("pve1-web"), ""), "\n") {
		var n int
		if _, err := fmt.Sscanf(line, "line %06d", &n); err != nil {
			continue
		}
		if n != next {
			b.t.Fatalf("got line %d, want line %d", n, next)
		}
		next++
	}
	if next != b.wrote+1 {
		b.t.Fatalf("got %d lines, want %d", next-1, b.wrote)
	}
}

func TestFilesAreShippedOnceAcrossRotation(t *testing.T) {
	t.Parallel()
	for name, rotate := range map[string]func(*bench){
		"renamed":                         func(b *bench) { b.rotate(false, false) },
		"copied and truncated":            func(b *bench) { b.rotate(true, false) },
		"renamed and packed":              func(b *bench) { b.rotate(false, true) },
		"copied, truncated and packed":    func(b *bench) { b.rotate(true, true) },
		"renamed twice":                   func(b *bench) { b.rotate(false, false); b.write(7); b.rotate(false, false) },
		"renamed, the new one is written": func(b *bench) { b.rotate(false, false); b.write(100) },
		"not at all":                      func(*bench) {},
		"a copy is being packed": func(b *bench) {
			b.rotate(false, false)
			log := filepath.Join(b.lab.Node().Root, web)
			raw, err := os.ReadFile(log + ".1")
			b.must(err)
			b.must(os.WriteFile(log+".1.gz", raw[:len(raw)/2], 0o644)) // no gzip yet, nor ever
		},
		"the new file is not made yet": func(b *bench) {
			b.rotate(false, false)
			log := filepath.Join(b.lab.Node().Root, web)
			b.must(os.Remove(log))
			b.good(shipLoose("pve1-web"))
			b.must(os.WriteFile(log, nil, 0o644))
		},
		"truncated to the same first lines": func(b *bench) {
			b.rotate(true, false)
			b.write(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := looseBench(t)
			for range 3 {
				b.write(40)
				b.good(shipLoose("pve1-web"))
				b.write(5)
				rotate(b)
				b.write(3)
			}
			b.good(shipLoose("pve1-web"))
			b.wantLines()
			if a := b.artifact("pve1-web"); len(a.Gaps) > 0 {
				t.Errorf("got gaps %+v", a.Gaps)
			}
		})
	}
}

func TestTheFirstBatchHoldsRotatedFilesToo(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	b.good(shipLoose("pve1-web"))
	text := strings.Join(b.shipped("pve1-web"), "")
	for n := range 900 {
		if c := strings.Count(text, fmt.Sprintf("?n=%d HTTP", n)); c != 1 {
			t.Fatalf("line %d is there %d times", n, c)
		}
	}
	b.good(shipLoose("pve1-web"))
	if got := b.shipped("pve1-web"); len(got) != 2 || got[1] != "" {
		t.Errorf("nothing new: got batches of %d and %d bytes", len(got[0]), len(got[1]))
	}
}

func TestTheJournalIsShippedOnce(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	for i := range 3 {
		for n := range 10 {
			if err := b.lab.Node().Log(fmt.Sprintf("message %d.%d", i, n)); err != nil {
				t.Fatal(err)
			}
		}
		b.good(shipLoose("pve1-journal"))
	}
	text := strings.Join(b.shipped("pve1-journal"), "")
	for i := range 3 {
		for n := range 10 {
			if c := strings.Count(text, fmt.Sprintf("MESSAGE=message %d.%d\n", i, n)); c != 1 {
				t.Errorf("message %d.%d is there %d times", i, n, c)
			}
		}
	}
}

func TestTasksAndTheLedgerAreShippedOnce(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	for range 2 {
		b.good(shipLoose("pve1-tasks"))
		b.good(shipLoose("runner-ledger"))
	}
	tasks := strings.Join(b.shipped("pve1-tasks"), "")
	if strings.Count(tasks, ":qmstart:100:") != 1 || strings.Count(tasks, `"log":"starting\nTASK OK\n"`) != 2 {
		t.Errorf("got %s", tasks)
	}
	record := b.shipped("runner-ledger")
	if len(record) != 2 || strings.Count(record[0]+record[1], `"run.begin"`) < 3 {
		t.Errorf("got %v", record)
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(strings.Join(record, "")), "\n") {
		if seen[line] {
			t.Fatalf("an entry is there twice: %s", line)
		}
		seen[line] = true
	}
}

func TestABatchWaitsInTheSpoolForItsTarget(t *testing.T) {
	t.Parallel()
	b := newBench(t, "+", `asset(name = "logs", on = {"second-disk": "read", "offline-a": "read"})`)
	if err := b.lab.Detach("offline-a"); err != nil {
		t.Fatal(err)
	}
	policy := `return [verify(copies = copy(artifact = a)) for a in ship_logs(source = "pve1-journal", asset = "logs")]`
	for range 3 {
		if out := b.run(policy); out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	if err := b.lab.Attach("offline-a"); err != nil {
		t.Fatal(err)
	}
	b.run(policy)
	if n := len(b.copies("offline-a")); n != 4 {
		t.Errorf("got %d copies on the drive that came back, want 4", n)
	}
	if n := len(b.copies("second-disk")); n != 4 {
		t.Errorf("got %d copies on the disk, want 4: none is made twice", n)
	}
}

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
		"journalctl ends within an entry": {"pve1-journal", journal("cut 100"), "E_LOGS_READ", "", ""},
		"journalctl is missing":           {"pve1-journal", journal("missing"), "E_HOST_PROGRAM", "", ""},
		"journalctl is killed":            {"pve1-journal", journal("killed"), "E_HOST", "", ""},
		"journalctl may not":              {"pve1-journal", journal("exit 1 No journal files were opened due to insufficient permissions."), "E_LOGS_READ", "", ""},
		"a truncated log": {"pve1-web", func(b *bench) {
			if err := os.Truncate(filepath.Join(b.lab.Node().Root, web), 0); err != nil {
				b.t.Fatal(err)
			}
			b.write(3)
		}, "", "it was truncated", ""},
		"an inode that is used again": {"pve1-web", func(b *bench) {
			// The same inode with other content: what a new file looks like that got it.
			if err := os.WriteFile(filepath.Join(b.lab.Node().Root, web), []byte(strings.Repeat("another file altogether, of the same inode\n", 2000)), 0o644); err != nil {
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

// A log that was empty, or began with the same words, is not taken for the one that
// it was copied to.
func TestCopyTruncateOfShortLogsLosesNothing(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"empty": "", "the same header": "# log of the service, version 1\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := looseBench(t, "+", `logs(name = "short", host = "pve1", files = ["/var/log/short.log"])`)
			log := filepath.Join(b.lab.Node().Root, "var/log/short.log")
			b.must(os.WriteFile(log, []byte(header), 0o644))
			b.good(shipLoose("short"))
			for i := range 3 {
				text := fmt.Sprintf("%sline %d\n", header, i)
				b.must(os.WriteFile(log, []byte(text), 0o644))
				b.must(os.WriteFile(fmt.Sprintf("%s.%d", log, 1), []byte(text), 0o644)) // copied …
				b.must(os.WriteFile(log, []byte(header), 0o644))                        // … and truncated
				b.good(shipLoose("short"))
				b.must(os.Rename(log+".1", fmt.Sprintf("%s.%d", log, 9-i)))
			}
			text := strings.Join(b.shipped("short"), "")
			for i := range 3 {
				if n := strings.Count(text, fmt.Sprintf("line %d\n", i)); n != 1 {
					t.Errorf("line %d is there %d times in %q", i, n, text)
				}
			}
		})
	}
}

func TestALogThatIsAwayForAWhileIsNotShippedTwice(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	b.write(40)
	b.good(shipLoose("pve1-web"))
	dir := filepath.Join(b.lab.Node().Root, "var/log/nginx")
	b.must(os.Rename(dir, dir+".away"))
	for range 2 {
		out := b.run(`return [a.id for a in ship_logs(source = "pve1-web", asset = "logs")]`)
		if out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	b.must(os.Rename(dir+".away", dir))
	b.write(5)
	b.run(shipLoose("pve1-web"))
	b.wantLines()
}

func TestALineOfTheTaskIndexThatIsBeingWrittenIsReadLater(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	b.good(shipLoose("pve1-tasks"))
	upid := "UPID:pve1:00000BB8:00012345:6921D4F5:vzdump:100:root@pam:"
	root := b.lab.Node().Root
	b.must(os.MkdirAll(filepath.Join(root, "var/log/pve/tasks/5"), 0o755))
	b.must(os.WriteFile(filepath.Join(root, "var/log/pve/tasks/5", upid), []byte("TASK OK\n"), 0o644))
	index := filepath.Join(root, "var/log/pve/tasks/index")
	for _, piece := range []string{upid + " 6921", "D500 OK\n"} {
		f, err := os.OpenFile(index, os.O_APPEND|os.O_WRONLY, 0)
		b.must(err)
		_, err = f.WriteString(piece)
		b.must(err)
		b.must(f.Close())
		b.good(shipLoose("pve1-tasks"))
	}
	if text := strings.Join(b.shipped("pve1-tasks"), ""); strings.Count(text, upid) != 1 {
		t.Errorf("got %s", text)
	}
}

func TestEntriesOfTheFutureDoNotSilenceTheAlarm(t *testing.T) {
	t.Parallel()
	b := looseBench(t, "+", `logs(name = "quiet", host = "pve1", files = ["/var/log/nginx/access.log"], silent = "1h")`)
	future := b.clock.Now().Add(20 * 365 * 24 * time.Hour)
	b.must(os.Chtimes(filepath.Join(b.lab.Node().Root, web), future, future))
	ship := `return [a.id for a in ship_logs(source = "quiet", asset = "logs")]`
	wantFinding(t, b.run(ship), ledger.DegradedRun, "entries of the future")
	b.clock.advance(3 * time.Hour)
	wantFinding(t, b.run(ship), ledger.Failed, "has been silent for 3h")
}

func TestASourceThatMovedBeginsAnew(t *testing.T) {
	t.Parallel()
	b := looseBench(t, "+", `logs(name = "moving", host = "pve1", files = ["/var/log/nginx/access.log"])`)
	b.good(shipLoose("moving"))
	b.edit(`logs(name = "moving", host = "pve1", files = ["/var/log/nginx/access.log"])`, `logs(name = "moving", host = "pve1", journal = True)`)
	b.run(`return [a.id for a in ship_logs(source = "moving", asset = "logs")]`)
	gaps := b.artifact("moving").Gaps
	if len(gaps) != 1 || !strings.Contains(gaps[0].Why, "the source is the journal on pve1, which begins anew") {
		t.Errorf("got %+v", gaps)
	}
}

func TestALogOfNoBytesIsFine(t *testing.T) {
	t.Parallel()
	b := looseBench(t, "+", `logs(name = "errors", host = "pve1", files = ["/var/log/nginx/error.log"])`)
	for range 2 {
		b.good(shipLoose("errors"))
	}
	b.node("var/log/nginx/error.log", "", "the first error\n")
	b.good(shipLoose("errors"))
	if got := strings.Join(b.shipped("errors"), "|"); got != "||the first error\n" {
		t.Errorf("got %q", got)
	}
}

func TestNoLogFilesAtAllIsAnError(t *testing.T) {
	t.Parallel()
	b := looseBench(t, "+", `logs(name = "none", host = "pve1", files = ["/var/log/gone/*.log"])`)
	wantCode(t, b.run(shipLoose("none")), "E_LOGS_READ", "nothing on the host fits")
}

// unspool makes the spool a place that cannot be written.
func (b *bench) unspool() {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.dir, "spool")); err != nil {
		b.t.Fatal(err)
	}
	b.full()
}
