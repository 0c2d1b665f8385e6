package policytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// testCase is what case(…) returns. It never changes: what became of its faults and
// answers in a test is reported by played.
type testCase struct {
	pos     syntax.Position
	given   map[string]any
	faults  []fault
	answers []answer
	args    map[string]string
	want    *want // nil: the case does not say
	proven  *allBut
	steps   []stepWant
	clock   time.Time // zero: the case does not say
}

func (*testCase) String() string        { return "case" }
func (*testCase) Type() string          { return "case" }
func (*testCase) Freeze()               {}
func (*testCase) Truth() starlark.Bool  { return true }
func (*testCase) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: case") }

// wants reports that the case says how its run must end: t.expect has to be asked.
func (c *testCase) wants() bool { return c.want != nil || c.proven != nil || len(c.steps) > 0 }

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
	times int // -1 for ever
}

// answer is one row of case(answers = …).
type answer struct {
	call
	value any
}

// limited is what once(…) returns.
type limited struct {
	Code  string
	Times int
}

// StarlarkType implements runtime.TypeNamed.
func (limited) StarlarkType() string { return "fault" }

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

func wants(result string) builtin {
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

// makeCase is case(…). The suite keeps it, to find those that are never run.
func (s *suite) makeCase(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value,
	error) {
	var a struct {
		Given  map[string]any    `star:"given?" doc:"what fakes answer: guests, sizes"`
		Args   map[string]string `star:"args?" doc:"arguments of main"`
		Want   *want             `star:"want?" doc:"ok(), degraded(names…), failed(names…)"`
		Proven *allBut           `star:"proven?" doc:"everything_but(names…)"`
		Clock  time.Time         `star:"clock?" doc:"when the case begins"`
	}
	c := &testCase{pos: callers(thread)[0]}
	take := map[starlark.Value]func(*starlark.Dict) error{
		starlark.String("faults"):  c.takeFaults,
		starlark.String("answers"): c.takeAnswers,
	}
	var rest []starlark.Tuple
	for _, kv := range kwargs {
		if kv[0] == starlark.String("steps") {
			var err error
			if c.steps, err = stepWants("case", kv[1]); err != nil {
				return nil, err
			}
			continue
		}
		fn := take[kv[0]]
		if fn == nil {
			rest = append(rest, kv)
			continue
		}
		d, ok := kv[1].(*starlark.Dict)
		if !ok {
			return nil, fmt.Errorf("case: for parameter %s: got %s, want dict", kv[0], kv[1].Type())
		}
		if err := fn(d); err != nil {
			return nil, err
		}
	}
	if err := runtime.Unpack(b.Name(), &a, args, rest); err != nil {
		return nil, err
	}
	c.given, c.args, c.proven, c.clock, c.want = a.Given, a.Args, a.Proven, a.Clock, a.Want
	s.keep(c)
	return c, nil
}

func (c *testCase) takeFaults(d *starlark.Dict) error {
	for _, row := range d.Items() {
		f, err := parseFault(row[0], row[1])
		if err != nil {
			return err
		}
		c.faults = append(c.faults, f)
	}
	return nil
}

func (c *testCase) takeAnswers(d *starlark.Dict) error {
	for _, row := range d.Items() {
		parsed, err := parseCall(row[0])
		if err != nil {
			return fmt.Errorf("case: answer %w", err)
		}
		v, err := runtime.Plain(row[1])
		if err != nil {
			return fmt.Errorf("case: answer %q: %w", parsed.text, err)
		}
		c.answers = append(c.answers, answer{parsed, v})
	}
	return nil
}

func parseFault(key, value starlark.Value) (fault, error) {
	c, err := parseCall(key)
	if err != nil {
		return fault{}, fmt.Errorf("case: fault %w", err)
	}
	f := fault{call: c, times: -1}
	switch v := value.(type) {
	case starlark.String:
		f.code = string(v)
	case runtime.Opaque:
		l, ok := v.Value().(limited)
		if !ok {
			return f, fmt.Errorf("case: fault %q: got %s, want a code or once(code)", c.text, v.Type())
		}
		f.code, f.times = l.Code, l.Times
	default:
		return f, fmt.Errorf("case: fault %q: got %s, want a code or once(code)", c.text, value.Type())
	}
	return f, nil
}

// check finds what a case names and no primitive has.
func (c *testCase) check(rt *runtime.Runtime) error {
	for _, f := range c.faults {
		info, err := f.known(rt)
		if err != nil {
			return fmt.Errorf("fault %w", err)
		}
		if have := codes(info); !slices.Contains(have, f.code) {
			return fmt.Errorf("fault %s: %s does not declare %s\nhint: it has %s", f.text, f.prim, f.code, list(have))
		}
	}
	for _, a := range c.answers {
		info, err := a.known(rt)
		if err != nil {
			return fmt.Errorf("answer %w", err)
		}
		if info.Kind != runtime.Read {
			return fmt.Errorf("answer %s: %s does not only read\nhint: a fault says how it fails; what it returns, its fake knows", a.text, a.prim)
		}
	}
	for _, w := range c.steps {
		if err := w.check(rt); err != nil {
			return err
		}
	}
	return nil
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

// wanted is how the run of a case must end: well, where the case does not say.
func (c *testCase) wanted() want {
	if c.want == nil {
		return want{Result: ledger.OK}
	}
	return *c.want
}
