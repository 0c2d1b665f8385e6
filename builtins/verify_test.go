package builtins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/ledger"
)

// plainUSB lets the lab's USB disk hold copies that are not sealed.
var plainUSB = []string{"offline = True,\n    sealed_to = [RECOVERY],", "offline = True,"}

// onHost gives the host the recovery identity.
const onHost = `identity(secret = secret("recovery-identity"), on_host = True)`

// again verifies, in a run of its own, copies that were proven before.
func again(level string) string {
	return main(`a = snapshot_vm(guest = "scratch")`, `c = copy(artifact = a, to = ["node", "offsite", "offline-a"])`,
		`verify(copies = c, level = "read")`,
		`log(text = "now")`, `return verify(copies = c, level = "`+level+`")`)
}

func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	edit := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, "manifest.json")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(raw), from, to, 1)
			if changed == string(raw) {
				t.Fatalf("the manifest does not hold %q", from)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := func(t *testing.T, dir string) string {
		list, err := filepath.Glob(filepath.Join(dir, "vzdump-*.zst*"))
		if err != nil || len(list) == 0 || strings.HasSuffix(list[0], ".notes") {
			t.Fatalf("nothing is stored in %s: %v", dir, err)
		}
		return list[0]
	}
	flipped := func(t *testing.T, dir string) { flip(t, stored(t, dir)) }
	short := func(t *testing.T, dir string) {
		if err := os.Truncate(stored(t, dir), 1000); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(t *testing.T, dir string) {
		if err := os.Remove(stored(t, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, target string
		spoil        func(t *testing.T, dir string)
		code         string
		words        []string
	}{
		{"a flipped bit in place", "node", flipped, "E_DAMAGED", []string{"SHA-256"}},
		{"an archive in place that was cut", "node", short, "E_DAMAGED", nil},
		{"an archive in place that is gone", "node", gone, "E_ARCHIVE_MISSING", []string{"/srv/backup/dump/"}},
		{"a flipped bit offsite", "offsite", flipped, "E_DAMAGED", []string{"SHA-256"}},
		{"a file offsite that was cut", "offsite", short, "E_DAMAGED", []string{"1000 bytes"}},
		{"a file offsite that is gone", "offsite", gone, "E_DAMAGED", []string{"it is missing"}},
		{"a manifest offsite of another guest", "offsite", edit(`"item": "scratch"`, `"item": "scratcx"`), "E_DAMAGED",
			[]string{"manifest.json"}},
		{"a manifest offsite that is none", "offsite", edit(`{`, `{{`), "E_DAMAGED", []string{"manifest.json"}},
		{"a flipped bit on the disk", "offline-a", flipped, "E_DAMAGED", []string{"SHA-256"}},
		{"a file on the disk that was cut", "offline-a", short, "E_DAMAGED", []string{"1000 bytes"}},
		{"a file on the disk that is gone", "offline-a", gone, "E_DAMAGED", []string{"it is missing"}},
		{"a manifest on the disk with another digest", "offline-a", edit(`"sha256": "`, `"sha256": "0`), "E_DAMAGED", []string{"manifest.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, plainUSB...)
			policy := again("read")
			id := b.dies(policy, func(e ledger.Entry) bool { return e.Step == "/4" })
			dir := map[string]string{"node": b.dir + "/world/pve/nodes/pve1/srv/backup/dump", "offsite": b.offsite(),
				"offline-a": b.usb("offline-a")}[c.target]
			if c.target != "node" {
				dir = filepath.Join(dir, b.copies(c.target)[0].Ref)
			}
			if n := len(b.proofs(c.target)); n != 1 {
				t.Fatalf("got %d proofs before, want 1", n)
			}
			c.spoil(t, dir)
			out := b.resume(policy, id)
			wantCode(t, out, c.code, append(c.words, "copy of scratch")...)
			if !strings.Contains(out.Err.Error(), "target "+c.target) && c.code == "E_DAMAGED" {
				t.Errorf("the error does not name the target: %v", out.Err)
			}
			for _, name := range []string{"node", "offsite", "offline-a"} {
				want := 2
				if name == c.target {
					want = 0 // the earlier proof is void, too
				}
				if n := len(b.proofs(name)); n != want {
					t.Errorf("%s: got %d proofs, want %d", name, n, want)
				}
			}
		})
	}
}

func TestVerifyTellsEveryDamagedCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	policy := again("read")
	id := b.dies(policy, func(e ledger.Entry) bool { return e.Step == "/4" })
	flip(t, b.offsite(b.offsiteFile()))
	b.detach("offline-a")
	out := b.resume(policy, id)
	wantCode(t, out, "E_DAMAGED", "offsite")
	wantFinding(t, out, ledger.Failed, "offline-a", "E_MEDIA_ABSENT")
	if len(b.proofs("offline-a")) != 1 || len(b.proofs("offsite")) != 0 {
		t.Errorf("got %d proofs of the absent copy and %d of the damaged one, want 1 and 0", len(b.proofs("offline-a")), len(b.proofs("offsite")))
	}
}

func TestVerifyReadsNothingTwiceForATargetThatWasAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.heal = "attempt 1 of 3"
	policy := again("read")
	id := b.dies(policy, func(e ledger.Entry) bool { return e.Step == "/4" })
	b.inject(lab.Fault{On: "ssh offsite.lab", Do: "refuse"})
	out := b.resume(policy, id)
	if out.Err != nil || out.Result != ledger.OK {
		t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	for _, name := range []string{"node", "offsite", "offline-a"} {
		if n := len(b.proofs(name)); n != 2 {
			t.Errorf("%s: got %d proofs, want 2", name, n)
		}
	}
	read := 0
	err := b.catalog().Entries(t.Context(), ledger.Filter{Type: ledger.StepEnd}, func(e ledger.Entry) error {
		var end ledger.End
		if e.Step == "/4" && e.Decode(&end) == nil && end.Retried {
			read = len(end.Proofs)
		}
		return nil
	})
	if err != nil || read != 2 {
		t.Errorf("the first attempt recorded %d proofs, %v; want 2", read, err)
	}
}

func TestVerifyOpensASealedCopyOnlyWithAnIdentity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		site  []string
		code  string
		words []string
	}{
		{"with the identity on this host", []string{"+", onHost}, "", nil},
		{"without one", nil, "E_NO_IDENTITY", []string{"offsite"}},
		{"with one that is none", []string{"+", `identity(secret = secret("pve-token"), on_host = True)`}, "E_SECRET",
			[]string{"no recovery key in it"}},
		{"with one that is not in the keyring", []string{"+", `identity(secret = secret("nowhere"), on_host = True)`}, "E_SECRET",
			[]string{"nowhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.site...)
			out := b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["offsite"]), level = "opened")`)
			if c.code != "" {
				wantCode(t, out, c.code, c.words...)
				return
			}
			if p := b.proofs("offsite"); out.Err != nil || len(p) != 1 || p[0].Level != ledger.Opened {
				t.Errorf("got %v, %+v", out.Err, p)
			}
		})
	}
}

func TestVerifyReachesThreeLevels(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := b.run(`return verify(copies = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node"]), level = "booted")`)
	if out.Err == nil || !strings.Contains(out.Err.Error(), "verify reaches stored, read or opened") {
		t.Errorf("got %v", out.Err)
	}
	b.good(`c = copy(artifact = snapshot_vm(guest = "mail"), to = ["node", "offsite"])`, `verify(copies = c, level = "stored")`,
		`return verify(copies = c[:1], level = "opened")`)
	var got []string
	for _, p := range b.proofs("") {
		got = append(got, p.Target+" "+ledger.LevelName(p.Level))
	}
	if s := strings.Join(got, ", "); !strings.Contains(s, "node stored") || !strings.Contains(s, "offsite stored") ||
		!strings.Contains(s, "node opened") || len(got) != 3 {
		t.Errorf("got %s", s)
	}
}

// The archive is made of bytes that no reader can open: the digest is right, the
// structure is not.
func TestOpenedFindsWhatReadCannot(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.inject(lab.Fault{On: "vzdump 900", Do: "truncate -1"})
	out := b.run(`c = copy(artifact = snapshot_vm(guest = "scratch"), to = ["node"])`, `verify(copies = c, level = "read")`,
		`return verify(copies = c, level = "opened")`)
	wantCode(t, out, "E_DAMAGED", "node", "scratch")
	if n := len(b.proofs("node")); n != 0 {
		t.Errorf("got %d proofs, want the one of the reading void", n)
	}
}
