package policytest

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// testCase is what case(…) returns.
type testCase struct {
	given  map[string]any
	faults []*fault
	args   map[string]string
	want   want
	proven *allBut
	clock  time.Time

	mu sync.Mutex // of the faults' counts: branches meet them at once
}

func (*testCase) String() string        { return "case" }
func (*testCase) Type() string          { return "case" }
func (*testCase) Freeze()               {}
func (*testCase) Truth() starlark.Bool  { return true }
func (*testCase) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: case") }

// want is what ok(), degraded(…) and failed(…) return.
type want struct {
	Result string
	Names  []string
}

// StarlarkType implements runtime.TypeNamed.
func (want) StarlarkType() string { return "want" }

// allBut is what everything_but(…) returns.
type allBut struct{ Names []string }

// StarlarkType implements runtime.TypeNamed.
func (allBut) StarlarkType() string { return "everything_but" }

// fault is one row of case(faults = …).
type fault struct {
	call
	code  string
	times int // left; -1 for ever
	hits  int
}

// times is what once(…) returns.
type limited struct {
	Code  string
	Times int
}

// StarlarkType implements runtime.TypeNamed.
func (limited) StarlarkType() string { return "fault" }

// environment is predeclared in tests beside what policies have.
func environment() starlark.StringDict {
	return starlark.StringDict{
		"case":           starlark.NewBuiltin("case", makeCase),
		"ok":             starlark.NewBuiltin("ok", wants(ledger.OK)),
		"degraded":       starlark.NewBuiltin("degraded", wants(ledger.DegradedRun)),
		"failed":         starlark.NewBuiltin("failed", wants(ledger.Failed)),
		"everything_but": starlark.NewBuiltin("everything_but", everythingBut),
		"once":           starlark.NewBuiltin("once", once),
		"fake_artifact":  starlark.NewBuiltin("fake_artifact", fakeArtifact),
	}
}

func names(fn string, args starlark.Tuple, kwargs []starlark.Tuple) ([]string, error) {
	if len(kwargs) > 0 {
		return nil, fmt.Errorf("%s: takes names only", fn)
	}
	var out []string
	for _, a := range args {
		s, ok := starlark.AsString(a)
		if !ok {
			return nil, fmt.Errorf("%s: got %s, want a name", fn, a.Type())
		}
		out = append(out, s)
	}
	return out, nil
}

func wants(result string) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		list, err := names(b.Name(), args, kwargs)
		return runtime.NewOpaque(want{result, list}), err
	}
}

func everythingBut(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	list, err := names(b.Name(), args, kwargs)
	return runtime.NewOpaque(allBut{list}), err
}

func once(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var code string
	n := 1
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "code", &code, "times?", &n); err != nil {
		return nil, err
	}
	return runtime.NewOpaque(limited{code, n}), nil
}

func makeCase(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var a struct {
		Given  map[string]any    `star:"given?" doc:"what fakes answer: guests, sizes"`
		Args   map[string]string `star:"args?" doc:"arguments of main"`
		Want   *want             `star:"want?" doc:"ok(), degraded(names…), failed(names…)"`
		Proven *allBut           `star:"proven?" doc:"everything_but(names…)"`
		Clock  time.Time         `star:"clock?" doc:"when the case begins"`
	}
	var rest []starlark.Tuple
	c := &testCase{}
	for _, kv := range kwargs {
		if kv[0] == starlark.String("faults") {
			d, ok := kv[1].(*starlark.Dict)
			if !ok {
				return nil, fmt.Errorf("case: for parameter faults: got %s, want dict", kv[1].Type())
			}
			for _, row := range d.Items() {
				f, err := parseFault(row[0], row[1])
				if err != nil {
					return nil, err
				}
				c.faults = append(c.faults, f)
			}
			continue
		}
		rest = append(rest, kv)
	}
	if err := runtime.Unpack(b.Name(), &a, args, rest); err != nil {
		return nil, err
	}
	c.given, c.args, c.proven, c.clock = a.Given, a.Args, a.Proven, a.Clock
	c.want = want{Result: ledger.OK}
	if a.Want != nil {
		c.want = *a.Want
	}
	if c.clock.IsZero() {
		c.clock = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	}
	return c, nil
}

// call names a call of a primitive by some of its arguments.
type call struct {
	text, prim string
	args       map[string]string
}

var callForm = regexp.MustCompile(`^(\w+)\(([^()]*)\)$`)

func parseCall(key starlark.Value) (c call, err error) {
	text, _ := starlark.AsString(key)
	m := callForm.FindStringSubmatch(text)
	if m == nil {
		return c, fmt.Errorf("%s: want a call such as \"snapshot_vm(guest=erp)\"", key)
	}
	c = call{text: text, prim: m[1], args: map[string]string{}}
	for _, part := range strings.Split(m[2], ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		k, v, ok := strings.Cut(part, "=")
		if !ok {
			return c, fmt.Errorf("%q: want name=value", text)
		}
		c.args[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return c, nil
}

func parseFault(key, value starlark.Value) (*fault, error) {
	c, err := parseCall(key)
	if err != nil {
		return nil, fmt.Errorf("case: fault %w", err)
	}
	f := &fault{call: c, times: -1}
	switch v := value.(type) {
	case starlark.String:
		f.code = string(v)
	case runtime.Opaque:
		l, ok := v.Value().(limited)
		if !ok {
			return nil, fmt.Errorf("case: fault %q: got %s, want a code or once(code)", c.text, v.Type())
		}
		f.code, f.times = l.Code, l.Times
	default:
		return nil, fmt.Errorf("case: fault %q: got %s, want a code or once(code)", c.text, value.Type())
	}
	return f, nil
}

// is reports whether a call is the one that is named. An argument that is a list
// matches by any of its elements.
func (c call) is(prim string, args map[string]any) bool {
	if c.prim != prim {
		return false
	}
	for k, v := range c.args {
		if !holds(args[k], v) {
			return false
		}
	}
	return true
}

func holds(have any, want string) bool {
	if list, ok := have.([]any); ok {
		for _, e := range list {
			if holds(e, want) {
				return true
			}
		}
		return false
	}
	return have != nil && fmt.Sprint(have) == want
}

// codes lists what a primitive declares.
func codes(rt *runtime.Runtime, prim string) ([]string, bool) {
	for _, d := range rt.Primitives {
		if i := d.Info(); i.Name == prim {
			var out []string
			for _, c := range i.Codes {
				out = append(out, c.Name)
			}
			sort.Strings(out)
			return out, true
		}
	}
	return nil, false
}

// fakeArtifact makes a value such as history() returns: for tests of pure rules.
func fakeArtifact(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var a struct {
		ID      string    `star:"id" doc:"any"`
		Item    string    `star:"item" doc:"any"`
		Created time.Time `star:"created" doc:"a time"`
	}
	if err := runtime.Unpack(b.Name(), &a, args, kwargs); err != nil {
		return nil, err
	}
	return runtime.NewObject("past_artifact", map[string]any{"id": a.ID, "item": a.Item, "created": a.Created.UTC().Format(time.RFC3339Nano)})
}
