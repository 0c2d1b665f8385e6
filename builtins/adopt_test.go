package builtins

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/neosofia/runner/builtins/checkpoints"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
)

// newJobs opens a lab in which a job of Proxmox's own saved guests, two hours ago.
func newJobs(t *testing.T, ids ...int) *bench {
	t.Helper()
	b := newBench(t, plainUSB...)
	b.job(ids...)
	b.clock.advance(2 * time.Hour)
	return b
}

func (b *bench) job(ids ...int) {
	b.t.Helper()
	if err := b.lab.BackUp(b.t.Context(), "backup", ids...); err != nil {
		b.t.Fatal(err)
	}
}

// inPlace are the copies on the node, with their proofs.
func (b *bench) inPlace() []ledger.Proven {
	b.t.Helper()
	list, err := b.catalog().ProvenCopies(b.t.Context(), ledger.Query{Target: "node"})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// shown is what status says of an item on a target.
func (b *bench) shown(item, target string) string {
	b.t.Helper()
	d, err := b.catalog().Demands(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	st, err := report.NewStatus(b.t.Context(), b.catalog(), d, b.clock.Now(), report.Live{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, a := range st.Assets {
		for _, it := range a.Items {
			for _, c := range it.Copies {
				if it.Name == item && c.Target == target {
					return c.Proof
				}
			}
		}
	}
	return "none"
}

func TestAdoptCountsWhatAnotherJobMade(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100, 101)
	out := b.good(`return [a.item for a in adopt(target = "node")]`)
	if got := out.Value.String(); got != `["mail", "erp"]` && got != `["erp", "mail"]` {
		t.Fatalf("got %s", got)
	}
	for _, c := range b.inPlace() {
		art, _, err := b.catalog().Artifact(t.Context(), c.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Foreign || c.Lost || !c.InPlace || c.Level != ledger.Opened || len(c.Files[0].SHA256) != 64 || !art.Foreign ||
			art.Asset != "virtual_machines" || art.Consistency == "" || art.Created.After(b.clock.Now().Add(-time.Hour)) {
			t.Errorf("got %+v of %+v", c, art)
		}
	}
	if got := b.shown("erp", "node"); got != "opened, foreign" {
		t.Errorf("status shows %q", got)
	}
	if out := b.good(`return adopt()`); out.Value.String() != "[]" || len(b.inPlace()) != 2 {
		t.Errorf("a second time it found %s", out.Value)
	}
	if _, ok := b.guest(9100); ok {
		t.Fatal("9100 is there")
	}
	b.good(`return restore_vm(guest = "erp", vmid = 9100, storage = "local")`)
	if _, ok := b.guest(9100); !ok {
		t.Error("nothing came back")
	}
}

func TestAdoptTakesTheNewestFirstAndAsFarAsItIsAsked(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100)
	b.job(100)
	b.clock.advance(time.Hour)
	b.job(100)
	b.clock.advance(time.Hour)
	b.good(`return adopt(target = "node", level = "read", most = 1)`)
	list := b.inPlace()
	if len(list) != 1 || list[0].Level != ledger.Read || !b.reported("2 older archives are left for the next time") ||
		b.clock.Now().Sub(list[0].Taken) > 90*time.Minute {
		t.Fatalf("got %+v", list)
	}
	b.good(`return adopt()`)
	if len(b.inPlace()) != 3 {
		t.Errorf("got %d", len(b.inPlace()))
	}
}

func TestWhatAdoptLeaves(t *testing.T) {
	t.Parallel()
	only := func(b *bench) string { return b.dumps()[0] }
	for _, c := range []struct {
		name   string
		before func(b *bench)
		result string
		counts int
		words  []string
	}{
		{"written a moment ago", func(b *bench) {
			now := b.clock.Now()
			if err := os.Chtimes(only(b), now, now.Add(-30*time.Second)); err != nil {
				b.t.Fatal(err)
			}
		}, ledger.OK, 0, []string{"vzdump-qemu-100-", "was written less than a minute ago"}},
		{"written by a clock that is ahead", func(b *bench) {
			at := b.clock.Now().Add(time.Hour)
			if err := os.Chtimes(only(b), at, at); err != nil {
				b.t.Fatal(err)
			}
		}, ledger.DegradedRun, 0, nil},
		{"named by a clock that is ahead", func(b *bench) {
			b.rename(only(b), "vzdump-qemu-100-2099_01_01-00_00_00.vma.zst")
		}, ledger.DegradedRun, 0, nil},
		{"of a guest that is not there", func(b *bench) {
			if err := b.lab.RemoveGuest(100); err != nil {
				b.t.Fatal(err)
			}
		}, ledger.OK, 0, []string{"vzdump-qemu-100-", "is of a guest that the cluster does not have"}},
		{"of another guest that had the VMID", func(b *bench) {
			if err := b.lab.RemoveGuest(100); err != nil {
				b.t.Fatal(err)
			}
			if err := b.lab.AddGuest(lab.Guest{ID: 100, Kind: "qemu", Node: "pve1", Name: "web", Config: map[string]string{"memory": "16",
				"smbios1": "uuid=11111111-2222-4333-8444-555555555555"}}); err != nil {
				b.t.Fatal(err)
			}
		}, ledger.OK, 0, []string{"is of another guest, erp, that had the VMID of web before"}},
		{"of a guest that was renamed", func(b *bench) { b.set(100, func(g *lab.Guest) { g.Name = "erp2" }) }, ledger.OK, 1, nil},
		{"of a guest that the site leaves out", func(b *bench) {
			b.edit(`unprotected(guest = "scratch"`, `unprotected(guest = "erp", reason = "x", until = "2099-01-01")`+"\n"+
				`unprotected(guest = "scratch"`)
		}, ledger.OK, 0, nil},
		{"of a template, which is a guest", func(b *bench) { b.set(100, func(g *lab.Guest) { g.Config["template"] = "1" }) }, ledger.OK, 1, nil},
		{"protected, which concerns removal alone", func(b *bench) { b.beside(only(b), ".protected", "") }, ledger.OK, 1, nil},
		{"without its log", func(b *bench) { b.drop(strings.TrimSuffix(only(b), ".vma.zst") + ".log") }, ledger.OK, 1, nil},
		{"two of the same second", func(b *bench) { b.unpacked(only(b)) }, ledger.OK, 2, nil},
		{"none", func(b *bench) { b.drop(only(b)) }, ledger.OK, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newJobs(t, 100)
			c.before(b)
			out := b.run(`return adopt(target = "node")`)
			if out.Err != nil || out.Result != c.result || len(b.inPlace()) != c.counts {
				t.Fatalf("got %s, %v, %v, %d copies:\n%s", out.Result, out.Err, out.Findings, len(b.inPlace()), strings.Join(b.lines, "\n"))
			}
			if c.words != nil && !b.reported(c.words...) {
				t.Errorf("want to be told %q:\n%s", c.words, strings.Join(b.lines, "\n"))
			}
			if c.result == ledger.DegradedRun && (len(out.Findings) == 0 || !strings.Contains(out.Findings[0].Text, "timedatectl")) {
				t.Errorf("found %v", out.Findings)
			}
		})
	}
}

func (b *bench) rename(path, to string) {
	b.t.Helper()
	if err := os.Rename(path, filepath.Join(filepath.Dir(path), to)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) beside(path, ending, text string) {
	b.t.Helper()
	if err := os.WriteFile(path+ending, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) drop(path string) {
	b.t.Helper()
	if err := os.Remove(path); err != nil {
		b.t.Fatal(err)
	}
}

// unpacked puts an archive beside itself that is not compressed: one of the same second.
func (b *bench) unpacked(path string) {
	b.t.Helper()
	in, err := os.Open(path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer in.Close()
	r, err := zstd.NewReader(in)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.beside(strings.TrimSuffix(path, ".zst"), "", string(raw))
}

// An archive whose own notes are all that is left of its run is counted, and stays; one of
// which a manifest tells is runner's own again.
func TestArchivesOfALostLedger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		rebuild bool
		shown   string
		left    int
	}{
		{"nothing else is left of it", false, "opened, of a lost ledger", 4},
		{"manifests tell of it", true, "opened", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newNights(t, 4, `anew from a template", until = "2027-12-31"`, `anew from a template", until = "2026-01-01"`)
			b.store = &mortal{Store: ledger.NewMemory()}
			if c.rebuild {
				imports, _, err := checkpoints.ReadManifests(t.Context(), b.config(main("pass")).World.(*systems.Systems), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := checkpoints.Rebuilt(t.Context(), ledger.New(b.store), imports, nil, b.clock.Now()); err != nil {
					t.Fatal(err)
				}
			}
			b.days(40)
			b.good(`adopt(target = "node")`, `return verify(copies = copies(most = 40), level = "read")`)
			if got := b.shown("scratch", "node"); got != c.shown {
				t.Errorf("status shows %q, want %q", got, c.shown)
			}
			for range 8 {
				b.good(`return prune(asset = "virtual_machines", keep = [], keep_on_storage = 1, apply = True)`)
				b.clock.advance(time.Hour)
			}
			if got := len(b.dumps()); got != c.left {
				t.Errorf("%d archives are left, want %d:\n%s", got, c.left, strings.Join(b.lines, "\n"))
			}
		})
	}
}

// days lets time pass in which runner ran, and did nothing.
func (b *bench) days(n int) {
	b.t.Helper()
	for range n {
		b.clock.advance(day)
		b.run(`return now()`)
	}
}

func TestAPlanOfAdoptReadsNoArchive(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100)
	cfg := b.config(main(`adopt(target = "node")`))
	cfg.Mode = runtime.Plan
	out, err := runtime.Exec(t.Context(), cfg)
	if err != nil || out.Err != nil || !b.reported("would read and count backup:backup/vzdump-qemu-100-", "of erp, foreign") {
		t.Errorf("got %v, %v:\n%s", err, out.Err, strings.Join(b.lines, "\n"))
	}
}

func TestAdoptIsForStoragesOfProxmox(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if out := b.run(`return adopt(target = "offsite")`); failure.CodeOf(out.Err).Name != "E_BAD_TARGET" {
		t.Errorf("got %v", out.Err)
	}
	b.inject(lab.Fault{On: "storage backup", Do: "unmounted"})
	if out := b.run(`return adopt()`); failure.CodeOf(out.Err).Name != "E_STORAGE" {
		t.Errorf("got %v", out.Err)
	}
}

// What a true Proxmox VE made, of every form that vzdump writes.
func TestAdoptOpensTrueArchives(t *testing.T) {
	t.Parallel()
	b := newJobs(t, 100)
	folder := filepath.Dir(b.dumps()[0])
	b.drop(b.dumps()[0])
	files, err := filepath.Glob("internal/format/archive/testdata/pve/*/vzdump-*-1[23]?-*")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	there, count := map[int]bool{}, 0
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".log") || strings.HasSuffix(name, ".notes") {
			b.beside(filepath.Join(folder, name), "", string(raw))
			continue
		}
		count++
		b.beside(filepath.Join(folder, name), "", string(raw))
		parts := strings.Split(name, "-")
		id, err := strconv.Atoi(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		if !there[id] {
			there[id] = true
			if err := b.lab.AddGuest(lab.Guest{ID: id, Kind: parts[1], Node: "pve1", Name: "true-" + parts[2],
				Config: map[string]string{"memory": "16"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.clock.advance(time.Hour)
	b.good(`return adopt(target = "node", level = "opened")`)
	read := 0
	for _, c := range b.inPlace() {
		switch {
		case strings.HasSuffix(c.Ref, ".lzo") && c.Level == ledger.Read: // no library unpacks it
			read++
		case c.Level != ledger.Opened:
			t.Errorf("%s is %s", c.Ref, ledger.LevelName(c.Level))
		}
		art, _, err := b.catalog().Artifact(t.Context(), c.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(c.Ref, ".lzo") && (art.Origin.Name == "" || art.Origin.Name == "true-"+art.Origin.Number) {
			t.Errorf("%s: the name in its configuration was not read: %q", c.Ref, art.Origin.Name)
		}
	}
	if got := len(b.inPlace()); got != count || read != 1 {
		t.Errorf("got %d copies of %d archives, %d of them read alone:\n%s", got, count, read, strings.Join(b.lines, "\n"))
	}
}
