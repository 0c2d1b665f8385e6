package builtins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/cloudstore"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/neosofia/runner/stdlib"
	"github.com/neosofia/runner/tests/memdir"
)

// ring is a folder with a keyring that holds the lab's secrets. It is filled once
// for all tests, which only read it: deriving its keys is made to be slow.
var ring string

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == cloudstore.EngineVerb {
		os.Exit(cloudstore.Engine())
	}
	done := memdir.Use()
	dir, err := os.MkdirTemp("", "builtins-test-")
	if err == nil {
		ring = filepath.Join(dir, "keyring")
		k := labKeyring(ring)
		for name, secret := range lab.Secrets() {
			err = errors.Join(err, k.Set(name, secret))
		}
		err = errors.Join(err, k.Set("recovery-identity", []byte(lab.RecoveryIdentity+"\n")),
			k.Set("bad-token", []byte("00000000-0000-4000-8000-000000000000")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fill the keyring of the tests:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	done()
	os.Exit(code)
}

func labKeyring(dir string) *Keyring {
	return NewKeyring(KeyringConfig{Backend: "file", Dir: dir, Password: func() (string, error) { return "lab", nil }})
}

// bench is a lab with everything that cmd/runner joins around it.
type bench struct {
	t     *testing.T
	lab   *lab.World
	site  string
	ring  string
	clock *quick
	store *mortal
	dir   string
	runs  int

	wrote    int  // lines of a log file
	restores bool // foresee is asked about restores, too

	mu    sync.Mutex
	lines []string // what the operator was reported
	heal  string   // when a line holds this, all faults end
}

// newBench opens a new lab. Edits are pairs of texts: in the lab's site, each
// first one, which must be there, becomes the second; "+" adds to its end.
func newBench(t *testing.T, edits ...string) *bench {
	t.Helper()
	b := &bench{t: t, ring: ring, clock: &quick{}, store: &mortal{Store: ledger.NewMemory()}, dir: t.TempDir()}
	b.edit(edits...)
	w, err := lab.Open(t.Context(), filepath.Join(b.dir, "world"), lab.WithAuthDelay(time.Millisecond),
		lab.WithClock(b.clock.Now, b.clock.Sleep))
	if err != nil {
		t.Fatal(err)
	}
	b.lab = w
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// edit changes the site from the next run on.
func (b *bench) edit(edits ...string) {
	b.t.Helper()
	if b.site == "" {
		b.site = string(lab.Site)
	}
	for i := 0; i < len(edits); i += 2 {
		if edits[i] == "+" {
			b.site += edits[i+1] + "\n"
			continue
		}
		if !strings.Contains(b.site, edits[i]) {
			b.t.Fatalf("the site does not hold %q", edits[i])
		}
		b.site = strings.Replace(b.site, edits[i], edits[i+1], 1)
	}
}

// rights changes what runner's token may, path by path; the longest path counts.
func (b *bench) rights(acl map[string][]string) {
	b.t.Helper()
	if err := b.lab.SetToken(lab.TokenID, &lab.Token{Secret: string(lab.Secrets()["pve-token"]), ACL: acl}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) inject(faults ...lab.Fault) {
	b.t.Helper()
	if err := b.lab.Inject(faults...); err != nil {
		b.t.Fatal(err)
	}
}

// config joins what a new process would join.
func (b *bench) config(policy string) runtime.Config {
	b.t.Helper()
	limits := runtime.Limits{Heap: 16 << 30} // all worlds of these tests lie in one heap
	s, err := site.Load("site.star", []byte(b.site), limits)
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.dir, "policy.star")
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		b.t.Fatal(err)
	}
	rt := &runtime.Runtime{Primitives: All(), Stdlib: stdlib.Files, Limits: limits}
	p, err := rt.Load(path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	w := systems.New(s, systems.Env{Root: b.lab.Root(), Dial: b.lab.Dial, Roots: lab.Roots(), Device: b.lab.Device, Program: b.lab.Program,
		Keyring: labKeyring(b.ring), Version: "test",
		Spool: filepath.Join(b.dir, "spool")})
	b.t.Cleanup(func() { w.Close() })
	b.runs++
	var complete runtime.Completeness // of policies that say what they protect
	if list, none := p.Protects(s.Demands); len(list) > 0 || none {
		complete = report.Complete
	}
	return runtime.Config{Program: p, Ledger: ledger.New(b.store), Clock: b.clock, World: w, Demands: s.Demands, Allowed: s.Allowed,
		Complete: complete, Observe: b.observe,
		Header: ledger.Run{ID: fmt.Sprintf("%s-run%03d", b.clock.Now().UTC().Format("20060102T150405Z"), b.runs), Host: "h", Site: s.Digest,
			Lab: true}}
}

func (b *bench) observe(e runtime.Event) {
	if e.Kind == runtime.EventLog || e.Kind == runtime.EventWait {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lines = append(b.lines, e.Text)
		if b.heal != "" && strings.Contains(e.Text, b.heal) {
			if err := b.lab.Inject(); err != nil {
				b.t.Error(err)
			}
		}
	}
}

// main makes a policy of the body of its main.
func main(body ...string) string {
	return "def main():\n    " + strings.Join(body, "\n    ") + "\n"
}

// run executes the body of a main.
func (b *bench) run(body ...string) *runtime.Outcome {
	b.t.Helper()
	return b.exec(main(body...))
}

func (b *bench) exec(policy string) *runtime.Outcome {
	b.t.Helper()
	out, err := runtime.Exec(b.t.Context(), b.config(policy))
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// good is run, of which nothing may be wrong.
func (b *bench) good(body ...string) *runtime.Outcome {
	b.t.Helper()
	out := b.run(body...)
	if out.Err != nil || out.Result != ledger.OK {
		b.t.Fatalf("got %s, %v, %v", out.Result, out.Err, out.Findings)
	}
	return out
}

// set changes a guest.
func (b *bench) set(id int, edit func(*lab.Guest)) {
	b.t.Helper()
	if err := b.lab.SetGuest(id, edit); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) guest(id int) (lab.Guest, bool) {
	b.t.Helper()
	list, err := b.lab.Guests()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, g := range list {
		if g.ID == id {
			return g, true
		}
	}
	return lab.Guest{}, false
}
