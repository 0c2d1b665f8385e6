package builtins

import (
	"os"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// What breaks at the source is not a target's fault, and says whose it is.
func TestASourceThatBreaks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault lab.Fault
		code  string // "": it gets through
		words []string
	}{
		{"the connection to the node breaks once", lab.Fault{On: "sftp pve1.lab get", Do: "cut 1000", Times: 1}, "", nil},
		{"it breaks each time", lab.Fault{On: "sftp pve1.lab get", Do: "cut 1000"}, "E_PVE_DOWN",
			[]string{"proxmox pve", "vzdump-qemu-900", "is the host up"}},
		{"the account may not read the archive", lab.Fault{On: "sftp pve1.lab get", Do: "deny"}, "E_ARCHIVE_READ",
			[]string{"proxmox pve", "permission denied", "ls -l"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.inject(c.fault)
			out := b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["offline-a", "offsite"]), level = "read")`)
			if c.code == "" {
				if out.Err != nil || out.Result == ledger.Failed || len(b.proofs("offline-a")) != 1 || len(b.proofs("offsite")) != 1 {
					t.Fatalf("got %s, %v", out.Result, out.Err)
				}
				return
			}
			if out.Err != nil || out.Result != ledger.Failed {
				wantCode(t, out, c.code, c.words...)
			} else {
				wantFinding(t, out, ledger.Failed, append(c.words, c.code)...)
			}
			if len(b.copies("offline-a"))+len(b.copies("offsite")) != 0 {
				t.Error("a copy was recorded")
			}
		})
	}
}

func TestAnArchiveThatVanishesBeforeItIsCopied(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cfg := b.config(main(`a = snapshot_vm(guest = "scratch")`, `log(text = "made")`, `return copy(artifact = a, to = ["offline-a"])`))
	cfg.Observe = func(e runtime.Event) {
		if e.Kind != runtime.EventLog || !strings.Contains(e.Text, "made") {
			return
		}
		for _, name := range b.dumps() {
			if err := os.Remove(b.dir + "/world/pve/nodes/pve1/srv/backup/dump/" + name[strings.LastIndex(name, "/")+1:]); err != nil {
				t.Error(err)
			}
		}
	}
	out, err := runtime.Exec(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if out.Err != nil {
		wantCode(t, out, "E_ARCHIVE_MISSING", "proxmox pve", "runner retry")
	} else {
		wantFinding(t, out, ledger.Failed, "E_ARCHIVE_MISSING", "proxmox pve", "runner retry")
	}
}
