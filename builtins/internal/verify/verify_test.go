package verify

import (
	"errors"
	"slices"
	"testing"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// One error is the call's, the others are findings; what was proven is recorded anyway.
func TestOneFailureIsTheCallsAndTheOthersAreFindings(t *testing.T) {
	t.Parallel()
	hard, worse := errors.New("damaged"), errors.New("gone")
	soft := &failure.Error{Doing: "reach it", Temporary: true}
	for _, c := range []struct {
		name    string
		errs    []error
		attempt int
		want    error
		finds   []string // targets
		proofs  int
	}{
		{"all are proven", []error{nil, nil}, 1, nil, nil, 2},
		{"one fails for good", []error{nil, hard, nil}, 1, hard, nil, 2},
		{"the first counts", []error{hard, nil, worse}, 1, hard, []string{"c"}, 1},
		{"one may be mended, and is what is tried again", []error{hard, soft, nil}, 1, soft, nil, 1},
		{"so it is before the last attempt", []error{hard, soft, nil}, Attempts - 1, soft, nil, 1},
		{"no attempt is left", []error{nil, hard, soft}, Attempts, hard, []string{"c"}, 1},
		{"nothing else fails, and no attempt is left", []error{soft, nil}, Attempts, soft, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			copies := []ledger.Copy{{ID: "1", Target: "a"}, {ID: "2", Target: "b"}, {ID: "3", Target: "c"}}[:len(c.errs)]
			p := newProving(copies)
			for i := len(c.errs) - 1; i >= 0; i-- { // in whatever order they end
				p.add(i, outcome{proof: &ledger.Proof{Copy: copies[i].ID}}, c.errs[i])
			}
			res, err := p.end(c.attempt)
			var targets []string
			for _, f := range res.Facts.Findings {
				targets = append(targets, f.Target)
				if f.Severity != ledger.Failed {
					t.Errorf("the severity is %q", f.Severity)
				}
			}
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || !slices.Equal(targets, c.finds) || len(res.Facts.Proofs) != c.proofs {
				t.Errorf("got %v, findings of %v, %d proofs", err, targets, len(res.Facts.Proofs))
			}
		})
	}
}
