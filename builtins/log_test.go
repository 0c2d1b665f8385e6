package builtins

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime/ledger"
)

func TestLogIsShownAndRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const line = "the tape leaves with the courier; 100% of it"
	out := b.good(`log(text = "` + line + `")`)
	if !b.reported(line) {
		t.Errorf("the operator was told %q", b.lines)
	}
	recorded := false
	err := b.catalog().Entries(t.Context(), ledger.Filter{Run: out.Run, Type: ledger.StepEnd}, func(e ledger.Entry) error {
		recorded = recorded || strings.Contains(string(e.Body), line)
		return nil
	})
	if err != nil || !recorded {
		t.Errorf("the line is not in the record: %v", err)
	}
}
