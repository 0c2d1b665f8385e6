package copying

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// immutable believes what the site says only after a probe with the run's own credential,
// which is made again after a month. One that cannot be made today leaves the last one
// standing, for a while.
func (c *job) immutable(ctx context.Context, spec *site.Target) bool {
	found, err := c.w.Once("immutable "+spec.Name, func() (any, error) { return c.probe(ctx, spec) })
	p, made := found.(ledger.Probe)
	if made && err == nil && p.Holds() {
		return true
	}
	text := fmt.Sprintf("it is declared %s, but runner could change a file: %s", spec.Probed, p.Tried())
	if err != nil {
		if p.Proves(spec.URL, c.s.Now(), ledger.ProbeMost) {
			c.s.Log("%s: whether it is still %s could not be probed: %s; the probe of %s stands", spec.Name, spec.Probed, failure.OneLine(err),
				p.At.UTC().Format("2006-01-02"))
			return true
		}
		text = fmt.Sprintf("whether it is %s could not be probed: %s", spec.Probed, failure.OneLine(err))
	}
	c.res.Facts.Findings = append(c.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Target: spec.Name,
		Text: spec.Name + ": " + text})
	return false
}

// probe tries to change a file of the target's, one run at a time: two would be in each
// other's way. With an error it returns the probe before.
func (c *job) probe(ctx context.Context, spec *site.Target) (ledger.Probe, error) {
	catalog, err := c.s.Catalog(ctx)
	if err != nil {
		return ledger.Probe{}, err
	}
	last, _, err := catalog.Probe(ctx, spec.Name)
	if err != nil || last.What == spec.Probed && last.Proves(spec.URL, c.s.Now(), ledger.ProbeEvery) {
		return last, err
	}
	release, err := c.s.Hold(ctx, "probe:"+spec.Name)
	if err != nil {
		return last, err
	}
	defer release()
	t, err := c.w.OpenTarget(ctx, c.s, spec.Name)
	if err != nil {
		return last, err
	}
	defer t.Close()
	could, err := target.ProbeImmutable(ctx, t, "")
	if err != nil {
		return last, err
	}
	p := ledger.Probe{Target: spec.Name, URL: spec.URL, What: spec.Probed, At: c.s.Now(), Could: could}.After(last)
	c.res.Facts.Probes = append(c.res.Facts.Probes, p)
	return p, nil
}
