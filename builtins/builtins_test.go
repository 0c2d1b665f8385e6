package builtins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// local are the primitives that talk to no system.
var local = map[string]bool{"copies": true, "history": true, "log": true, "now": true, "guest_assets": true, "lacking": true}

func TestEveryDeclarationIsComplete(t *testing.T) {
	t.Parallel()
	b := newBench(t, `allow(destroy = ["prune"])`, `allow(destroy = ["prune", "destroy_vm", "remove_upload"])`)
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, d := range All() {
		i := d.Info()
		if i.Name <= last {
			t.Errorf("%s stands after %s: the list is sorted, and each is there once", i.Name, last)
		}
		last = i.Name
		first, _, _ := strings.Cut(i.Doc, "\n")
		if !strings.HasPrefix(first, i.Name+": ") {
			t.Errorf("%s: the documentation begins %q, want %q", i.Name, first, i.Name+": …")
		}
		for _, p := range i.Params {
			if p.Doc == "" {
				t.Errorf("%s: argument %s has no documentation", i.Name, p.Name)
			}
		}
		if _, err := os.Stat(i.Name + ".go"); err != nil {
			t.Errorf("%s lies in no file of its name: %v", i.Name, err)
		}
		if !strings.Contains(strings.Join(files, " "), i.Name+"_test.go") {
			t.Errorf("%s has no tests of its own", i.Name)
		}
		if !i.HasFake {
			t.Errorf("%s cannot be tested by policies: it has no fake", i.Name)
		}
		if i.HasProbe != (i.Resume == runtime.Probe) {
			t.Errorf("%s: way to resume %s, probe: %v", i.Name, i.Resume, i.HasProbe)
		}
		if i.Kind == runtime.Read && i.Resume != runtime.Retry {
			t.Errorf("%s: a read that cannot be repeated", i.Name)
		}
		if !local[i.Name] && len(i.Codes) == 0 {
			t.Errorf("%s talks to a system and declares no codes", i.Name)
		}
		seen := map[string]bool{}
		for _, c := range i.Codes {
			if !strings.HasPrefix(c.Name, "E_") || c.Doc == "" || seen[c.Name] {
				t.Errorf("%s: code %q has no documentation, or is there twice", i.Name, c.Name)
			}
			seen[c.Name] = true
		}
		example(t, b, i)
	}
}

// example holds that an example is a call that check accepts, and that a plan
// goes through it.
func example(t *testing.T, b *bench, i runtime.Info) {
	t.Helper()
	if !strings.Contains(i.Example, i.Name+"(") {
		t.Errorf("%s: its example does not call it: %s", i.Name, i.Example)
	}
	cfg := b.config(main("return " + i.Example))
	site, err := site.Load("site.star", []byte(b.site), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range cfg.Program.Check(site.Names()) {
		t.Errorf("%s: check says of its example: %s", i.Name, d)
	}
	cfg.Mode = runtime.Plan
	out, err := runtime.Exec(t.Context(), cfg)
	if err != nil || out.Err != nil {
		t.Errorf("%s: a plan of its example ends with %v, %v", i.Name, err, out)
	}
}

// A run that is told to stop while a system does not answer stops at once.
func TestEveryPrimitiveStopsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	saveFirst := func(b *bench) {
		b.good(`return verify(copies = copy(artifact = snapshot_vm(guest = "scratch")), level = "read")`)
	}
	otherJob := func(b *bench) {
		b.job(100)
		b.clock.advance(time.Hour)
	}
	for _, c := range []struct {
		name, call string
		hang       string // place
		before     func(*bench)
		nights     int
	}{
		{"adopt", `adopt(target = "node")`, "sftp pve1.lab get", otherJob, 0},
		{"guests", `guests()`, "GET /nodes/pve1/qemu", nil, 0},
		{"export_dns", `export_dns(zone = "example.org")`, "GET /zones/*/dns_records", nil, 0},
		{"snapshot_vm", `snapshot_vm(guest = "scratch")`, postVzdump, nil, 0},
		{"snapshot_vm", `snapshot_vm(guest = "scratch")`, "GET /nodes/pve1/tasks/*", nil, 0},
		{"copy", `copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"])`, "sftp offsite.lab put", nil, 0},
		{"copy", `copy(artifact = snapshot_vm(guest = "scratch"), to = ["offline-a"])`, "sftp pve1.lab get", nil, 0},
		{"copy", `copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"])`, "ssh offsite.lab", nil, 0},
		{"verify", `verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"]))`, "sftp offsite.lab get", nil, 0},
		{"verify", `verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"]))`, "sftp offsite.lab stat", nil, 0},
		{"prune", `prune(asset = "virtual_machines", keep = [], apply = True)`, "*", nil, 4},
		{"restore_vm", `restore_vm(guest = "scratch", vmid = 9100, storage = "local")`, "POST /nodes/pve1/qemu", saveFirst, 0},
		{"restore_vm", `restore_vm(guest = "scratch", vmid = 9100, storage = "local", from_target = "offline-a")`, "sftp pve1.lab put",
			saveFirst, 0},
		{"save_files", `save_files(host = "pve1", paths = ["/etc"], asset = "operating_systems")`, "run pve1.lab tar", nil, 0},
		{"destroy_vm", `destroy_vm(vmid = 900, token = "runner:x/0")`, "GET /nodes/pve1/tasks", nil, 0},
		{"remove_upload", `remove_upload(system = "pve", node = "pve1", path = "/srv/backup/dump/vzdump-qemu-1-2.vma", token = "runner:x/0")`,
			"sftp pve1.lab *", nil, 0},
	} {
		t.Run(c.name+" at "+strings.ReplaceAll(c.hang, "/", " "), func(t *testing.T) {
			t.Parallel()
			edits := append([]string{`allow(destroy = ["prune"])`, `allow(destroy = ["prune", "destroy_vm", "remove_upload"])`}, plainUSB...)
			b := newNights(t, c.nights, edits...)
			if c.before != nil {
				c.before(b)
			}
			b.inject(lab.Fault{On: c.hang, Do: "hang"})
			cfg := b.config(main(c.call))
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			reported := make(chan time.Time, 1)
			go func() {
				b.met(ctx)
				reported <- time.Now()
				stop(runtime.ErrInterrupted)
			}()
			out, err := runtime.Exec(ctx, cfg)
			now := time.Now()
			stop(nil)
			took := now.Sub(<-reported)
			if err != nil || out.Result != ledger.Interrupted {
				t.Fatalf("got %v, %+v", err, out)
			}
			// What hangs ends by itself after a minute; a busy machine needs nothing like it.
			if took > 30*time.Second {
				t.Errorf("it took %v to stop", took)
			}
		})
	}
}

// met returns when a fault was met.
func (b *bench) met(ctx context.Context) {
	for {
		raw, err := os.ReadFile(filepath.Join(b.dir, "world", "faults.json.met"))
		if err == nil && len(raw) > len("{}") {
			return
		}
		if (runtime.RealClock{}).Sleep(ctx, time.Millisecond) != nil {
			return
		}
	}
}

func TestAWorldWithoutAKeyringSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cfg := b.config(main("guests()"))
	cfg.World.(*systems.Systems).Env.Keyring = nil
	out, err := runtime.Exec(t.Context(), cfg)
	var own *failure.Error
	if err != nil || !errors.As(out.Err, &own) || own.Code.Name != "E_SECRET" || !strings.Contains(own.Error(), "there is no keyring") {
		t.Errorf("got %v, %v", err, out.Err)
	}
}
