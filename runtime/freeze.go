package runtime

import (
	"fmt"

	"go.starlark.net/starlark"
)

// freeze freezes a value. One that holds a function which names itself, by way of what
// it was defined in, is refused: freezing it would never end, and it could only be
// called by itself, which is recursion.
func freeze(v starlark.Value) error {
	f := finder{state: map[*starlark.Function]int{}}
	if err := f.value(v); err != nil {
		return err
	}
	v.Freeze()
	return nil
}

// finder looks for functions that reach themselves. Lists, dicts and sets end such a
// circle: they are frozen once.
type finder struct {
	state map[*starlark.Function]int // 1: it is being looked at, 2: done
	depth int
}

func (f *finder) value(v starlark.Value) error {
	if f.depth++; f.depth > maxReach {
		return limitError("the depth of functions and tuples within one another", maxReach, "no flag: flatten it")
	}
	defer func() { f.depth-- }()
	switch v := v.(type) {
	case starlark.Tuple:
		for _, part := range v {
			if err := f.value(part); err != nil {
				return err
			}
		}
	case *starlark.Function:
		return f.function(v)
	}
	return nil
}

const maxReach = 100_000

func (f *finder) function(fn *starlark.Function) error {
	switch f.state[fn] {
	case 1:
		return fmt.Errorf("%s: function %s names itself: it could only be called by itself, and there is no recursion", fn.Position(), fn.Name())
	case 2:
		return nil
	}
	f.state[fn] = 1
	for i := range fn.NumFreeVars() {
		if _, v := fn.FreeVar(i); v != nil {
			if err := f.value(v); err != nil {
				return err
			}
		}
	}
	for i := range fn.NumParams() {
		if v := fn.ParamDefault(i); v != nil {
			if err := f.value(v); err != nil {
				return err
			}
		}
	}
	f.state[fn] = 2
	return nil
}
