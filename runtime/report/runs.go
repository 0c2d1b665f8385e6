package report

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// RunLine is one run in a list.
type RunLine struct {
	ID       string    `json:"id"`
	Policy   string    `json:"policy"`
	Path     string    `json:"path"`
	By       string    `json:"superseded_by,omitempty"`
	Began    time.Time `json:"began"`
	Nanos    int64     `json:"nanos,omitempty"` // running time
	Result   string    `json:"result"`          // also "running", and "interrupted" of a run that died
	Findings int       `json:"findings,omitempty"`
	RetryOf  string    `json:"retry_of,omitempty"`
	Lab      bool      `json:"lab,omitempty"`
}

// RunList is a list of runs.
type RunList []RunLine

// Runs returns the newest runs, at most limit (0: all), newest first. alive
// says whether a run without an end is still running; nil: none is.
func Runs(ctx context.Context, c ledger.Catalog, limit int, alive func(run string) bool) (RunList, error) {
	if limit <= 0 {
		limit = 1 << 30
	}
	rows, err := last(ctx, c, ledger.RowRun, limit)
	if err != nil {
		return nil, fmt.Errorf("read the runs: %w", err)
	}
	out := RunList{}
	for _, row := range slices.Backward(rows) {
		h, err := decode[ledger.Run](row)
		if err != nil {
			return nil, err
		}
		l := RunLine{ID: h.ID, Policy: h.Policy, Path: h.Path, Began: h.Began, RetryOf: h.RetryOf, Lab: h.Lab, Result: ledger.Interrupted}
		var end ledger.RunOutcome
		ended, err := ledger.One(ctx, c.Store, ledger.Query{Kind: ledger.RowRunEnd, ID: h.ID}, &end)
		if err != nil {
			return nil, fmt.Errorf("read run %s: %w", h.ID, err)
		}
		if ended {
			l.Result, l.Nanos, l.Findings, l.By = resultOf(end), end.Nanos, len(end.Findings), end.By
		} else if alive != nil && alive(h.ID) {
			l.Result = "running"
		}
		out = append(out, l)
	}
	return out, nil
}

// Superseded is the result of a run that died and was followed by another of its policy.
const Superseded = "superseded"

func resultOf(o ledger.RunOutcome) string {
	if o.By != "" {
		return Superseded
	}
	return o.Result
}

// Text writes a line for each run.
func (l RunList) Text(w io.Writer, o TextOptions) error {
	p := newPrinter(w, o, len(l) > 0 && !slices.ContainsFunc(l, func(r RunLine) bool { return !r.Lab }))
	if len(l) == 0 {
		p.line("nothing has run yet")
		return p.flush()
	}
	rows := [][]string{{"run", "policy", "began", "took", "result", ""}}
	for _, r := range l {
		lasted, note := "", ""
		if r.Nanos > 0 {
			lasted = took(time.Duration(r.Nanos))
		}
		if r.Findings > 0 {
			note = fmt.Sprintf("%d findings", r.Findings)
		}
		if r.RetryOf != "" {
			note = fmt.Sprintf("retry of %s %s", r.RetryOf, note)
		}
		if r.By != "" {
			note = strings.TrimSpace("by " + r.By + " " + note)
		}
		rows = append(rows, []string{r.ID, p.path(r.Path, p.o.Width-len(p.mark)-70), when(r.Began, o.Zone), lasted, r.Result, note})
	}
	p.table("", rows)
	return p.flush()
}
