package policytest

import (
	"errors"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// result is what t.run returns. Attributes: result ("ok", "degraded", "failed"),
// error (its text, or None), findings (texts), steps (dicts of primitive, ok,
// code), copies (dicts of item, target, artifact, bytes; those that exist now),
// value (what main returned).
type result struct {
	id    string
	out   *runtime.Outcome
	began time.Time
	attrs starlark.StringDict
}

func (r *result) String() string      { return "run(" + r.out.Result + ")" }
func (*result) Type() string          { return "run" }
func (*result) Freeze()               {}
func (*result) Truth() starlark.Bool  { return true }
func (*result) Hash() (uint32, error) { return 0, errors.New("unhashable type: run") }
func (r *result) AttrNames() []string { return r.attrs.Keys() }

// Attr implements starlark.HasAttrs.
func (r *result) Attr(name string) (starlark.Value, error) {
	if v, ok := r.attrs[name]; ok {
		return v, nil
	}
	return nil, nil
}

// texts is all that the run complains of.
func (r *result) texts() []string {
	var out []string
	if r.out.Err != nil {
		out = append(out, r.out.Err.Error())
	}
	for _, f := range r.out.Findings {
		out = append(out, strings.Join(strings.Fields(f.Severity+" "+f.Item+" "+f.Target), " ")+": "+f.Text)
	}
	return out
}

func (t *tester) result(out *runtime.Outcome) (starlark.Value, error) {
	r := &result{id: out.Run, out: out, attrs: starlark.StringDict{"result": starlark.String(out.Result), "error": starlark.None, "value": starlark.None}}
	if out.Err != nil {
		r.attrs["error"] = starlark.String(out.Err.Error())
	}
	if out.Value != nil {
		r.attrs["value"] = out.Value
	}
	var head ledger.Run
	if _, err := ledger.One(t.ctx, t.ledger, ledger.Query{Kind: ledger.RowRun, ID: out.Run}, &head); err != nil {
		return nil, err
	}
	r.began = head.Began
	steps, err := t.steps(out.Run)
	if err != nil {
		return nil, err
	}
	copies, err := ledger.Catalog{Store: t.ledger}.Copies(t.ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	have := []map[string]any{}
	for _, c := range copies {
		have = append(have, map[string]any{"item": c.Item, "target": c.Target, "artifact": c.Artifact, "bytes": c.Bytes})
	}
	findings := []string{}
	for _, f := range out.Findings {
		findings = append(findings, f.Text)
	}
	for name, v := range map[string]any{"steps": steps, "copies": have, "findings": findings} {
		if r.attrs[name], err = jsonValue(v); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (t *tester) steps(run string) ([]map[string]any, error) {
	out := []map[string]any{}
	names := map[string]string{}
	err := t.ledger.Entries(t.ctx, ledger.Filter{Run: run}, func(e ledger.Entry) error {
		switch e.Type {
		case ledger.StepBegin:
			var b ledger.Begin
			if err := e.Decode(&b); err != nil {
				return err
			}
			names[e.Step] = b.Primitive
		case ledger.StepEnd:
			var end ledger.End
			if err := e.Decode(&end); err != nil {
				return err
			}
			if end.Call != nil {
				names[e.Step] = end.Call.Primitive
			}
			m := map[string]any{"primitive": names[e.Step], "ok": end.OK, "code": ""}
			if end.Failure != nil {
				m["code"] = end.Failure.Code
			}
			out = append(out, m)
		}
		return nil
	})
	return out, err
}
