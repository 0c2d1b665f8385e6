package builtins

import (
	"os"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	exportAndCopy = `return verify(copies = copy(artifact = export_dns(zone = "example.org")))`
	lacks         = `return ["%s %s" % (a.item, a.created) for a in lacking(target = "offline-b")]`
	catchUp       = `each([lambda a = a: verify(copies = copy(artifact = a, to = ["offline-b"])) for a in lacking(target = "offline-b")], max = 1)`
)

// three nights of an export while offline-b is with its keeper.
func awayForThreeNights(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	for range 3 {
		b.good(exportAndCopy)
		b.clock.advance(day)
	}
	return b
}

func (b *bench) lacks() (out []string) {
	b.t.Helper()
	text := b.good(lacks).Value.String()
	for _, part := range strings.Split(strings.Trim(text, "[]"), ", ") {
		if part != "" {
			out = append(out, part)
		}
	}
	return out
}

// A disk that comes back gets every export that it lacks, though the spool does not hold
// them any more: from the copies in clear on the second disk.
func TestADiskThatComesBackIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	b := awayForThreeNights(t)
	b.unspool()
	if err := b.lab.Attach("offline-b"); err != nil {
		t.Fatal(err)
	}
	got := b.lacks()
	if len(got) != 3 || got[0] < got[1] || got[1] < got[2] {
		t.Fatalf("it lacks %q, want three exports, the newest first", got)
	}
	b.good(catchUp)
	if p := b.proofs("offline-b"); len(p) != 3 || p[0].Level != ledger.Read {
		t.Errorf("got the proofs %+v, want three, read", p)
	}
	if got := b.lacks(); len(got) != 0 {
		t.Errorf("it still lacks %q", got)
	}
	// What lies there opens as what was exported.
	ids := recoveryIdentity(t)
	m := openMedium(t, b.usb("offline-b"), ids)
	if len(m.Entries()) != 3 || len(m.Bad) != 0 {
		t.Fatalf("the medium holds %d artifacts, %v", len(m.Entries()), m.Bad)
	}
	for _, e := range m.Entries() {
		if v, err := m.Verify(t.Context(), e.ID); err != nil || v.Level != ledger.Opened {
			t.Errorf("%s: got %+v, %v", e.Item, v, err)
		}
	}
}

// A copy that rots is no source: nothing is made of it, and the run says so.
func TestARottenCopyIsNoSource(t *testing.T) {
	t.Parallel()
	b := awayForThreeNights(t)
	b.unspool()
	newest := b.copies("second-disk")[2]
	flip(t, b.dir+"/world/machine/srv/copies/"+newest.Ref+"/"+newest.Files[0].Name)
	if err := b.lab.Attach("offline-b"); err != nil {
		t.Fatal(err)
	}
	out := b.run(catchUp)
	if out.Result != ledger.Failed {
		t.Fatalf("got %s, %v", out.Result, out.Err)
	}
	if n := len(b.copies("offline-b")); n != 2 {
		t.Errorf("got %d copies on the disk, want the two whose sources are whole", n)
	}
}

// What is sealed everywhere is not lacking: nobody here could copy it.
func TestWhatOnlyARecoveryKeyReadsIsNotLacking(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.good(`return verify(copies = copy(artifact = export_dns(zone = "example.org"), to = ["offsite"]))`)
	if got := b.lacks(); len(got) != 1 {
		t.Errorf("while the spool has it, it lacks %q, want one", got)
	}
	b.unspool()
	if got := b.lacks(); len(got) != 0 {
		t.Errorf("it lacks %q, want nothing", got)
	}
	if !b.reported("1 older artifacts that offline-b lacks can be read nowhere any more") {
		t.Error("nothing says that there are such")
	}
}

// A disk that is pulled while it is written: what was whole counts, the run fails, and
// the next visit goes on.
func TestADiskThatIsPulledWhileItIsWritten(t *testing.T) {
	t.Parallel()
	b := awayForThreeNights(t)
	if err := b.lab.Attach("offline-b"); err != nil {
		t.Fatal(err)
	}
	cfg := b.config(main(catchUp))
	verified := 0
	cfg.Observe = func(e runtime.Event) {
		if e.Kind == runtime.EventEnd && e.Primitive == "verify" {
			if verified++; verified == 1 {
				b.must(b.lab.Detach("offline-b"))
			}
		}
	}
	out, err := runtime.Exec(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if out.Result != ledger.Failed {
		t.Errorf("got %s, %v, want failed", out.Result, out.Err)
	}
	if len(b.proofs("offline-b")) != 1 {
		t.Errorf("got %d proofs, want that of before it was pulled", len(b.proofs("offline-b")))
	}
	b.must(b.lab.Attach("offline-b"))
	b.good(catchUp)
	if got := b.lacks(); len(got) != 0 || len(b.proofs("offline-b")) != 3 {
		t.Errorf("it still lacks %q", got)
	}
}

// That a medium which was there is gone is no "it is with its keeper": the run says so.
func TestADiskThatIsPulledInTheNightIsAFinding(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cfg := b.config(main(`verify(copies = copy(artifact = export_dns(zone = "example.org")))`,
		`verify(copies = copy(artifact = export_dns(zone = "example.org")))`))
	verified := 0
	cfg.Observe = func(e runtime.Event) {
		if e.Kind == runtime.EventEnd && e.Primitive == "verify" {
			if verified++; verified == 1 {
				b.must(b.lab.Detach("offline-a"))
			}
		}
	}
	out, err := runtime.Exec(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantFinding(t, out, ledger.Failed, "offline-a", "it was taken away while this run wrote to it", "E_MEDIA_ABSENT")
	if len(b.copies("offsite")) != 2 || len(b.copies("offline-a")) != 1 {
		t.Errorf("got %d copies offsite and %d on the disk", len(b.copies("offsite")), len(b.copies("offline-a")))
	}
}

// Of two disks with one file system neither is written, whichever is mounted.
func TestCopiesRefuseAClonedAFailingAndAReadOnlyDiskByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(*bench)
		words []string
	}{
		"cloned": {func(b *bench) { b.must(b.lab.Clone("offline-a")) }, []string{"E_DISK_CLONED", "LABUSB000A-CLONE", "target offline-a"}},
		"failing": {func(b *bench) { b.inject(lab.Fault{On: "disk offline-a", Do: "failing"}) },
			[]string{"E_DISK_FAILING", "SMART status is FAILED", "Reallocated_Sector_Ct"}},
		"read-only": {func(b *bench) { b.inject(lab.Fault{On: "disk offline-a", Do: "read-only"}) }, []string{"LABUSB000A", "can only be read"}},
		"wrong": {func(b *bench) { b.must(b.lab.SetMedium("offline-a", func(d *ledger.Device) { d.Serial = "OTHER" })) },
			[]string{"E_WRONG_MEDIUM", "OTHER"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.do(b)
			out := b.run(exportAndCopy)
			wantFinding(t, out, ledger.Failed, append(c.words, "offline-a")...)
			if len(b.copies("offline-a")) != 0 || len(b.copies("offsite")) != 1 {
				t.Errorf("got %d copies on it, and %d offsite", len(b.copies("offline-a")), len(b.copies("offsite")))
			}
			entries, err := os.ReadDir(b.usb("offline-a"))
			if err != nil || len(entries) != 0 {
				t.Errorf("%d files were written to it, %v", len(entries), err)
			}
		})
	}
}
