package policytest

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// result is what t.run returns. Attributes: result ("ok", "degraded", "failed"),
// error (its text, or None), findings (texts), steps (dicts of primitive, ok,
// code), copies (dicts of item, target, artifact, bytes; those that existed when the
// run ended), value (what main returned).
type result struct {
	t      *tester
	id     string
	out    *runtime.Outcome
	at     syntax.Position // of t.run
	began  time.Time
	copies []copied
	script *script
	seen   bool // something of it was looked at
	looked bool // at how it ended
	attrs  starlark.StringDict
}

// copied is a copy as tests see it.
type copied struct {
	Item     string `json:"item"`
	Target   string `json:"target"`
	Artifact string `json:"artifact"`
	Bytes    int64  `json:"bytes"`
}

func (r *result) String() string      { return "run(" + r.out.Result + ")" }
func (*result) Type() string          { return "run" }
func (*result) Freeze()               {}
func (*result) Truth() starlark.Bool  { return true }
func (*result) Hash() (uint32, error) { return 0, errors.New("unhashable type: run") }
func (*result) AttrNames() []string {
	return []string{"copies", "error", "findings", "result", "steps", "value"}
}

// Attr implements starlark.HasAttrs. What takes long is made when it is asked for.
func (r *result) Attr(name string) (starlark.Value, error) {
	r.seen = true
	if name == "result" || name == "error" || name == "findings" {
		r.looked = true
	}
	if v, ok := r.attrs[name]; ok {
		return v, nil
	}
	v, err := r.attr(name)
	if v != nil && err == nil {
		r.attrs[name] = v
	}
	return v, err
}

func (r *result) attr(name string) (starlark.Value, error) {
	switch name {
	case "result":
		return starlark.String(r.out.Result), nil
	case "error":
		if r.out.Err != nil {
			return starlark.String(r.out.Err.Error()), nil
		}
		return starlark.None, nil
	case "value":
		if r.out.Value != nil {
			return r.out.Value, nil
		}
		return starlark.None, nil
	case "findings":
		texts := []string{}
		for _, f := range r.out.Findings {
			texts = append(texts, f.Text)
		}
		return jsonValue(texts)
	case "copies":
		return jsonValue(r.copies)
	case "steps":
		steps, err := r.steps()
		if err != nil {
			return nil, err
		}
		out := []map[string]any{}
		for _, s := range steps {
			out = append(out, map[string]any{"primitive": s.prim, "ok": s.ok, "code": s.code})
		}
		return jsonValue(out)
	}
	return nil, nil
}

// ignored reports that a run failed and the test would not know: nobody asked how it
// ended; or, where only its promises were not kept, nobody asked for anything.
func (r *result) ignored() bool {
	return r.out.Result == ledger.Failed && !r.looked && (r.out.Err != nil || !r.seen)
}

func (r *result) steps() ([]step, error) { return r.t.steps(r.id, r.script) }

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

// blame is where the policy stood when a run went wrong: its first line, and the lines of
// what failed.
func (r *result) blame() (at string, lines []string) {
	if r.out.Err != nil {
		f := failureOf(nil, r.out.Err)
		at, lines = f.At, append([]string{f.String()}, lines...)
	}
	steps, err := r.steps()
	if err != nil {
		return at, append(lines, err.Error())
	}
	for _, s := range steps {
		if s.ok {
			continue
		}
		if at == "" {
			at = s.at
		}
		if len(lines) <= maxBlame {
			lines = append(lines, s.at+": "+s.String()+" failed: "+clip(s.said, short))
		}
	}
	return at, lines
}

// maxBlame bounds how many failed steps a failure lists.
const maxBlame = 5

func (t *tester) result(out *runtime.Outcome, s *script, at syntax.Position) (starlark.Value, error) {
	r := &result{t: t, id: out.Run, out: out, at: at, script: s, attrs: starlark.StringDict{}}
	var head ledger.Run
	if _, err := ledger.One(t.ctx, t.ledger, ledger.Query{Kind: ledger.RowRun, ID: out.Run}, &head); err != nil {
		return nil, err
	}
	r.began = head.Began
	copies, err := ledger.Catalog{Store: t.ledger}.Copies(t.ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	r.copies = make([]copied, len(copies))
	for i, c := range copies {
		r.copies[i] = copied{c.Item, c.Target, c.Artifact, c.Bytes}
	}
	t.results = append(t.results, r)
	return r, nil
}

func jsonValue(v any) (starlark.Value, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return runtime.FromJSON(raw)
}
