package builtins

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// told reports whether the operator was reported these words, in one line.
func (b *bench) reported(words ...string) bool {
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

// wantCode demands the failure of a run: its code, and words of its text.
func wantCode(t *testing.T, out *runtime.Outcome, code string, words ...string) {
	t.Helper()
	if failure.CodeOf(out.Err).Name != code || out.Result != ledger.Failed {
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
		if f.Severity == severity && missing(f.Text+"\n"+f.Hint, words) == "" {
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

// offsite is the folder of the offsite account, as its administrator sees it.
func (b *bench) offsite(parts ...string) string {
	return filepath.Join(append([]string{b.dir, "world", "offsite", "home", "runner"}, parts...)...)
}

// usb is the folder of a medium, as the machine sees it.
func (b *bench) usb(name string, parts ...string) string {
	return filepath.Join(append([]string{b.lab.Root(), "media", name}, parts...)...)
}
