package builtins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/report"
	"github.com/neosofia/runner/stdlib"
)

// ring is a folder with a keyring that holds the lab's secrets. It is filled once
// for all tests, which only read it: deriving its keys is made to be slow.
var ring string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "builtins-test-")
	if err == nil {
		ring = filepath.Join(dir, "keyring")
		k := labKeyring(ring)
		for name, secret := range lab.Secrets() {
			err = errors.Join(err, k.Set(name, secret))
		}
		err = errors.Join(err, k.Set("recovery-identity", []byte(lab.RecoveryIdentity+"\n")), k.Set("bad-token", []byte("00000000-0000-4000-8000-000000000000")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fill the keyring of the tests:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func labKeyring(dir string) *Keyring {
	return NewKeyring(KeyringConfig{Backend: "file", Dir: dir, Password: func() (string, error) { return "lab", nil }})
}

// quick is a clock on which waiting is short: a sleep takes a few milliseconds,
// and the clock jumps over the rest of it. The lab shares it.
type quick struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (q *quick) Now() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Now().Add(q.ahead)
}

func (q *quick) advance(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ahead += d
}

func (q *quick) Sleep(ctx context.Context, d time.Duration) error {
	const most = 4 * time.Millisecond
	real := max(0, min(d, most))
	if err := (runtime.RealClock{}).Sleep(ctx, real); err != nil {
		return err
	}
	q.advance(max(0, d-real))
	return nil
}

func (q *quick) Within(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return runtime.RealClock{}.Within(ctx, d, cause)
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

	wrote int // lines of a log file

	mu    sync.Mutex
	lines []string // what the operator was told
	heal  string   // when a line holds this, all faults end
}

// newBench opens a new lab. Edits are pairs of texts: in the lab's site, each
// first one, which must be there, becomes the second; "+" adds to its end.
func newBench(t *testing.T, edits ...string) *bench {
	t.Helper()
	b := &bench{t: t, ring: ring, clock: &quick{}, store: &mortal{Store: ledger.NewMemory()}, dir: t.TempDir()}
	b.edit(edits...)
	w, err := lab.Open(t.Context(), filepath.Join(b.dir, "world"), lab.WithAuthDelay(time.Millisecond), lab.WithClock(b.clock.Now, b.clock.Sleep))
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

func (b *bench) inject(faults ...lab.Fault) {
	b.t.Helper()
	if err := b.lab.Inject(faults...); err != nil {
		b.t.Fatal(err)
	}
}

// config joins what a new process would join.
func (b *bench) config(policy string) runtime.Config {
	b.t.Helper()
	s, err := LoadSite("site.star", []byte(b.site), runtime.Limits{})
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.dir, "policy.star")
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		b.t.Fatal(err)
	}
	rt := &runtime.Runtime{Primitives: All(), Stdlib: stdlib.Files}
	p, err := rt.Load(path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	w := NewWorld(s, Env{Root: b.lab.Root(), Dial: b.lab.Dial, Device: b.lab.Device, Keyring: labKeyring(b.ring), Version: "test", Spool: filepath.Join(b.dir, "spool")})
	b.t.Cleanup(func() { w.Close() })
	b.runs++
	var complete runtime.Completeness // of policies that say what they protect
	if len(p.Protects()) > 0 {
		complete = report.Complete
	}
	return runtime.Config{Program: p, Ledger: ledger.New(b.store), Clock: b.clock, World: w, Demands: s.Demands, Allowed: s.Allowed,
		Complete: complete, Observe: b.observe,
		Header: ledger.Run{ID: fmt.Sprintf("%s-run%03d", b.clock.Now().UTC().Format("20060102T150405Z"), b.runs), Host: "h", Site: s.Digest, Lab: true}}
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

// told reports whether the operator was told these words, in one line.
func (b *bench) told(words ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if missing(l, words) == "" {
			return true
		}
	}
	return false
}

func missing(text string, words []string) string {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return w
		}
	}
	return ""
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

// dies executes a policy until an entry is recorded for which at is true: there
// the process ends as by SIGKILL. The id of the run is returned.
func (b *bench) dies(policy string, at func(ledger.Entry) bool) string {
	b.t.Helper()
	cfg := b.config(policy)
	ctx, cancel := context.WithCancel(b.t.Context())
	life := &mortal{Store: b.store.Store, at: at, dead: make(chan struct{}), buried: ctx.Done()}
	cfg.Ledger = ledger.New(life)
	ended := make(chan *runtime.Outcome, 1)
	go func() {
		out, _ := runtime.Exec(ctx, cfg)
		ended <- out
	}()
	b.t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-life.dead:
	case out := <-ended:
		ended <- out
		b.t.Fatalf("the run did not die: %+v", out)
	}
	return cfg.Header.ID
}

