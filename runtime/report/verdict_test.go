package report

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/ledger"
)

// A run that failed before it made anything says so first; one that was ok and is about no
// item says nothing.
func TestARunThatMadeNothingSaysSoFirst(t *testing.T) {
	for result, want := range map[string]string{
		ledger.Failed: "FAILED: a step failed, and no copy was made",
		ledger.OK:     "",
	} {
		r := &Run{Outcome: &ledger.RunOutcome{}, Result: result}
		var b strings.Builder
		if err := r.Summary(&b, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(b.String(), "\n")
		if want != "" && !strings.HasSuffix(first, want) || want == "" && strings.Contains(b.String(), "no copy was made") {
			t.Errorf("%s: got\n%s", result, b.String())
		}
	}
}
