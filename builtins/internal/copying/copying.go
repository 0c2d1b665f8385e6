// Package copying is what copy does: it copies an artifact, and what the artifact needs,
// to targets in one read of its source.
//
// Its rules: every target fails by itself, and its failure is a finding as long as
// another one has the copy (copying.go). A target takes a copy only where it is one more:
// not on a device that has one already, not on a folder whose disk is not mounted, not
// on a storage where the archive does not lie (open.go). What is there and was found
// damaged is removed only when the source can be read again (copy.go).
package copying

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Attempts is how often a call is made before a passing failure of one target counts
// as a lasting one.
const Attempts = 3

// job is one call: what became of each target.
type job struct {
	s      *runtime.Step
	w      *systems.Systems
	art    ledger.Artifact
	names  []string
	asked  bool // the policy named the targets
	res    runtime.Result
	copies []ledger.Copy
	failed []error
	lost   []ledger.Finding // what the failures mean for the run, one each
	soft   int              // index of a failure that another attempt may mend; -1: none
	needed string           // what the artifact is to the one that is copied; empty: it is that one
}

func newJob(s *runtime.Step, art ledger.Artifact, to []string) (*job, error) {
	c := &job{s: s, w: systems.Of(s), art: art, names: to, asked: len(to) > 0, soft: -1}
	if len(c.names) == 0 {
		row, ok := c.w.Site.Demands.Asset(c.art.Asset)
		if !ok || len(row.On) == 0 {
			return nil, fmt.Errorf("the site demands no copies of the asset %q\nhint: add on = {\"TARGET\": \"read\"} to asset(name = %q), or "+
				"name targets: copy(to = [...])", c.art.Asset, c.art.Asset)
		}
		for _, d := range row.On {
			c.names = append(c.names, d.Target)
		}
	}
	return c, nil
}

// fail notes what a target's failure means for the run.
func (c *job) fail(name string, err error) {
	var own *failure.Error
	if c.soft < 0 && errors.As(err, &own) && own.Temporary {
		c.soft = len(c.failed)
	}
	c.failed = append(c.failed, err)
	severity := ledger.Failed
	if failure.Is(err, target.CodeMediaOverdue) {
		severity = ledger.DegradedRun
	}
	said, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	text := fmt.Sprintf("%s was not copied to %s: %s", c.art.Item, name, failure.OneLine(errors.New(said)))
	if c.needed != "" {
		text = fmt.Sprintf("%s on %s needs %s, which has no copy there: %s", c.art.Item, name, c.needed, failure.OneLine(err))
		if hint = ""; failure.Is(err, target.CodeArchiveMissing) { // a new run makes another one, not that one
			text = fmt.Sprintf("%s on %s needs %s, which has no copy there: %s; the next full image begins a new chain",
				c.art.Item, name, c.needed, failure.OneLine(errors.New(said)))
		}
	}
	c.lost = append(c.lost, ledger.Finding{Severity: severity, Asset: c.art.Asset, Item: c.art.Item, Target: name,
		Text: text, Hint: strings.ReplaceAll(hint, "\n", " ")})
}

// end makes the result: the copies, or the error when there is none. A temporary
// failure of one target is worth another attempt: what is done is not done again.
func (c *job) end() (runtime.Result, error) {
	c.res.Facts.Copies = c.copies
	switch {
	case c.soft >= 0 && c.s.Attempt < Attempts:
		c.res.Facts.Findings = nil // the next attempt meets what is left of them
		return c.res, c.failed[c.soft]
	case len(c.failed) > 0 && len(c.copies) == 0:
		c.res.Facts.Findings = append(c.res.Facts.Findings, c.lost[1:]...)
		return c.res, c.failed[0]
	}
	c.res.Facts.Findings = append(c.res.Facts.Findings, c.lost...)
	c.res.Value = c.copies
	if c.copies == nil {
		c.res.Value = []ledger.Copy{}
	}
	return c.res, nil
}

// Copy copies an artifact to targets; without names, to those that its asset
// demands. The result's value is the list of copies that could be made.
func Copy(ctx context.Context, s *runtime.Step, art ledger.Artifact, to []string) (runtime.Result, error) {
	return do(ctx, s, art, to, (*job).copyTo)
}

// Pretend is Copy for tests of policies: no target is opened.
func Pretend(ctx context.Context, s *runtime.Step, art ledger.Artifact, to []string) (runtime.Result, error) {
	return do(ctx, s, art, to, (*job).pretend)
}

func do(ctx context.Context, s *runtime.Step, art ledger.Artifact, to []string, copyTo func(*job, context.Context) error) (runtime.Result,
	error) {
	c, err := newJob(s, art, to)
	if err != nil {
		return runtime.Result{}, err
	}
	if err := copyTo(c, ctx); err != nil {
		return c.res, err
	}
	if err := c.whole(ctx, copyTo); err != nil {
		return c.res, err
	}
	return c.end()
}

// join adds what became of a needed artifact.
func (c *job) join(below *job) {
	if below.soft >= 0 && c.soft < 0 {
		c.soft = len(c.failed) + below.soft
	}
	c.failed, c.lost = append(c.failed, below.failed...), append(c.lost, below.lost...)
	c.copies = append(c.copies, below.copies...)
	c.res.Facts.Add(below.res.Facts)
}

func (c *job) outcome(ctx context.Context, o target.Outcome) {
	if o.Err != nil {
		c.fail(o.Target, o.Err)
		return
	}
	for _, n := range o.Notes {
		c.s.Log("%s: %s", o.Target, n)
	}
	if o.Resumed > 0 {
		c.s.Detail("%s: %d bytes were there already", o.Target, o.Resumed)
	}
	cp := o.Copy
	if cp.InPlace {
		cp.Device = c.w.ArchiveDevice(c.art.Origin)
	}
	cp.OnSource = cp.Device.Shares(c.art.Devices)
	if spec, err := c.w.Site.Target(o.Target); err == nil && spec.Probed != "" {
		cp.Immutable = c.immutable(ctx, spec)
	}
	c.copies = append(c.copies, cp)
}