// resume goes on with a run that died.
func (b *bench) resume(policy, id string) *runtime.Outcome {
	b.t.Helper()
	out, err := runtime.ResumeRun(b.t.Context(), b.config(policy), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// retry starts a run that does what another one left undone.
func (b *bench) retry(policy, id string) *runtime.Outcome {
	b.t.Helper()
	out, err := runtime.RetryRun(b.t.Context(), b.config(policy), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// mortal is a store whose process dies at an entry: from then on nothing returns
// that would write, until the test ends.
type mortal struct {
	ledger.Store
	at     func(ledger.Entry) bool
	once   sync.Once
	dead   chan struct{}
	buried <-chan struct{}
}

func (m *mortal) Append(ctx context.Context, entries []ledger.Entry) (ledger.Head, error) {
	if m.at != nil {
		for _, e := range entries {
			if m.at(e) {
				m.once.Do(func() { close(m.dead) })
			}
		}
		select {
		case <-m.dead:
			<-m.buried
			return ledger.Head{}, errors.New("the process is dead")
		default:
		}
	}
	return m.Store.Append(ctx, entries)
}

// marking is true for the mark of a step with this key.
func marking(key string) func(ledger.Entry) bool {
	return func(e ledger.Entry) bool {
		var m ledger.Mark
		return e.Type == ledger.StepMark && e.Decode(&m) == nil && m.Key == key
	}
}

// ending is true for the end of a step that is not of kind Read.
func ending(e ledger.Entry) bool {
	var end ledger.End
	return e.Type == ledger.StepEnd && e.Decode(&end) == nil && end.Call == nil
}

// wantCode demands the failure of a run: its code, and words of its text.
func wantCode(t *testing.T, out *runtime.Outcome, code string, words ...string) {
	t.Helper()
	if runtime.CodeOf(out.Err) != code || out.Result != ledger.Failed {
		t.Fatalf("got %s, %v; want %s", out.Result, out.Err, code)
	}
	if w := missing(out.Err.Error(), words); w != "" {
		t.Errorf("the error does not say %q:\n%v", w, out.Err)
	}
}

// wantFinding demands a finding with these words.
func wantFinding(t *testing.T, out *runtime.Outcome, severity string, words ...string) {
	t.Helper()
	for _, f := range out.Findings {
		if f.Severity == severity && missing(f.Text, words) == "" {
			return
		}
	}
	t.Errorf("no %s finding says %q:\n%+v", severity, words, out.Findings)
}

func (b *bench) catalog() ledger.Catalog { return ledger.Catalog{Store: b.store.Store} }

func rows[T any](b *bench, kind string, q ledger.Query) []T {
	b.t.Helper()
	q.Kind = kind
	list, err := ledger.All[T](b.t.Context(), b.store.Store, q)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) artifacts() []ledger.Artifact {
	b.t.Helper()
	return rows[ledger.Artifact](b, ledger.RowArtifact, ledger.Query{})
}

func (b *bench) copies(target string) []ledger.Copy {
	b.t.Helper()
	return rows[ledger.Copy](b, ledger.RowCopy, ledger.Query{Target: target})
}

func (b *bench) proofs(target string) []ledger.Proof {
	b.t.Helper()
	return rows[ledger.Proof](b, ledger.RowProof, ledger.Query{Target: target})
}

// dumps are the archives on the node's storage.
func (b *bench) dumps() []string {
	b.t.Helper()
	list, err := b.lab.Archives("backup")
	if err != nil {
		b.t.Fatal(err)
	}
	return list
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

// offsite is the folder of the offsite account, as its administrator sees it.
func (b *bench) offsite(parts ...string) string {
	return filepath.Join(append([]string{b.dir, "world", "offsite", "home", "runner"}, parts...)...)
}

// usb is the folder of a medium, as the machine sees it.
func (b *bench) usb(name string, parts ...string) string {
	return filepath.Join(append([]string{b.lab.Root(), "media", name}, parts...)...)
}
