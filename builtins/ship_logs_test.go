package builtins

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

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
	b.edit(`logs(name = "moving", host = "pve1", files = ["/var/log/nginx/access.log"])`,
		`logs(name = "moving", host = "pve1", journal = True)`)
	b.run(`return [a.id for a in ship_logs(source = "moving", asset = "logs")]`)
	gaps := b.artifact("moving").Gaps
	if len(gaps) != 1 || !strings.Contains(gaps[0].Why, "the source is the journal on pve1, which begins anew") {
		t.Errorf("got %+v", gaps)
	}
}
