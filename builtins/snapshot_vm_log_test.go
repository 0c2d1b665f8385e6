package builtins

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

// The log's size is rounded by a rule of its own: it is reported, and the first reading
// is the verdict.
func TestAnArchiveThatIsCutShortIsFoundByTheFirstReading(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "vzdump 900", Do: "truncate 1000"})
	out := b.run(`c = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node"])`, `return verify(copies = c)`)
	if out.Result != ledger.Failed || len(b.proofs("")) != 0 || !b.reported("has 1000 bytes where its task's log says") {
		t.Fatalf("got %s, %v with %d proofs\n%s", out.Result, out.Err, len(b.proofs("")), strings.Join(b.lines, "\n"))
	}
	if !strings.Contains(fmt.Sprint(out.Err, out.Findings), "E_DAMAGED") {
		t.Errorf("got %v, %v; want E_DAMAGED", out.Err, out.Findings)
	}
}

// What /etc/vzdump.conf leaves out is in no log.
func TestWhatTheNodeLeavesOutOfContainersIsAGap(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path := b.dir + "/world/pve/nodes/pve1/etc/vzdump.conf"
	if err := os.WriteFile(path, []byte("exclude-path: \"/srv/a b\" /var/cache/*\nbwlimit: 20000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.good(`return snapshot_vm(guest = "mail")`)
	a := b.artifacts()[0]
	want := []string{"what matches /srv/a b", "what matches /var/cache/*"}
	for i, g := range a.Gaps {
		if i >= len(want) || g.What != want[i] || g.Why != "exclude-path in /etc/vzdump.conf of node pve1" {
			t.Errorf("got gap %+v", g)
		}
	}
	if len(a.Gaps) != 2 || a.Declared["vzdump.conf exclude-path"] != "/srv/a b,/var/cache/*" || a.Declared["vzdump.conf bwlimit"] != "20000" {
		t.Errorf("got gaps %v, facts %v", a.Gaps, a.Declared)
	}
}

func TestAVMWithoutADiskToSaveIsNoQuietSuccess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(900, func(g *lab.Guest) {
		for k, v := range g.Config {
			if strings.HasPrefix(k, "scsi0") || strings.HasPrefix(k, "virtio0") {
				g.Config[k] = v + ",backup=0"
			}
		}
	})
	out := b.run(snapshot)
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	gaps := b.artifacts()[0].Gaps
	if n := len(gaps); n < 2 || gaps[n-1].What != "every disk" || !strings.Contains(gaps[n-1].Why, "the configuration alone") {
		t.Errorf("got gaps %v", gaps)
	}
}

func TestSnapshotVMRefusesAStorageForOtherThings(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.lab.SetStorage("backup", func(s *lab.Storage) { s.Content = "iso" }); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.run(snapshot), "E_STORAGE", "wrong content type", "--content backup")
}

// A job of Proxmox itself prunes runner's archives with its own. They count until
// somebody looks.
func TestAnArchiveThatSomebodyElseRemovedCountsNoLonger(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	night := []string{`c = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node"])`, `return verify(copies = c)`}
	b.good(night...)
	first := b.artifacts()[0]
	b.good(night...)
	if err := os.Remove(b.dump(first)); err != nil {
		t.Fatal(err)
	}
	out := b.run(night...)
	wantFinding(t, out, ledger.DegradedRun, "the archive of scratch of ", "is not on node any more: runner did not remove it, and it "+
		"counts no longer")
	n := 0
	for _, p := range rows[ledger.Copy](b, ledger.RowCopy, ledger.Query{Target: "node"}) {
		if p.Artifact == first.ID {
			proven, err := b.catalog().ProvenCopies(t.Context(), ledger.Query{Target: "node"})
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range proven {
				if q.Artifact == first.ID && q.Level >= 0 {
					n++
				}
			}
		}
	}
	if n != 0 {
		t.Error("the archive that is gone still counts")
	}
	b.good(night...) // it is reported once
}
