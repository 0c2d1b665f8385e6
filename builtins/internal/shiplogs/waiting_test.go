package shiplogs

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// However many batches wait, what a call returns can be recorded.
func TestWaitingBatchesFitIntoAResult(t *testing.T) {
	for n, size := range map[int]int{3: 100, 168: 4 << 10, 5: 110 << 10} {
		var all []ledger.Artifact
		for range n {
			all = append(all, ledger.Artifact{ID: "a", Declared: map[string]string{declaredPosition: strings.Repeat("x", size)}})
		}
		got := oldest(all)
		total := 0
		for _, a := range got {
			total += len(a.Declared[declaredPosition])
		}
		if len(got) == 0 || total+(110<<10) > runtime.MaxResult || size == 100 && len(got) != n {
			t.Errorf("%d of %d bytes: got %d, %d bytes", n, size, len(got), total)
		}
	}
}
