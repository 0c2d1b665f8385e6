package builtins

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

func TestAnArchiveThatChangesWhileItIsAdoptedIsRefused(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100)
	b.inject(lab.Fault{On: "sftp pve1.lab get", Do: "grow"})
	out := b.run(`return adopt(target = "node")`)
	if failure.CodeOf(out.Err).Name != "E_ARCHIVE_CHANGED" || out.Result != ledger.Failed || len(b.inPlace()) != 0 {
		t.Fatalf("got %s, %v, %d copies", out.Result, out.Err, len(b.inPlace()))
	}
	b.inject()
	b.clock.advance(time.Hour)
	if out := b.run(`return adopt(target = "node")`); failure.CodeOf(out.Err).Name != "E_DAMAGED" {
		t.Errorf("with more behind its end: got %v", out.Err)
	}
}

func TestADamagedArchiveCountsForNothing(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100, 101)
	path := b.dumps()[slices.IndexFunc(b.dumps(), func(p string) bool { return strings.Contains(p, "qemu-100") })]
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1000] ^= 1
	b.beside(path, "", string(raw))
	out := b.run(`return adopt(target = "node")`)
	if failure.CodeOf(out.Err).Name != "E_DAMAGED" || !strings.Contains(out.Err.Error(), "vzdump-qemu-100-") {
		t.Fatalf("got %s, %v", out.Result, out.Err)
	}
	if got := b.shown("erp", "node") + "; " + b.shown("mail", "node"); got != "unproven, foreign; opened, foreign" {
		t.Errorf("status shows %s", got)
	}
	b.good(`return adopt(target = "node")`)
	if !b.reported("was found damaged before, or is not proven") {
		t.Error("nobody says that it is still there")
	}
	if out := b.run(`return verify(copies = copies(target = "node"), level = "opened")`); failure.CodeOf(out.Err).Name != "E_DAMAGED" {
		t.Errorf("verify says %v", out.Err)
	}
}

func TestAForeignArchiveThatItsOwnRetentionRemovedIsGoneAndNotFailed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, call string }{
		{"adopt", `return adopt(target = "node")`},
		{"verify", `return verify(copies = copies(target = "node"))`},
		{"prune", `return prune(asset = "virtual_machines", keep = [], apply = True)`},
		{"snapshot_vm", `return snapshot_vm(guest = "erp")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newJobs(t, 100, 101)
			b.good(`return adopt()`)
			for _, p := range b.dumps() {
				if strings.Contains(p, "qemu-100") {
					b.drop(p)
				}
			}
			out := b.run(c.call)
			for _, f := range out.Findings {
				if strings.Contains(f.Text, "not on node") {
					t.Errorf("it is a finding: %v", f)
				}
			}
			list := b.inPlace()
			if out.Err != nil || len(list) != 1 || list[0].Item != "mail" || !b.reported("the foreign archive of erp of", "its own retention removed it") {
				t.Errorf("got %s, %v, %d copies:\n%s", out.Result, out.Err, len(list), strings.Join(b.lines, "\n"))
			}
		})
	}
}

// A storage that lists nothing looks like one whose disk is not mounted.
func TestAStorageThatIsEmptyAllAtOnceIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100, 101)
	b.good(`return adopt()`)
	for _, p := range b.dumps() {
		b.drop(p)
	}
	b.good(`return adopt()`)
	if len(b.inPlace()) != 2 {
		t.Errorf("%d copies are left of 2", len(b.inPlace()))
	}
}

// Whatever a rule says, what somebody else made stays, and no copy of runner's own goes
// because it is there.
func TestPruneLeavesForeignArchivesAlone(t *testing.T) {
	t.Parallel()
	b := newNights(t, 3)
	b.job(100)
	b.days(20)
	b.good(`return adopt(target = "node")`)
	if got := b.good(`return [a.item for a in history(asset = "virtual_machines")]`).Value.String(); strings.Contains(got, "erp") {
		t.Errorf("history names %s: a rule would let it take a day of runner's own", got)
	}
	for range 6 {
		b.good(`return prune(asset = "virtual_machines", keep = [], keep_on_storage = 1, apply = True)`)
	}
	var foreign, own int
	for _, c := range b.inPlace() {
		if c.Foreign {
			foreign++
		} else {
			own++
		}
	}
	if foreign != 1 || own == 0 || !b.reported("1 archives of virtual_machines that adopt counted are left alone") {
		t.Errorf("got %d foreign ones and %d of runner's own:\n%s", foreign, own, strings.Join(b.lines, "\n"))
	}
}

func TestAnAdoptedArchiveGoesElsewhereByNameAlone(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100)
	b.good(`adopt(target = "node")`, `return lacking(target = "offline-b")`)
	if got := b.good(`return len(lacking(target = "second-disk"))`).Value.String(); got != "0" {
		t.Errorf("%s are lacking", got)
	}
	if out := b.run(`return copy(artifact = adopt(target = "node")[0], to = ["second-disk"])`); out.Err == nil {
		t.Error("what is counted is returned again")
	}
	b = newJobs(t, 100)
	b.good(`return verify(copies = copy(artifact = adopt(target = "node")[0], to = ["second-disk", "offsite"]), level = "read")`)
	var got []string
	list, err := b.catalog().Copies(t.Context(), ledger.Query{Item: "erp"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		got = append(got, c.Target)
		if c.Foreign != c.InPlace {
			t.Errorf("the copy on %s is foreign: %v", c.Target, c.Foreign)
		}
	}
	if slices.Sort(got); strings.Join(got, " ") != "node offsite second-disk" {
		t.Errorf("got copies on %v", got)
	}
}
