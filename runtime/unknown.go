package runtime

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

type syntaxToken = syntax.Token

func compareEqual(op syntax.Token, typ string, equal bool) (bool, error) {
	switch op {
	case syntax.EQL:
		return equal, nil
	case syntax.NEQ:
		return !equal, nil
	}
	return false, fmt.Errorf("%s %s %s not implemented", typ, op, typ)
}

// Unknown is what Planned returns, or puts into a map, for what only the call
// itself can tell.
type Unknown struct{ From string }

// unknownValue is an Unknown in a policy. It can be passed on and its attributes
// are unknown too; whatever would have to look at it ends the plan.
type unknownValue struct {
	From   string
	thread *starlark.Thread // that made it: where the plan stands when it is looked at
}

// planEnd says that a plan cannot go on: what follows depends on an effect.
type planEnd struct {
	from  string
	stack starlark.CallStack
}

func (e *planEnd) Error() string {
	return "the plan ends here: what follows depends on the outcome of " + e.from
}

var (
	_ starlark.HasAttrs  = (*unknownValue)(nil)
	_ starlark.HasBinary = (*unknownValue)(nil)
	_ starlark.HasUnary  = (*unknownValue)(nil)
	_ starlark.Iterable  = (*unknownValue)(nil)
	_ starlark.Mapping   = (*unknownValue)(nil)
)

func (u *unknownValue) Type() string { return "unknown" }
func (u *unknownValue) Freeze()      {}

// String, Truth and Iterate cannot return an error: they panic with the end of
// the plan, which the runtime recovers at the call of the thread's function. The
// stack is taken here, since a panic unwinds it.
func (u *unknownValue) end() *planEnd              { return &planEnd{u.From, u.thread.CallStack()} }
func (u *unknownValue) String() string             { panic(u.end()) }
func (u *unknownValue) Truth() starlark.Bool       { panic(u.end()) }
func (u *unknownValue) Iterate() starlark.Iterator { panic(u.end()) }
func (u *unknownValue) Hash() (uint32, error)      { return 0, u.end() }
func (u *unknownValue) AttrNames() []string        { return nil }

// Attr implements starlark.HasAttrs.
func (u *unknownValue) Attr(name string) (starlark.Value, error) {
	return &unknownValue{u.From, u.thread}, nil
}

// Get implements starlark.Mapping.
func (u *unknownValue) Get(starlark.Value) (starlark.Value, bool, error) {
	return &unknownValue{u.From, u.thread}, true, nil
}

// Binary implements starlark.HasBinary.
func (u *unknownValue) Binary(syntax.Token, starlark.Value, starlark.Side) (starlark.Value, error) {
	return nil, u.end()
}

// Unary implements starlark.HasUnary.
func (u *unknownValue) Unary(syntax.Token) (starlark.Value, error) {
	return nil, u.end()
}

// plannedValue turns what Planned returned into a value of a policy.
func plannedValue(t *starlark.Thread, v any) (starlark.Value, error) {
	switch v := v.(type) {
	case Unknown:
		return &unknownValue{v.From, t}, nil
	case []Unknown:
		out := make([]starlark.Value, len(v))
		for i, u := range v {
			out[i] = &unknownValue{u.From, t}
		}
		return starlark.NewList(out), nil
	}
	raw, err := encodeResult(v)
	if err != nil {
		return nil, err
	}
	return decodeResult(raw)
}

// hasUnknown reports whether an argument is not known in a plan.
func hasUnknown(kwargs []starlark.Tuple) (string, bool) {
	for _, kv := range kwargs {
		if u := unknownIn(kv[1]); u != nil {
			return u.From, true
		}
	}
	return "", false
}

// unknownIn finds an unknown value in v or in the lists in it; nil when there is
// none. Lists that share their parts are looked at up to a number of parts: such a
// list was made by the policy, not by a plan.
func unknownIn(v starlark.Value) *unknownValue {
	todo := []starlark.Value{v}
	for seen := 0; len(todo) > 0 && seen < maxParts; seen++ {
		v, todo = todo[len(todo)-1], todo[:len(todo)-1]
		switch v := v.(type) {
		case *unknownValue:
			return v
		case *starlark.List:
			for i := range min(v.Len(), maxParts) {
				todo = append(todo, v.Index(i))
			}
		}
	}
	return nil
}

const maxParts = 100_000
